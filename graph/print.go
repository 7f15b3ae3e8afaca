package graph

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// PrintOptions says what Fprint lists besides inputs, outputs, operators and parameters.
type PrintOptions struct {
	Nodes   bool // each node with the types that it reads and writes
	Weights bool // each initializer with its type
}

// Fprint writes a listing of m for people: what it is, inputs and outputs, how many weights of
// each element type, how often each operator occurs, and as o says, weights and nodes.
func Fprint(w io.Writer, m *Model, o PrintOptions) error {
	if m.Graph == nil {
		return fmt.Errorf("print model: it has no graph")
	}
	p := &printer{w: bufio.NewWriter(w)}
	p.header(m)
	c := TakeCensus(m.Graph)
	p.census(c)
	p.graph(m.Graph, "", o)
	for _, f := range m.Functions {
		if f.Body == nil {
			continue
		}
		p.printf("\nfunction %s(%s) -> (%s)\n", opName(f.Domain, f.Name), names(f.Body.Inputs), names(f.Body.Outputs))
		if o.Nodes {
			p.nodes(f.Body, "  ")
		}
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("print model: %w", err)
	}
	return nil
}

type printer struct{ w *bufio.Writer }

func (p *printer) printf(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

func (p *printer) header(m *Model) {
	p.printf("model %q, IR version %d", m.Graph.Name, m.IRVersion)
	if m.ProducerName != "" {
		p.printf(", by %s", strings.TrimSpace(m.ProducerName+" "+m.ProducerVersion))
	}
	p.printf("\n")
	for _, s := range m.Opsets {
		p.printf("opset   %s %d\n", opsetName(s.Domain), s.Version)
	}
	for _, s := range m.Metadata {
		p.printf("meta    %s = %s\n", s.Key, shorten(fmt.Sprintf("%q", s.Value), 80))
	}
}

func opsetName(domain string) string {
	if domain == "" {
		return "ai.onnx"
	}
	return domain
}

// opName is an operator's name, with its domain where that is not the default.
func opName(domain, op string) string {
	if domain == "" || domain == "ai.onnx" {
		return op
	}
	return domain + "." + op
}

func (p *printer) census(c Census) {
	p.printf("weights %d in %d tensors, %s\n", c.Parameters, c.Tensors, byteSize(c.Bytes))
	for _, d := range c.DTypes {
		p.printf("        %-12v %12d elements %10s\n", d.DType, d.Elements, byteSize(d.Bytes))
	}
	p.printf("nodes   %d\n", c.Nodes)
	for _, o := range c.Ops {
		p.printf("        %-36s %6d\n", o.Name, o.Nodes)
	}
}

func (p *printer) graph(g *Graph, indent string, o PrintOptions) {
	for _, v := range g.Inputs {
		p.printf("%sinput   %-28s %v\n", indent, v.Name, v.Type)
	}
	for _, v := range g.Outputs {
		p.printf("%soutput  %-28s %v\n", indent, v.Name, v.Type)
	}
	if o.Weights {
		for _, v := range g.Initializers {
			p.printf("%sweight  %-28s %v\n", indent, v.Name, v.Type)
		}
	}
	if o.Nodes {
		p.nodes(g, indent)
	}
}

// nodes writes one line for each node: outputs with types, operator, inputs, attributes.
func (p *printer) nodes(g *Graph, indent string) {
	for _, n := range g.Nodes {
		outs := make([]string, len(n.Outputs))
		for i, v := range n.Outputs {
			outs[i] = "-"
			if v != nil {
				outs[i] = v.Name + " " + v.Type.String()
			}
		}
		p.printf("%s%s = %s(%s)", indent, strings.Join(outs, ", "), opName(n.Domain, n.Op), names(n.Inputs))
		for i := range n.Attrs {
			p.printf(" %s=%s", n.Attrs[i].Name, n.Attrs[i].text())
		}
		p.printf("\n")
		n.subgraphs(func(s *Graph) {
			p.printf("%s  graph %q\n", indent, s.Name)
			p.graph(s, indent+"    ", PrintOptions{Nodes: true, Weights: true})
		})
	}
}

func names(list []*Value) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = "-"
		if v != nil {
			out[i] = v.Name
		}
	}
	return strings.Join(out, ", ")
}

// text is the value of a as the listing shows it.
func (a *Attr) text() string {
	const most = 60
	switch {
	case a.Ref != "":
		return "@" + a.Ref
	case a.Kind == AttrFloat:
		return fmt.Sprint(a.Float)
	case a.Kind == AttrInt:
		return fmt.Sprint(a.Int)
	case a.Kind == AttrString:
		return shorten(fmt.Sprintf("%q", a.Str), most)
	case a.Kind == AttrFloats:
		return shorten(fmt.Sprint(a.Floats), most)
	case a.Kind == AttrInts:
		return shorten(fmt.Sprint(a.Ints), most)
	case a.Kind == AttrStrings:
		return shorten(fmt.Sprintf("%q", a.Strs), most)
	case a.Kind == AttrTensor && a.Tensor != nil:
		return a.Tensor.text()
	case a.Kind == AttrGraph && a.Graph != nil:
		return fmt.Sprintf("graph %q", a.Graph.Name)
	}
	return a.Kind.String()
}

// text is t's type, and its elements where they are few integers.
func (t *Tensor) text() string {
	s := t.Type().String()
	if ns, ok := integers(smallInts(t)); ok && len(ns) <= 8 {
		s += fmt.Sprint(ns)
	}
	return s
}

func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// byteSize writes n in the largest unit of 1024 that leaves at least one.
func byteSize(n int64) string {
	x, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; x >= 1024 && i+1 < len(units); i++ {
		x /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", x, units[i])
}

// Census counts what a graph and its subgraphs hold.
type Census struct {
	Nodes      int
	Ops        []OpCount // most frequent first
	Tensors    int       // initializers
	Parameters int64     // their elements
	Bytes      int64     // their bytes
	DTypes     []DTypeCount
}

// OpCount is how many nodes an operator has; Name begins with the domain where it is not ai.onnx.
type OpCount struct {
	Name  string
	Nodes int
}

// DTypeCount is how many elements and bytes initializers of one element type have.
type DTypeCount struct {
	DType           DType
	Elements, Bytes int64
}

// TakeCensus counts the nodes and initializers of g and of its subgraphs.
func TakeCensus(g *Graph) Census {
	var c Census
	ops := map[string]int{}
	types := map[DType]*DTypeCount{}
	g.Walk(func(n *Node) {
		c.Nodes++
		ops[opName(n.Domain, n.Op)]++
	})
	g.WalkGraphs(func(s *Graph) {
		for _, v := range s.Initializers {
			t := v.Init
			d := types[t.DType]
			if d == nil {
				d = &DTypeCount{DType: t.DType}
				types[t.DType] = d
			}
			d.Elements += max(0, t.Len())
			d.Bytes += max(0, t.Size())
			c.Tensors++
			c.Parameters += max(0, t.Len())
			c.Bytes += max(0, t.Size())
		}
	})
	for name, n := range ops {
		c.Ops = append(c.Ops, OpCount{name, n})
	}
	slices.SortFunc(c.Ops, func(a, b OpCount) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Name, b.Name))
	})
	for _, d := range slices.Sorted(maps.Keys(types)) {
		c.DTypes = append(c.DTypes, *types[d])
	}
	return c
}
