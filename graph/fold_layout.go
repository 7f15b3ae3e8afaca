package graph

import (
	"bufio"
	"io"
	"slices"
)

// This file evaluates operators that move elements without computing on them. Their large
// results are Derived: made from the source when they are read or written.

// mostHeld is the size in bytes up to which a result is made at once.
const mostHeld = 1 << 16

// derive makes a tensor of the bytes that fill writes, at once where it is small.
func derive(d DType, shape []int64, fill func(write func([]byte) error) error) (*Tensor, error) {
	size := d.Bytes(Count(shape))
	if size < 0 {
		return nil, ErrNoFold
	}
	if size == 0 {
		return &Tensor{DType: d, Shape: shape, Data: Raw(nil)}, nil
	}
	data := Derived{Length: size, Write: func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 1<<16)
		if err := fill(func(p []byte) error { _, err := b.Write(p); return err }); err != nil {
			return err
		}
		return b.Flush()
	}}
	t := &Tensor{DType: d, Shape: shape, Data: data}
	if size > mostHeld {
		return t, nil
	}
	b, err := data.Bytes()
	t.Data = Raw(b)
	return t, err
}

// view reads a tensor at offset with a stride, in elements, for each axis of shape.
type view struct {
	src            *Tensor
	shape, strides []int64
	offset         int64
}

// tensor copies the view into a tensor of shape (the view's own, or one of as many elements).
func (v view) tensor(shape []int64) (*Tensor, error) {
	bits := v.src.DType.Bits()
	if bits == 0 || bits%8 != 0 || v.src.Data == nil {
		return nil, ErrNoFold
	}
	size := int64(bits / 8)
	// Axes at the end that lie together in the source are copied at once.
	run, last := int64(1), len(v.shape)
	for last > 0 && v.strides[last-1] == run {
		last--
		run *= v.shape[last]
	}
	return derive(v.src.DType, shape, func(write func([]byte) error) error {
		if Count(v.shape) == 0 {
			return nil
		}
		b, err := v.src.Bytes()
		if err != nil {
			return err
		}
		walk(v.shape[:last], v.strides[:last], func(o int64) {
			if err == nil {
				at := (v.offset + o) * size
				err = write(b[at : at+run*size])
			}
		})
		return err
	})
}

// rowMajor are the strides of a tensor of shape.
func rowMajor(shape []int64) []int64 {
	strides := make([]int64, len(shape))
	step := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = step
		step *= shape[i]
	}
	return strides
}

func foldTranspose(f *Folding) ([]*Tensor, error) {
	t := f.In[0]
	perm, err := permutation(f.Node, len(t.Shape))
	if err != nil {
		return nil, err
	}
	if bits := t.DType.Bits(); slices.Equal(perm, []int{1, 0}) && bits%8 == 0 && t.Size() > mostHeld && t.Data != nil {
		return []*Tensor{Transpose(t)}, nil
	}
	v := view{src: t}
	from := rowMajor(t.Shape)
	for _, p := range perm {
		v.shape = append(v.shape, t.Shape[p])
		v.strides = append(v.strides, from[p])
	}
	return result(v.tensor(append([]int64{}, v.shape...)))
}

// foldReshape gives the data another shape.
func foldReshape(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	t := *f.In[0]
	if Count(shape) != t.Len() {
		return nil, ErrNoFold
	}
	t.Shape = shape
	return []*Tensor{&t}, nil
}

func foldSqueeze(f *Folding) ([]*Tensor, error)   { return foldReshape(f) }
func foldUnsqueeze(f *Folding) ([]*Tensor, error) { return foldReshape(f) }
func foldFlatten(f *Folding) ([]*Tensor, error)   { return foldReshape(f) }

func foldIdentity(f *Folding) ([]*Tensor, error) {
	t := *f.In[0]
	return []*Tensor{&t}, nil
}

func foldExpand(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	v := view{src: f.In[0], shape: shape, strides: broadcastStrides(f.In[0].Shape, shape)}
	return result(v.tensor(shape))
}

// foldTile reads each axis twice: once for the repeat, with stride 0.
func foldTile(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	t := f.In[0]
	v := view{src: t}
	for i, s := range rowMajor(t.Shape) {
		repeat := int64(0)
		if t.Shape[i] > 0 {
			repeat = shape[i] / t.Shape[i]
		}
		v.shape = append(v.shape, repeat, t.Shape[i])
		v.strides = append(v.strides, 0, s)
	}
	return result(v.tensor(shape))
}

func foldSlice(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	t := f.In[0]
	starts, steps, err := f.sliceOrigin()
	if err != nil {
		return nil, err
	}
	v := view{src: t, shape: shape}
	for i, s := range rowMajor(t.Shape) {
		v.offset += starts[i] * s
		v.strides = append(v.strides, s*steps[i])
	}
	return result(v.tensor(append([]int64{}, shape...)))
}

// sliceOrigin is where a Slice starts on each axis, and its steps.
func (f *Folding) sliceOrigin() (starts, steps []int64, err error) {
	t := f.In[0]
	starts, steps = make([]int64, len(t.Shape)), slices.Repeat([]int64{1}, len(t.Shape))
	n := &Node{Attrs: f.Node.Attrs, Inputs: make([]*Value, len(f.In))}
	for i, in := range f.In {
		if in != nil {
			n.Inputs[i] = &Value{Type: in.Type(), Init: in}
		}
	}
	inference := &Inference{Node: n, Opset: f.Opset, run: newInferrer(&Model{}, nil, nil)}
	cut, err := inference.slicing(len(t.Shape))
	if err != nil {
		return nil, nil, err
	}
	if cut == nil {
		return nil, nil, ErrNoFold
	}
	for i, axis := range cut.axes {
		from, _, ok := sliceBounds(constant(t.Shape[axis]), cut.starts[i], cut.ends[i], cut.steps[i])
		n, known := from.value()
		if !ok || !known {
			return nil, nil, ErrNoFold
		}
		starts[axis], steps[axis] = n, cut.steps[i]
	}
	return starts, steps, nil
}

func foldSplit(f *Folding) ([]*Tensor, error) {
	shapes, err := f.shapesByInference()
	if err != nil {
		return nil, err
	}
	t := f.In[0]
	axis := f.Node.Int("axis", 0)
	if axis < 0 {
		axis += int64(len(t.Shape))
	}
	var out []*Tensor
	start := int64(0)
	for _, shape := range shapes {
		if shape == nil {
			return nil, ErrNoFold
		}
		v := view{src: t, shape: shape, strides: rowMajor(t.Shape), offset: start * rowMajor(t.Shape)[axis]}
		part, err := v.tensor(shape)
		if err != nil {
			return nil, err
		}
		out = append(out, part)
		start += shape[axis]
	}
	if start != t.Shape[axis] {
		return nil, ErrNoFold
	}
	return out, nil
}

// foldConcat copies the inputs' rows in turn, a row being all axes from the joined one on.
func foldConcat(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	d := f.In[0].DType
	if d.Bits() == 0 || d.Bits()%8 != 0 {
		return nil, ErrNoFold
	}
	for _, t := range f.In {
		if t == nil || t.DType != d || t.Data == nil {
			return nil, ErrNoFold
		}
	}
	axis := f.Node.Int("axis", 1)
	if axis < 0 {
		axis += int64(len(shape))
	}
	rows := Count(shape[:axis])
	return result(derive(d, shape, func(write func([]byte) error) error {
		parts := make([][]byte, len(f.In))
		for i, t := range f.In {
			if parts[i], err = t.Bytes(); err != nil {
				return err
			}
		}
		for row := range rows {
			for i, t := range f.In {
				n := d.Bytes(Count(t.Shape[axis:]))
				if err := write(parts[i][row*n : (row+1)*n]); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}
