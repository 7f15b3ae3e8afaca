//go:build !lite

package torch

import (
	"fmt"
	"slices"

	"graft/graph"
)

// formBlocks joins the steps of each transformer block into one step that the backward pass computes again. What a block
// needs comes before it; the order stays otherwise.
func (c *compiler) formBlocks(steps []step) ([]step, error) {
	owner := make([]int, len(steps)) // the block of each step; -1: none
	for i := range owner {
		owner[i] = -1
	}
	for k, l := range c.layers {
		in, known := c.slots[l.Input]
		out, written := c.slots[l.Output]
		members := between(steps, in, out)
		if !known || !written || len(members) == 0 {
			return nil, fmt.Errorf("recompute block %q: its input and output are not in the program", l.Name)
		}
		for _, i := range members {
			owner[i] = k
		}
	}
	blocks := make([]*unit, len(c.layers))
	var order []*unit
	for i, k := range owner {
		if k < 0 {
			order = append(order, &unit{block: -1, steps: steps[i : i+1]})
			continue
		}
		if blocks[k] == nil {
			blocks[k] = &unit{block: k}
			order = append(order, blocks[k])
		}
		blocks[k].steps = append(blocks[k].steps, steps[i])
	}
	var result []step
	for _, u := range sortUnits(order) {
		if u.block < 0 {
			result = append(result, u.steps...)
		} else {
			result = append(result, c.blockStep(c.layers[u.block].Name, u.steps, steps))
		}
	}
	return result, nil
}

// between lists the steps that depend on slot in and that slot out depends on.
func between(steps []step, in, out int) []int {
	after := map[int]bool{in: true}
	depends := make([]bool, len(steps))
	for i := range steps {
		if slices.ContainsFunc(steps[i].reads(), func(slot int) bool { return after[slot] }) {
			depends[i] = true
			for _, slot := range steps[i].out {
				after[slot] = true
			}
		}
	}
	needed := map[int]bool{out: true}
	var members []int
	for i := range slices.Backward(steps) {
		if !slices.ContainsFunc(steps[i].out, func(slot int) bool { return needed[slot] }) {
			continue
		}
		if depends[i] {
			members = append(members, i)
		}
		for _, slot := range steps[i].reads() {
			needed[slot] = true
		}
	}
	slices.Reverse(members)
	return members
}

// unit is a step, or the steps of one block, that stay together.
type unit struct {
	block int // its number; -1: a step alone
	steps []step
	done  bool
}

// sortUnits puts each unit behind those that it reads from, and keeps the order where it may.
func sortUnits(units []*unit) []*unit {
	writer := map[int]*unit{}
	for _, u := range units {
		for i := range u.steps {
			for _, slot := range u.steps[i].out {
				writer[slot] = u
			}
		}
	}
	var sorted []*unit
	var place func(u *unit)
	place = func(u *unit) {
		if u == nil || u.done {
			return
		}
		u.done = true
		for i := range u.steps {
			for _, slot := range u.steps[i].reads() {
				place(writer[slot])
			}
		}
		sorted = append(sorted, u)
	}
	for _, u := range units {
		place(u)
	}
	return sorted
}

// reads lists the slots that s reads, in its branches too, without the -1 of inputs that are left out.
func (s *step) reads() []int {
	list := slices.DeleteFunc(slices.Clone(s.in), func(slot int) bool { return slot < 0 })
	for _, branch := range s.branch {
		for i := range branch {
			list = append(list, branch[i].reads()...)
		}
	}
	return list
}

// blockStep is the step that stands for inner, which is a part of all.
func (c *compiler) blockStep(name string, inner, all []step) step {
	written, outside := map[int]bool{}, c.outputSlots()
	member := map[*graph.Node]bool{}
	for i := range inner {
		member[inner[i].node] = true
		for _, slot := range inner[i].out {
			written[slot] = true
		}
	}
	for i := range all {
		if !member[all[i].node] {
			for _, slot := range all[i].reads() {
				outside[slot] = true
			}
		}
	}
	block := step{node: &graph.Node{Name: name, Op: "transformer block"}, run: recompute, block: inner}
	keep := map[int]bool{}
	for i := range inner {
		for _, slot := range inner[i].reads() {
			if !written[slot] && !keep[slot] && !c.program.start[slot].known() {
				block.in = append(block.in, slot)
				keep[slot] = true
			}
		}
		for _, slot := range inner[i].out {
			if slot >= 0 && outside[slot] && !keep[slot] {
				block.out = append(block.out, slot)
				keep[slot] = true
			}
		}
	}
	c.findLastUses(inner, keep)
	return block
}

// recompute runs a block without keeping what its backward pass needs; the backward pass runs it again, with the same
// randomness.
func recompute(c *call) []value {
	st, before := c.step, c.run
	known := slices.Clone(before.program.start)
	var slots []int
	var in []*Tensor
	for _, slot := range st.in {
		v := before.env[slot]
		known[slot] = value{h: v.h, causal: v.causal}
		if v.t != nil {
			slots, in = append(slots, slot), append(in, v.t)
		}
	}
	var start, end RNG
	if before.options.RNG != nil {
		start = *before.options.RNG
	}
	onHost := make([]value, len(st.out))
	results := Recompute(c.Scope, func(s *Scope, in []*Tensor) []*Tensor {
		end = start
		r := &run{program: before.program, s: s, env: slices.Clone(known), options: before.options}
		if before.options.RNG != nil {
			r.options.RNG = &end
		}
		for i, slot := range slots {
			r.env[slot].t = in[i]
		}
		r.steps(st.block)
		var out []*Tensor
		for i, slot := range st.out {
			if v := r.env[slot]; v.t == nil && v.h != nil {
				onHost[i] = v
				continue
			}
			out = append(out, r.env[slot].t)
		}
		return out
	}, in)
	if before.options.RNG != nil {
		*before.options.RNG = end
	}
	out := onHost
	for i := range out {
		if out[i].h == nil && len(results) > 0 {
			out[i].t, results = results[0], results[1:]
		}
	}
	return out
}
