package quantize

import (
	"cmp"
	"math"
	"slices"

	"graft/graph"
)

// In feed-forward networks a few neurons reach numbers that are tens of times those of all others, at a few tokens (Dettmers
// et al. 2022, "LLM.int8()"; Sun et al. 2024, "Massive Activations"). One range for all features would spend its codes on
// them, and cutting them off would lose what they say. So these features are computed apart: the int8 product
// leaves them out, and a narrow float32 product adds what they give. They are computed again from what the
// activation was computed from, so that the wide one may stay inside of a fused operator.

const (
	outlierFactor = 8  // how much larger than the median feature's an outlier's largest magnitude is
	outlierShare  = 64 // of so many features at most one is taken apart
)

// outliers are the features to take apart, ascending: the largest of those that go beyond the others.
func outliers(features []limits) []int {
	largest, order := make([]float32, len(features)), make([]int, len(features))
	for i, l := range features {
		largest[i], order[i] = max(-l.low, l.high), i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(largest[b], largest[a]) })
	if len(order) < outlierShare {
		return nil
	}
	least := outlierFactor * largest[order[len(order)/2]]
	n := 0
	for n < len(order)/outlierShare && largest[order[n]] > least {
		n++
	}
	return slices.Sorted(slices.Values(order[:n]))
}

// span holds the limits of all features but those in without, which is ascending.
func span(features []limits, without []int) limits {
	var all limits
	for i, l := range features {
		if _, out := slices.BinarySearch(without, i); !out {
			all.include(l.low)
			all.include(l.high)
		}
	}
	return all
}

// without is a row but for some of its features.
func without(row []float32, features []int) []float32 {
	if len(features) == 0 {
		return row
	}
	var rest []float32
	from := 0
	for _, f := range features {
		rest, from = append(rest, row[from:f]...), f+1
	}
	return append(rest, row[from:]...)
}

// elementwise are the operators that give each feature by itself.
var elementwise = []string{"Add", "Sub", "Mul", "Div", "Pow", "Neg", "Gelu", "Erf", "Tanh", "Sigmoid", "Swish", "Relu", "LeakyRelu", "Softplus"}

// mostProducts bounds what is computed again for features that are taken apart: a gated network has two products.
const mostProducts = 2

// separable reports whether single features of v can be computed by themselves: from the columns of products, through
// operators on single features.
func separable(v *graph.Value) bool {
	products := map[*graph.Node]bool{}
	var walk func(v *graph.Value) bool
	walk = func(v *graph.Value) bool {
		if c := v.Const(); c != nil {
			return c.DType == graph.Float && (c.Len() == 1 || len(c.Shape) == 1)
		}
		n := v.Def()
		switch {
		case n.Is("MatMul"):
			products[n] = true
			w := n.Input(1).Init
			return len(products) <= mostProducts && n.Input(0).Const() == nil && w != nil && w.DType == graph.Float && len(w.Shape) == 2
		case n == nil || !slices.ContainsFunc(elementwise, n.Is):
			return false
		}
		for _, in := range n.Inputs {
			if in == nil || !walk(in) {
				return false
			}
		}
		return true
	}
	return v.Const() == nil && walk(v)
}

// takeApart adds what the outliers among m's features give in float32, and returns how many bytes that
// takes; the int8 product is to leave them out.
func (j *job) takeApart(m *matrix, w []float32, features []int) (int64, error) {
	g, n := j.model.Graph, m.nodes[0]
	rows := make([]float32, 0, len(features)*m.n)
	for _, f := range features {
		rows = append(rows, w[f*m.n:(f+1)*m.n]...)
	}
	s := selection{job: j, features: features, made: map[*graph.Value]*graph.Value{}}
	x, err := s.of(n.Inputs[0])
	if err != nil {
		return 0, err
	}
	weight := s.keep(m.weight.Name, rows, int64(len(features)), int64(m.n))
	part := j.b.Scope("%s.outliers", m.name).Op("MatMul", []*graph.Value{x, weight})
	y := n.Outputs[0]
	if uses := g.Uses()[y]; len(uses) == 1 && uses[0].Node.Is("Add") && uses[0].Node.Input(1-uses[0].Index).Const() != nil {
		y = uses[0].Node.Outputs[0] // behind the bias, which runtimes fuse with the product
	}
	rest := graph.NewValue(y.Name+"/int8", y.Type)
	y.Def().SetOutput(0, rest)
	sum := graph.NewNode("Add", []*graph.Value{rest, part}, []*graph.Value{y})
	sum.Name = y.Name + "/outliers"
	g.Nodes = append(g.Nodes, sum)
	return s.bytes, nil
}

// selection computes some features of a value by themselves.
type selection struct {
	*job
	features []int
	made     map[*graph.Value]*graph.Value // what was selected of
	bytes    int64                         // of weights
}

// of is v with these features alone; v is separable.
func (s *selection) of(v *graph.Value) (*graph.Value, error) {
	if s.made[v] != nil {
		return s.made[v], nil
	}
	picked, err := s.pick(v)
	s.made[v] = picked
	return picked, err
}

func (s *selection) pick(v *graph.Value) (*graph.Value, error) {
	if c := v.Const(); c != nil {
		if c.Len() == 1 {
			return v, nil
		}
		x, err := c.Float32s()
		if err != nil {
			return nil, err
		}
		return s.keep(v.Name, s.columns(x, len(x)), int64(len(s.features))), nil
	}
	n := v.Def()
	b := s.b.Scope("%s.outliers", v.Name)
	if n.Is("MatMul") {
		w := n.Input(1)
		x, err := w.Init.Float32s()
		if err != nil {
			return nil, err
		}
		rows := w.Init.Shape[0]
		return b.Op("MatMul", []*graph.Value{n.Input(0), s.keep(w.Name, s.columns(x, int(w.Init.Shape[1])), rows, int64(len(s.features)))}), nil
	}
	in := make([]*graph.Value, len(n.Inputs))
	for i, v := range n.Inputs {
		var err error
		if in[i], err = s.of(v); err != nil {
			return nil, err
		}
	}
	return b.Op(n.Op, in, n.Attrs...), nil
}

// columns are the features of each row of x.
func (s *selection) columns(x []float32, width int) []float32 {
	var list []float32
	for row := range slices.Chunk(x, width) {
		for _, f := range s.features {
			list = append(list, row[f])
		}
	}
	return list
}

func (s *selection) keep(name string, x []float32, shape ...int64) *graph.Value {
	s.bytes += int64(4 * len(x))
	return s.b.Scope("%s.outliers", name).Const(graph.NewTensor(name+".outliers", x, shape...))
}

// finite reports whether both limits are numbers.
func (l limits) finite() bool {
	w := float64(l.high) - float64(l.low)
	return !math.IsNaN(w) && !math.IsInf(w, 0)
}
