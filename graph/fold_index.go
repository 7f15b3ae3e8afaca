package graph

import "fmt"

// This file evaluates operators that pick and place elements, and those that make shapes.

// picked makes a tensor of shape whose runs of n elements come from the given offsets of t.
func picked(t *Tensor, shape []int64, n int64, offsets []int64) (*Tensor, error) {
	size := t.DType.Bytes(1)
	if t.DType.Bits() == 0 || t.DType.Bits()%8 != 0 || t.Data == nil {
		return nil, ErrNoFold
	}
	total := t.Len()
	for _, o := range offsets {
		if o < 0 || o+n > total {
			return nil, fmt.Errorf("an index lies outside of shape %v", t.Shape)
		}
	}
	return derive(t.DType, shape, func(write func([]byte) error) error {
		b, err := t.Bytes()
		if err != nil {
			return err
		}
		for _, o := range offsets {
			if err := write(b[o*size : (o+n)*size]); err != nil {
				return err
			}
		}
		return nil
	})
}

// indices reads an index tensor of bounded size.
func (f *Folding) indices(i int) ([]int64, error) {
	t := f.In[i]
	if t.Len() > mostComputed || t.DType != Int64 && t.DType != Int32 {
		return nil, ErrNoFold
	}
	return t.Int64s()
}

// wrapIndex counts a negative index from the end.
func wrapIndex(i, size int64) (int64, error) {
	if i < -size || i >= size {
		return 0, fmt.Errorf("index %d of an axis of size %d", i, size)
	}
	if i < 0 {
		i += size
	}
	return i, nil
}

func foldGather(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	list, err := f.indices(1)
	if err != nil {
		return nil, err
	}
	t := f.In[0]
	axis, err := wrapIndex(f.Node.Int("axis", 0), int64(len(t.Shape)))
	if err != nil {
		return nil, err
	}
	inner := Count(t.Shape[axis+1:])
	outer := Count(t.Shape[:axis])
	if runs, ok := multiply(outer, int64(len(list))); !ok || runs < 0 || runs > mostComputed {
		return nil, ErrNoFold
	}
	var offsets []int64
	for row := range outer {
		for _, i := range list {
			at, err := wrapIndex(i, t.Shape[axis])
			if err != nil {
				return nil, err
			}
			offsets = append(offsets, (row*t.Shape[axis]+at)*inner)
		}
	}
	return result(picked(t, shape, inner, offsets))
}

func foldGatherElements(f *Folding) ([]*Tensor, error) {
	list, err := f.indices(1)
	if err != nil {
		return nil, err
	}
	t, shape := f.In[0], f.In[1].Shape
	axis, err := wrapIndex(f.Node.Int("axis", 0), int64(len(t.Shape)))
	if err != nil {
		return nil, err
	}
	if len(shape) != len(t.Shape) {
		return nil, fmt.Errorf("indices %v of data %v", shape, t.Shape)
	}
	strides := rowMajor(t.Shape)
	step := strides[axis]
	strides[axis] = 0
	var offsets []int64
	i := 0
	walk(shape, strides, func(o int64) {
		at, e := wrapIndex(list[i], t.Shape[axis])
		if e != nil {
			err = e
		}
		offsets = append(offsets, o+at*step)
		i++
	})
	if err != nil {
		return nil, err
	}
	return result(picked(t, shape, 1, offsets))
}

func foldGatherND(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	offsets, inner, err := f.pointers(f.In[0], f.Node.Int("batch_dims", 0))
	if err != nil {
		return nil, err
	}
	return result(picked(f.In[0], shape, inner, offsets))
}

// pointers turns the index tuples of input 1 into offsets into t, and counts the elements that each points at.
func (f *Folding) pointers(t *Tensor, batch int64) (offsets []int64, inner int64, err error) {
	list, err := f.indices(1)
	if err != nil {
		return nil, 0, err
	}
	shape := f.In[1].Shape
	if len(shape) == 0 || batch < 0 || batch >= int64(len(shape)) {
		return nil, 0, fmt.Errorf("indices of shape %v with %d batch axes", shape, batch)
	}
	depth := shape[len(shape)-1]
	if batch+depth > int64(len(t.Shape)) {
		return nil, 0, fmt.Errorf("indices of shape %v into %v", shape, t.Shape)
	}
	strides := rowMajor(t.Shape)
	perBatch := max(1, Count(shape[batch:len(shape)-1]))
	tuples := Count(shape[:len(shape)-1])
	block := Count(t.Shape[batch:])
	for k := range tuples {
		at := k / perBatch * block
		for j := range depth {
			i, err := wrapIndex(list[k*depth+j], t.Shape[batch+j])
			if err != nil {
				return nil, 0, err
			}
			at += i * strides[batch+j]
		}
		offsets = append(offsets, at)
	}
	return offsets, Count(t.Shape[batch+depth:]), nil
}

// foldScatterND writes updates over a copy of the data; sums and products are left to the runtime.
func foldScatterND(f *Folding) ([]*Tensor, error) {
	if err := f.small(); err != nil || f.Node.Str("reduction", "none") != "none" {
		return nil, ErrNoFold
	}
	t, updates := f.In[0], f.In[2]
	offsets, inner, err := f.pointers(t, 0)
	if err != nil {
		return nil, err
	}
	size := t.DType.Bytes(1)
	if t.DType != updates.DType || t.DType.Bits()%8 != 0 || t.DType.Bits() == 0 || updates.Len() != inner*int64(len(offsets)) {
		return nil, ErrNoFold
	}
	data, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	from, err := updates.Bytes()
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, data...)
	for i, o := range offsets {
		n := inner * size
		copy(out[o*size:], from[int64(i)*n:int64(i+1)*n])
	}
	return []*Tensor{{DType: t.DType, Shape: t.Shape, Data: Raw(out)}}, nil
}

func foldNonZero(f *Folding) ([]*Tensor, error) {
	if err := f.small(); err != nil {
		return nil, err
	}
	t := f.In[0]
	if len(t.Shape) == 0 {
		return nil, ErrNoFold
	}
	list, err := elements[float64](t)
	if err != nil {
		return nil, err
	}
	rows := make([][]int64, len(t.Shape))
	found := int64(0)
	for i, x := range list {
		if x == 0 {
			continue
		}
		found++
		for axis, s := range rowMajor(t.Shape) {
			rows[axis] = append(rows[axis], int64(i)/s%t.Shape[axis])
		}
	}
	var all []int64
	for _, r := range rows {
		all = append(all, r...)
	}
	return result(tensorOf(Int64, []int64{int64(len(t.Shape)), found}, all))
}

// foldWhere picks elements from input 1 or 2, of any element type.
func foldWhere(f *Folding) ([]*Tensor, error) {
	if err := f.small(); err != nil {
		return nil, err
	}
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	x, y := f.In[1], f.In[2]
	size := x.DType.Bytes(1)
	if x.DType != y.DType || x.DType.Bits()%8 != 0 || x.DType.Bits() == 0 || Count(shape) > mostComputed {
		return nil, ErrNoFold
	}
	cond, err := spread[int64](f.In[0], shape)
	if err != nil {
		return nil, err
	}
	var from [2]*Tensor
	for i, t := range []*Tensor{x, y} {
		v := view{src: t, shape: shape, strides: broadcastStrides(t.Shape, shape)}
		if from[i], err = v.tensor(shape); err != nil {
			return nil, err
		}
	}
	a, err := from[0].Bytes()
	if err != nil {
		return nil, err
	}
	b, err := from[1].Bytes()
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, b...)
	for i, c := range cond {
		if at := int64(i) * size; c != 0 {
			copy(out[at:at+size], a[at:])
		}
	}
	return []*Tensor{{DType: x.DType, Shape: shape, Data: Raw(out)}}, nil
}

// foldTrilu keeps the upper or lower triangle of the last two axes.
func foldTrilu(f *Folding) ([]*Tensor, error) {
	if err := f.small(); err != nil {
		return nil, err
	}
	t := f.In[0]
	if len(t.Shape) < 2 || t.DType.Bits() == 0 || t.DType.Bits()%8 != 0 {
		return nil, ErrNoFold
	}
	k := int64(0)
	if shift, err := f.sizes(1); err != nil {
		return nil, err
	} else if len(shift) > 0 {
		k = shift[0]
	}
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, b...)
	upper := f.Node.Int("upper", 1) != 0
	rows, cols := t.Shape[len(t.Shape)-2], t.Shape[len(t.Shape)-1]
	size := t.DType.Bytes(1)
	for i := range t.Len() {
		row, col := i/cols%rows, i%cols
		if upper && col-row < k || !upper && col-row > k {
			clear(out[i*size : (i+1)*size])
		}
	}
	return []*Tensor{{DType: t.DType, Shape: t.Shape, Data: Raw(out)}}, nil
}
