//go:build !lite

package torch

import (
	"fmt"
	"slices"
	"strings"

	"graft/graph"
)

// parameters finds the initializers of g that a user of the model would call weights: floats of more than one
// element that are neither the tables of rotary or sinusoidal positions, nor parts of attention masks, nor the scales of
// quantized weights. What a mask looks up (mpnet's bias by distance), or computes from tokens (DeBERTa's), are weights.
func parameters(g *graph.Graph) (map[*graph.Value]bool, error) {
	other := &constants{set: map[*graph.Value]bool{}, learned: lookedUp(g)}
	used := map[*graph.Value]bool{}
	g.Walk(func(n *graph.Node) {
		switch {
		case n.Is("Cos"), n.Is("Sin"):
			other.add(n.Input(0))
		case n.Is("RotaryEmbedding"):
			other.addTable(n.Input(1))
			other.addTable(n.Input(2))
		case n.Is("Attention"):
			other.add(n.Input(3))
		case strings.Contains(n.Op, "QuantizeLinear"):
			other.add(n.Input(1))
		}
		for _, v := range n.Inputs {
			used[v] = true
		}
	})
	for _, v := range g.Outputs {
		used[v] = true
	}
	params := map[*graph.Value]bool{}
	for _, v := range g.Initializers {
		if t := v.Init; used[v] && !other.set[v] && t.DType.IsFloat() && t.Len() > 1 && !strings.Contains(v.Name, "inv_freq") {
			params[v] = true
		}
	}
	waves, err := waves(g, params)
	for _, v := range waves {
		delete(params, v)
	}
	return params, err
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
