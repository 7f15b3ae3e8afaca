package graph

import (
	"errors"
	"fmt"
	"strings"
)

// Weights finds the tensors of a checkpoint by name.
type Weights interface {
	Tensor(name string) (*Tensor, bool)
}

// Builder appends nodes to a graph. It is how architectures are written and how passes make
// replacement nodes. Errors are gathered: the first call that fails is reported by Err, and
// building goes on so that all missing tensors are known at the end.
//
// A scope prefixes weight and node names, so that a layer reads like its checkpoint.
type Builder struct {
	*state
	prefix string // "" or ends in "."
}

type state struct {
	graph   *Graph
	weights Weights
	names   map[string]bool
	next    map[string]int    // the number to try next, by stem
	values  map[string]*Value // weights already taken, by checkpoint name
	missing []string
	errs    []error
}

// NewBuilder returns a builder that appends to g and takes weights from w (nil where there is no checkpoint).
func NewBuilder(g *Graph, w Weights) *Builder {
	names := g.Names()
	g.Walk(func(n *Node) { names[n.Name] = true }) // runtimes want node names to be unique too
	return &Builder{state: &state{graph: g, weights: w, names: names, next: map[string]int{}, values: map[string]*Value{}}}
}

// Graph is the graph under construction.
func (b *Builder) Graph() *Graph { return b.graph }

// Err joins what went wrong so far; missing tensors are listed by name.
func (b *Builder) Err() error {
	errs := b.errs
	if len(b.missing) > 0 {
		errs = append([]error{&MissingError{b.missing}}, errs...)
	}
	return errors.Join(errs...)
}

// MissingError names the tensors that an architecture asked for and a checkpoint lacks.
type MissingError struct{ Names []string }

func (e *MissingError) Error() string {
	const most = 8
	list := e.Names
	more := ""
	if len(list) > most {
		more = fmt.Sprintf(" and %d more", len(list)-most)
		list = list[:most]
	}
	return fmt.Sprintf("checkpoint lacks %d tensors: %q%s", len(e.Names), list, more)
}

// Errorf records an error.
func (b *Builder) Errorf(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

// Scope returns a builder whose names begin with this one's prefix and the formatted name.
func (b *Builder) Scope(format string, args ...any) *Builder {
	return &Builder{state: b.state, prefix: b.prefix + fmt.Sprintf(format, args...) + "."}
}

// name makes a fresh value name from the scope.
func (b *Builder) name(stem string) string {
	base := strings.ReplaceAll(b.prefix, ".", "/") + stem
	name := base
	for b.names[name] {
		b.next[base]++
		name = fmt.Sprintf("%s_%d", base, b.next[base])
	}
	b.names[name] = true
	return name
}

// Input adds a graph input.
func (b *Builder) Input(name string, t *Type) *Value {
	v := NewValue(name, t)
	b.names[name] = true
	b.graph.Inputs = append(b.graph.Inputs, v)
	return v
}

// Output names v and makes it a graph output of type t. Where v already is an output, an
// input or a weight, an Identity stands between.
func (b *Builder) Output(name string, v *Value, t *Type) *Value {
	if v.def == nil || b.graph.IsOutput(v) {
		v = b.Op("Identity", []*Value{v})
	}
	b.names[name] = true // v's former name stays taken: its node has it too
	v.Name, v.Type = name, t
	b.graph.Outputs = append(b.graph.Outputs, v)
	return v
}

// HasWeight reports whether the checkpoint holds the tensor that Weight(name) would take.
func (b *Builder) HasWeight(name string) bool {
	if b.weights == nil {
		return false
	}
	_, ok := b.weights.Tensor(b.prefix + name)
	return ok
}

// Weight is a tensor of the checkpoint as an initializer under its own name. It must have
// shape; -1 stands for any size. The same name gives the same value.
func (b *Builder) Weight(name string, shape ...int) *Value {
	full := b.prefix + name
	if v, ok := b.values[full]; ok {
		return v
	}
	var t *Tensor
	found := false
	if b.weights != nil {
		t, found = b.weights.Tensor(full)
	}
	if !found {
		b.missing = append(b.missing, full)
		t = &Tensor{Name: full, DType: Float, Shape: make([]int64, len(shape)), Data: Raw(nil)}
	} else if !fits(t.Shape, shape) {
		b.Errorf("tensor %q: shape %v, want %v", full, t.Shape, shape)
	}
	v := b.graph.AddInitializer(t)
	v.Name = full
	b.names[full] = true
	b.values[full] = v
	return v
}

func fits(have []int64, want []int) bool {
	if len(have) != len(want) {
		return false
	}
	for i, w := range want {
		if w >= 0 && have[i] != int64(w) {
			return false
		}
	}
	return true
}

// Const adds t as an initializer under a fresh name made from t.Name.
func (b *Builder) Const(t *Tensor) *Value {
	c := *t
	if c.Name == "" {
		c.Name = "const"
	}
	c.Name = b.name(c.Name)
	return b.graph.AddInitializer(&c)
}

// Scalar is a float32 constant, Int64 an int64 scalar constant, Int64s an int64 vector.
func (b *Builder) Scalar(f float32) *Value {
	return b.shared(NewTensor(fmt.Sprintf("f32_%g", f), []float32{f}))
}
func (b *Builder) Int64(n int64) *Value {
	return b.shared(NewTensor(fmt.Sprintf("i64_%d", n), []int64{n}))
}

func (b *Builder) Int64s(n ...int64) *Value {
	stem := "i64s"
	for _, x := range n {
		stem += fmt.Sprintf("_%d", x)
	}
	return b.shared(NewTensor(stem, n, int64(len(n))))
}

// shared returns one initializer for all equal small constants of this builder.
func (b *Builder) shared(t *Tensor) *Value {
	if v, ok := b.values["\x00"+t.Name]; ok {
		return v
	}
	v := (&Builder{state: b.state}).Const(t)
	b.values["\x00"+t.Name] = v
	return v
}

// Op appends a node of the default domain with one output and returns that output.
func (b *Builder) Op(op string, in []*Value, attrs ...Attr) *Value {
	return b.OpN("", op, 1, in, attrs...)[0]
}

// OpN appends a node of domain with n outputs.
func (b *Builder) OpN(domain, op string, n int, in []*Value, attrs ...Attr) []*Value {
	name := b.name(op)
	out := make([]*Value, n)
	for i := range out {
		if i == 0 {
			out[i] = NewValue(name, nil)
		} else {
			out[i] = NewValue(b.name(fmt.Sprintf("%s_out%d", op, i)), nil)
		}
	}
	node := NewNode(op, in, out, attrs...)
	node.Name, node.Domain = name, domain
	b.graph.Nodes = append(b.graph.Nodes, node)
	return out
}
