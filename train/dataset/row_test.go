package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rowDigest is generate.py's function of this name.
func rowDigest(r Row) string {
	h := sha256.New()
	digestTexts := func(texts []string) {
		fmt.Fprintf(h, "%d;", len(texts))
		for _, t := range texts {
			digestText(h, t)
		}
	}
	digestScores := func(scores []float64) {
		var texts []string
		for _, s := range scores {
			texts = append(texts, hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, math.Float64bits(s))))
		}
		digestTexts(texts)
	}
	digestText(h, r.Query)
	digestTexts(r.Pos)
	digestTexts(r.Neg)
	digestScores(r.PosScores)
	digestScores(r.NegScores)
	if r.Prompt == nil {
		digestText(h, "<none>")
	} else {
		digestText(h, *r.Prompt)
	}
	digestText(h, r.Type)
	return hex.EncodeToString(h.Sum(nil))
}

func digestText(h hash.Hash, text string) { fmt.Fprintf(h, "%d:%s", len(text), text) }

// TestRowsAreThoseOfPython compares every value of every row with what Python's json reads.
func TestRowsAreThoseOfPython(t *testing.T) {
	data, err := os.ReadFile("../../testdata/dataset/rows.json")
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]struct {
		Rows             int
		First, Last, All string
	}
	if err := json.Unmarshal(data, &files); err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no files in rows.json")
	}
	for file, want := range files {
		t.Run(file, func(t *testing.T) {
			path := filepath.Join("../../testdata/dataset", filepath.Base(file))
			if _, err := os.Stat(path); err != nil {
				path = shared(t, filepath.Join("data", file))
			}
			s := mustOpen(t, Options{GroupSize: 2}, path)
			var digests []string
			all := sha256.New()
			for row, err := range s.Rows(context.Background()) {
				if err != nil {
					t.Fatal(err)
				}
				digests = append(digests, rowDigest(row))
				fmt.Fprint(all, digests[len(digests)-1])
			}
			if len(digests) != want.Rows || s.Len() != want.Rows {
				t.Fatalf("%d rows, and Len is %d; want %d", len(digests), s.Len(), want.Rows)
			}
			if digests[0] != want.First || digests[len(digests)-1] != want.Last {
				t.Errorf("first row %s, last %s; want %s, %s", digests[0], digests[len(digests)-1], want.First, want.Last)
			}
			if got := hex.EncodeToString(all.Sum(nil)); got != want.All {
				t.Errorf("all rows %s, want %s", got, want.All)
			}
		})
	}
}

func TestParseRow(t *testing.T) {
	prompt, empty := "Find: ", ""
	tests := []struct {
		name, text string
		want       Row
	}{
		{"least", `{"query": "q", "pos": ["p"]}`, Row{Query: "q", Pos: []string{"p"}}},
		{"all fields", `{"query":"q","pos":["p","r"],"neg":["n"],"pos_scores":[1,2.5],"neg_scores":[-3e-1],"prompt":"Find: ","type":"normal"}`,
			Row{Query: "q", Pos: []string{"p", "r"}, Neg: []string{"n"}, PosScores: []float64{1, 2.5}, NegScores: []float64{-0.3}, Prompt: &prompt, Type: "normal"}},
		{"empty prompt is one", `{"query":"q","pos":["p"],"prompt":""}`, Row{Query: "q", Pos: []string{"p"}, Prompt: &empty}},
		{"null is nothing", `{"query":"q","pos":["p"],"neg":null,"pos_scores":null,"neg_scores":null,"prompt":null,"type":null}`, Row{Query: "q", Pos: []string{"p"}}},
		{"other fields", `{"query_id":7,"query":"q","pos":["p"],"pos_ids":["x"],"extra":{"a":[null]}}`, Row{Query: "q", Pos: []string{"p"}}},
		{"names are exact", `{"query":"q","Query":1,"pos":["p"],"POS":"noun"}`, Row{Query: "q", Pos: []string{"p"}}},
		{"escapes", `{"query":"\u00e9\ud83d\ude00\n","pos":["é"]}`, Row{Query: "é😀\n", Pos: []string{"é"}}},
		{"texts may be blank", `{"query":"","pos":[""],"neg":[""]}`, Row{Pos: []string{""}, Neg: []string{""}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseRow([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("row differs (-want +got):\n%s", d)
			}
		})
	}
}

func FuzzParseRow(f *testing.F) {
	for _, seed := range []string{
		`{"query":"q","pos":["p"],"neg":["n"],"pos_scores":[1],"neg_scores":[0.5],"prompt":"x"}`,
		`{"query":"q","pos":["p",null]}`, `{"pos":[]}`, `[1]`, `{"query":"q","pos":["p"],"pos_scores":[NaN]}`, "\xff", ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRow(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("error without words")
			}
			return
		}
		if !json.Valid(text) {
			t.Error("read what is not JSON")
		}
		if len(r.Pos) == 0 {
			t.Errorf("row without positive: %+v", r)
		}
		if r.PosScores != nil && len(r.PosScores) != len(r.Pos) || r.NegScores != nil && len(r.NegScores) != len(r.Neg) {
			t.Errorf("scores do not fit passages: %+v", r)
		}
	})
}
