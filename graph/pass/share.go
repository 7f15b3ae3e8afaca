package pass

import (
	"bytes"

	"graft/graph"
)

// Share merges weights of equal content, which are one weight that several layers share (ALBERT): exporters write such a weight
// once for each of them, and trained apart the copies would not stay equal. What is equal by chance stays: a few numbers, and one
// number again and again, as norms begin.
var Share = Pass{"share", "merge copies of a weight", share}

func share(m *graph.Model) (bool, error) {
	d := &deduper{model: m, isInput: defaults(m.Graph), isOutput: outputs(m.Graph), only: isLearned, instead: map[*graph.Value]*graph.Value{}}
	if err := d.weights(m.Graph); err != nil {
		return false, err
	}
	m.Graph.Walk(func(n *graph.Node) {
		for i, v := range n.Inputs {
			if w := d.instead[v]; w != nil {
				n.Inputs[i] = w
			}
		}
	})
	return len(d.instead) > 0, nil
}

// fewest is how many numbers are not equal by chance.
const fewest = 8

// isLearned reports whether t holds floats as training leaves them.
func isLearned(t *graph.Tensor, start []byte) bool {
	size := t.DType.Bits() / 8
	return t.DType.IsFloat() && size > 0 && t.Len() >= fewest && len(start) >= 2*size && !bytes.Equal(start[size:], start[:len(start)-size])
}
