package graph_test

import (
	"bufio"
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
)

// backendCase is one folder of the reference library's operator tests.
type backendCase struct {
	name, dir string
	model     *graph.Model
}

// backend reads the operator tests of the PyPI package onnx 1.20.1.
func backend(t *testing.T) []backendCase {
	t.Helper()
	var dirs []string
	for _, root := range []string{os.Getenv("GRAFT_MODELS"), os.Getenv("GRAFT_NATIVE")} {
		if root != "" && len(dirs) == 0 {
			dirs, _ = filepath.Glob(filepath.Join(root, "onnx-backend", "node", "*"))
		}
	}
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
		cases = append(cases, backendCase{filepath.Base(dir), dir, m})
	}
	return cases
}

// tensor reads a TensorProto file of a backend test, by way of a model that has it as its only
// initializer; nil where the file holds something else.
func (c backendCase) tensor(file string) *graph.Tensor {
	b, err := os.ReadFile(filepath.Join(c.dir, "test_data_set_0", file))
	if err != nil {
		return nil
	}
	g := protowire.AppendTag(nil, 5, protowire.BytesType) // GraphProto.initializer
	g = protowire.AppendBytes(g, b)
	m := protowire.AppendTag(nil, 7, protowire.BytesType) // ModelProto.graph
	m = protowire.AppendBytes(m, g)
	model, err := onnx.DecodeBytes(m)
	if err != nil || len(model.Graph.Initializers) != 1 {
		return nil
	}
	return model.Graph.Initializers[0].Init
}

// covered reports whether the table infers every node of c.
func (c backendCase) covered() bool {
	ok := true
	c.model.Graph.Walk(func(n *graph.Node) {
		if op := graph.LookupOp(n.Domain, n.Op, c.model.Opset(n.Domain)); op == nil || op.Infer == nil {
			ok = false
		}
	})
	for _, v := range slices.Concat(c.model.Graph.Inputs, c.model.Graph.Outputs) {
		if v.DType() == graph.Undefined {
			ok = false // a sequence or an optional
		}
	}
	return ok
}

// forget removes the types of all values that nodes write and returns those of the outputs.
func (c backendCase) forget() []*graph.Type {
	var stated []*graph.Type
	for _, v := range c.model.Graph.Outputs {
		stated = append(stated, v.Type)
	}
	c.model.Graph.Walk(func(n *graph.Node) {
		for _, v := range n.Outputs {
			if v != nil {
				v.Type = nil
			}
		}
	})
	return stated
}

// bindInputs makes the test's input values initializers.
func (c backendCase) bindInputs() bool {
	for i, v := range c.model.Graph.Inputs {
		t := c.tensor(fmt.Sprintf("input_%d.pb", i))
		if t == nil {
			return false
		}
		v.Init = t
		v.Type = t.Type()
	}
	return true
}

// opsOf lists the operators of c.
func (c backendCase) opsOf() []string {
	var ops []string
	c.model.Graph.Walk(func(n *graph.Node) { ops = append(ops, n.Op) })
	return ops
}

// inferred reads testdata/inference/backend.tsv: by test and output, what the reference library infers.
func inferred(t *testing.T) map[string]string {
	f, err := os.Open(filepath.Join("..", "testdata", "inference", "backend.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		cols := strings.Split(s.Text(), "\t")
		m[cols[0]+" "+cols[1]] = cols[2] + cols[3]
	}
	return m
}

// untested operators have no test in the reference library's data.
var untested = []string{"SimplifiedLayerNormalization", "RandomNormalLike"}

// Types from the types of the inputs alone agree with what the model states, and know at least
// what the reference library's inference finds.
func TestInferBackend(t *testing.T) {
	reference := inferred(t)
	ops := map[string]bool{}
	models := 0
	for _, c := range backend(t) {
		if !c.covered() {
			continue
		}
		models++
		stated := c.forget()
		if err := graph.Infer(c.model); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i, v := range c.model.Graph.Outputs {
			want, ok := reference[c.name+" "+v.Name]
			if ok && !strings.Contains(want, "?") && v.Type.String() != want {
				t.Errorf("%s: output %q is %v, the reference infers %s", c.name, v.Name, v.Type, want)
			}
			if !compatible(v.Type, stated[i]) {
				t.Errorf("%s: output %q is %v, the model states %v", c.name, v.Name, v.Type, stated[i])
			}
		}
		for _, op := range c.opsOf() {
			ops[op] = true
		}
	}
	t.Logf("%d models of %d operators agree", models, len(ops))
	for _, op := range graph.Ops() {
		if op.Domain == "" && op.Infer != nil && !ops[op.Name] && !slices.Contains(untested, op.Name) {
			t.Errorf("no operator test infers %s", op.Name)
		}
	}
}

// compatible reports whether got says nothing that want denies.
func compatible(got, want *graph.Type) bool {
	if got == nil {
		return true
	}
	if got.Elem != want.Elem {
		return false
	}
	if got.Shape == nil || want.Shape == nil {
		return true
	}
	if len(got.Shape) != len(want.Shape) {
		return false
	}
	for i, d := range got.Shape {
		if d.Known() && want.Shape[i].Known() && d.Size != want.Shape[i].Size {
			return false
		}
	}
	return true
}

// dataDependent operators have shapes that follow from elements which inference does not look at.
var dataDependent = []string{"NonZero", "Compress", "Loop", "If", "Scan", "Range", "Unique"}

// With the test's inputs as constants the types are known in full.
func TestInferBackendWithValues(t *testing.T) {
	models := 0
	for _, c := range backend(t) {
		if !c.covered() || slices.ContainsFunc(c.opsOf(), func(op string) bool { return slices.Contains(dataDependent, op) }) {
			continue
		}
		stated := c.forget()
		if !c.bindInputs() {
			continue
		}
		models++
		if err := graph.Infer(c.model); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i, v := range c.model.Graph.Outputs {
			if v.Type.String() != stated[i].String() {
				t.Errorf("%s: output %q is %v, the model states %v", c.name, v.Name, v.Type, stated[i])
			}
		}
	}
	t.Logf("%d models agree", models)
}

// Evaluation gives the outputs of the operator tests: to the bit for integers, bools and
// moved data, within a rounding step of computed floats.
func TestEvaluateBackend(t *testing.T) {
	tried := map[string]int{}
	refused := map[string]int{}
	for _, c := range backend(t) {
		nodes := c.model.Graph.Nodes
		if len(nodes) != 1 {
			continue
		}
		n := nodes[0]
		op := graph.LookupOp(n.Domain, n.Op, c.model.Opset(n.Domain))
		if op == nil || op.Fold == nil || !c.bindInputs() {
			continue
		}
		in := make([]*graph.Tensor, len(n.Inputs))
		for i, v := range n.Inputs {
			in[i] = v.Const()
		}
		out, err := graph.Evaluate(n, c.model.Opset(n.Domain), in)
		if err == graph.ErrNoFold {
			refused[n.Op]++
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		tried[n.Op]++
		for i := range n.Outputs {
			want := c.tensor(fmt.Sprintf("output_%d.pb", i))
			if err := sameTensor(out[i], want); err != nil {
				t.Errorf("%s: output %d: %v", c.name, i, err)
			}
		}
	}
	t.Logf("evaluated: %v", tried)
	t.Logf("left to the runtime: %v", refused)
	for _, op := range graph.Ops() {
		if op.Fold != nil && op.Domain == "" && tried[op.Name] == 0 && op.Name != "ReduceSum" && op.Name != "ReduceProd" { // floats: TestReduceIntegers
			t.Errorf("no operator test evaluates %s", op.Name)
		}
	}
}

func sameTensor(got, want *graph.Tensor) error {
	if got == nil || want == nil || got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("got %v, want %v", got.Type(), want.Type())
	}
	a, err := got.Bytes()
	if err != nil {
		return err
	}
	b, err := want.Bytes()
	if err != nil {
		return err
	}
	if string(a) == string(b) {
		return nil
	}
	if !got.DType.IsFloat() {
		return fmt.Errorf("bytes % x, want % x", a, b)
	}
	x, err := got.Float32s()
	if err != nil {
		return err
	}
	y, err := want.Float32s()
	if err != nil {
		return err
	}
	step := map[graph.DType]float64{graph.Float16: 1e-3, graph.BFloat16: 1e-2}[got.DType] + 3e-7
	for i := range x {
		if x[i] != x[i] && y[i] != y[i] {
			continue
		}
		if diff := math.Abs(float64(x[i] - y[i])); !(diff <= step*math.Abs(float64(y[i]))) {
			return fmt.Errorf("element %d is %v, want %v", i, x[i], y[i])
		}
	}
	return nil
}

// The checker finds nothing to object to in any operator test.
func TestCheckBackend(t *testing.T) {
	for _, c := range backend(t) {
		if err := graph.Check(c.model); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
