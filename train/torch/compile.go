//go:build !lite

package torch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"graft/graph"
)

// step is one node of a program.
type step struct {
	node   *graph.Node
	opset  int64 // of the node's domain
	run    lowering
	onHost bool      // graph.Evaluate may compute it
	in     []int     // slots; -1 where an input is left out
	out    []int     // slots; -1 where nothing reads an output
	free   []int     // slots that nothing reads after this step
	branch [2][]step // of If: what runs where the condition holds, and where not
	block  []step    // of a transformer block that the backward pass computes again: what stands for it
}

// Compile makes a program of m, which is in the IR's raised form (as convert builds it, or as pass.Raise leaves
// it) and is not modified. Operators that cannot run are an error that lists all of them.
func Compile(m *graph.Model, o CompileOptions) (*Program, error) {
	defer Lock()()
	c := &compiler{options: o, model: m.Clone(), slots: map[*graph.Value]int{}, program: &Program{device: o.Device}}
	if err := c.compile(); err != nil {
		c.program.Close()
		return nil, fmt.Errorf("compile model: %w", err)
	}
	return c.program, nil
}

// compiler is the state of one Compile.
type compiler struct {
	options CompileOptions
	model   *graph.Model
	layers  []graph.Layer
	params  map[*graph.Value]bool
	slots   map[*graph.Value]int
	program *Program
}

func (c *compiler) compile() error {
	if err := c.chooseOutputs(); err != nil {
		return err
	}
	var err error
	if c.options.Recompute {
		if c.layers, err = graph.Layers(c.model); err != nil {
			return err
		}
	}
	removeDead(c.model.Graph)
	if c.params, err = parameters(c.model.Graph); err != nil {
		return err
	}
	fuse(c.model.Graph)
	removeDead(c.model.Graph)
	if err := c.refuseUnknown(); err != nil {
		return err
	}
	if err := c.loadParameters(); err != nil {
		return err
	}
	steps, err := c.stepsOf(c.model.Graph)
	if err != nil {
		return err
	}
	c.bindInterface()
	if steps, err = c.foldConstants(steps); err != nil {
		return err
	}
	if steps, err = c.formBlocks(steps); err != nil {
		return err
	}
	c.program.steps = steps
	c.findLastUses(steps, c.outputSlots())
	return nil
}

// chooseOutputs leaves those outputs of the graph that are wanted, in the order that was asked for.
func (c *compiler) chooseOutputs() error {
	g := c.model.Graph
	if c.options.Outputs == nil {
		return nil
	}
	var chosen []*graph.Value
	for _, name := range c.options.Outputs {
		v := g.Output(name)
		if v == nil {
			var known []string
			for _, v := range g.Outputs {
				known = append(known, v.Name)
			}
			return fmt.Errorf("the model has no output %q; it has %q", name, known)
		}
		chosen = append(chosen, v)
	}
	g.Outputs = chosen
	return nil
}

// removeDead removes nodes that no output of g depends on, and outputs of nodes that nothing reads.
func removeDead(g *graph.Graph) {
	live := map[*graph.Value]bool{}
	mark := func(list []*graph.Value) {
		for _, v := range list {
			if v != nil {
				live[v] = true
			}
		}
	}
	mark(g.Outputs)
	keep := map[*graph.Node]bool{}
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(v *graph.Value) bool { return v != nil && live[v] }) {
			continue
		}
		keep[n] = true
		mark(n.Inputs)
		for _, s := range subgraphs(n) {
			mark(s.Outputs)
			s.Walk(func(inner *graph.Node) { mark(inner.Inputs) })
		}
		for i, v := range n.Outputs {
			if !live[v] {
				n.Outputs[i] = nil
			}
		}
	}
	g.Remove(func(n *graph.Node) bool { return !keep[n] })
}

// subgraphs lists the graphs that n's attributes hold.
func subgraphs(n *graph.Node) []*graph.Graph {
	var list []*graph.Graph
	for _, a := range n.Attrs {
		if a.Graph != nil {
			list = append(list, a.Graph)
		}
		list = append(list, a.Graphs...)
	}
	return list
}

// refuseUnknown lists the operators of the model that have no lowering.
func (c *compiler) refuseUnknown() error {
	count := map[string]int{}
	example := map[string]string{}
	var ops []string
	quantized := ""
	c.model.Graph.Walk(func(n *graph.Node) {
		if findLowering(n, c.opset(n)) != nil {
			return
		}
		if n.Quantized() {
			quantized = "; a quantized model has no gradients: train the float model, then quantize it"
		}
		op := n.Op
		if n.Domain != "" {
			op = n.Domain + "." + op
		}
		if count[op]++; count[op] == 1 {
			ops = append(ops, op)
			example[op] = n.Name
		}
	})
	if len(ops) == 0 {
		return nil
	}
	slices.Sort(ops)
	for i, op := range ops {
		ops[i] = fmt.Sprintf("%s (%d, first %q)", op, count[op], example[op])
	}
	return fmt.Errorf("operators without an implementation here: %s%s", strings.Join(ops, ", "), quantized)
}

// opset is the version of the operator set of n.
func (c *compiler) opset(n *graph.Node) int64 {
	if n.Domain == fusedDomain {
		return 1
	}
	return c.model.Opset(n.Domain)
}

// slot is the place of v in a run, -1 for nil.
func (c *compiler) slot(v *graph.Value) int {
	if v == nil {
		return -1
	}
	i, ok := c.slots[v]
	if !ok {
		i = len(c.program.start)
		c.slots[v] = i
		c.program.start = append(c.program.start, value{})
		c.program.fixed = append(c.program.fixed, false)
		c.program.weights = append(c.program.weights, false)
	}
	return i
}

// stepsOf makes a step of each node of g.
func (c *compiler) stepsOf(g *graph.Graph) ([]step, error) {
	if err := c.loadConstants(g); err != nil {
		return nil, err
	}
	var steps []step
	for _, n := range g.Nodes {
		s := step{node: n, opset: c.opset(n), run: findLowering(n, c.opset(n)).Run}
		op := graph.LookupOp(n.Domain, n.Op, s.opset)
		s.onHost = op != nil && op.Fold != nil
		for _, v := range n.Inputs {
			s.in = append(s.in, c.slot(v))
		}
		for _, v := range n.Outputs {
			s.out = append(s.out, c.slot(v))
		}
		if n.Is("If") {
			branches, err := c.branches(n)
			if err != nil {
				return nil, err
			}
			s.branch = branches
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// branches compiles the two graphs of If. Each ends in copies of its outputs into the node's.
func (c *compiler) branches(n *graph.Node) (out [2][]step, err error) {
	for i, name := range []string{"then_branch", "else_branch"} {
		a := n.Attr(name)
		if a == nil || a.Graph == nil || len(a.Graph.Outputs) < len(n.Outputs) {
			return out, fmt.Errorf("node %q (If): %s is missing or has too few outputs", n.Name, name)
		}
		if out[i], err = c.stepsOf(a.Graph); err != nil {
			return out, err
		}
		for j, v := range n.Outputs {
			if v == nil {
				continue
			}
			copied := &graph.Node{Name: n.Name, Op: "Identity"}
			out[i] = append(out[i], step{node: copied, opset: 1, run: identity, in: []int{c.slot(a.Graph.Outputs[j])}, out: []int{c.slot(v)}})
		}
	}
	return out, nil
}

// bindInterface gives inputs and outputs their slots.
func (c *compiler) bindInterface() {
	for _, v := range c.model.Graph.Inputs {
		if i, used := c.slots[v]; used && v.Init == nil {
			c.program.inputs = append(c.program.inputs, binding{v.Name, i})
			c.program.fixed[i] = true
		}
	}
	for _, v := range c.model.Graph.Outputs {
		c.program.outputs = append(c.program.outputs, binding{v.Name, c.slot(v)})
	}
}

func (c *compiler) outputSlots() map[int]bool {
	set := map[int]bool{}
	for _, b := range c.program.outputs {
		set[b.slot] = true
	}
	return set
}

// foldConstants runs the steps that depend on constants alone, weights not being constant, and leaves the others.
func (c *compiler) foldConstants(steps []step) ([]step, error) {
	p := c.program
	constant := func(i int) bool { return i < 0 || p.start[i].known() && !p.weights[i] }
	var left []step
	s := NewScope()
	defer s.Close()
	s.NoGrad(func() {
		for i := range steps {
			if !slices.ContainsFunc(steps[i].in, func(i int) bool { return !constant(i) }) && steps[i].branch[0] == nil {
				r := &run{program: p, s: s, env: p.start}
				r.step(&steps[i])
				for _, o := range steps[i].out {
					if o >= 0 && p.start[o].t != nil {
						s.Keep(p.start[o].t)
					}
					if o >= 0 {
						p.fixed[o] = true
					}
				}
				continue
			}
			left = append(left, steps[i])
		}
	})
	return left, s.Err()
}

// findLastUses notes at each step what nothing reads after it; keep are slots that outlive the steps.
func (c *compiler) findLastUses(steps []step, keep map[int]bool) {
	read := maps.Clone(keep)
	for i := range slices.Backward(steps) {
		s := &steps[i]
		for _, slot := range s.touched() {
			if slot >= 0 && !read[slot] && !c.program.fixed[slot] {
				s.free = append(s.free, slot)
				read[slot] = true
			}
		}
	}
}

// touched lists the slots that s reads or writes, in its branches too.
func (s *step) touched() []int {
	list := slices.Concat(s.in, s.out)
	for _, branch := range s.branch {
		for i := range branch {
			list = append(list, branch[i].touched()...)
		}
	}
	return list
}
