package pass_test

import (
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// Copies of a learned weight become one; what may be equal by chance does not: a few numbers, and one number again and again.
func TestShare(t *testing.T) {
	learned, ones := []float32{1, 2, 3, 4, 5, 6, 7, 8}, []float32{1, 1, 1, 1, 1, 1, 1, 1}
	b := graph.NewBuilder(&graph.Graph{Name: "g"}, nil)
	x := b.Input("x", graph.TensorType(graph.Float, graph.Size(8), graph.Size(1)))
	weight := func(name string, data []float32, shape ...int64) *graph.Value {
		w := graph.NewTensor(name, data, shape...)
		return b.Graph().AddInitializer(w)
	}
	y := x
	for _, name := range []string{"first", "second"} {
		y = b.Mul(y, weight(name+".learned", learned, 8, 1))
		y = b.Add(y, weight(name+".vector", learned, 8))
		y = b.Mul(y, weight(name+".ones", ones, 8, 1))
		y = b.Mul(y, weight(name+".few", learned[:1], 1))
	}
	b.Output("y", y, graph.TensorType(graph.Float, graph.Size(8), graph.Size(8)))
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}}, Graph: b.Graph()}
	in := arrays{"x": floats(learned, 8, 1)}
	want := run(t, m, ort.OptimizeOff, in)
	changed, err := pass.Run(m, pass.Share)
	if err != nil || !changed {
		t.Fatalf("changed %t, %v", changed, err)
	}
	agree(t, "shared", run(t, m, ort.OptimizeOff, in), want, 0)
	for name, kept := range map[string]bool{
		"first.learned": true, "second.learned": false, "first.vector": true, "second.vector": false, "second.ones": true, "second.few": true} {
		if got := m.Graph.Initializer(name) != nil; got != kept {
			t.Errorf("%s is there: %t, want %t", name, got, kept)
		}
	}
	if changed, err := pass.Run(m, pass.Share); changed || err != nil {
		t.Errorf("a second time: changed %t, %v", changed, err)
	}
}
