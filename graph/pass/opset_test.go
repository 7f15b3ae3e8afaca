package pass_test

import (
	"strings"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// TestOldForms carries a file of opset 11, with lists as attributes, over and back.
func TestOldForms(t *testing.T) {
	m := modelOf(t, 11, func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
		op := func(op string, x *graph.Value, attrs ...graph.Attr) *graph.Value {
			return b.Op(op, []*graph.Value{x}, attrs...)
		}
		y := op("Squeeze", op("Unsqueeze", x, graph.IntsAttr("axes", 1)), graph.IntsAttr("axes", 1))
		parts := b.OpN("", "Split", 2, []*graph.Value{y}, graph.IntAttr("axis", 2), graph.IntsAttr("split", 8, 24))
		y = b.Op("Concat", []*graph.Value{parts[1], parts[0]}, graph.IntAttr("axis", 2))
		y = b.Sub(y, op("ReduceSum", y, graph.IntsAttr("axes", -1)))
		y = b.Sub(y, op("ReduceMax", y, graph.IntsAttr("axes", 1)))
		y = op("Softmax", y, graph.IntAttr("axis", 2))
		return op("Dropout", y, graph.FloatAttr("ratio", 0.3))
	})
	m.IRVersion = 6
	want := run(t, m, ort.OptimizeOff, inputs())
	for _, opset := range []int64{13, 17, 18, 23} {
		low := lower(t, m, pass.LowerOptions{Opset: opset})
		agree(t, "carried over", run(t, low, ort.OptimizeOff, inputs()), want, 1e-6)
		if low.IRVersion < 7 || low.Opset("") != opset {
			t.Errorf("opset %d: IR version %d, opset %d", opset, low.IRVersion, low.Opset(""))
		}
	}
}

// TestOpsetMistakes: what an opset cannot say is an error; Raise leaves such a model whole.
func TestOpsetMistakes(t *testing.T) {
	softmax := modelOf(t, 11, func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
		return b.Op("Softmax", []*graph.Value{x}, graph.IntAttr("axis", 1))
	})
	old := modelOf(t, 6, func(b *graph.Builder, x, _ *graph.Value) *graph.Value { return b.Op("Relu", []*graph.Value{x}) })
	axes := modelOf(t, 18, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
		first := b.Slice(b.Reshape(mask, -1), 0, 0, 1)
		return b.Sub(x, b.Op("ReduceMean", []*graph.Value{x, first}))
	})
	for _, c := range []struct {
		m    *graph.Model
		want string
	}{
		{softmax, "is not the last"}, {old, "opset 6"}, {axes, "takes a constant"},
	} {
		err := pass.Lower(c.m.Clone(), pass.LowerOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	for _, m := range []*graph.Model{softmax, old} {
		before := m.Opset("")
		if report, err := pass.Raise(m); err != nil || report.Kept == nil || m.Opset("") != before {
			t.Errorf("report %+v, error %v, opset %d; want the model kept", report, err, m.Opset(""))
		}
	}
}
