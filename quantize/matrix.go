package quantize

import (
	"regexp"
	"slices"

	"graft/graph"
	"graft/graph/pass"
)

// matrix is a weight of products: y = x·W.
type matrix struct {
	name   string        // of the module that it belongs to
	weight *graph.Value  // float32 [K, N]
	k, n   int           // features that go in and come out
	nodes  []*graph.Node // the MatMuls that read it, as input 1
}

// matrices finds the weights of products, in the graph's order. A Gemm becomes a MatMul and an Add
// first, so that all are alike.
func matrices(g *graph.Graph) []*matrix {
	splitGemms(g)
	uses := g.Uses()
	found := map[*graph.Value]*matrix{}
	var list []*matrix
	for _, n := range g.Nodes {
		w := n.Input(1)
		if !n.Is("MatMul") || n.Input(0).Const() != nil || w.Init == nil || len(w.Init.Shape) != 2 || w.Init.DType != graph.Float || g.Input(w.Name) != nil {
			continue
		}
		if found[w] == nil {
			if slices.ContainsFunc(uses[w], func(u graph.Use) bool { return u.Index != 1 || !u.Node.Is("MatMul") }) || g.IsOutput(w) {
				continue // a table of embeddings too, or a constant of something else
			}
			found[w] = &matrix{name: pass.ModuleName(n, w), weight: w, k: int(w.Init.Shape[0]), n: int(w.Init.Shape[1])}
			list = append(list, found[w])
		}
		found[w].nodes = append(found[w].nodes, n)
	}
	return list
}

// values are the weights, row-major [K, N].
func (m *matrix) values() ([]float32, error) { return m.weight.Init.Float32s() }

// without are the weights, those of some features that go in 0.
func (m *matrix) without(features []int) ([]float32, error) {
	w, err := m.values()
	if err != nil || len(features) == 0 {
		return w, err
	}
	w = slices.Clone(w)
	for _, f := range features {
		clear(w[f*m.n : (f+1)*m.n])
	}
	return w, nil
}

// matches reports whether any of the names that m goes by does.
func (m *matrix) matches(re *regexp.Regexp) bool {
	return matches(re, m.name, m.weight.Name) || slices.ContainsFunc(m.nodes, func(n *graph.Node) bool { return matches(re, n.Name) })
}

func matches(re *regexp.Regexp, names ...string) bool {
	return re != nil && slices.ContainsFunc(names, re.MatchString)
}

// splitGemms writes x·W + b with a constant matrix as MatMul and Add.
func splitGemms(g *graph.Graph) {
	transposed := map[*graph.Value]*graph.Value{}
	var nodes []*graph.Node
	for _, n := range g.Nodes {
		nodes = append(nodes, n)
		w := n.Input(1)
		plain := n.Is("Gemm") && n.Float("alpha", 1) == 1 && n.Float("beta", 1) == 1 && n.Int("transA", 0) == 0
		if !plain || w.Init == nil || w.Init.DType != graph.Float || len(w.Init.Shape) != 2 || g.Input(w.Name) != nil {
			continue
		}
		if n.Int("transB", 0) == 1 {
			if transposed[w] == nil {
				transposed[w] = g.AddInitializer(graph.Transpose(w.Init))
			}
			w = transposed[w]
		}
		y, bias := n.Outputs[0], n.Input(2)
		n.Op, n.Attrs, n.Inputs = "MatMul", nil, []*graph.Value{n.Inputs[0], w}
		if bias == nil {
			continue
		}
		product := graph.NewValue(y.Name+"/product", y.Type)
		n.SetOutput(0, product)
		add := graph.NewNode("Add", []*graph.Value{product, bias}, []*graph.Value{y})
		add.Name = n.Name + "/Add"
		nodes = append(nodes, add)
	}
	g.Nodes = nodes
}
