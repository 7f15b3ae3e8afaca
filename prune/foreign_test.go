package prune_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
	"graft/graph/pass"
	"graft/prune"
)

// A file prunes to what the checkpoint prunes to: blocks are found in decomposed operators and in
// fused ones.
func TestForeignForms(t *testing.T) {
	needORT(t)
	for _, name := range []string{"bert", "distilbert", "modernbert", "llama", "qwen3", "nomic-bert"} {
		for _, form := range []pass.LowerOptions{{Opset: 13}, {Opset: 17}, {Target: pass.CUDA}} {
			t.Run(fmt.Sprintf("%s/%s%d", name, form.Target, form.Opset), func(t *testing.T) {
				dir := filepath.Join("..", "testdata", "models", name)
				m := openModel(t, dir, convert.OpenOptions{})
				file := filepath.Join(t.TempDir(), "file")
				if _, err := convert.Save(context.Background(), file, m, convert.SaveOptions{LowerOptions: form}); err != nil {
					t.Fatal(err)
				}
				foreign := openModel(t, filepath.Join(file, "onnx", "model.onnx"), convert.OpenOptions{})
				if _, err := foreign.Raise(); err != nil {
					t.Fatal(err)
				}
				kept := []int{0}
				surgery(t, m, kept)
				surgery(t, foreign, kept)
				want := outputs(t, m.Graph, probeIDs, probeMask, probeShape)
				for output, got := range outputs(t, foreign.Graph, probeIDs, probeMask, probeShape) {
					near(t, output, got, want[output])
				}
				width := prune.WidthOptions{Neurons: 8, Activations: recorder()}
				p, err := prune.NewWidth(context.Background(), foreign.Graph, width)
				if err != nil {
					t.Fatal(err)
				}
				q, err := prune.NewWidth(context.Background(), m.Graph, width)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Apply(foreign.Graph); err != nil {
					t.Fatal(err)
				}
				if err := q.Apply(m.Graph); err != nil {
					t.Fatal(err)
				}
				want = outputs(t, m.Graph, probeIDs, probeMask, probeShape)
				for output, got := range outputs(t, foreign.Graph, probeIDs, probeMask, probeShape) {
					near(t, output, got, want[output])
				}
			})
		}
	}
}

// Halves of a gated network are cut out of one product by Slice; exporters count its axis from either end.
func TestNarrowSlices(t *testing.T) {
	needORT(t)
	var want map[string][]float32
	for _, axis := range []int64{-1, 2} {
		m := openModel(t, filepath.Join("..", "testdata", "models", "modernbert"), convert.OpenOptions{})
		if err := graph.Infer(m.Graph); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, n := range m.Graph.Graph.Nodes {
			if n.Is("Slice") && len(n.Input(0).Shape()) == 3 {
				n.Inputs[3], found = graph.NewBuilder(m.Graph.Graph, nil).Int64s(axis), true
			}
		}
		if !found {
			t.Fatal("no Slice of features in the model")
		}
		p, err := prune.NewWidth(context.Background(), m.Graph, prune.WidthOptions{Neurons: 8, Activations: recorder()})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Apply(m.Graph); err != nil {
			t.Fatalf("axis %d: %v", axis, err)
		}
		got := outputs(t, m.Graph, probeIDs, probeMask, probeShape)
		for output := range want {
			near(t, output, got[output], want[output])
		}
		want = got
	}
}

// Who takes the number of tokens from keys does not see features that go; who takes the number of features does.
func TestNarrowSizes(t *testing.T) {
	needORT(t)
	narrowed := func(whole bool) error {
		m := openModel(t, filepath.Join("..", "testdata", "models", "bert"), convert.OpenOptions{})
		g := m.Graph.Graph
		var keys, last *graph.Value
		for _, n := range g.Nodes {
			switch {
			case n.Is("Attention") && keys == nil:
				keys = n.Input(1)
			case n.Is("LayerNormalization"):
				last = n.Outputs[0]
			}
		}
		b := graph.NewBuilder(g, nil).Scope("sizes")
		size := b.Size(keys, 1)
		if whole {
			size = b.Op("ReduceMax", []*graph.Value{b.Op("Shape", []*graph.Value{keys})}, graph.IntAttr("keepdims", 1))
		}
		one := b.Div(b.Cast(size, graph.Float), b.Cast(size, graph.Float))
		readers := g.Uses()[last]
		y := b.Mul(last, one)
		for _, u := range readers {
			u.Node.Inputs[u.Index] = y
		}
		if err := g.Sort(); err != nil {
			t.Fatal(err)
		}
		if err := graph.Infer(m.Graph); err != nil {
			t.Fatal(err)
		}
		p, err := prune.NewWidth(context.Background(), m.Graph, prune.WidthOptions{Heads: 1, Activations: recorder()})
		if err == nil {
			err = p.Apply(m.Graph)
		}
		if err != nil {
			return err
		}
		outputs(t, m.Graph, probeIDs, probeMask, probeShape)
		return nil
	}
	if err := narrowed(false); err != nil {
		t.Error(err)
	}
	if err := narrowed(true); err == nil || !strings.Contains(err.Error(), "(Shape) reads it too") {
		t.Errorf("the number of features is read: %v", err)
	}
}
