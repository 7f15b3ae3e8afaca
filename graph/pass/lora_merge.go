package pass

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"graft/graph"
)

// MergeLoRA adds every adapter that InsertLoRA or AttachLoRA put into m to its module's weight,
// W' = W + Scale·B·A in W's own layout, and removes the adapter. It returns the weights' names.
// W' is computed when it is read, from the tensors that W, A and B hold now.
func MergeLoRA(m *graph.Model) ([]string, error) {
	g := m.Graph
	merged := map[*graph.Value]bool{}
	var names []string
	byResult := map[*graph.Value]*graph.Node{} // of an adapter: its product, scaled
	for _, n := range g.Nodes {
		if n.Is("Mul") && isLoRA(n) {
			byResult[n.Outputs[0]] = n
		}
	}
	for _, add := range g.Nodes {
		delta := byResult[add.Input(1)]
		if !add.Is("Add") || delta == nil {
			continue
		}
		base := add.Inputs[0]
		l, err := adaptedLinear(base)
		if err != nil {
			return nil, fmt.Errorf("merge LoRA: node %q: %w", add.Name, err)
		}
		if !merged[l.weight] {
			if l.weight.Init, err = mergeTensor(&l, delta); err != nil {
				return nil, fmt.Errorf("merge LoRA: weight %q: %w", l.weight.Name, err)
			}
			merged[l.weight] = true
			names = append(names, l.weight.Name)
		}
		base.Def().SetOutput(0, add.Outputs[0])
	}
	if len(byResult) > 0 {
		if _, err := removeDead(m); err != nil {
			return nil, fmt.Errorf("merge LoRA: %w", err)
		}
	}
	return names, nil
}

// factors are the adapter's matrices behind the scaled product n, nil where n is no such product.
func factors(n *graph.Node) (a, b *graph.Value) {
	outer := n.Input(0).Def()
	if !outer.Is("MatMul") || !outer.Inputs[0].Def().Is("MatMul") {
		return nil, nil
	}
	matrix := func(product *graph.Node) *graph.Value {
		if t := product.Inputs[1].Def(); t.Is("Transpose") {
			return t.Inputs[0]
		}
		return nil
	}
	return matrix(outer.Inputs[0].Def()), matrix(outer)
}

// isLoRA reports whether n scales the product of an adapter.
func isLoRA(n *graph.Node) bool {
	a, b := factors(n)
	return a != nil && b != nil && n.Inputs[1].Init != nil && strings.HasPrefix(b.Name, LoRAPrefix) && strings.HasSuffix(a.Name, LoRAA) && strings.HasSuffix(b.Name, LoRAB)
}

// adapted reports whether an adapter is added to l's result.
func (l *linear) adapted() bool { return strings.HasSuffix(l.last.Outputs[0].Name, adaptedBase) }

// adaptedLinear is the linear module that writes base, its bias included.
func adaptedLinear(base *graph.Value) (linear, error) {
	n := base.Def()
	if n.Is("Add") {
		for _, in := range n.Inputs {
			if d := in.Def(); d.Is("MatMul") {
				n = d
				break
			}
		}
	}
	if n == nil {
		return linear{}, fmt.Errorf("nothing writes %q", base.Name)
	}
	l, ok := linearOf(n)
	if !ok {
		return l, fmt.Errorf("%q is not the result of a linear module", base.Name)
	}
	return l, nil
}

// mergeTensor is W + scale·B·A for the adapter whose scaled product is delta.
func mergeTensor(l *linear, delta *graph.Node) (*graph.Tensor, error) {
	va, vb := factors(delta)
	scales, err := delta.Inputs[1].Init.Float32s()
	if err != nil {
		return nil, err
	}
	w, a, b, outIn := l.weight.Init, va.Init, vb.Init, l.outIn
	out := *w
	out.Data = graph.Derived{Length: w.Size(), Write: func(to io.Writer) error {
		values, err := mergedValues(w, a, b, float64(scales[0]), outIn)
		if err != nil {
			return err
		}
		_, err = to.Write(values)
		return err
	}}
	return &out, nil
}

// mergedValues are the bytes of W + scale·B·A, float32. Sums are of float64, rounded once.
func mergedValues(w, a, b *graph.Tensor, scale float64, outIn bool) ([]byte, error) {
	wf, err := w.Float32s()
	if err != nil {
		return nil, err
	}
	af, err := a.Float32s()
	if err != nil {
		return nil, err
	}
	bf, err := b.Float32s()
	if err != nil {
		return nil, err
	}
	rank, in, out := int(a.Shape[0]), int(a.Shape[1]), int(b.Shape[0])
	bytes := make([]byte, 4*len(wf))
	row := make([]float64, in)
	for o := range out {
		clear(row)
		for r := range rank {
			f := scale * float64(bf[o*rank+r])
			for i, x := range af[r*in : (r+1)*in] {
				row[i] += f * float64(x)
			}
		}
		for i, d := range row {
			at := o*in + i
			if !outIn {
				at = i*out + o
			}
			binary.LittleEndian.PutUint32(bytes[4*at:], math.Float32bits(float32(float64(wf[at])+d)))
		}
	}
	return bytes, nil
}
