package pass

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"graft/graph"
)

// Dedupe merges initializers of equal content and nodes that compute the same from the same
// values. Of equal ones the first stays. Contents are compared by their SHA-256, read in a
// stream, and only where element type, shape and first bytes are equal.
var Dedupe = Pass{"dedupe", "merge equal weights and nodes that compute the same", dedupe}

func dedupe(m *graph.Model) (bool, error) {
	d := &deduper{model: m, isInput: defaults(m.Graph), isOutput: outputs(m.Graph), instead: map[*graph.Value]*graph.Value{}}
	var err error
	m.Graph.WalkGraphs(func(g *graph.Graph) {
		if err == nil {
			err = d.weights(g)
		}
	})
	if err != nil {
		return false, err
	}
	d.nodes(m.Graph)
	return len(d.instead) > 0, nil
}

type deduper struct {
	model             *graph.Model
	isInput, isOutput map[*graph.Value]bool
	only              func(t *graph.Tensor, start []byte) bool // weights that may be merged, by their first bytes; nil: all
	instead           map[*graph.Value]*graph.Value            // what to read instead of a merged value
}

// weights merges equal initializers of g.
func (d *deduper) weights(g *graph.Graph) error {
	alike := map[string][]*graph.Value{} // by element type, shape and first bytes as they are stored
	for _, v := range g.Initializers {
		if d.isInput[v] || d.isOutput[v] {
			continue
		}
		source, turned := v.Init.Source()
		start, err := firstBytes(source)
		if err != nil {
			return err
		}
		if d.only != nil && !d.only(source, start) {
			continue
		}
		key := fmt.Sprintf("%v %t %x", v.Init.Type(), turned, start)
		alike[key] = append(alike[key], v)
	}
	merged := map[*graph.Value]bool{}
	for _, list := range alike {
		if len(list) < 2 {
			continue
		}
		first := map[[sha256.Size]byte]*graph.Value{}
		for _, v := range list {
			sum, err := contentHash(v.Init)
			if err != nil {
				return err
			}
			if w := first[sum]; w != nil {
				d.instead[v] = w
				merged[v] = true
			} else {
				first[sum] = v
			}
		}
	}
	g.Initializers = slices.DeleteFunc(g.Initializers, func(v *graph.Value) bool { return merged[v] })
	return nil
}

// errEnough ends the reading of a tensor.
var errEnough = errors.New("enough read")

// prefix is a writer that keeps what fits in it and then refuses more.
type prefix []byte

func (p *prefix) Write(b []byte) (int, error) {
	n := min(len(b), cap(*p)-len(*p))
	*p = append(*p, b[:n]...)
	if n < len(b) {
		return n, errEnough
	}
	return n, nil
}

// firstBytes are the first bytes of t, which tell most weights apart without reading them whole.
func firstBytes(t *graph.Tensor) ([]byte, error) {
	p := make(prefix, 0, 512)
	if t.Data == nil {
		return nil, nil
	}
	if _, err := t.Data.WriteTo(&p); err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read tensor %q: %w", t.Name, err)
	}
	return p, nil
}

// contentHash is the SHA-256 of t's elements.
func contentHash(t *graph.Tensor) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for _, s := range t.Strings {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	if t.Data != nil {
		if _, err := t.Data.WriteTo(h); err != nil {
			return sum, fmt.Errorf("read tensor %q: %w", t.Name, err)
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// nodes merges nodes of g that compute the same, in topological order, so that what reads
// merged nodes can be merged in turn.
func (d *deduper) nodes(g *graph.Graph) {
	first := map[string]*graph.Node{}
	merged := map[*graph.Node]bool{}
	for _, n := range g.Nodes {
		for i, v := range n.Inputs {
			if w := d.instead[v]; w != nil {
				n.Inputs[i] = w
			}
		}
		subgraphs(n, d.nodes)
		if !d.mergeable(n) {
			continue
		}
		key := nodeKey(n)
		if w := first[key]; w == nil {
			first[key] = n
		} else {
			for i, v := range n.Outputs {
				if v != nil {
					d.instead[v] = w.Outputs[i]
				}
			}
			merged[n] = true
		}
	}
	for i, v := range g.Outputs {
		if w := d.instead[v]; w != nil {
			g.Outputs[i] = w
		}
	}
	g.Remove(func(n *graph.Node) bool { return merged[n] })
}

// random operators give something else each time; Dropout does in training.
var random = []string{"Bernoulli", "Dropout", "RandomNormalLike", "RandomUniformLike"}

// mergeable reports whether n is a known operator without subgraphs or chance, and no output of a graph.
func (d *deduper) mergeable(n *graph.Node) bool {
	op := graph.LookupOp(n.Domain, n.Op, d.model.Opset(n.Domain))
	if op == nil || op.Infer == nil || slices.Contains(random, n.Op) || d.model.FunctionOf(n) != nil {
		return false
	}
	for _, a := range n.Attrs {
		if a.Graph != nil || len(a.Graphs) > 0 || a.Tensor != nil || len(a.Tensors) > 0 || a.Extra != nil || a.Ref != "" {
			return false
		}
	}
	return !slices.ContainsFunc(n.Outputs, func(v *graph.Value) bool { return d.isOutput[v] })
}

// nodeKey is equal for nodes that compute the same: operator, inputs, attributes, and which outputs are asked for.
func nodeKey(n *graph.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %d", n.Domain, n.Op, len(n.Outputs))
	for _, v := range n.Outputs {
		fmt.Fprintf(&b, " %t", v != nil)
	}
	for _, v := range n.Inputs {
		fmt.Fprintf(&b, " %p", v)
	}
	attrs := slices.Clone(n.Attrs)
	slices.SortFunc(attrs, func(x, y graph.Attr) int { return strings.Compare(x.Name, y.Name) })
	for _, a := range attrs {
		fmt.Fprintf(&b, " %q %d %x %d %q %x %d %q", a.Name, a.Kind, a.Float, a.Int, a.Str, a.Floats, a.Ints, a.Strs)
	}
	return b.String()
}
