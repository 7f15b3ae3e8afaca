//go:build !lite

package torch_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"graft/graph"
	"graft/train/torch"
)

// noGradient are operators of floats whose result does not follow its inputs smoothly, or is no float.
var noGradient = []string{"ArgMax", "ArgMin", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "And", "Ceil", "Equal", "EyeLike", "Floor",
	"Greater", "GreaterOrEqual", "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "NonZero", "Not", "OneHot", "Or", "Range",
	"Round", "Shape", "Sign", "Size", "Xor", "Constant", "ConstantOfShape", "Cast", "CastLike", "DequantizeLinear", "If", "Mod"}

// roughTests have inputs on the very kinks or poles of their functions: the difference quotient is no gradient there.
var roughTests = []string{"acosh_example", "elu_example", "l2normalization_axis_0", "leakyrelu_example", "pow", "selu_example",
	"reduce_min_default_axes_keepdims_example", "thresholdedrelu_example"}

// The gradient of every operator in float64 agrees with the difference quotient, at the inputs of the reference
// library's operator tests.
func TestGradients(t *testing.T) {
	checked, elements := map[string]int{}, 0
	for _, c := range backend(t) {
		if len(c.model.Graph.Nodes) != 1 || slices.Contains(roughTests, c.name) {
			continue
		}
		n := c.model.Graph.Nodes[0]
		if slices.Contains(noGradient, n.Op) || c.run() != nil {
			continue
		}
		count, err := c.checkGradients()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if count > 0 {
			checked[n.Op]++
			elements += count
		}
	}
	t.Logf("%d gradients of %d operators agree", elements, len(checked))
	for _, op := range torch.Ops() {
		if checked[op] == 0 && !slices.Contains(noGradient, op) && !slices.Contains(noBackendTest, op) {
			t.Errorf("no test checks the gradient of %s", op)
		}
	}
}

// mostElements bounds the elements of an input whose gradients are checked: the first and the last of them.
const mostElements = 8

// gradientCase runs one program on inputs some of which vary, in float64.
type gradientCase struct {
	program *torch.Program
	names   []string
	shapes  [][]int64
	fixed   []*graph.Tensor
	varied  [][]float64 // nil where an input does not vary
}

// checkGradients compares the gradient of a weighted sum of the float outputs with its difference quotient, and gives the
// number of elements compared.
func (c backendCase) checkGradients() (int, error) {
	p, err := torch.Compile(c.model, torch.CompileOptions{})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	defer torch.Lock()()
	g := gradientCase{program: p}
	for i, v := range c.model.Graph.Inputs {
		value := c.tensor(fmt.Sprintf("input_%d.pb", i))
		list, err := c.floats(value, i)
		if err != nil {
			return 0, err
		}
		g.names, g.shapes, g.fixed = append(g.names, v.Name), append(g.shapes, value.Shape), append(g.fixed, value)
		g.varied = append(g.varied, list)
	}
	_, grads, err := g.weightedSum(true)
	if err != nil || grads == nil {
		return 0, err
	}
	count := 0
	for i, list := range g.varied {
		for k := range list {
			if grads[i] == nil || k >= mostElements/2 && k < len(list)-mostElements/2 {
				continue
			}
			if err := g.quotient(i, k, grads[i][k]); err != nil {
				return count, err
			}
			count++
		}
	}
	return count, nil
}

// floats are the elements of a float input, nil for others. What Trilu's tests move are integers, which might be floats.
func (c backendCase) floats(t *graph.Tensor, i int) ([]float64, error) {
	if c.model.Graph.Nodes[0].Op == "Trilu" && i == 0 {
		list, err := t.Int64s()
		out := make([]float64, len(list))
		for k, x := range list {
			out[k] = float64(x)
		}
		return out, err
	}
	if t.DType != graph.Float && t.DType != graph.Double {
		return nil, nil
	}
	list, err := t.Float32s()
	out := make([]float64, len(list))
	for k, x := range list {
		out[k] = float64(x)
	}
	return out, err
}

// quotient compares the gradient of element k of input i with a central difference.
func (g *gradientCase) quotient(i, k int, grad float64) error {
	const h = 1e-5
	at := g.varied[i][k]
	var side [2]float64
	for j, d := range []float64{h, -h} {
		g.varied[i][k] = at + d
		y, _, err := g.weightedSum(false)
		if err != nil {
			return err
		}
		side[j] = y
	}
	g.varied[i][k] = at
	want := (side[0] - side[1]) / (2 * h)
	if diff := math.Abs(grad - want); !(diff <= 1e-5+1e-4*math.Abs(want)) {
		return fmt.Errorf("gradient of element %d of input %d is %v, the difference quotient %v", k, i, grad, want)
	}
	return nil
}

// weightedSum runs the program, sums its float outputs with fixed random weights, and gives the gradients of the inputs
// that vary.
func (g *gradientCase) weightedSum(backward bool) (float64, [][]float64, error) {
	s := torch.NewScope()
	defer s.Close()
	in, err := g.inputs(s, backward)
	if err != nil {
		return 0, nil, err
	}
	sum := weigh(s, g.program.Run(s, in, torch.RunOptions{}), g.program.Outputs())
	if s.Err() != nil || sum == nil || backward && !sum.RequiresGrad() {
		return 0, nil, s.Err()
	}
	y, err := sum.Item()
	if err != nil || !backward {
		return y, nil, err
	}
	s.Backward(sum)
	grads := make([][]float64, len(g.names))
	for i, name := range g.names {
		grad := in[name].Grad()
		if grad == nil {
			continue
		}
		if grads[i], err = s.Own(grad).Float64s(); err != nil {
			return 0, nil, err
		}
	}
	return y, grads, s.Err()
}

func (g *gradientCase) inputs(s *torch.Scope, leaves bool) (map[string]*torch.Tensor, error) {
	in := map[string]*torch.Tensor{}
	for i, name := range g.names {
		value := g.fixed[i]
		if g.varied[i] != nil {
			value = graph.NewTensor("", g.varied[i], g.shapes[i]...)
		}
		x, err := toTorch(s, value)
		if err != nil {
			return nil, err
		}
		if leaves && g.varied[i] != nil {
			if err := x.SetRequiresGrad(true); err != nil {
				return nil, err
			}
		}
		in[name] = x
	}
	return in, nil
}

// weigh sums the float outputs with fixed random weights; nil where there are none.
func weigh(s *torch.Scope, out map[string]*torch.Tensor, names []string) *torch.Tensor {
	random := rand.New(rand.NewPCG(1, 2))
	var sum *torch.Tensor
	for _, name := range names {
		x := out[name]
		if x == nil || !x.DType().Floating() || x.Len() == 0 {
			continue
		}
		weights := make([]float64, x.Len())
		for i := range weights {
			weights[i] = random.NormFloat64()
		}
		w, err := toTorch(s, graph.NewTensor("", weights, x.Shape()...))
		if err != nil {
			s.Fail(err)
			return nil
		}
		part := s.Sum(s.Mul(x, w), false)
		if sum == nil {
			sum = part
		} else {
			sum = s.Add(sum, part)
		}
	}
	return sum
}
