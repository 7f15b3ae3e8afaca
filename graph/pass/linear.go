package pass

import (
	"regexp"
	"slices"
	"strings"

	"graft/graph"
)

// linear is a product with a weight that is a module's of its own: torch.nn.Linear, or what an
// exporter made of it. A module that is applied twice has two.
type linear struct {
	module string       // the weight's name without ".weight", or the node's path as a module's name
	node   *graph.Node  // MatMul or Gemm; its input 0 is x [..., in]
	last   *graph.Node  // the Add of the bias where one follows, else node; it writes y [..., out]
	weight *graph.Value // an initializer
	outIn  bool         // it is stored [out, in], as torch does; else [in, out]
}

// linears finds the linear modules of g in its order.
func linears(g *graph.Graph) []linear {
	uses := g.Uses()
	var list []linear
	owner := map[string]*graph.Value{} // module -> weight
	for _, n := range g.Nodes {
		l, ok := linearOf(n)
		if !ok || !onlyProducts(l.weight, uses) {
			continue
		}
		l.module = ModuleName(n, l.weight)
		if w := owner[l.module]; w != nil && w != l.weight {
			l.module = l.weight.Name
		}
		owner[l.module] = l.weight
		l.last = biasAdd(g, n, uses)
		list = append(list, l)
	}
	return list
}

// LinearModules names the linear modules of g, in its order, each once.
func LinearModules(g *graph.Graph) []string {
	var names []string
	for _, l := range linears(g) {
		if !slices.Contains(names, l.module) {
			names = append(names, l.module)
		}
	}
	return names
}

// BlockModules names the linear modules of m's transformer blocks, in order: what the literature on
// LoRA adapts where nothing else is said (Dettmers et al. 2023). m must be in the IR's form.
func BlockModules(m *graph.Model) ([]string, error) {
	layers, err := graph.Layers(m)
	if err != nil {
		return nil, err
	}
	inBlock := map[*graph.Node]bool{}
	for _, layer := range layers {
		for _, l := range layer.Linears {
			inBlock[l.Node] = true
		}
	}
	var names []string
	for _, l := range linears(m.Graph) {
		if inBlock[l.node] && !slices.Contains(names, l.module) {
			names = append(names, l.module)
		}
	}
	return names, nil
}

// linearOf recognizes a product with a matrix of the graph.
func linearOf(n *graph.Node) (linear, bool) {
	l := linear{node: n, weight: n.Input(1)}
	switch {
	case n.Is("MatMul"):
		if t := n.Input(1).Def(); t != nil && t.Is("Transpose") && (t.Attr("perm") == nil || slices.Equal(t.Ints("perm"), []int64{1, 0})) {
			l.weight, l.outIn = t.Input(0), true
		}
	case n.Is("Gemm") && n.Float("alpha", 1) == 1 && n.Int("transA", 0) == 0:
		l.outIn = n.Int("transB", 0) == 1
	default:
		return l, false
	}
	w := l.weight
	return l, w != nil && w.Init != nil && len(w.Init.Shape) == 2 && w.Init.DType.IsFloat()
}

// onlyProducts reports whether w is read by products alone: a table of embeddings that is also a
// matrix is no module's of its own.
func onlyProducts(w *graph.Value, uses map[*graph.Value][]graph.Use) bool {
	for _, u := range uses[w] {
		if u.Node.Is("Transpose") {
			if !onlyProducts(u.Node.Outputs[0], uses) {
				return false
			}
		} else if u.Index != 1 || !u.Node.Is("MatMul") && !u.Node.Is("Gemm") {
			return false
		}
	}
	return true
}

// biasAdd is the Add of a constant vector to n's result where nothing else reads that, otherwise n.
func biasAdd(g *graph.Graph, n *graph.Node, uses map[*graph.Value][]graph.Use) *graph.Node {
	y := n.Outputs[0]
	if !n.Is("MatMul") || len(uses[y]) != 1 || g.IsOutput(y) {
		return n
	}
	add := uses[y][0]
	if !add.Node.Is("Add") || !slices.Contains(g.Nodes, add.Node) {
		return n
	}
	if bias := add.Node.Input(1 - add.Index).Const(); bias != nil && len(bias.Shape) == 1 {
		return add.Node
	}
	return n
}

// sizes are the numbers of features that go in and come out.
func (l *linear) sizes() (in, out int64) {
	shape := l.weight.Init.Shape
	if l.outIn {
		return shape[1], shape[0]
	}
	return shape[0], shape[1]
}

// matches reports whether any of the module's names does.
func (l *linear) matches(re *regexp.Regexp) bool {
	return re.MatchString(l.module) || re.MatchString(l.weight.Name) || re.MatchString(l.node.Name)
}

// weightEndings are what stands behind a module's name in its weight's: PyTorch's, Lower's.
var weightEndings = []string{".weight", ".weight.T"}

// ModuleName is the checkpoint's name of the module that weight and its reader n belong to. Exporters fold
// transposes and then name weights onnx::MatMul_512; the node's name keeps the module's path, as in
// /encoder/layer.0/output/dense/MatMul.
func ModuleName(n *graph.Node, weight *graph.Value) string {
	for _, ending := range weightEndings {
		if name, ok := strings.CutSuffix(weight.Name, ending); ok {
			return name
		}
	}
	path := strings.Split(strings.Trim(n.Name, "/"), "/")
	if len(path) < 2 {
		return weight.Name
	}
	return strings.Join(path[:len(path)-1], ".")
}
