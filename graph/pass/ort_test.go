package pass_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"graft/graph"
	"graft/graph/onnx"
	"graft/runtime/ort"
)

// missing skips a test for what is not on this machine; under CI nothing may be missing.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing: "+format, args...)
	}
	t.Skipf("missing: "+format, args...)
}

// arrays are inputs or outputs of a run, by name.
type arrays = map[string]ort.Array

func floats(data []float32, shape ...int64) ort.Array {
	return ort.Array{Type: ort.Float, Shape: shape, Data: data}
}

func int64s(data []int64, shape ...int64) ort.Array {
	return ort.Array{Type: ort.Int64, Shape: shape, Data: data}
}

// noise is n values around 0, the same ones for the same seed.
func noise(seed uint64, shape ...int64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]float32, graph.Count(shape))
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

// tensor is a weight of noise of standard deviation sd.
func tensor(name string, sd float32, shape ...int64) *graph.Tensor {
	data := noise(uint64(len(name))+uint64(graph.Count(shape))*31+uint64(name[len(name)-1])*7, shape...)
	for i := range data {
		data[i] *= sd
	}
	return graph.NewTensor(name, data, shape...)
}

// run executes m on ONNX Runtime's CPU provider.
func run(t *testing.T, m *graph.Model, level ort.Level, in arrays) arrays {
	t.Helper()
	return runWith(t, m, ort.Options{Optimization: level, Threads: 1}, in)
}

func runWith(t *testing.T, m *graph.Model, o ort.Options, in arrays) arrays {
	t.Helper()
	if err := ort.Load("cpu"); err != nil {
		missing(t, "%v", err)
	}
	var file bytes.Buffer
	if err := onnx.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	s, err := ort.OpenBytes(file.Bytes(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.RunArrays(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// agree fails where two runs' outputs differ by more than tolerance, absolutely and relatively,
// or are not finite.
func agree(t *testing.T, what string, got, want arrays, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d outputs, want %d", what, len(got), len(want))
	}
	for name, w := range want {
		if err := difference(got[name], w, tolerance); err != nil {
			t.Errorf("%s: output %q: %v", what, name, err)
		}
	}
}

func difference(got, want ort.Array, tolerance float64) error {
	g, ok1 := got.Data.([]float32)
	w, ok2 := want.Data.([]float32)
	if !ok1 || !ok2 || len(g) != len(w) || len(w) == 0 {
		return fmt.Errorf("%v%v, want %v%v", got.Type, got.Shape, want.Type, want.Shape)
	}
	worst := 0.0
	for i := range w {
		d := math.Abs(float64(g[i]-w[i])) / (1 + math.Abs(float64(w[i])))
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return fmt.Errorf("element %d is %g, want %g", i, g[i], w[i])
		}
		worst = max(worst, d)
	}
	if worst > tolerance {
		return fmt.Errorf("differs by %.3g, want at most %g", worst, tolerance)
	}
	return nil
}

// census counts the operators of m.
func census(m *graph.Model) map[string]int {
	count := make(map[string]int)
	m.Graph.Walk(func(n *graph.Node) {
		op := n.Op
		if n.Domain != "" {
			op = n.Domain + "." + op
		}
		count[op]++
	})
	return count
}
