package graph_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"graft/graph"
)

// schema is one row of testdata/inference/schemas.tsv.
type schema struct {
	name    string
	since   int64
	in, out graph.Arity
	attrs   map[string]string
}

func schemas(t *testing.T) []schema {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", "inference", "schemas.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []schema
	for s := bufio.NewScanner(f); s.Scan(); {
		cols := strings.Split(s.Text(), "\t")
		var n [5]int
		for i := range n {
			if n[i], err = strconv.Atoi(cols[1+i]); err != nil {
				t.Fatal(err)
			}
		}
		row := schema{cols[0], int64(n[0]), graph.Arity{Min: n[1], Max: n[2]}, graph.Arity{Min: n[3], Max: n[4]}, map[string]string{}}
		for _, a := range strings.Split(cols[6], ",") {
			if name, kind, ok := strings.Cut(a, ":"); ok {
				row.attrs[name] = kind
			}
		}
		list = append(list, row)
	}
	return list
}

// runtimeOwn are operators that ONNX Runtime runs in versions of ai.onnx that do not have them.
var runtimeOwn = map[string]bool{"LayerNormalization": true, "SimplifiedLayerNormalization": true}

// Every row of the table agrees with the specification: since when, how many inputs and outputs.
func TestOpTableArity(t *testing.T) {
	first := map[string]int64{}
	for _, s := range schemas(t) {
		if v, ok := first[s.name]; !ok || s.since < v {
			first[s.name] = s.since
		}
		op := graph.LookupOp("", s.name, s.since)
		if op != nil && (op.In != s.in || op.Out != s.out) {
			t.Errorf("%s of opset %d takes %v inputs and %v outputs, the specification says %v and %v",
				s.name, s.since, op.In, op.Out, s.in, s.out)
		}
	}
	for _, op := range graph.Ops() {
		if op.Domain != "" || runtimeOwn[op.Name] {
			continue
		}
		v, ok := first[op.Name]
		if !ok {
			t.Errorf("%s is not in the specification", op.Name)
		} else if graph.LookupOp("", op.Name, v) == nil || graph.LookupOp("", op.Name, v-1) != nil {
			t.Errorf("%s came with opset %d, the table disagrees", op.Name, v)
		}
	}
}

// The checker knows the kinds of the attributes of every operator of the table.
func TestAttributeKinds(t *testing.T) {
	kinds := map[string]graph.AttrKind{}
	for k := range graph.AttrKind(15) {
		kinds[k.String()] = k
	}
	for _, s := range schemas(t) {
		if graph.LookupOp("", s.name, s.since) == nil || s.since < 7 {
			continue
		}
		for name, kind := range s.attrs {
			k, ok := kinds[kind]
			if !ok {
				t.Fatalf("kind %q", kind)
			}
			if err := checkAttr(s, graph.Attr{Name: name, Kind: k}); kind != "TENSOR" && kind != "GRAPH" && err != nil {
				t.Errorf("%s of opset %d: %v", s.name, s.since, err)
			}
		}
	}
	wrong := checkAttr(schema{name: "Softmax", since: 13}, graph.StrAttr("axis", "1"))
	if wrong == nil || !strings.Contains(wrong.Error(), `attribute "axis" is STRING, want INT`) {
		t.Errorf("an axis that is a string: %v", wrong)
	}
}

// checkAttr returns what Check says of attribute a on a node of s.
func checkAttr(s schema, a graph.Attr) error {
	op := graph.LookupOp("", s.name, s.since)
	g := &graph.Graph{Name: "g"}
	var in, out []*graph.Value
	for i := range op.In.Min {
		v := graph.NewValue(fmt.Sprint("x", i), nil)
		g.Inputs = append(g.Inputs, v)
		in = append(in, v)
	}
	for i := range op.Out.Min {
		out = append(out, graph.NewValue(fmt.Sprint("y", i), nil))
	}
	g.Nodes = []*graph.Node{graph.NewNode(s.name, in, out, a)}
	return graph.Check(&graph.Model{Graph: g, Opsets: []graph.Opset{{Version: s.since}}})
}

// Evaluation takes the shapes of results from inference.
func TestFoldHasInfer(t *testing.T) {
	for _, op := range graph.Ops() {
		if op.Fold != nil && op.Infer == nil {
			t.Errorf("%s since %d has Fold without Infer", op.Name, op.Since)
		}
	}
}
