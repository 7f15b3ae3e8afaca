package graph

// mostElements bounds the integer tensors whose elements inference follows: shapes, axes,
// starts and ends. Weights are far larger.
const mostElements = 256

// elementsOf are the known elements of v; see Inference.elements.
func (r *inferrer) elementsOf(v *Value) []expr {
	if v == nil {
		return nil
	}
	if e, ok := r.elements[v]; ok {
		return e
	}
	e := smallInts(v.Const())
	r.elements[v] = e
	return e
}

// smallInts reads a constant integer or bool tensor of rank 0 or 1, nil where t is not that.
func smallInts(t *Tensor) []expr {
	if t == nil || len(t.Shape) > 1 || t.DType.IsFloat() || t.DType == String || t.Len() > mostElements {
		return nil
	}
	ns, err := t.Int64s()
	if err != nil {
		return nil
	}
	return constants(ns...)
}

// isVector reports whether input i is known to have rank 1, whose elements change length with its axes.
func (f *Inference) isVector(i int) bool { return len(f.Shape(i)) == 1 }

// elementwise states the elements of output 0 of a binary operator from those of its inputs,
// scalars and vectors of one element broadcast.
func (f *Inference) elementwise(op func(a, b expr) expr) {
	a, b := f.elements(0), f.elements(1)
	if a == nil || b == nil {
		return
	}
	n := max(len(a), len(b))
	if len(a) == 0 || len(b) == 0 {
		n = 0
	}
	if (len(a) != n && len(a) != 1) || (len(b) != n && len(b) != 1) {
		return
	}
	out := make([]expr, n)
	for i := range out {
		out[i] = op(a[i%len(a)], b[i%len(b)])
	}
	f.setElements(0, out)
}

// The integer arithmetic that shapes go through. A nil result is unknown.

func exprMul(a, b expr) expr {
	if n, ok := a.value(); ok && n == 0 {
		return a
	}
	return a.times(b)
}

func exprDiv(a, b expr) expr {
	x, okA := a.value()
	y, okB := b.value()
	if okA && okB && y != 0 {
		return constant(x / y) // ONNX's integer division truncates
	}
	return a.over(b)
}

func exprMod(a, b expr) expr {
	x, okA := a.value()
	y, okB := b.value()
	if okA && okB && y != 0 {
		return constant(((x % y) + y) % y)
	}
	return nil
}

func exprMin(a, b expr) expr { return pick(a, b, -1) }
func exprMax(a, b expr) expr { return pick(a, b, 1) }

// pick returns the smaller (way -1) or larger (way 1) of a and b where their difference has a known sign.
func pick(a, b expr, way int) expr {
	switch {
	case a.minus(b).sign() == way:
		return a
	case b.minus(a).sign() == way, a.equal(b):
		return b
	case a.minus(b).sign() == -way:
		return b
	case b.minus(a).sign() == -way:
		return a
	}
	return nil
}

func truth(b bool) expr {
	if b {
		return constant(1)
	}
	return constant(0)
}

func exprEqual(a, b expr) expr {
	d := a.minus(b)
	if n, ok := d.value(); ok {
		return truth(n == 0)
	}
	// A size is never -1: exporters test for it in Expand.
	if b.sign() == -1 && a.sign() == 1 || a.sign() == -1 && b.sign() == 1 {
		return truth(false)
	}
	return nil
}

func exprLess(a, b expr) expr {
	d := a.minus(b)
	if n, ok := d.value(); ok {
		return truth(n < 0)
	}
	if d.sign() == 1 {
		return truth(false)
	}
	return nil
}

func exprGreater(a, b expr) expr        { return exprLess(b, a) }
func exprLessOrEqual(a, b expr) expr    { return exprNot(exprLess(b, a)) }
func exprGreaterOrEqual(a, b expr) expr { return exprNot(exprLess(a, b)) }

func exprAnd(a, b expr) expr { return exprMul(a, b) }

func exprOr(a, b expr) expr { return exprNot(exprMul(exprNot(a), exprNot(b))) }

func exprNot(a expr) expr {
	if n, ok := a.value(); ok {
		return truth(n == 0)
	}
	return nil
}
