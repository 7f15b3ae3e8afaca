//go:build !lite

package torch_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/runtime/ort"
	"graft/train/torch"
)

// missing skips a test, or fails it where everything has to be there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// minilmONNX is all-MiniLM-L6-v2 as somebody else exported it: opset 11, norms, GELU and attention in many nodes.
func minilmONNX(t testing.TB) string {
	t.Helper()
	path := filepath.Join(os.Getenv("GRAFT_MODELS"), "onnx", "all-minilm-l6-v2", "all-minilm-l6-v2.onnx")
	if _, err := os.Stat(path); err != nil {
		missing(t, "%v", err)
	}
	return path
}

// sentences are ids of three texts, two of them padded.
func sentences() *batch {
	const width = 8
	ids := []int64{
		101, 7592, 2088, 2003, 1037, 2204, 2173, 102,
		101, 2054, 2003, 102, 0, 0, 0, 0,
		101, 2009, 102, 0, 0, 0, 0, 0,
	}
	mask := make([]int64, len(ids))
	for i, id := range ids {
		mask[i] = min(id, 1)
	}
	return &batch{&tokens{3, width, ids}, &tokens{3, width, mask}, &tokens{3, width, make([]int64, len(ids))}}
}

// Somebody else's file gives what ONNX Runtime computes from it, raised and as it stands, and all of its weights have
// gradients.
func TestForeignFile(t *testing.T) {
	path := minilmONNX(t)
	session, err := ort.Open(path, nil, ort.Options{Threads: 1})
	if err != nil {
		missing(t, "%v", err)
	}
	defer session.Close()
	b := sentences()
	in := map[string]ort.Array{}
	for name, x := range map[string]*tokens{"input_ids": b.ids, "attention_mask": b.mask, "token_type_ids": b.types} {
		in[name] = ort.Array{Type: ort.Int64, Shape: []int64{int64(x.rows), int64(x.width)}, Data: x.data}
	}
	out, err := session.RunArrays(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, raise := range []bool{false, true} {
		m, err := onnx.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if raise {
			if _, err := pass.Raise(m); err != nil {
				t.Fatal(err)
			}
			if err := pass.Simplify(m); err != nil {
				t.Fatal(err)
			}
		}
		p := compiled(t, m, torch.CompileOptions{})
		got := forward(t, p, b)
		for _, name := range p.Outputs() {
			within(t, name, b.real(got[name]), b.real(out[name].Data.([]float32)), 2e-5, 1e-5)
		}
		if raise {
			checkWeights(t, p, b)
		}
	}
}

// checkWeights runs the backward pass and looks for the 101 weights of MiniLM without its pooler.
func checkWeights(t *testing.T, p *torch.Program, b *batch) {
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	for _, y := range p.Run(s, b.feed(s, p), torch.RunOptions{}) {
		s.Backward(s.Sum(s.Square(y), false))
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	if n := len(p.Parameters()); n != 101 {
		t.Errorf("%d weights, want 101", n)
	}
	for _, w := range p.Parameters() {
		g := w.Tensor.Grad()
		if g == nil {
			t.Errorf("weight %q has no gradient", w.Name)
		}
		g.Free()
	}
}
