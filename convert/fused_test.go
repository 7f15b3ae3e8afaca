package convert_test

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
)

// The form for CUDA holds no mask of queries and keys where an operator can say it: causal order,
// windows, soft caps and grouped heads in GroupQueryAttention in 16 bits, grouped heads in
// MultiHeadAttention in float32. The kernels of the CPU provider stand for CUDA's here.
func TestFusedDecoders(t *testing.T) {
	for _, test := range []struct {
		name  string
		o     convert.OpenOptions
		dtype graph.DType
		want  map[string]int // nodes of attention operators
	}{
		{"llama", convert.OpenOptions{}, graph.Float, map[string]int{"com.microsoft.MultiHeadAttention": 2}},
		{"llama", convert.OpenOptions{}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 2}},
		{"llama-rope-dynamic", convert.OpenOptions{}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 2}},
		{"qwen2", convert.OpenOptions{}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 2}},
		{"qwen3", convert.OpenOptions{}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 2}},
		{"mistral", convert.OpenOptions{}, graph.Float, map[string]int{"Softmax": 2}}, // a window, which MultiHeadAttention does not know
		{"mistral", convert.OpenOptions{}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 2}},
		{"mistral", convert.OpenOptions{Bidirectional: true}, graph.Float, map[string]int{"com.microsoft.MultiHeadAttention": 2}},
		{"mistral", convert.OpenOptions{Bidirectional: true}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 2}},
		{"gemma2", convert.OpenOptions{}, graph.Float, map[string]int{"Softmax": 3}}, // a soft cap
		{"gemma2", convert.OpenOptions{}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 3}},
		{"gemma3-text", convert.OpenOptions{}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 2}},
		{"nvembed", convert.OpenOptions{}, graph.Float16, map[string]int{"com.microsoft.GroupQueryAttention": 2, "com.microsoft.MultiHeadAttention": 1}},
	} {
		t.Run(fmt.Sprintf("%s/%v/bidirectional=%v", test.name, test.dtype, test.o.Bidirectional), func(t *testing.T) {
			dir := filepath.Join("../testdata/models", test.name)
			e := readExpected(t, dir)
			file := lowered(t, dir, test.o, pass.LowerOptions{Target: pass.CUDA, DType: test.dtype})
			m, err := onnx.DecodeBytes(file)
			if err != nil {
				t.Fatal(err)
			}
			census := nodeCounts(m)
			for _, op := range []string{"com.microsoft.GroupQueryAttention", "com.microsoft.MultiHeadAttention", "Softmax"} {
				if census[op] != test.want[op] {
					t.Errorf("%d nodes of %s, want %d", census[op], op, test.want[op])
				}
			}
			prefix := "right"
			if test.o.Bidirectional {
				prefix = "bidir"
			}
			b := e.batch(t, "right")
			s := session(t, file)
			want := e.floats(t, prefix+".last_hidden_state")
			got := run(t, s, b)["last_hidden_state"]
			for i, v := range got.data {
				if math.IsNaN(float64(v)) {
					t.Fatalf("element %d, padding included, is not a number", i)
				}
			}
			if test.dtype != graph.Float {
				e.atol, e.rtol = 0.03, 0.01
			}
			e.near(t, "last_hidden_state", b.real(got), b.real(want))
			if report, err := pass.Raise(m); err != nil || report.Raised["Attention"] < census["com.microsoft.GroupQueryAttention"]+census["com.microsoft.MultiHeadAttention"] {
				t.Errorf("raised %v: %v", report, err)
			}
			if err := pass.Lower(m, pass.LowerOptions{Target: pass.CUDA, DType: test.dtype}); err != nil {
				t.Fatal(err)
			}
			if again := nodeCounts(m)["com.microsoft.GroupQueryAttention"]; again != census["com.microsoft.GroupQueryAttention"] {
				t.Errorf("raised and lowered again: %d nodes of GroupQueryAttention, want %d", again, census["com.microsoft.GroupQueryAttention"])
			}
		})
	}
}

// The form for the CPU provider (whose values TestHiddenStates compares) can be raised and lowered again.
func TestFusedDecodersOnCPU(t *testing.T) {
	const op = "com.microsoft.GroupQueryAttention"
	for name, want := range map[string]int{"llama": 2, "mistral": 2, "qwen3": 2, "gemma3-text": 2, "gemma2": 0} { // a soft cap
		m, err := onnx.DecodeBytes(lowered(t, filepath.Join("../testdata/models", name), convert.OpenOptions{}, pass.LowerOptions{Target: pass.CPU}))
		if err != nil {
			t.Fatal(err)
		}
		if got := nodeCounts(m)[op]; got != want {
			t.Errorf("%s: %d nodes of %s, want %d", name, got, op, want)
		}
		if report, err := pass.Raise(m); err != nil || report.Raised["Attention"] < 2 {
			t.Errorf("%s: raised %v: %v", name, report, err)
		}
		if err := pass.Lower(m, pass.LowerOptions{Target: pass.CPU}); err != nil {
			t.Fatal(err)
		}
		if got := nodeCounts(m)[op]; got != want {
			t.Errorf("%s: %d nodes of %s after raising and lowering, want %d", name, got, op, want)
		}
	}
}

func nodeCounts(m *graph.Model) map[string]int {
	counts := map[string]int{}
	for _, n := range m.Graph.Nodes {
		counts[strings.TrimPrefix(n.Domain+"."+n.Op, ".")]++
	}
	return counts
}
