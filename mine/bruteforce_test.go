package mine

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/evaluate"
)

// hashEncoder gives each text a vector drawn from its bytes, near those of texts with the same first word. salt makes
// another model of it.
type hashEncoder struct {
	salt  string
	texts map[string]int // how often each was encoded, by role
}

func (e *hashEncoder) Encode(_ context.Context, texts []string, role evaluate.Role, done func(int)) (evaluate.Matrix, error) {
	m := evaluate.Matrix{Rows: len(texts), Dim: 16}
	for _, text := range texts {
		if e.texts != nil {
			e.texts[string(role)+":"+text]++
		}
		m.Data = append(m.Data, e.vector(text)...)
	}
	done(len(texts))
	return m, nil
}

func (e *hashEncoder) vector(text string) []float32 {
	word, _, _ := strings.Cut(text, " ")
	v := make([]float32, 16)
	for weight, part := range map[float64]string{1: word, 0.7: text} {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s|%s", e.salt, part)
		r := rand.New(rand.NewPCG(h.Sum64(), 1))
		for i := range v {
			v[i] += float32(weight * r.NormFloat64())
		}
	}
	return v
}

// cosine is the score by brute force.
func (e *hashEncoder) cosine(a, b string) float64 {
	x, y := e.vector(a), e.vector(b)
	ab, aa, bb := 0.0, 0.0, 0.0
	for i := range x {
		ab += float64(x[i]) * float64(y[i])
		aa += float64(x[i]) * float64(x[i])
		bb += float64(y[i]) * float64(y[i])
	}
	return ab / math.Sqrt(aa*bb)
}

// inputRow is a row of the tests' input.
type inputRow struct {
	Query  string   `json:"query"`
	Pos    []string `json:"pos"`
	Neg    []string `json:"neg,omitempty"`
	Prompt *string  `json:"prompt,omitempty"`
}

// someRows are n rows: queries of six first words, of which some stand twice, with one or two positives.
func someRows(n int) []inputRow {
	words := strings.Fields("stone river cloud engine garden paper")
	rows := make([]inputRow, n)
	for i := range rows {
		w := words[i%6]
		rows[i] = inputRow{
			Query: fmt.Sprintf("%s question %d", w, i-i%7/6), // every seventh repeats the one before
			Pos:   []string{fmt.Sprintf("%s answer %d", w, i)},
			Neg:   []string{fmt.Sprintf("%s other %d", w, i), "a shared negative"},
		}
		if i%5 == 0 {
			rows[i].Pos = append(rows[i].Pos, fmt.Sprintf("%s second answer %d", w, i))
			rows[i].Neg = append(rows[i].Neg, rows[i].Query) // a passage that is the query
		}
	}
	return rows
}

func writeRows(t *testing.T, rows []inputRow) string {
	t.Helper()
	var b bytes.Buffer
	for _, r := range rows {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func options(t *testing.T, rows []inputRow) Options {
	t.Helper()
	return Options{
		Input: []string{writeRows(t, rows)}, Output: filepath.Join(t.TempDir(), "mined.jsonl"), Ranks: Range{2, 40}, Negatives: 5,
		Sampling: Random, Seed: 1, WithScores: true, Encoder: &hashEncoder{}, Similarity: "cosine", MemoryBudget: 64 << 20,
		Warn: func(text string) { t.Log(text) },
	}
}

// run mines and reads what was written.
func run(t *testing.T, o Options) (*Report, []row) {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r, readRows(t, o.Output)
}

func readRows(t *testing.T, path string) []row {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err == nil {
			data, err = io.ReadAll(z)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var rows []row
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var r row
		if err := d.Decode(&r); err == io.EOF {
			return rows
		} else if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
}

// nearest are the passages in the range of ranks by brute force, best first, and their scores.
func nearest(e *hashEncoder, query string, passages []string, r Range) (list []string, scores map[string]float64) {
	scores = map[string]float64{}
	for _, p := range passages {
		scores[p] = e.cosine(query, p)
	}
	list = slices.Clone(passages)
	slices.SortFunc(list, func(a, b string) int { // no two are equal
		if scores[a] > scores[b] {
			return -1
		}
		return 1
	})
	return list[min(r.First, len(list)):min(r.End, len(list))], scores
}

func passagesOf(rows []inputRow) []string {
	var all []string
	for _, r := range rows {
		all = append(append(all, r.Pos...), r.Neg...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
