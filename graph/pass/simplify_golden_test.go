//go:build golden

package pass_test

import (
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// TestGoldenSimplify simplifies real models: the symbols of the inputs reach the output, the
// check passes, nodes go and outputs stay.
func TestGoldenSimplify(t *testing.T) {
	for _, f := range foreign {
		t.Run(f.artifact, func(t *testing.T) {
			m := readForeign(t, f.artifact, f.file)
			if err := graph.Check(m); err != nil {
				t.Error(err)
			}
			before := graph.TakeCensus(m.Graph)
			want := run(t, m, ort.OptimizeOff, tokens())
			if err := pass.Simplify(m); err != nil {
				t.Fatal(err)
			}
			after := graph.TakeCensus(m.Graph)
			t.Logf("%d nodes, %d bytes of weights before, %d and %d after", before.Nodes, before.Bytes, after.Nodes, after.Bytes)
			if after.Nodes >= before.Nodes || after.Bytes > before.Bytes+1<<16 {
				t.Errorf("%d nodes and %d bytes, before %d and %d", after.Nodes, after.Bytes, before.Nodes, before.Bytes)
			}
			unknown := 0
			m.Graph.Walk(func(n *graph.Node) {
				for _, v := range n.Outputs {
					if v != nil && v.Shape() == nil {
						unknown++
					}
				}
			})
			if unknown > 0 {
				t.Errorf("%d values have no known rank", unknown)
			}
			agree(t, "optimizations off", run(t, m, ort.OptimizeOff, tokens()), want, 2e-6)
			if !f.quantized { // a rounding of activations that falls the other way moves the original as much
				agree(t, "optimizations on", run(t, m, ort.OptimizeAll, tokens()), want, 1e-5)
			}
		})
	}
}
