//go:build !lite

package torch

import (
	"fmt"
	"slices"
	"strings"

	"graft/graph"
)

// parameters finds the initializers of g that a user of the model would call weights: floats of more than one
// element that are neither the tables of rotary positions, nor parts of attention masks, nor the scales of
// quantized weights. A table that a mask looks up (mpnet's bias by distance) is a weight.
func parameters(g *graph.Graph) map[*graph.Value]bool {
	other := map[*graph.Value]bool{}
	g.Walk(func(n *graph.Node) {
		switch {
		case n.Is("Cos"), n.Is("Sin"):
			addSources(other, n.Input(0))
		case n.Is("RotaryEmbedding"):
			addSources(other, n.Input(1))
			addSources(other, n.Input(2))
		case n.Is("Attention"):
			addSources(other, n.Input(3))
		case strings.Contains(n.Op, "QuantizeLinear"):
			addSources(other, n.Input(1))
		}
	})
	used := map[*graph.Value]bool{}
	g.Walk(func(n *graph.Node) {
		for _, v := range n.Inputs {
			used[v] = true
		}
	})
	for _, v := range g.Outputs {
		used[v] = true
	}
	params := map[*graph.Value]bool{}
	for _, v := range g.Initializers {
		if t := v.Init; used[v] && !other[v] && t.DType.IsFloat() && t.Len() > 1 && !strings.Contains(v.Name, "inv_freq") {
			params[v] = true
		}
	}
	return params
}

// addSources adds to set what v is computed from, v included, and stops at tables that are looked up.
func addSources(set map[*graph.Value]bool, v *graph.Value) {
	if v == nil || set[v] {
		return
	}
	set[v] = true
	n := v.Def()
	if n == nil {
		return
	}
	inputs := n.Inputs
	if n.Is("Gather") {
		inputs = inputs[1:]
	}
	for _, in := range inputs {
		addSources(set, in)
	}
}

// loadParameters copies the weights to the device, each once however many nodes read it.
func (c *compiler) loadParameters() error {
	uses := c.model.Graph.Uses()
	for _, v := range c.model.Graph.Initializers {
		if !c.params[v] {
			continue
		}
		p := Parameter{Name: v.Name, Init: v.Init, Trainable: c.options.Trainable == nil || c.options.Trainable(v.Name)}
		var err error
		want := Float32
		if c.options.FrozenDType != 0 && !p.Trainable && mayBeHalf(v, uses[v]) {
			want = c.options.FrozenDType
		}
		if p.Tensor, err = c.loadParameter(&p, want); err != nil {
			return fmt.Errorf("load weight %q: %w", v.Name, err)
		}
		i := c.slot(v)
		c.program.start[i], c.program.fixed[i], c.program.weights[i] = value{t: p.Tensor}, true, true
		c.program.params = append(c.program.params, p)
	}
	return nil
}

// mayBeHalf reports whether a weight may be kept in half precision: it is a matrix, and all that reads it multiplies by
// it or looks rows up in it, see call.linear and gather.
func mayBeHalf(v *graph.Value, uses []graph.Use) bool {
	return len(v.Init.Shape) == 2 && !slices.ContainsFunc(uses, func(u graph.Use) bool {
		product := u.Node.Domain == fusedDomain && u.Node.Op == "Linear" || u.Node.Is("Gemm")
		return !(product && u.Index == 1 || u.Node.Is("Gather") && u.Index == 0)
	})
}

func (c *compiler) loadParameter(p *Parameter, want DType) (*Tensor, error) {
	s := NewScope()
	defer s.Close()
	t := s.upload(p.Init, c.options.Device)
	if t != nil && t.DType() != want {
		t = s.To(t, want)
	}
	if s.Err() != nil {
		return nil, s.Err()
	}
	if p.Trainable {
		if err := t.SetRequiresGrad(true); err != nil {
			return nil, err
		}
	}
	return s.Keep(t), nil
}

// loadConstants makes the initializers of g that are no weights constants of the host.
func (c *compiler) loadConstants(g *graph.Graph) error {
	for _, v := range g.Initializers {
		if !c.params[v] {
			i := c.slot(v)
			c.program.start[i], c.program.fixed[i] = value{h: v.Init}, true
		}
	}
	return nil
}
