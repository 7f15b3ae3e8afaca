package evaluate

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tableEncoder gives the vectors of the fixture's embeddings.safetensors by text.
type tableEncoder struct {
	vectors map[Role]map[string][]float32
}

func (e *tableEncoder) Encode(_ context.Context, texts []string, role Role, done func(int)) (Matrix, error) {
	m := Matrix{Rows: len(texts), Dim: 8}
	for i, text := range texts {
		v, ok := e.vectors[role][text]
		if !ok {
			return m, fmt.Errorf("no vector for %s %q", role, text)
		}
		m.Data = append(m.Data, v...)
		done(i + 1)
	}
	return m, nil
}

// fixtureEncoder reads the fixture's vectors.
func fixtureEncoder(t *testing.T) Encoder {
	t.Helper()
	var names struct {
		Texts   []string `json:"corpus_texts_as_encoded"`
		Queries []string `json:"query_ids"`
	}
	readJSON(t, filepath.Join(fixtures, "embeddings.json"), &names)
	data, err := os.ReadFile(filepath.Join(fixtures, "embeddings.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	queryText := map[string]string{}
	for r, err := range readJSONLines(filepath.Join(fixtures, "dataset/queries.jsonl")) {
		if err != nil {
			t.Fatal(err)
		}
		queryText[r.UnderscoreID.value] = r.Text.value
	}
	e := &tableEncoder{map[Role]map[string][]float32{QueryRole: {}, DocumentRole: {}}}
	for name, raw := range header {
		var tensor struct {
			Shape   [2]int    `json:"shape"`
			Offsets [2]uint64 `json:"data_offsets"`
		}
		if json.Unmarshal(raw, &tensor) != nil {
			continue // __metadata__
		}
		values := make([]float32, tensor.Shape[0]*tensor.Shape[1])
		decode(data[8+n+tensor.Offsets[0]:8+n+tensor.Offsets[1]], values)
		for i := range tensor.Shape[0] {
			row := values[i*tensor.Shape[1] : (i+1)*tensor.Shape[1]]
			if tensor.Shape[0] == len(names.Texts) {
				e.vectors[DocumentRole][names.Texts[i]] = row
			} else if tensor.Shape[0] == len(names.Queries) {
				e.vectors[QueryRole][queryText[names.Queries[i]]] = row
			} else {
				t.Fatalf("tensor %s has %d rows", name, tensor.Shape[0])
			}
		}
	}
	return e
}

// hashEncoder makes a vector out of a text's hash, the same always, and counts.
type hashEncoder struct {
	dim    int
	texts  int // encoded so far, both roles
	before func(role Role) error
}

func (e *hashEncoder) Encode(ctx context.Context, texts []string, role Role, done func(int)) (Matrix, error) {
	if e.before != nil {
		if err := e.before(role); err != nil {
			return Matrix{}, err
		}
	}
	m := Matrix{len(texts), e.dim, make([]float32, len(texts)*e.dim)}
	for i, text := range texts {
		h := fnv.New64a()
		h.Write([]byte(text))
		r := rand.New(rand.NewPCG(h.Sum64(), 1))
		for d := range e.dim {
			m.Row(i)[d] = float32(r.NormFloat64())
		}
		e.texts++
		done(i + 1)
	}
	return m, nil
}

// generated writes a data set of n documents, a third of which repeat an earlier text, and
// m queries, in the BEIR layout.
func generated(t testing.TB, n, m int) string {
	t.Helper()
	var corpus, queries strings.Builder
	qrels := "query-id\tcorpus-id\tscore\n"
	for i := range n {
		fmt.Fprintf(&corpus, `{"_id": "d%d", "title": "", "text": "document %d"}`+"\n", i, i*2/3)
	}
	for i := range m {
		fmt.Fprintf(&queries, `{"_id": "q%d", "text": "document %d"}`+"\n", i, i)
		qrels += fmt.Sprintf("q%d\td%d\t1\n", i, (3*i+1)/2)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"corpus.jsonl": corpus.String(), "queries.jsonl": queries.String(), "qrels/test.tsv": qrels} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "qrels"), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
