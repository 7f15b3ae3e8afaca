package prune_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph"
	"graft/prune"
	"graft/runtime"
	"graft/runtime/tokenizer"
)

// The batch that the relations run on: two texts, the second padded.
var (
	probeIDs   = []int64{1, 5, 9, 33, 21, 2, 1, 7, 64, 3, 0, 0}
	probeMask  = []int64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}
	probeShape = []int64{2, 6}
)

// recorder runs graphs on some rows of ids.
func recorder() *runtime.Recorder {
	var rows []tokenizer.Encoding
	for i := range int32(6) {
		ids := []int32{1, 5 + i, 9, 33, 21 + 7*i, 90 - i, 2}[:5+i%3]
		rows = append(rows, tokenizer.Encoding{IDs: ids, TypeIDs: make([]int32, len(ids))})
	}
	return runtime.RecorderOf(rows, 0, runtime.RecordOptions{Threads: 1})
}

// widths are what the tests take out of each layer.
var widths = []struct {
	name string
	prune.WidthOptions
}{
	{"neurons", prune.WidthOptions{Neurons: 0.25}},
	{"heads", prune.WidthOptions{Heads: 0.5}},
	{"both", prune.WidthOptions{Heads: 0.5, Neurons: 5}},
}

// What a narrower graph gives is what the wide one gives with the removed parts' outgoing weights set to
// zero: so parts of importance zero may go, and nothing changes.
func TestNarrowIsZeroed(t *testing.T) {
	needORT(t)
	for _, dir := range models(t) {
		for _, w := range widths {
			t.Run(filepath.Base(dir)+"/"+w.name, func(t *testing.T) {
				m := openModel(t, dir, convert.OpenOptions{})
				w.Activations = recorder()
				p, err := prune.NewWidth(context.Background(), m.Graph, w.WidthOptions)
				if err != nil {
					t.Fatal(err)
				}
				if want := cannotNarrow(filepath.Base(dir), w.WidthOptions); want != "" {
					if err := p.Apply(m.Graph); err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("error %v, want one with %q", err, want)
					}
					return
				}
				zeroed := m.Graph.Clone()
				zero(t, zeroed, p)
				want := outputs(t, zeroed, probeIDs, probeMask, probeShape)

				again, err := prune.NewWidth(context.Background(), zeroed, w.WidthOptions)
				if err != nil {
					t.Fatal(err)
				}
				unimportant(t, again.Neurons, p.Neurons)
				unimportant(t, again.Heads, p.Heads)
				if err := p.Apply(m.Graph); err != nil {
					t.Fatal(err)
				}
				for name, x := range outputs(t, m.Graph, probeIDs, probeMask, probeShape) {
					near(t, name, x, want[name])
				}
			})
		}
	}
}

// cannotNarrow is what the error of a model says whose layers cannot be made narrower so, "" where they can.
func cannotNarrow(model string, o prune.WidthOptions) string {
	switch {
	case model == "albert": // a layer cannot be narrowed by itself
		return `.weight" is shared`
	case strings.HasPrefix(model, "deberta-v2") && o.Heads > 0: // queries and keys are multiplied with distances too
		return "(Reshape) reads it too"
	case model == "olmo2" && o.Heads > 0: // one norm over all heads
		return `k_norm/RMSNormalization" (RMSNormalization) mixes features`
	case model == "jina-bert-code" && o.Heads > 0: // the same
		return `layer_norm_k/LayerNormalization" (LayerNormalization) mixes features`
	}
	return ""
}

// unimportant checks that what was zeroed scores 0, and that only what scores 0 goes then.
func unimportant(t *testing.T, zeroed, plan []prune.Group) {
	t.Helper()
	for i, g := range zeroed {
		for j, score := range g.Scores {
			if gone := !slices.Contains(plan[i].Keep, j); gone && score != 0 {
				t.Errorf("layer %d, part %d: importance %g of what is multiplied by 0", i, j, score)
			}
			if gone := !slices.Contains(g.Keep, j); gone && score != 0 {
				t.Errorf("layer %d, part %d: it goes with importance %g, others have 0", i, j, score)
			}
		}
	}
}

// near compares at the probe's real tokens, or all of a vector per text.
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	const tolerance = 5e-5 // sums in another order, over the layers
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	width := len(want) / len(probeMask)
	for i := range want {
		if what == "last_hidden_state" && probeMask[i/width] == 0 {
			continue
		}
		if d := math.Abs(float64(got[i] - want[i])); !(d <= tolerance*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("%s: value %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

// zero sets the weights to zero that the parts which p takes out are multiplied by.
func zero(t *testing.T, m *graph.Model, p *prune.Width) {
	t.Helper()
	layers, err := graph.Layers(m)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		var attention, ffn *graph.Value // the last products: of the attention, of the block
		for _, linear := range l.Linears {
			if reads(linear.Node, l.Attention) && attention == nil {
				attention = linear.Weight
			}
			ffn = linear.Weight
		}
		if p.Heads != nil {
			queries := p.QueryHeads / p.KeyHeads * p.HeadSize
			zeroColumns(t, attention, func(column int) bool { return slices.Contains(p.Heads[i].Keep, column/queries) })
		}
		if p.Neurons != nil {
			zeroColumns(t, ffn, func(column int) bool { return slices.Contains(p.Neurons[i].Keep, column) })
		}
	}
}

// reads reports whether n reads what a gives, through Dropout at most.
func reads(n, a *graph.Node) bool {
	v := n.Input(0)
	for v.Def().Is("Dropout") {
		v = v.Def().Input(0)
	}
	return v.Def() == a
}

// zeroColumns clears the columns of a weight [out, in] that do not stay.
func zeroColumns(t *testing.T, w *graph.Value, stays func(column int) bool) {
	t.Helper()
	data, err := w.Init.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	columns := int(w.Init.Shape[1])
	for i := range data {
		if !stays(i % columns) {
			data[i] = 0
		}
	}
	w.Init = graph.NewTensor(w.Name, data, w.Init.Shape...)
}

// headSizes are the models whose config gives the size of a head by itself.
var headSizes = map[string]bool{"eurobert": true, "gemma": true, "gemma2": true, "gemma3-text": true, "granite": true, "llama-rope-dynamic": true, "llama-rope-yarn": true, "llama": true, "llama-rope-linear": true, "llama-rope-llama3": true, "mistral": true,
	"nomic-bert": true, "nvembed": true, "phi3": true, "qwen2": true, "qwen3": true, "smollm3": true}

// A narrower model is saved as a checkpoint where the architecture's config can say how wide it is, and
// that checkpoint is the same model; else as ONNX alone, with a warning.
func TestNarrowCheckpoint(t *testing.T) {
	needORT(t)
	for _, dir := range models(t) {
		for _, w := range widths {
			if cannotNarrow(filepath.Base(dir), w.WidthOptions) != "" {
				continue // which TestNarrowIsZeroed finds refused
			}
			t.Run(filepath.Base(dir)+"/"+w.name, func(t *testing.T) {
				m := openModel(t, dir, convert.OpenOptions{})
				w.Activations = recorder()
				p, err := prune.NewWidth(context.Background(), m.Graph, w.WidthOptions)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Rewrite(func(g *graph.Model) (convert.Surgery, error) {
					return convert.Surgery{QueryHeads: p.QueryHeads, KeyHeads: p.KeyHeads, HeadSize: p.HeadSize, Intermediate: p.Intermediate}, p.Apply(g)
				}); err != nil {
					t.Fatal(err)
				}
				narrow := outputs(t, m.Graph, probeIDs, probeMask, probeShape)
				out := filepath.Join(t.TempDir(), "narrow")
				if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{KeepDType: true}); err != nil {
					t.Fatal(err)
				}
				saved, err := safetensors.Open(out)
				if err == nil {
					saved.Close()
				}
				if says := p.Heads == nil || headSizes[filepath.Base(dir)]; says != (err == nil) {
					t.Fatalf("checkpoint written: %t (warnings %q)", err == nil, m.Warnings)
				} else if !says {
					return
				}
				built := openModel(t, out, convert.OpenOptions{})
				for name, want := range outputs(t, built.Graph, probeIDs, probeMask, probeShape) {
					if !slices.Equal(narrow[name], want) {
						t.Errorf("%s: the narrow graph differs from the built one", name)
					}
				}
			})
		}
	}
}
