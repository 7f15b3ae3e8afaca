package onnx

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// decodeGraph decodes a model with graph g.
func decodeGraph(t *testing.T, g *pb.GraphProto) *graph.Model {
	t.Helper()
	b, err := proto.Marshal(&pb.ModelProto{Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func node(op string, inputs, outputs []string, attrs ...*pb.AttributeProto) *pb.NodeProto {
	return &pb.NodeProto{OpType: proto.String(op), Input: inputs, Output: outputs, Attribute: attrs}
}

func info(name string) *pb.ValueInfoProto { return &pb.ValueInfoProto{Name: proto.String(name)} }

// Subgraphs read the values of the graphs around them, wherever those are written, and may hide
// them with their own.
func TestScopes(t *testing.T) {
	branch := &pb.GraphProto{
		Node: []*pb.NodeProto{
			node("Add", []string{"outer", "hidden"}, []string{"inner"}),
			node("Relu", []string{"undefined"}, []string{"hidden"}),
		},
		Output: []*pb.ValueInfoProto{info("inner"), info("outer")},
	}
	m := decodeGraph(t, &pb.GraphProto{
		Input: []*pb.ValueInfoProto{info("x"), info("hidden")},
		Node: []*pb.NodeProto{
			node("If", []string{"x"}, []string{"y"}, &pb.AttributeProto{Name: proto.String("then_branch"), Type: pb.AttributeProto_GRAPH.Enum(), G: branch}),
			node("Neg", []string{"undefined"}, []string{"outer"}),
		},
	})
	g := m.Graph
	inner := g.Nodes[0].Attrs[0].Graph
	outer := g.Nodes[1].Outputs[0]
	for what, ok := range map[string]bool{
		"a value written later in the outer graph":             inner.Nodes[0].Inputs[0] == outer && outer.Def() == g.Nodes[1],
		"an own value that hides an outer one":                 inner.Nodes[0].Inputs[1] == inner.Nodes[1].Outputs[0],
		"the outer value that is hidden":                       g.Inputs[1].Def() == nil,
		"an undefined name is one value that no node writes":   inner.Nodes[1].Inputs[0] == g.Nodes[1].Inputs[0] && g.Nodes[1].Inputs[0].Def() == nil,
		"an output of the subgraph":                            inner.Outputs[0].Def() == inner.Nodes[0],
		"an output of the subgraph that is of the outer graph": inner.Outputs[1] == outer,
	} {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
}

// Initializers that are inputs too, as all are up to IR version 3, are one value; names that are
// defined twice stay apart, and are written back.
func TestSharedAndDuplicateNames(t *testing.T) {
	w := func() *pb.TensorProto {
		return &pb.TensorProto{Name: proto.String("w"), DataType: proto.Int32(int32(graph.Uint8)), Dims: []int64{1}, RawData: []byte{7}}
	}
	m := decodeGraph(t, &pb.GraphProto{
		Input:       []*pb.ValueInfoProto{info("w"), info("x"), info("x")},
		Initializer: []*pb.TensorProto{w(), w()},
		Node: []*pb.NodeProto{
			node("Add", []string{"w", "x"}, []string{"y"}),
			node("Sub", []string{"x", "", "w"}, []string{"y", "", "x"}),
		},
		Output: []*pb.ValueInfoProto{info("y")},
	})
	g := m.Graph
	for what, ok := range map[string]bool{
		"the input is the initializer":           g.Inputs[0] == g.Initializers[0] && g.Inputs[0].Init != nil,
		"a second initializer is another value":  g.Initializers[1] != g.Initializers[0],
		"a second input is another value":        g.Inputs[1] != g.Inputs[2],
		"each node writes its own output":        g.Nodes[0].Outputs[0].Def() == g.Nodes[0] && g.Nodes[1].Outputs[0].Def() == g.Nodes[1],
		"readers get the first":                  g.Outputs[0] == g.Nodes[0].Outputs[0] && g.Nodes[1].Inputs[0] == g.Inputs[1],
		"an operand that is left out is nil":     g.Nodes[1].Inputs[1] == nil && g.Nodes[1].Outputs[1] == nil,
		"an initializer has its tensor's type":   g.Initializers[0].DType() == graph.Uint8,
		"an input without type info has no type": g.Inputs[1].Type == nil,
	} {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
	var b bytes.Buffer
	if err := Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBytes(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if lines := graph.Diff(m, again); lines != nil {
		t.Errorf("%q", lines)
	}
}

// Attributes of IR version 1 do not state their kind.
func TestAttributesWithoutKind(t *testing.T) {
	m := decodeGraph(t, &pb.GraphProto{Node: []*pb.NodeProto{node("Conv", nil, []string{"y"},
		&pb.AttributeProto{Name: proto.String("i"), I: proto.Int64(3), Type: pb.AttributeProto_UNDEFINED.Enum()},
		&pb.AttributeProto{Name: proto.String("f"), F: proto.Float32(0)},
		&pb.AttributeProto{Name: proto.String("ints"), Ints: []int64{1, 2}},
		&pb.AttributeProto{Name: proto.String("ref"), RefAttrName: proto.String("outer")},
	)}})
	n := m.Graph.Nodes[0]
	if n.Int("i", 0) != 3 || n.Float("f", 1) != 0 || len(n.Ints("ints")) != 2 || n.Attr("ref").Kind != graph.AttrUndefined || n.Attr("i").Extra != nil {
		t.Errorf("%+v", n.Attrs)
	}
}
