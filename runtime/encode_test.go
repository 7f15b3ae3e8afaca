package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"graft/runtime/tokenizer"
)

// fixtures are an encoder and a decoder.
var fixtures = []string{"bert", "qwen3"}

// far is the largest difference of a feature.
func far(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		if x := math.Abs(float64(a[i]) - float64(b[i])); x > d || x != x {
			d = x
		}
	}
	return d
}

// TestEncodeAloneAsInABatch: a text's vector depends on nothing but the text, whatever stands
// beside it, in which order, however many are run at a time; equal texts have equal vectors.
func TestEncodeAloneAsInABatch(t *testing.T) {
	texts := append(SampleTexts(), "", " ", "twice", "twice")
	backwards := slices.Clone(texts)
	slices.Reverse(backwards)
	for _, name := range fixtures {
		whole := encoded(t, opened(t, name, Options{}), texts, EncodeOptions{})
		if whole.Rows != len(texts) || len(whole.Data) != whole.Rows*whole.Dim {
			t.Fatalf("%s: %d rows of %d in %d numbers", name, whole.Rows, whole.Dim, len(whole.Data))
		}
		if !slices.Equal(whole.Row(whole.Rows-1), whole.Row(whole.Rows-2)) {
			t.Errorf("%s: equal texts have different vectors", name)
		}
		single := opened(t, name, Options{BatchSize: 1})
		for i, text := range texts {
			alone := encoded(t, single, []string{text}, EncodeOptions{})
			if d := far(alone.Row(0), whole.Row(i)); !(d <= 1e-5) {
				t.Errorf("%s: %q alone differs by %g", name, text, d)
			}
			if n := Cosine(whole.Row(i), whole.Row(i)); n != n {
				t.Errorf("%s: the vector of %q has no direction", name, text)
			}
		}
		for _, o := range []Options{{BatchTokens: 40}, {BatchSize: 3}, {Runs: 2, BatchTokens: 64}} {
			turned := encoded(t, opened(t, name, o), backwards, EncodeOptions{})
			for i := range texts {
				if d := far(turned.Row(len(texts)-1-i), whole.Row(i)); !(d <= 1e-5) {
					t.Errorf("%s: %+v, backwards: %q differs by %g", name, o, texts[i], d)
				}
			}
		}
	}
}

func TestEncodeNothing(t *testing.T) {
	if v := encoded(t, opened(t, "bert", Options{}), nil, EncodeOptions{}); v.Rows != 0 || len(v.Data) != 0 || v.Dim != 32 {
		t.Errorf("%+v", v)
	}
}

// TestEncodePrompt: a prompt is text before the text.
func TestEncodePrompt(t *testing.T) {
	texts := []string{"the moon", "", "a cat on the sofa"}
	var written []string
	for _, s := range texts {
		written = append(written, "query: "+s)
	}
	for _, name := range fixtures {
		e := opened(t, name, Options{})
		prompted, plain := encoded(t, e, texts, EncodeOptions{Prompt: "query: "}), encoded(t, e, texts, EncodeOptions{})
		if want := encoded(t, e, written, EncodeOptions{}); !slices.Equal(prompted.Data, want.Data) {
			t.Errorf("%s: a prompt is not as the text with it", name)
		}
		if far(prompted.Row(0), plain.Row(0)) < 1e-3 {
			t.Errorf("%s: a prompt makes no difference", name)
		}
	}
}

// TestEncodeMaxLength: tokens behind the limit do not count, and a limit above the model's is its own.
func TestEncodeMaxLength(t *testing.T) {
	e := opened(t, "bert", Options{})
	long := strings.Repeat("moon ", 200)
	v := encoded(t, e, []string{long, long + "sun"}, EncodeOptions{})
	if !slices.Equal(v.Row(0), v.Row(1)) {
		t.Error("what lies behind the model's limit changes the vector")
	}
	if w := encoded(t, e, []string{long}, EncodeOptions{MaxLength: 5}); slices.Equal(w.Row(0), v.Row(0)) {
		t.Error("a shorter limit makes no difference")
	}
	for asked, want := range map[int]int{0: 24, 8: 8, 24: 24, 512: 24} {
		if got := e.Limit(asked); got != want {
			t.Errorf("Limit(%d) = %d, want %d", asked, got, want)
		}
	}
	m := fixture(t, "bert")
	m.Positions = 40 // what the graph takes, which the directory does not use up
	e, err := Open(context.Background(), m, Options{Provider: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for asked, want := range map[int]int{0: 24, 8: 8, 32: 32, 512: 40} {
		if got := e.Limit(asked); got != want {
			t.Errorf("Limit(%d) = %d, want %d", asked, got, want)
		}
	}
	if w := encoded(t, e, []string{long}, EncodeOptions{MaxLength: 32}); slices.Equal(w.Row(0), v.Row(0)) {
		t.Error("a longer limit makes no difference")
	}
}

func TestEncodeLowerCase(t *testing.T) {
	m := fixture(t, "qwen3")
	m.LowerCase = true
	e, err := Open(context.Background(), m, Options{Provider: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	v := encoded(t, e, []string{"The MOON", "the moon"}, EncodeOptions{})
	if !slices.Equal(v.Row(0), v.Row(1)) {
		t.Error("texts are not lowered")
	}
}

func TestEncodeConcurrently(t *testing.T) {
	e := opened(t, "bert", Options{BatchTokens: 64})
	texts := SampleTexts()
	want := encoded(t, e, texts, EncodeOptions{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			v, err := e.Encode(context.Background(), texts, EncodeOptions{})
			if err != nil {
				t.Error(err)
			} else if d := far(v.Data, want.Data); !(d <= 1e-5) {
				t.Errorf("beside other calls: differs by %g", d)
			}
		})
	}
	group.Wait()
}

// TestEncodeCancelled: a context that ends is an error wherever it ends, never vectors of zeros.
func TestEncodeCancelled(t *testing.T) {
	e := opened(t, "bert", Options{BatchSize: 1})
	var texts []string
	for i := range 600 {
		texts = append(texts, fmt.Sprint("text ", i))
	}
	for _, after := range []int{0, 1, 100, 599} {
		ctx, cancel := context.WithCancel(context.Background())
		if after == 0 {
			cancel()
		}
		v, err := e.Encode(ctx, texts, EncodeOptions{Progress: func(done, _ int) {
			if done >= after {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || v != nil {
			t.Errorf("cancelled after %d texts: %v", after, err)
		}
		cancel()
	}
}

func TestEncodeProgress(t *testing.T) {
	last, texts := 0, append(SampleTexts(), SampleTexts()[0])
	encoded(t, opened(t, "bert", Options{BatchSize: 3}), texts, EncodeOptions{Progress: func(done, total int) {
		if done <= last || total != len(texts)-1 {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last = done
	}})
	if last != len(texts)-1 {
		t.Errorf("the last progress was %d of %d distinct texts", last, len(texts)-1)
	}
}

// TestPlan: every text is in one batch, in a batch that is long enough, and no batch is over the budget.
func TestPlan(t *testing.T) {
	for _, test := range []struct{ rows, tokens, padTo int }{{0, 4096, 8}, {0, 100, 1}, {3, 4096, 8}, {1, 1, 8}, {0, 64, 16}} {
		lengths := []int{}
		for i := range 500 {
			lengths = append(lengths, i*i%97)
		}
		seen := make([]int, len(lengths))
		before := math.MaxInt
		for _, b := range plan(lengths, test.rows, test.tokens, test.padTo) {
			if b.length%test.padTo != 0 || b.length > before || len(b.texts) == 0 {
				t.Errorf("%+v: a batch of %d texts and length %d after %d", test, len(b.texts), b.length, before)
			}
			if n := len(b.texts); n > 1 && n*b.length > test.tokens || test.rows > 0 && n > test.rows {
				t.Errorf("%+v: %d texts of length %d in a batch", test, n, b.length)
			}
			for _, i := range b.texts {
				seen[i]++
				if lengths[i] > b.length {
					t.Errorf("%+v: text of %d tokens in a batch of length %d", test, lengths[i], b.length)
				}
			}
			before = b.length
		}
		if i := slices.IndexFunc(seen, func(n int) bool { return n != 1 }); i >= 0 {
			t.Errorf("%+v: text %d is in %d batches", test, i, seen[i])
		}
	}
	if got := plan(nil, 0, 10, 8); len(got) != 0 {
		t.Errorf("%v of no texts", got)
	}
}

func TestDeduplicate(t *testing.T) {
	distinct, index := deduplicate([]string{"b", "a", "b", "", "a", ""})
	if !slices.Equal(distinct, []string{"b", "a", ""}) || !slices.Equal(index, []int{0, 1, 0, 2, 1, 2}) {
		t.Errorf("%q %v", distinct, index)
	}
}

func TestOpenMistakes(t *testing.T) {
	m := fixture(t, "bert")
	for _, o := range []Options{{Provider: "abacus"}, {Provider: "cpu", Precision: "bf16"}, {Provider: "openvino", Precision: "fp8"}} {
		var option *OptionError
		if _, err := Open(context.Background(), m, o); !errors.As(err, &option) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	m.Tokenizer = nil
	if _, err := Open(context.Background(), m, Options{}); !errors.Is(err, ErrNoTokenizer) {
		t.Errorf("without a tokenizer: %v", err)
	}
}

// TestSidesOfPadding: a fixture gives the same vectors padded on either side.
func TestSidesOfPadding(t *testing.T) {
	for _, name := range fixtures {
		e := opened(t, name, Options{})
		rows, err := e.tokenize(context.Background(), []string{"the moon orbits"}, EncodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got [][]float32
		for _, side := range []tokenizer.Side{tokenizer.Right, tokenizer.Left} {
			if err := e.run(context.Background(), rows, 20, side, func(v []float32) { got = append(got, slices.Clone(v)) }); err != nil {
				t.Fatal(err)
			}
		}
		if d := far(got[0], got[1]); !(d <= 1e-5) {
			t.Errorf("%s: padded on the left, a vector differs by %g", name, d)
		}
	}
}

// TestCPUNorms: on the cpu provider norms stay apart from the sums before them, where ONNX Runtime
// by itself would fuse them.
func TestCPUNorms(t *testing.T) {
	e := opened(t, "bert", Options{Provider: "cpu"})
	for _, fused := range []bool{false, true} {
		if fused {
			e.config.Config = map[string]string{"optimization.disable_specified_optimizers": ""}
		}
		placed, err := e.Placements()
		if err != nil {
			t.Fatal(err)
		}
		norms := map[string]int{}
		for _, p := range placed {
			if strings.HasSuffix(p.Op, "LayerNormalization") {
				norms[p.Op]++
			}
		}
		if len(norms) == 0 || (norms["SkipLayerNormalization"] > 0) != fused {
			t.Errorf("norms %v; fused: %v is wanted", norms, fused)
		}
	}
}

func TestCheckThreads(t *testing.T) {
	for _, o := range []Options{{Threads: 100000}, {Runs: 100000}, {Provider: "cpu", Threads: 4097}} {
		var option *OptionError
		if err := o.Check(); !errors.As(err, &option) || !strings.Contains(err.Error(), "at most 4096") {
			t.Errorf("%+v: error %v", o, err)
		}
	}
	if err := (Options{Threads: 4096}).Check(); err != nil {
		t.Error(err)
	}
}
