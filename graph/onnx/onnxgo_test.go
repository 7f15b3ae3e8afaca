package onnx

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	onnxgo "github.com/owulveryck/onnx-go"
	gonum "gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gorgonia.org/tensor"

	"graft/graph"
)

// gathering is an onnx-go backend that keeps what it is told: operations with their attributes
// and the names they read and write, and tensors.
type gathering struct {
	gonum.Directed // its methods are not called
	nodes          int64
	inputs         map[string][]string // by output
	ops            []operation
	tensors        map[string]tensor.Tensor
}

type operation struct {
	Name            string
	Attributes      map[string]any
	Inputs, Outputs []string
}

// gathered is a node of onnx-go's graph: a value of ours.
type gathered struct {
	gonum.Node
	name    string
	backend *gathering
}

func (n *gathered) SetName(name string)      { n.name = name }
func (n *gathered) GetName() string          { return n.name }
func (n *gathered) GetTensor() tensor.Tensor { return n.backend.tensors[n.name] }
func (n *gathered) SetTensor(t tensor.Tensor) error {
	n.backend.tensors[n.name] = t
	return nil
}

func (g *gathering) NewNode() gonum.Node {
	g.nodes++
	return &gathered{Node: simple.Node(g.nodes), backend: g}
}

func (g *gathering) AddNode(gonum.Node) {}

func (g *gathering) NewWeightedEdge(from, to gonum.Node, w float64) gonum.WeightedEdge {
	return simple.WeightedEdge{F: from, T: to, W: w}
}

// SetWeightedEdge is told an output and one of its inputs, in order.
func (g *gathering) SetWeightedEdge(e gonum.WeightedEdge) {
	output := e.From().(*gathered).name
	g.inputs[output] = append(g.inputs[output], e.To().(*gathered).name)
}

func (g *gathering) ApplyOperation(o onnxgo.Operation, outputs ...gonum.Node) error {
	op := operation{Name: o.Name, Attributes: o.Attributes}
	for _, n := range outputs {
		op.Outputs = append(op.Outputs, n.(*gathered).name)
	}
	op.Inputs = g.inputs[op.Outputs[0]]
	g.ops = append(g.ops, op)
	return nil
}

// onnx-go, a reader that shares no code with this one, finds the same operations, attributes and
// initializers in a BERT encoder with new weights. Of tensors it reads float32 and int64, which
// are all that this model has.
func TestOnnxGoReadsTheSame(t *testing.T) {
	m, err := Read("../../testdata/onnx/bert.onnx")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, v := range m.Graph.Initializers {
		if v.Init.DType != graph.Float {
			continue
		}
		data := make([]float32, v.Init.Len())
		for i := range data {
			data[i] = random.Float32() - 0.5
		}
		v.Init = graph.NewTensor(v.Name, data, v.Init.Shape...)
	}
	var b bytes.Buffer
	if err := Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	got := &gathering{inputs: map[string][]string{}, tensors: map[string]tensor.Tensor{}}
	if err := onnxgo.NewModel(got).UnmarshalBinary(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if len(got.ops) != len(m.Graph.Nodes) {
		t.Fatalf("%d operations, want %d", len(got.ops), len(m.Graph.Nodes))
	}
	for i, n := range m.Graph.Nodes {
		want := operation{Name: n.Op, Attributes: map[string]any{}, Inputs: namesOf(n.Inputs), Outputs: namesOf(n.Outputs)}
		for _, a := range n.Attrs {
			want.Attributes[a.Name] = map[graph.AttrKind]any{graph.AttrInt: a.Int, graph.AttrFloat: a.Float, graph.AttrInts: a.Ints, graph.AttrString: a.Str}[a.Kind]
		}
		if !reflect.DeepEqual(got.ops[i], want) {
			t.Errorf("node %d: %+v, want %+v", i, got.ops[i], want)
		}
	}
	for _, v := range m.Graph.Initializers {
		if err := sameTensor(v.Init, got.tensors[v.Name]); err != nil {
			t.Errorf("initializer %q: %v", v.Name, err)
		}
	}
}

func sameTensor(want *graph.Tensor, got tensor.Tensor) error {
	if got == nil {
		return fmt.Errorf("missing")
	}
	var data any
	var err error
	if want.DType == graph.Float {
		data, err = want.Float32s()
	} else {
		data, err = want.Int64s()
	}
	if err != nil {
		return err
	}
	if len(want.Shape) == 1 && want.Shape[0] == 1 { // which gorgonia holds as a scalar
		data = reflect.ValueOf(data).Index(0).Interface()
	}
	var shape []int64
	for _, n := range got.Shape() {
		shape = append(shape, int64(n))
	}
	if !reflect.DeepEqual(shape, want.Shape) || !reflect.DeepEqual(got.Data(), data) {
		return fmt.Errorf("shape %v and data differ from %v", shape, want.Shape)
	}
	return nil
}
