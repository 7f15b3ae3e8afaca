package graph

import (
	"errors"
	"fmt"
)

// mostErrors is how many findings Check reports before it stops.
const mostErrors = 20

// Check reports what makes m an invalid model by the ONNX specification (IR.md and
// Operators.md): names written twice, values read before they are written or never defined,
// nodes and values that disagree about who writes what, operator sets that are used but not
// imported, wrong numbers of inputs or outputs, attributes of the wrong kind, and weights
// whose bytes do not fit their shape. Each error names graph, node and value; they are joined.
func Check(m *Model) error {
	if m == nil || m.Graph == nil {
		return errors.New("check model: it has no graph")
	}
	c := &checker{model: m, functions: map[[3]string]bool{}}
	for _, f := range m.Functions {
		key := functionKey(f.Domain, f.Name, f.Overload)
		if c.functions[key] {
			c.errorf("function %q of domain %q is defined twice", f.Name, f.Domain)
		}
		c.functions[key] = true
	}
	c.opsets = m.Opsets
	c.imports("model")
	c.graph(m.Graph, nil)
	for _, f := range m.Functions {
		c.opsets, c.function = f.Opsets, f
		c.imports(fmt.Sprintf("function %q", f.Name))
		if f.Body == nil {
			c.errorf("function %q has no body", f.Name)
			continue
		}
		c.graph(f.Body, nil)
	}
	return errors.Join(c.errs...)
}

type checker struct {
	model     *Model
	functions map[[3]string]bool
	function  *Function // whose body is being checked, or nil
	opsets    []Opset
	errs      []error
}

// scope holds what a graph has defined so far. Subgraphs see the scopes around them.
type scope struct {
	parent *scope
	byName map[string]*Value
	seen   map[*Value]bool
}

func (s *scope) has(v *Value) bool {
	for ; s != nil; s = s.parent {
		if s.seen[v] {
			return true
		}
	}
	return false
}

func (s *scope) named(name string) *Value {
	for ; s != nil; s = s.parent {
		if v := s.byName[name]; v != nil {
			return v
		}
	}
	return nil
}

func functionKey(domain, name, overload string) [3]string {
	if domain == "ai.onnx" {
		domain = ""
	}
	return [3]string{domain, name, overload}
}

func (c *checker) errorf(format string, args ...any) {
	if len(c.errs) == mostErrors {
		c.errs = append(c.errs, errors.New("check: more errors follow"))
	}
	if len(c.errs) < mostErrors {
		c.errs = append(c.errs, fmt.Errorf("check: "+format, args...))
	}
}

func (c *checker) imports(what string) {
	seen := map[string]bool{}
	for _, o := range c.opsets {
		d := o.Domain
		if d == "ai.onnx" {
			d = ""
		}
		if seen[d] {
			c.errorf("%s imports the operator set %q twice", what, d)
		}
		seen[d] = true
		if o.Version < 1 {
			c.errorf("%s imports version %d of the operator set %q", what, o.Version, d)
		}
	}
}

// graph checks g and what is below it; outer is the scope at the node that holds g.
func (c *checker) graph(g *Graph, outer *scope) {
	s := &scope{outer, map[string]*Value{}, map[*Value]bool{}}
	for _, v := range g.Inputs {
		c.define(g, s, v, "input")
	}
	for _, v := range g.Initializers {
		// A graph input with a default value is in both lists.
		if v == nil || v.Init == nil {
			c.errorf("graph %q: initializer %v holds no tensor", g.Name, v)
			continue
		}
		if !s.seen[v] {
			c.define(g, s, v, "initializer")
		} else if find(g.Inputs, v.Name) != v {
			c.errorf("graph %q: initializer %q is listed twice", g.Name, v.Name)
		}
		c.tensor(fmt.Sprintf("graph %q: initializer %q", g.Name, v.Name), v.Init)
	}
	for _, n := range g.Nodes {
		c.node(g, s, n)
	}
	outputs := map[string]bool{}
	for i, v := range g.Outputs {
		switch {
		case v == nil:
			c.errorf("graph %q: output %d is missing", g.Name, i)
		case !s.has(v):
			c.errorf("graph %q: output %q is not defined by any input, initializer or node", g.Name, v.Name)
		case outputs[v.Name]:
			c.errorf("graph %q: output %q is listed twice", g.Name, v.Name)
		default:
			outputs[v.Name] = true
		}
	}
}

// define adds an input or an initializer to s. Those of a subgraph may shadow an outer name.
func (c *checker) define(g *Graph, s *scope, v *Value, what string) {
	switch {
	case v == nil || v.Name == "":
		c.errorf("graph %q: an %s has no name", g.Name, what)
		return
	case s.byName[v.Name] != nil:
		c.errorf("graph %q: %s %q is defined twice", g.Name, what, v.Name)
	case v.def != nil:
		c.errorf("graph %q: %s %q is also the output of node %q (%s)", g.Name, what, v.Name, v.def.Name, v.def.Op)
	}
	s.byName[v.Name], s.seen[v] = v, true
}

func (c *checker) node(g *Graph, s *scope, n *Node) {
	where := fmt.Sprintf("graph %q: node %q (%s)", g.Name, n.Name, n.Op)
	for i, v := range n.Inputs {
		switch {
		case v == nil || s.has(v):
		case v.def != nil:
			c.errorf("%s: input %d reads %q before node %q (%s) writes it", where, i, v.Name, v.def.Name, v.def.Op)
		default:
			c.errorf("%s: input %d reads %q, which nothing defines", where, i, v.Name)
		}
	}
	n.subgraphs(func(sub *Graph) { c.graph(sub, s) })
	for i, v := range n.Outputs {
		switch {
		case v == nil:
			continue
		case v.Name == "":
			c.errorf("%s: output %d has no name", where, i)
			continue
		case v.def != n:
			c.errorf("%s: output %q is held by another writer or by none", where, v.Name)
		case v.Init != nil:
			c.errorf("%s: output %q is also an initializer", where, v.Name)
		case s.named(v.Name) != nil:
			c.errorf("%s: output %q is already defined; each name is written once", where, v.Name)
		}
		s.byName[v.Name], s.seen[v] = v, true
	}
	c.call(where, n)
	c.attributes(where, n)
}

// call checks that n's operator is imported and is given as many inputs and outputs as it takes.
func (c *checker) call(where string, n *Node) {
	if c.functions[functionKey(n.Domain, n.Op, n.Overload)] {
		return
	}
	version := OpsetOf(c.opsets, n.Domain)
	if version == 0 {
		c.errorf("%s: the operator set %q is not imported", where, n.Domain)
		return
	}
	op := LookupOp(n.Domain, n.Op, version)
	if op == nil {
		if first := firstVersion(n.Domain, n.Op); first > version {
			c.errorf("%s: operator %s came with opset %d, the model imports %d", where, n.Op, first, version)
		}
		return
	}
	if got := countUsed(n.Inputs); !op.In.holds(got) {
		c.errorf("%s: %d inputs, want %v", where, got, op.In)
	}
	if got := countUsed(n.Outputs); !op.Out.holds(got) {
		c.errorf("%s: %d outputs, want %v", where, got, op.Out)
	}
}

// countUsed is the length of list without what is left out at its end.
func countUsed(list []*Value) int {
	n := len(list)
	for n > 0 && list[n-1] == nil {
		n--
	}
	return n
}

func (c *checker) attributes(where string, n *Node) {
	known := LookupOp(n.Domain, n.Op, OpsetOf(c.opsets, n.Domain)) != nil
	for i := range n.Attrs {
		a := &n.Attrs[i]
		if n.Attr(a.Name) != a {
			c.errorf("%s: attribute %q is set twice", where, a.Name)
		}
		if a.Ref != "" {
			if c.function == nil {
				c.errorf("%s: attribute %q refers to %q outside of a function", where, a.Name, a.Ref)
			}
			continue
		}
		if want, ok := attrKinds[a.Name]; ok && known && a.Kind != want && !attrExceptions[[2]string{n.Op, a.Name}] {
			c.errorf("%s: attribute %q is %v, want %v", where, a.Name, a.Kind, want)
		}
		if a.Kind == AttrTensor {
			if a.Tensor == nil {
				c.errorf("%s: attribute %q holds no tensor", where, a.Name)
				continue
			}
			c.tensor(fmt.Sprintf("%s: attribute %q", where, a.Name), a.Tensor)
		}
	}
}

// tensor checks that t holds as many bytes or strings as its shape asks for.
func (c *checker) tensor(where string, t *Tensor) {
	n := t.Len()
	switch {
	case n < 0:
		c.errorf("%s: shape %v has a negative size or is too large", where, t.Shape)
	case t.DType == String && int64(len(t.Strings)) != n:
		c.errorf("%s: %d strings for shape %v", where, len(t.Strings), t.Shape)
	case t.DType == String:
	case t.DType.Bits() == 0:
		c.errorf("%s: element type %v", where, t.DType)
	case t.Data == nil:
		c.errorf("%s: holds no data", where)
	case t.Data.Size() != t.Size():
		c.errorf("%s: %d bytes for %v%v, want %d", where, t.Data.Size(), t.DType, t.Shape, t.Size())
	}
}
