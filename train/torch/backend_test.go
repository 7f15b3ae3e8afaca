//go:build !lite

package torch_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"graft/graph"
	"graft/graph/onnx"
	"graft/train/torch"
)

// backendCase is one folder of the reference library's operator tests.
type backendCase struct {
	name, dir string
	model     *graph.Model
}

// backend reads the operator tests of the PyPI package onnx 1.20.1.
func backend(t *testing.T) []backendCase {
	t.Helper()
	dirs, _ := filepath.Glob(filepath.Join(os.Getenv("GRAFT_NATIVE"), "onnx-backend", "node", "*"))
	if len(dirs) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("no onnx-backend test data: run make setup")
		}
		t.Skip("no onnx-backend test data: run make setup")
	}
	var cases []backendCase
	for _, dir := range dirs {
		m, err := onnx.Read(filepath.Join(dir, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, backendCase{strings.TrimPrefix(filepath.Base(dir), "test_"), dir, m})
	}
	return cases
}

// tensor reads a TensorProto file, by way of a model that has it as its only initializer; nil where the file holds
// something else.
func (c backendCase) tensor(file string) *graph.Tensor {
	b, err := os.ReadFile(filepath.Join(c.dir, "test_data_set_0", file))
	if err != nil {
		return nil
	}
	g := protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), b) // GraphProto.initializer
	m := protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), g) // ModelProto.graph
	model, err := onnx.DecodeBytes(m)
	if err != nil || len(model.Graph.Initializers) != 1 {
		return nil
	}
	return model.Graph.Initializers[0].Init
}

// notRun are the tests of operators that run here which cannot run or do not agree, by name or by a part of the error,
// each with the reason. A test that is not in the list must pass, and one that is by name must fail.
var notRun = []struct {
	names   []string
	message string
	reason  string
}{
	{nil, "element type ", "libtorch does not compute with the element type"},
	{nil, " is no tensor", "sequences and optional values do not occur in encoders"},
	{nil, "reduction \"", "libtorch has no gradient of it"},
	{[]string{"attention_3d_with_past_and_present_qk_matmul_softcap", "attention_4d_with_qk_matmul_softcap"}, "",
		"the reference adds the mask before the soft cap, which undoes it"},
	{[]string{"reduce_max_empty_set", "reduce_min_empty_set"}, "", "torch has no extreme of nothing"},
	{[]string{"training_dropout", "training_dropout_default", "training_dropout_mask", "training_dropout_default_mask"}, "",
		"dropout is on where RunOptions says so, and its randomness is our own"},
}

// noBackendTest are operators without a test in the reference library's data.
var noBackendTest = []string{"SimplifiedLayerNormalization"}

// reasonFor is the entry of notRun that a failed or passed test belongs to, -1 for none.
func reasonFor(name string, err error) int {
	for i, n := range notRun {
		if slices.Contains(n.names, name) || n.names == nil && err != nil && strings.Contains(err.Error(), n.message) {
			return i
		}
	}
	return -1
}

// unsupportedModel reports whether err says that a model has operators that do not run here.
func unsupportedModel(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "compile model: operators without an implementation here: ")
}

// Every operator that runs here gives the outputs of the reference library's operator tests.
func TestBackend(t *testing.T) {
	passed, listed, other := map[string]int{}, make([][]string, len(notRun)), 0
	for _, c := range backend(t) {
		err := c.run()
		i := reasonFor(c.name, err)
		switch {
		case unsupportedModel(err):
			other++
		case err != nil && i < 0:
			t.Errorf("%s: %v", c.name, err)
		case err != nil:
			listed[i] = append(listed[i], c.name)
		case i >= 0:
			t.Errorf("%s passes, and is listed as %q", c.name, notRun[i].reason)
		default:
			c.model.Graph.Walk(func(n *graph.Node) { passed[n.Op]++ })
			passed[""]++
		}
	}
	for i, n := range notRun {
		if len(listed[i]) == 0 {
			t.Errorf("no test fails because %s", n.reason)
		}
		t.Logf("%d tests: %s: %s", len(listed[i]), n.reason, strings.Join(listed[i], " "))
	}
	t.Logf("%d tests of %d operators pass; %d have operators that do not run here", passed[""], len(passed)-1, other)
	for _, op := range torch.Ops() {
		if passed[op] == 0 && !slices.Contains(noBackendTest, op) {
			t.Errorf("no operator test runs %s", op)
		}
	}
}

// run compiles and runs the case and compares its outputs.
func (c backendCase) run() error {
	for _, v := range slices.Concat(c.model.Graph.Inputs, c.model.Graph.Outputs) {
		if v.DType() == graph.Undefined {
			return fmt.Errorf("%q is no tensor", v.Name)
		}
	}
	p, err := torch.Compile(c.model, torch.CompileOptions{})
	if err != nil {
		return err
	}
	defer p.Close()
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	in := map[string]*torch.Tensor{}
	for i, v := range c.model.Graph.Inputs {
		value := c.tensor(fmt.Sprintf("input_%d.pb", i))
		if value == nil {
			return fmt.Errorf("input %q is no tensor", v.Name)
		}
		if in[v.Name], err = toTorch(s, value); err != nil {
			return err
		}
	}
	out := p.Run(s, in, torch.RunOptions{})
	if s.Err() != nil {
		return s.Err()
	}
	for i, v := range c.model.Graph.Outputs {
		if err := agrees(out[v.Name], c.tensor(fmt.Sprintf("output_%d.pb", i))); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return nil
}

// counterparts are the element types that tests feed; halves are computed in float32.
var counterparts = map[graph.DType]torch.DType{
	graph.Float: torch.Float32, graph.Double: torch.Float64, graph.Bool: torch.Bool, graph.Uint8: torch.Uint8,
	graph.Int8: torch.Int8, graph.Int16: torch.Int16, graph.Int32: torch.Int32, graph.Int64: torch.Int64,
	graph.Float16: torch.Float32, graph.BFloat16: torch.Float32,
}

func toTorch(s *torch.Scope, t *graph.Tensor) (*torch.Tensor, error) {
	d, ok := counterparts[t.DType]
	if !ok {
		return nil, fmt.Errorf("element type %v is not supported", t.DType)
	}
	if t.DType == graph.Float16 || t.DType == graph.BFloat16 {
		data, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		return s.Float32s(data, t.Shape...), s.Err()
	}
	data, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	x, err := torch.FromBytes(d, data, t.Shape...)
	return s.Own(x), err
}

// agrees compares type, shape and elements: integers to the bit, floats within the tolerance of ONNX's own runner
// (rtol 1e-3, atol 1e-7), to which a step of the narrower types is added.
func agrees(got *torch.Tensor, want *graph.Tensor) error {
	if want == nil {
		return fmt.Errorf("the expected value is no tensor")
	}
	d, ok := counterparts[want.DType]
	if !ok {
		return fmt.Errorf("element type %v is not supported", want.DType)
	}
	if got == nil || got.DType() != d || !slices.Equal(got.Shape(), want.Shape) {
		return fmt.Errorf("got %v, want %v%v", got, want.DType, want.Shape)
	}
	if !d.Floating() {
		a, err := got.Bytes()
		if err != nil {
			return err
		}
		b, err := want.Bytes()
		if err == nil && string(a) != string(b) {
			err = fmt.Errorf("bytes % x, want % x", a, b)
		}
		return err
	}
	a, err := got.Float64s()
	if err != nil {
		return err
	}
	b, err := want.Float32s()
	if err != nil {
		return err
	}
	rtol, atol := 1e-3, 1e-6
	if want.DType == graph.Float16 || want.DType == graph.BFloat16 {
		rtol, atol = 1e-2, 1e-3
	}
	for i := range b {
		w := float64(b[i])
		if math.IsNaN(a[i]) && math.IsNaN(w) || a[i] == w {
			continue
		}
		if diff := math.Abs(a[i] - w); !(diff <= atol+rtol*math.Abs(w)) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], w)
		}
	}
	return nil
}
