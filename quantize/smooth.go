package quantize

import (
	"math"
	"slices"

	"graft/graph"
)

// migration is how much of the activations' spread over features goes over to the weights (α in Xiao et
// al. 2022, "SmoothQuant", equation 4).
const migration = 0.5

// smoothing is a value whose features may be divided by factors without changing what the graph computes: what
// computes it takes the division in, the matrices that read it are multiplied.
type smoothing struct {
	x       *graph.Value
	into    []fold
	readers []*matrix
}

// fold is a constant that takes a division of features in: a vector of them, or the columns of a matrix.
type fold struct {
	node  *graph.Node
	input int
}

// smooth moves scale from the features of products' inputs into the weights behind them, where the norm, the
// product or the gate before can take the inverse in, so that features of one value have like ranges.
func (j *job) smooth() error {
	list := smoothings(j.source.Graph)
	if len(list) == 0 {
		return nil
	}
	values := make([]*graph.Value, len(list))
	largest := make([][]float32, len(list))
	for i, s := range list {
		values[i], largest[i] = s.x, make([]float32, s.readers[0].k)
	}
	err := j.record(values, func(mask []int64, x [][]float32) {
		for i := range values {
			eachRow(mask, x[i], func(row []float32) {
				for f, v := range row {
					largest[i][f] = max(largest[i][f], float32(math.Abs(float64(v))))
				}
			})
		}
	})
	if err != nil {
		return err
	}
	for i, s := range list {
		if err := s.apply(j.source.Graph, largest[i]); err != nil {
			return err
		}
	}
	return nil
}

// apply divides the features of x by factors that even out the largest numbers of x and of the weights.
func (s *smoothing) apply(g *graph.Graph, largest []float32) error {
	weights := make([]float32, len(largest))
	for _, m := range s.readers {
		w, err := m.values()
		if err != nil {
			return err
		}
		for i, v := range w {
			weights[i/m.n] = max(weights[i/m.n], float32(math.Abs(float64(v))))
		}
	}
	factors := make([]float32, len(largest))
	for f := range factors {
		factors[f] = float32(math.Pow(float64(largest[f]), migration) / math.Pow(float64(weights[f]), 1-migration))
		if !(factors[f] > 0) || math.IsInf(float64(factors[f]), 0) {
			factors[f] = 1
		}
	}
	for _, c := range s.into {
		if err := scaled(g, c.node, c.input, func(i int) float32 { return 1 / factors[i%len(factors)] }); err != nil {
			return err
		}
	}
	for _, m := range s.readers {
		for _, n := range m.nodes {
			if err := scaled(g, n, 1, func(i int) float32 { return factors[i/m.n] }); err != nil {
				return err
			}
		}
	}
	return nil
}

// scaled multiplies the elements of a constant that n reads, in a copy that n alone reads.
func scaled(g *graph.Graph, n *graph.Node, input int, factor func(i int) float32) error {
	old := n.Inputs[input].Const()
	w, err := old.Float32s()
	if err != nil {
		return err
	}
	w = slices.Clone(w)
	for i := range w {
		w[i] *= factor(i)
	}
	v := n.Inputs[input]
	t := graph.NewTensor(v.Name, w, old.Shape...)
	if v.Init != nil && onlyReader(g, v) {
		v.Init = t
		return nil
	}
	t.Name = graph.NewBuilder(g, nil).Scope("%s", n.Name).Const(t).Name
	n.Inputs[input] = g.Initializer(t.Name)
	return nil
}

func onlyReader(g *graph.Graph, v *graph.Value) bool { return len(g.Uses()[v]) == 1 }

// smoothings finds the values that nothing but products reads and whose features can be divided.
func smoothings(g *graph.Graph) []smoothing {
	f := &foldFinder{graph: g, uses: g.Uses(), width: 0}
	readers := map[*graph.Value][]*matrix{}
	var order []*graph.Value
	for _, m := range matrices(g) {
		if len(m.nodes) != 1 {
			continue // one matrix of several layers cannot have a factor of one
		}
		x := m.nodes[0].Inputs[0]
		if readers[x] == nil {
			order = append(order, x)
		}
		readers[x] = append(readers[x], m)
	}
	var list []smoothing
	for _, x := range order {
		f.width = readers[x][0].k
		if len(f.uses[x]) != len(readers[x]) || g.IsOutput(x) || !perToken(x) {
			continue
		}
		if into := f.divide(x.Def()); into != nil {
			list = append(list, smoothing{x, into, readers[x]})
		}
	}
	return list
}

// foldFinder looks for constants that take a division in.
type foldFinder struct {
	graph *graph.Graph
	uses  map[*graph.Value][]graph.Use
	width int // features
}

// divide are the constants by which the features of n's result are divided; nil where there are none.
func (f *foldFinder) divide(n *graph.Node) []fold {
	switch {
	case n.Is("LayerNormalization"):
		return f.constants(n, 1, 2)
	case n.Is("Mul") && f.vector(n.Input(0)):
		return f.constants(n, 0)
	case n.Is("Mul") && f.vector(n.Input(1)):
		return f.constants(n, 1)
	case n.Is("Mul"): // a gate: either factor will do
		for _, v := range []*graph.Value{n.Input(1), n.Input(0)} {
			if folds := f.product(v); folds != nil {
				return folds
			}
		}
	case n.Is("Reshape"): // heads merged behind attention, which mixes tokens and keeps features
		return f.merged(n)
	}
	return nil
}

// merged follows the result of attention to the product that its values come from: Reshape, Transpose,
// MatMul of weights and values, Transpose, Reshape.
func (f *foldFinder) merged(n *graph.Node) []fold {
	swap := func(n *graph.Node) bool {
		return n.Is("Transpose") && slices.Equal(n.Ints("perm"), []int64{0, 2, 1, 3})
	}
	t := f.before(n.Input(0))
	if !swap(t) {
		return nil
	}
	sum := f.before(t.Input(0))
	if !sum.Is("MatMul") || sum.Input(1).Const() != nil {
		return nil
	}
	v := f.before(sum.Input(1))
	if !swap(v) {
		return nil
	}
	split := f.before(v.Input(0))
	if !split.Is("Reshape") {
		return nil
	}
	return f.product(split.Input(0))
}

// product are the columns of the matrix, and the bias, that v comes from.
func (f *foldFinder) product(v *graph.Value) []fold {
	n := f.before(v)
	var folds []fold
	if n.Is("Add") {
		for i := range 2 {
			if f.vector(n.Input(i)) {
				folds = f.constants(n, i)
				n = f.before(n.Input(1 - i))
				break
			}
		}
	}
	if !n.Is("MatMul") {
		return nil
	}
	w := n.Input(1)
	if w.Init == nil || len(w.Init.Shape) != 2 || w.Init.DType != graph.Float || int(w.Init.Shape[1]) != f.width {
		return nil
	}
	return append(folds, fold{n, 1})
}

// before is the node that writes v, nil where another reads v too.
func (f *foldFinder) before(v *graph.Value) *graph.Node {
	if v == nil || len(f.uses[v]) != 1 || f.graph.IsOutput(v) {
		return nil
	}
	return v.Def()
}

// vector reports whether v is a constant of one number for each feature.
func (f *foldFinder) vector(v *graph.Value) bool {
	t := v.Const()
	return t != nil && t.DType == graph.Float && len(t.Shape) == 1 && int(t.Shape[0]) == f.width
}

// constants are vectors that n reads; nil where one is none. Those that are left out do not count.
func (f *foldFinder) constants(n *graph.Node, inputs ...int) []fold {
	var folds []fold
	for _, i := range inputs {
		if n.Input(i) == nil {
			continue
		}
		if !f.vector(n.Input(i)) {
			return nil
		}
		folds = append(folds, fold{n, i})
	}
	return folds
}
