package onnx

import (
	"fmt"
	"io"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// decoder turns messages into the IR. It takes what the IR models out of the messages it is given.
type decoder struct {
	src   io.ReaderAt // where the regions of initializers are
	files *folder     // where external data is; nil where there is no folder
}

func (d *decoder) model(p *parts) (*graph.Model, error) {
	msg := p.model
	m := &graph.Model{
		IRVersion:       take(&msg.IrVersion),
		Opsets:          takeOpsets(&msg.OpsetImport),
		ProducerName:    take(&msg.ProducerName),
		ProducerVersion: take(&msg.ProducerVersion),
		Domain:          take(&msg.Domain),
		Version:         take(&msg.ModelVersion),
		Doc:             take(&msg.DocString),
		Metadata:        takeProperties(&msg.MetadataProps),
	}
	if p.graph == nil {
		return nil, fmt.Errorf("no graph in it: is this an ONNX model?")
	}
	var err error
	if m.Graph, err = d.graph(p.graph, p.initializers, nil); err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	for i, f := range msg.Functions {
		fn, err := d.function(f)
		if err != nil {
			return nil, fmt.Errorf("functions[%d] %q: %w", i, f.GetName(), err)
		}
		m.Functions = append(m.Functions, fn)
	}
	msg.Functions = nil
	m.Extra = remainder(msg)
	return m, nil
}

// scope finds the values that a graph may read: its own and those of the graphs around it.
type scope struct {
	values map[string]*graph.Value
	outer  *scope // nil for the model's graph and for functions
}

// declare makes v known by its name, unless the name is taken: a graph that writes a name
// twice is for the checker to report.
func (s *scope) declare(v *graph.Value) *graph.Value {
	if _, ok := s.values[v.Name]; !ok {
		s.values[v.Name] = v
	}
	return v
}

// value returns the value called name; nil for "", which leaves an optional operand out. A
// name that nothing defines is a value without a writer, the same for all that read it.
func (s *scope) value(name string) *graph.Value {
	if name == "" {
		return nil
	}
	for {
		if v, ok := s.values[name]; ok {
			return v
		}
		if s.outer == nil {
			return s.declare(graph.NewValue(name, nil))
		}
		s = s.outer
	}
}

// graph decodes a graph below outer. regions says which initializers' raw_data is still in the file.
func (d *decoder) graph(msg *pb.GraphProto, regions []region, outer *scope) (*graph.Graph, error) {
	g := &graph.Graph{Name: take(&msg.Name), Doc: take(&msg.DocString), Metadata: takeProperties(&msg.MetadataProps)}
	s := &scope{values: make(map[string]*graph.Value, len(msg.Node)), outer: outer}
	for _, in := range msg.Input {
		v := s.declare(graph.NewValue(in.GetName(), nil))
		describe(v, in)
		g.Inputs = append(g.Inputs, v)
	}
	for i, t := range msg.Initializer {
		var data region
		if i < len(regions) {
			data = regions[i]
		}
		name := t.GetName()
		tensor, err := d.tensor(t, data)
		if err != nil {
			return nil, fmt.Errorf("initializer[%d] %q: %w", i, name, err)
		}
		g.Initializers = append(g.Initializers, s.initializer(tensor))
	}
	g.Nodes = declareNodes(msg.Node, s)
	for _, out := range msg.Output {
		v := s.value(out.GetName())
		if v == nil {
			v = graph.NewValue("", nil)
		}
		describe(v, out)
		g.Outputs = append(g.Outputs, v)
	}
	g.ValueInfo = describeAll(msg.ValueInfo, s)
	for _, v := range g.Initializers {
		if v.Type == nil {
			v.Type = v.Init.Type()
		}
	}
	if err := d.nodes(g.Nodes, msg.Node, s); err != nil {
		return nil, err
	}
	msg.Input, msg.Output, msg.ValueInfo, msg.Initializer, msg.Node = nil, nil, nil, nil, nil
	g.Extra = remainder(msg)
	return g, nil
}

// initializer returns the value that t initializes: the input of the same name (up to IR version
// 3 all initializers are inputs, later those with a default) or a new one.
func (s *scope) initializer(t *graph.Tensor) *graph.Value {
	if v, ok := s.values[t.Name]; ok && v.Init == nil {
		v.Init = t
		return v
	}
	return s.declare(&graph.Value{Name: t.Name, Init: t})
}

// describe gives v what a ValueInfoProto says of it. Where several describe one value, the first is kept.
func describe(v *graph.Value, info *pb.ValueInfoProto) {
	if v.Type == nil {
		v.Type = decodeType(info.Type)
	}
	info.Name, info.Type = nil, nil
	if v.Doc == "" {
		v.Doc = take(&info.DocString)
	}
	if props := takeProperties(&info.MetadataProps); v.Metadata == nil {
		v.Metadata = props
	}
	if v.Extra == nil {
		v.Extra = remainder(info)
	}
}

func describeAll(list []*pb.ValueInfoProto, s *scope) []*graph.Value {
	var out []*graph.Value
	for _, info := range list {
		v := s.value(info.GetName())
		if v == nil {
			v = graph.NewValue("", nil)
		}
		describe(v, info)
		out = append(out, v)
	}
	return out
}

// declareNodes makes the nodes with their outputs, so that all values exist before one is read.
func declareNodes(list []*pb.NodeProto, s *scope) []*graph.Node {
	nodes := make([]*graph.Node, len(list))
	for i, msg := range list {
		n := &graph.Node{Outputs: make([]*graph.Value, len(msg.Output))}
		for j, name := range msg.Output {
			if name != "" {
				n.SetOutput(j, s.declare(graph.NewValue(name, nil)))
			}
		}
		nodes[i] = n
	}
	return nodes
}

// nodes fills nodes from list.
func (d *decoder) nodes(nodes []*graph.Node, list []*pb.NodeProto, s *scope) error {
	for i, n := range nodes {
		msg := list[i]
		n.Name, n.Op = take(&msg.Name), take(&msg.OpType)
		n.Domain, n.Overload = take(&msg.Domain), take(&msg.Overload)
		n.Doc, n.Metadata = take(&msg.DocString), takeProperties(&msg.MetadataProps)
		n.Inputs = make([]*graph.Value, len(msg.Input))
		for j, name := range msg.Input {
			n.Inputs[j] = s.value(name)
		}
		for j, a := range msg.Attribute {
			name := a.GetName()
			attr, err := d.attr(a, s)
			if err != nil {
				return fmt.Errorf("node[%d] %q (%s): attribute[%d] %q: %w", i, n.Name, n.Op, j, name, err)
			}
			n.Attrs = append(n.Attrs, attr)
		}
		msg.Input, msg.Output, msg.Attribute = nil, nil, nil
		n.Extra = remainder(msg)
	}
	return nil
}

// function decodes a model-local function. Its formal parameters have no types.
func (d *decoder) function(msg *pb.FunctionProto) (*graph.Function, error) {
	f := &graph.Function{
		Name: take(&msg.Name), Domain: take(&msg.Domain), Overload: take(&msg.Overload),
		Doc: take(&msg.DocString), Metadata: takeProperties(&msg.MetadataProps),
		Opsets: takeOpsets(&msg.OpsetImport), Attributes: msg.Attribute, Body: &graph.Graph{},
	}
	s := &scope{values: make(map[string]*graph.Value)}
	for i, a := range msg.AttributeProto {
		name := a.GetName()
		attr, err := d.attr(a, s)
		if err != nil {
			return nil, fmt.Errorf("attribute_proto[%d] %q: %w", i, name, err)
		}
		f.Defaults = append(f.Defaults, attr)
	}
	for _, name := range msg.Input {
		f.Body.Inputs = append(f.Body.Inputs, s.declare(graph.NewValue(name, nil)))
	}
	f.Body.Nodes = declareNodes(msg.Node, s)
	for _, name := range msg.Output {
		v := s.value(name)
		if v == nil {
			v = graph.NewValue("", nil)
		}
		f.Body.Outputs = append(f.Body.Outputs, v)
	}
	f.Body.ValueInfo = describeAll(msg.ValueInfo, s)
	if err := d.nodes(f.Body.Nodes, msg.Node, s); err != nil {
		return nil, err
	}
	msg.Attribute, msg.AttributeProto, msg.Input, msg.Output, msg.Node, msg.ValueInfo = nil, nil, nil, nil, nil, nil
	f.Extra = remainder(msg)
	return f, nil
}
