package runtime

import (
	"context"
	"math"
	"testing"

	"graft/graph"
)

// TestProducts: Xᵀ·X of what Record hands over, over several batches, padding left out.
func TestProducts(t *testing.T) {
	m := promptModel(t)
	texts := []string{"one", "two words and more of them", "three", "a longer text than any of the others here, so that they are padded", ""}
	r, err := NewRecorder(context.Background(), m, texts, RecordOptions{Threads: 1, BatchTokens: 40})
	if err != nil {
		t.Fatal(err)
	}
	value := []*graph.Value{m.Graph.Graph.Output("last_hidden_state")}
	sums, tokens, err := r.Products(context.Background(), m.Graph, value)
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	real := 0
	err = r.Record(context.Background(), m.Graph, value, func(mask []int64, x [][]float32) error {
		k := len(x[0]) / len(mask)
		if want == nil {
			want = make([]float64, k*k)
		}
		for at, one := range mask {
			real += int(one)
			row := x[0][at*k:][:k]
			for i, a := range row {
				for j, b := range row {
					want[i*k+j] += float64(one) * float64(a) * float64(b)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tokens != real || tokens != r.Tokens() {
		t.Errorf("%d tokens, want %d", tokens, real)
	}
	for i, w := range want {
		if d := math.Abs(float64(sums[0][i]) - w); !(d <= 1e-4*math.Max(1, math.Abs(w))) {
			t.Fatalf("element %d: %g, want %g", i, sums[0][i], w)
		}
	}
}
