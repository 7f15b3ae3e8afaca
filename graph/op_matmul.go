package graph

import (
	"fmt"
	"slices"
	"strings"
)

// matmulOps are the products of matrices and tensors.
var matmulOps = []Op{
	{Name: "MatMul", Since: 1, In: exactly(2), Out: one, Infer: inferMatMul},
	{Name: "Gemm", Since: 1, In: exactly(3), Out: one, Infer: inferGemm},
	{Name: "Gemm", Since: 11, In: between(2, 3), Out: one, Infer: inferGemm},
	{Name: "Einsum", Since: 12, In: atLeast(1), Out: one, Infer: inferEinsum},
}

func inferMatMul(f *Inference) error {
	s, err := matMulShape(f.Shape(0), f.Shape(1))
	if err != nil {
		return err
	}
	f.SetShape(0, s)
	return nil
}

// matMulShape is the shape of numpy.matmul of a and b.
func matMulShape(a, b Shape) (Shape, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	if len(a) == 0 || len(b) == 0 {
		return nil, fmt.Errorf("scalars %v and %v have no matrix product", a, b)
	}
	inner := b[max(0, len(b)-2)]
	if _, ok := unify(a[len(a)-1], inner); !ok {
		return nil, fmt.Errorf("inner sizes %v and %v of %v and %v differ", a[len(a)-1], inner, a, b)
	}
	out, err := broadcastShapes(a[:max(0, len(a)-2)], b[:max(0, len(b)-2)])
	if err != nil {
		return nil, fmt.Errorf("batches of %v and %v: %w", a, b, err)
	}
	if len(a) > 1 {
		out = append(out, a[len(a)-2])
	}
	if len(b) > 1 {
		out = append(out, b[len(b)-1])
	}
	return out, nil
}

func inferGemm(f *Inference) error {
	for i := range 2 {
		if err := f.wantRank(i, 2); err != nil {
			return err
		}
	}
	a, b := f.Shape(0), f.Shape(1)
	if a == nil || b == nil {
		f.SetShape(0, nil)
		return nil
	}
	a, b = slices.Clone(a), slices.Clone(b)
	if f.Node.Int("transA", 0) != 0 {
		slices.Reverse(a)
	}
	if f.Node.Int("transB", 0) != 0 {
		slices.Reverse(b)
	}
	s, err := matMulShape(a, b)
	if err != nil {
		return err
	}
	f.SetShape(0, s)
	return nil
}

// inferEinsum follows Einsum's equation (Operators.md); letters name axes, "..." broadcasts.
func inferEinsum(f *Inference) error {
	equation := strings.ReplaceAll(f.Node.Str("equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(f.Node.Inputs) {
		return fmt.Errorf("equation %q has %d operands for %d inputs", equation, len(terms), len(f.Node.Inputs))
	}
	sizes := map[rune]Dim{}
	var rest []Shape // what the ellipsis of each operand stands for
	for i, term := range terms {
		s := f.Shape(i)
		if s == nil {
			f.SetShape(0, nil)
			return nil
		}
		ellipsis, err := bindAxes(term, s, sizes)
		if err != nil {
			return fmt.Errorf("equation %q: %w", equation, err)
		}
		rest = append(rest, ellipsis)
	}
	broad, err := broadcastShapes(rest...)
	if err != nil {
		return fmt.Errorf("equation %q: %w", equation, err)
	}
	if !explicit {
		right = implicitOutput(left)
	}
	out := Dims()
	for _, r := range strings.Replace(right, "...", "…", 1) {
		switch d, ok := sizes[r]; {
		case r == '…':
			out = append(out, broad...)
		case !ok:
			return fmt.Errorf("equation %q: %q stands on the right alone", equation, r)
		default:
			out = append(out, d)
		}
	}
	f.SetShape(0, out)
	return nil
}

// bindAxes gives the letters of term the sizes of s and returns the axes under its ellipsis.
func bindAxes(term string, s Shape, sizes map[rune]Dim) (Shape, error) {
	letters := []rune(strings.Replace(term, "...", "…", 1))
	named := len(letters)
	at := slices.Index(letters, '…')
	if at >= 0 {
		named--
	}
	if named > len(s) || at < 0 && named != len(s) {
		return nil, fmt.Errorf("operand %q does not fit shape %v", term, s)
	}
	ellipsis := Dims()
	axis := 0
	for _, r := range letters {
		if r == '…' {
			ellipsis = s[axis : axis+len(s)-named]
			axis += len(s) - named
			continue
		}
		d := s[axis]
		if old, ok := sizes[r]; ok {
			if d, ok = broadcastDim(old, d); !ok {
				return nil, fmt.Errorf("axis %q has sizes %v and %v", r, old, s[axis])
			}
		}
		sizes[r] = d
		axis++
	}
	return ellipsis, nil
}

// implicitOutput is the right side of an equation that has none: the ellipsis, then the letters that occur once, in order.
func implicitOutput(left string) string {
	out := ""
	if strings.Contains(left, "...") {
		out = "..."
	}
	letters := []rune(strings.NewReplacer(".", "", ",", "").Replace(left))
	slices.Sort(letters)
	for i, r := range letters {
		if (i == 0 || letters[i-1] != r) && (i+1 == len(letters) || letters[i+1] != r) {
			out += string(r)
		}
	}
	return out
}
