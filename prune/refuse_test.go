package prune_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
	"graft/prune"
)

// graphs that pruning does not look into, each made of a good one.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(m *graph.Model)
		want  string
	}{
		{"no blocks", func(m *graph.Model) { rename(m, "Attention", "Elsewhere", "custom") }, "no transformer blocks are recognized: find layers: no attention is recognized in the graph"},
		{"quantized", func(m *graph.Model) { rename(m, "MatMul", "MatMulInteger", "") }, "the model is quantized (node "},
		{"weight-only", func(m *graph.Model) { rename(m, "MatMul", "MatMulNBits", graph.Microsoft) }, "prune the float model, then quantize it"},
		{"subgraph", func(m *graph.Model) {
			n := m.Graph.Nodes[len(m.Graph.Nodes)-1]
			n.SetAttr(graph.GraphAttr("then_branch", &graph.Graph{Nodes: []*graph.Node{graph.NewNode("MatMul", nil, nil)}}))
		}, "holds a subgraph with matrix products"},
		{"function", func(m *graph.Model) {
			rename(m, "Attention", "Block", "local")
			m.Functions = []*graph.Function{{Name: "Block", Domain: "local"}}
		}, "calls the model's own function \"Block\""},
		{"last block without an end", func(m *graph.Model) {
			for _, n := range slices.Backward(m.Graph.Nodes) { // the residual sum of the last feed-forward network
				if n.Is("Add") && n.Input(0).Const() == nil && n.Input(1).Const() == nil {
					n.Op = "Sum"
					break
				}
			}
		}, "the end of the last layer (encoder.layer.2) is not recognized: it has 4 products with weights, the one before 6"},
		{"empty", func(m *graph.Model) { m.Graph.Nodes = nil }, "the graph is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := openModel(t, filepath.Join("..", "testdata", "models", "bert"), convert.OpenOptions{})
			c.spoil(m.Graph)
			_, layers := prune.New(context.Background(), m.Graph, prune.Options{Keep: []int{0}})
			_, width := prune.NewWidth(context.Background(), m.Graph, prune.WidthOptions{Heads: 1})
			for _, err := range []error{layers, width} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
			}
		})
	}
}

// rename makes every node of one operator one of another.
func rename(m *graph.Model, op, to, domain string) {
	for _, n := range m.Graph.Nodes {
		if n.Is(op) {
			n.Op, n.Domain = to, domain
		}
	}
}

// measured stands in for what runs the model: it hands over the same batch.
type measured struct {
	mask   []int64
	values func(i int) []float32
	err    error
}

// Record implements prune.Activations.
func (m measured) Record(_ context.Context, _ *graph.Model, values []*graph.Value, use func([]int64, [][]float32) error) error {
	if m.err != nil {
		return m.err
	}
	got := make([][]float32, len(values))
	for i := range got {
		got[i] = m.values(i)
	}
	return use(m.mask, got)
}

// Texts without tokens, activations that are not numbers and a failing run are errors; a failing or
// absent measure is none where nothing is measured.
func TestMeasuresRefused(t *testing.T) {
	nan := float32(0)
	nan /= nan
	for _, c := range []struct {
		name string
		by   prune.Activations
		want string
	}{
		{"no tokens", measured{mask: []int64{0, 0}, values: func(int) []float32 { return make([]float32, 64) }}, "the texts have no tokens"},
		{"not finite", measured{mask: []int64{1}, values: func(int) []float32 {
			x := make([]float32, 32)
			x[0] = nan
			return x
		}}, "is not finite on these texts"},
		{"failing", measured{err: errors.New("out of memory")}, "criterion block-influence: out of memory"},
		{"absent", nil, "there is nothing to run the model with"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := openModel(t, filepath.Join("..", "testdata", "models", "bert"), convert.OpenOptions{})
			if _, err := prune.New(context.Background(), m.Graph, prune.Options{Layers: 1, Activations: c.by}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if _, err := prune.New(context.Background(), m.Graph, prune.Options{Keep: []int{1}, Activations: c.by}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Leave-one-out removes what quality misses least, and its iterative form looks again after each.
func TestLeaveOneOut(t *testing.T) {
	m := openModel(t, filepath.Join("..", "testdata", "prune", "bert", "model"), convert.OpenOptions{})
	// Quality is 10 with the last layer, and 1 for each other; but without layer 0, layer 1 is worth 100.
	quality := func(_ context.Context, g *graph.Model) (float64, error) {
		layers, err := graph.Layers(g)
		if err != nil {
			return 0, err
		}
		there := map[string]bool{}
		for _, l := range layers {
			there[l.Name] = true
		}
		q := float64(len(layers))
		if there["encoder.layer.5"] {
			q += 10
		}
		if there["encoder.layer.0"] || there["encoder.layer.1"] {
			q += 100
		}
		return q, nil
	}
	for criterion, want := range map[string][]int{"leave-one-out": {0, 1}, "iterative-leave-one-out": {0, 2}} {
		p, err := prune.New(context.Background(), m.Graph, prune.Options{Layers: 2, Criterion: criterion, Quality: quality})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Removed(); got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: removed %d, want %d", criterion, got, want)
		}
	}
}

// A graph that says nothing of its inputs' sizes is pruned as one that does.
func TestDynamicShapes(t *testing.T) {
	dir := filepath.Join("..", "testdata", "models", "bert")
	pruned := func(m *graph.Model) map[string][]float32 {
		t.Helper()
		p, err := prune.New(context.Background(), m, prune.Options{Layers: 1, Activations: recorder()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Apply(m); err != nil {
			t.Fatal(err)
		}
		w, err := prune.NewWidth(context.Background(), m, prune.WidthOptions{Heads: 1, Neurons: 0.25, Activations: recorder()})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Apply(m); err != nil {
			t.Fatal(err)
		}
		return outputs(t, m, probeIDs, probeMask, probeShape)
	}
	m := openModel(t, dir, convert.OpenOptions{}).Graph
	for _, v := range m.Graph.Inputs {
		v.Type = &graph.Type{Elem: v.Type.Elem, Shape: graph.Shape{graph.AnyDim, graph.AnyDim}}
	}
	for _, n := range m.Graph.Nodes {
		for _, v := range n.Outputs {
			if v != nil {
				v.Type = nil
			}
		}
	}
	got := pruned(m)
	for name, want := range pruned(openModel(t, dir, convert.OpenOptions{}).Graph) {
		near(t, name, got[name], want)
	}
}

// What asks nothing of the blocks does not need them: the plan leaves all as it is.
func TestNothingAskedOfBlocks(t *testing.T) {
	m := openModel(t, filepath.Join("..", "testdata", "models", "bert"), convert.OpenOptions{})
	rename(m.Graph, "Attention", "Elsewhere", "custom")
	before := len(m.Graph.Graph.Nodes)
	p, err := prune.New(context.Background(), m.Graph, prune.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Apply(m.Graph)
	if err != nil || c.Kept != nil || len(m.Graph.Graph.Nodes) != before {
		t.Errorf("kept %v, %d nodes of %d: %v", c.Kept, len(m.Graph.Graph.Nodes), before, err)
	}
}

// A feed-forward network is narrowed where only the attention is not seen through.
func TestNeuronsAlone(t *testing.T) {
	needORT(t)
	m := openModel(t, filepath.Join("..", "testdata", "models", "bert"), convert.OpenOptions{})
	g := m.Graph.Graph
	uses := g.Uses()
	b := graph.NewBuilder(g, nil).Scope("turned")
	for _, n := range slices.Clone(g.Nodes) {
		if n.Is("Attention") {
			y := b.Transpose(b.Transpose(n.Outputs[0], 0, 2, 1), 0, 2, 1)
			for _, u := range uses[n.Outputs[0]] {
				u.Node.Inputs[u.Index] = y
			}
		}
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if err := graph.Infer(m.Graph); err != nil {
		t.Fatal(err)
	}
	want := "layer 0 (encoder.layer.0): the way from its attention to the product behind it is not recognized"
	if _, err := prune.NewWidth(context.Background(), m.Graph, prune.WidthOptions{Heads: 1, Activations: recorder()}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("heads: %v", err)
	}
	w, err := prune.NewWidth(context.Background(), m.Graph, prune.WidthOptions{Neurons: 8, Activations: recorder()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(m.Graph); err != nil {
		t.Fatal(err)
	}
	outputs(t, m.Graph, probeIDs, probeMask, probeShape)
}
