package graph

import "fmt"

// This file holds the shape rules that many operators share.

// sameAs0 gives output 0 the type and the elements of input 0.
func sameAs0(f *Inference) error {
	f.SetShape(0, f.Shape(0))
	return nil
}

// broadcast gives output 0 the element type of input 0 and the shape that all inputs broadcast to.
func broadcast(f *Inference) error { return broadcastAs(f, f.Elem(0)) }

// broadcastBool is broadcast for comparisons.
func broadcastBool(f *Inference) error { return broadcastAs(f, Bool) }

func broadcastAs(f *Inference, elem DType) error {
	if f.Node.Int("broadcast", 0) != 0 { // up to opset 6: input 1 stretches to input 0
		f.Set(0, elem, f.Shape(0))
		return nil
	}
	shapes := make([]Shape, len(f.Node.Inputs))
	for i := range shapes {
		shapes[i] = f.Shape(i)
	}
	s, err := broadcastShapes(shapes...)
	if err != nil {
		return err
	}
	f.Set(0, elem, s)
	return nil
}

// arithmetic is broadcast that also follows the elements of small integer tensors.
func arithmetic(op func(a, b expr) expr) func(*Inference) error {
	return func(f *Inference) error {
		f.elementwise(op)
		return broadcast(f)
	}
}

// comparison is arithmetic with a bool result.
func comparison(op func(a, b expr) expr) func(*Inference) error {
	return func(f *Inference) error {
		f.elementwise(op)
		return broadcastBool(f)
	}
}

// broadcastShapes is the shape that all of shapes broadcast to by numpy's rule (Broadcasting.md); nil where a rank is unknown.
func broadcastShapes(shapes ...Shape) (Shape, error) {
	rank := 0
	for _, s := range shapes {
		if s == nil {
			return nil, nil
		}
		rank = max(rank, len(s))
	}
	out := Dims()
	for range rank {
		out = append(out, Size(1))
	}
	for _, s := range shapes {
		for i, d := range s {
			at := rank - len(s) + i
			b, ok := broadcastDim(out[at], d)
			if !ok {
				return nil, fmt.Errorf("sizes %v and %v do not broadcast", out[at], d)
			}
			out[at] = b
		}
	}
	return out, nil
}

func broadcastDim(a, b Dim) (Dim, bool) {
	switch {
	case a == Size(1) || a == b:
		return b, true
	case b == Size(1):
		return a, true
	case a.Known() && b.Known():
		return AnyDim, false
	case a.Known():
		return a, true // the other must be this or 1
	case b.Known():
		return b, true
	}
	return AnyDim, true
}

// unify returns what is known of a dimension that is both a and b; false where they contradict.
func unify(a, b Dim) (Dim, bool) {
	switch {
	case a.Known() && b.Known():
		return a, a.Size == b.Size
	case a.Known() || b == AnyDim:
		return a, true
	case b.Known() || a == AnyDim:
		return b, true
	}
	return a, true
}

// unifyShapes is unify for all axes; a rank that differs is an error.
func unifyShapes(a, b Shape) (Shape, error) {
	if a == nil {
		return b, nil
	}
	if b == nil {
		return a, nil
	}
	if len(a) != len(b) {
		return nil, fmt.Errorf("shapes %v and %v differ in rank", a, b)
	}
	out := make(Shape, len(a))
	for i := range a {
		d, ok := unify(a[i], b[i])
		if !ok {
			return nil, fmt.Errorf("shapes %v and %v differ on axis %d", a, b, i)
		}
		out[i] = d
	}
	return out, nil
}

// anyShape is a shape of rank unknown sizes.
func anyShape(rank int) Shape {
	s := make(Shape, rank)
	for i := range s {
		s[i] = AnyDim
	}
	return s
}

// shapeOf turns the elements of a shape tensor into a shape; a negative size is an error.
func shapeOf(list []expr) (Shape, error) {
	s := make(Shape, len(list))
	for i, e := range list {
		if n, ok := e.value(); ok && n < 0 {
			return nil, fmt.Errorf("size %d on axis %d", n, i)
		}
		s[i] = e.dim()
	}
	return s, nil
}

// wantRank is an error where input i is known to have another rank.
func (f *Inference) wantRank(i, rank int) error {
	if s := f.Shape(i); s != nil && len(s) != rank {
		return fmt.Errorf("input %d has shape %v, want rank %d", i, s, rank)
	}
	return nil
}

// joinShapes puts parts one after another; the result is never of unknown rank.
func joinShapes(parts ...Shape) Shape {
	out := Dims()
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
