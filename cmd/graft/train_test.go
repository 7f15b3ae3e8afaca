package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"graft/convert"
	"graft/train"
)

// TestTrainProgressInAFile: the steps that --logging-steps names, and the last one, in lines of their own.
func TestTrainProgressInAFile(t *testing.T) {
	var out bytes.Buffer
	p := newTrainProgress(&out)
	for range 5 {
		p.update(train.Progress{Note: "tokenizing"})
	}
	p.update(train.Progress{Steps: 30, Note: "the objective"})
	for step := 1; step <= 30; step++ {
		p.update(train.Progress{
			Step: step, Steps: 30, Epoch: float64(step) / 10, Loss: 1.5, LearningRate: 2e-5, TokensPerSecond: 1234,
			Resident: 300 << 20, Left: time.Duration(30-step) * time.Second, Log: step%10 == 0,
		})
	}
	p.done()
	want := `graft: the objective
step 10 of 30  epoch 1.00  loss 1.5000  rate 2.00e-05  1234 tokens/s  300 MB  ETA 20s
step 20 of 30  epoch 2.00  loss 1.5000  rate 2.00e-05  1234 tokens/s  300 MB  ETA 10s
step 30 of 30  epoch 3.00  loss 1.5000  rate 2.00e-05  1234 tokens/s  300 MB
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", &out, want)
	}
}

// TestTrainProgressOnATerminal: one line that is redrawn, ended before a note.
func TestTrainProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &trainProgress{w: &out, terminal: true}
	p.update(train.Progress{Step: 1, Steps: 2})
	p.update(train.Progress{Step: 1, Steps: 2, Note: "saved checkpoint-1"})
	p.update(train.Progress{Step: 2, Steps: 2})
	p.done()
	p.done()
	got := out.String()
	if strings.Count(got, "\r\x1b[K[") != 2 || strings.Count(got, "\n") != 3 || !strings.Contains(got, "\ngraft: saved checkpoint-1\n") {
		t.Errorf("%q", got)
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		done, total, want int
	}{{0, 0, 0}, {0, 4, 0}, {1, 4, 5}, {4, 4, 20}, {9, 4, 20}} {
		if got := bar(test.done, test.total); len(got) != barWidth+2 || strings.Count(got, "=") != test.want {
			t.Errorf("%d of %d: %q", test.done, test.total, got)
		}
	}
}

// TestDataHash: a folder is its files, wherever it lies; another byte is other data.
func TestDataHash(t *testing.T) {
	hash := func(paths ...string) string {
		t.Helper()
		h, err := dataHash(paths)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	write := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir, other := t.TempDir(), t.TempDir()
	a, b := write(filepath.Join(dir, "a.jsonl"), "one"), write(filepath.Join(dir, "b.jsonl"), "two")
	write(filepath.Join(other, "c.jsonl"), "one")
	write(filepath.Join(other, "d.jsonl"), "two")
	whole := hash(dir)
	if hash(a, b) != whole || hash(other) != whole {
		t.Error("the same data has other hashes elsewhere")
	}
	if hash(b, a) == whole || hash(a) == whole {
		t.Error("other data has the same hash")
	}
	write(b, "twp")
	if hash(dir) == whole {
		t.Error("a changed file has the same hash")
	}
	if _, err := dataHash([]string{filepath.Join(dir, "none")}); err == nil {
		t.Error("a file that is not there has a hash")
	}
}

// TestFitMatryoshka: widths that the model lacks are left out of the default list, never of the user's.
func TestFitMatryoshka(t *testing.T) {
	for _, test := range []struct {
		dim   int
		given string
		want  []int
	}{
		{768, "", []int{64, 128, 256, 512, 768}},
		{384, "", []int{64, 128, 256}},
		{32, "", []int{32}},
		{384, "matryoshka-dims", []int{64, 128, 256, 512, 768}},
	} {
		var said bytes.Buffer
		o := &trainOptions{train: train.DefaultOptions(), given: map[string]any{test.given: true}}
		o.train.UseMatryoshka = true
		m := &trainee{options: o, model: &convert.Model{Dim: test.dim}, progress: newTrainProgress(&said)}
		m.fitMatryoshka()
		if !slices.Equal(o.train.MatryoshkaDims, test.want) || len(o.train.MatryoshkaLossWeights) != len(test.want) {
			t.Errorf("%d features: %v with weights %v, want %v", test.dim, o.train.MatryoshkaDims, o.train.MatryoshkaLossWeights, test.want)
		}
		if warned := said.Len() > 0; warned != (len(test.want) < 5) {
			t.Errorf("%d features: said %q", test.dim, &said)
		}
	}
	if d := train.DefaultOptions().MatryoshkaDims; len(d) != 5 {
		t.Errorf("the defaults have become %v", d)
	}
}
