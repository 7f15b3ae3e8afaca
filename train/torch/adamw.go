//go:build !lite

package torch

import (
	"fmt"

	"graft/train/torch/internal/shim"
)

// AdamWOptions are the constants of AdamW.
type AdamWOptions struct {
	Beta1, Beta2 float64
	Eps          float64
	WeightDecay  float64
}

// AdamW is the optimizer of "Decoupled Weight Decay Regularization" (Loshchilov and Hutter, 2019), as torch.optim.AdamW
// computes it with fused kernels. Parameters without gradient keep their value, state and step.
type AdamW struct {
	options AdamWOptions
	groups  [2]adamwGroup // 0: without decay, 1: with
	state   []AdamWState  // per parameter, in the order of NewAdamW
}

// AdamWState is the optimizer's memory of one parameter. The tensors belong to the optimizer.
type AdamWState struct {
	ExpAvg, ExpAvgSq *Tensor // as the parameter
	Step             *Tensor // float32 scalar: the updates so far
}

type adamwGroup struct{ params, expAvgs, expAvgSqs, steps []*Tensor }

// NewAdamW makes an optimizer of params; decay says for each whether weight decay applies.
func NewAdamW(params []*Tensor, decay []bool, o AdamWOptions) (*AdamW, error) {
	if len(decay) != len(params) {
		return nil, fmt.Errorf("adamw: %d decay flags for %d parameters", len(decay), len(params))
	}
	unlock := Lock()
	defer unlock()
	s := NewScope()
	defer s.Close()
	a := &AdamW{options: o}
	for i, p := range params {
		st := AdamWState{ExpAvg: s.ZerosLike(p), ExpAvgSq: s.ZerosLike(p), Step: s.Zeros(Float32, p.Device())}
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("adamw: parameter %d: %w", i, err)
		}
		a.state = append(a.state, st)
		g := &a.groups[flag(decay[i])]
		g.params = append(g.params, p)
		g.expAvgs = append(g.expAvgs, st.ExpAvg)
		g.expAvgSqs = append(g.expAvgSqs, st.ExpAvgSq)
		g.steps = append(g.steps, st.Step)
	}
	for _, st := range a.state {
		for _, t := range st.tensors() {
			s.Keep(t)
		}
	}
	return a, nil
}

func (st AdamWState) tensors() [3]*Tensor { return [3]*Tensor{st.ExpAvg, st.ExpAvgSq, st.Step} }

// Step updates every parameter that has a gradient, in place, with learning rate lr.
func (a *AdamW) Step(lr float64) error {
	unlock := Lock()
	defer unlock()
	for i, g := range a.groups {
		if len(g.params) == 0 {
			continue
		}
		o := a.options
		err := shim.AdamW(raws(g.params), raws(g.expAvgs), raws(g.expAvgSqs), raws(g.steps), lr, o.Beta1, o.Beta2, o.WeightDecay*float64(i), o.Eps)
		if err != nil {
			return stepError("adamw", err)
		}
	}
	return nil
}

// State is the memory of each parameter, in the order of NewAdamW; the tensors stay the optimizer's.
func (a *AdamW) State() []AdamWState { return a.state }

// SetState copies a state that State returned, perhaps in another process, into the optimizer.
func (a *AdamW) SetState(state []AdamWState) error {
	if len(state) != len(a.state) {
		return fmt.Errorf("adamw: state of %d parameters, have %d", len(state), len(a.state))
	}
	for i, st := range state {
		for j, t := range st.tensors() {
			own := a.state[i].tensors()[j]
			if t == nil || !sameShape(own, t) {
				return fmt.Errorf("adamw: state of parameter %d: got %v, want %v", i, t, own)
			}
			if err := own.CopyFrom(t); err != nil {
				return fmt.Errorf("adamw: state of parameter %d: %w", i, err)
			}
		}
	}
	return nil
}

// Close frees the state.
func (a *AdamW) Close() {
	for _, st := range a.state {
		for _, t := range st.tensors() {
			t.Free()
		}
	}
	a.state, a.groups = nil, [2]adamwGroup{}
}
