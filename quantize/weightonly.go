package quantize

import (
	"fmt"

	"graft/graph"
)

// applyWeight8 stores weights in int8: in blocks for the providers that have MatMulNBits, else with a
// scale for each column.
func applyWeight8(j *job) error {
	nbits := j.Target == CPU || j.Target == CUDA
	for _, m := range j.matrices {
		if nbits {
			q := newBlocks(m.k, m.n, blockSize, 8, false)
			e, err := q.round(graph.Transpose(m.weight.Init))
			if err != nil {
				return err
			}
			j.storeBlocks(m, q, 0)
			j.done(m, fmt.Sprintf("int8 in blocks of %d", q.size), q.bytes(), e)
			continue
		}
		w, err := m.values()
		if err != nil {
			return err
		}
		c := newChannels(w, m.k, m.n, mostCode)
		j.storeChannels(m, c)
		j.done(m, "int8 per column", c.bytes(), relativeError(w, c.values()))
	}
	return nil
}

// applyWeight4 stores weights in 4 bits, in blocks. On the CPU they have zero points, which
// put every code to use; CUDA's fused kernels and TensorRT take scales alone.
func applyWeight4(j *job) error {
	for _, m := range j.matrices {
		if j.Target == TensorRT && m.k%blockSize != 0 {
			j.layers = append(j.layers, kept(m.name, "MatMul", m.weight)) // TensorRT wants whole blocks
			continue
		}
		q, e, err := j.correct(m)
		if err != nil {
			return fmt.Errorf("layer %q: %w", m.name, err)
		}
		if j.Target == TensorRT {
			j.storeInt4(m, q)
		} else {
			j.storeBlocks(m, q, 0)
		}
		j.done(m, fmt.Sprintf("int4 in blocks of %d", q.size), q.bytes(), e)
	}
	return nil
}

// storeBlocks makes the products with m multiply by q.
func (j *job) storeBlocks(m *matrix, q *blocks, accuracy int64) {
	g, name := j.model.Graph, m.weight.Name
	per := int64(q.perColumn())
	parts := []*graph.Value{
		j.keep(graph.NewTensor(fmt.Sprintf("%s_Q%d", name, q.bits), q.packed(), int64(q.n), per, int64(q.size*q.bits/8))),
		j.keep(graph.NewTensor(name+"_scales", q.scales, int64(q.n), per)),
	}
	if q.zeros != nil {
		zeros := q.packedZeros()
		parts = append(parts, j.keep(graph.NewTensor(name+"_zero_points", zeros, int64(q.n), int64(len(zeros)/q.n))))
	}
	for _, n := range m.nodes {
		q.matMulNBits(g, n, parts, accuracy)
	}
}

// storeChannels makes the products with m read c through DequantizeLinear.
func (j *job) storeChannels(m *matrix, c *channels) {
	w := c.dequantize(j, m.weight.Name)
	for _, n := range m.nodes {
		n.Inputs[1] = w
	}
}

// storeInt4 makes the products with m read q through DequantizeLinear of INT4 with blocks along K,
// as TensorRT takes it: codes with sign, scales above 0, no zero points.
func (j *job) storeInt4(m *matrix, q *blocks) {
	name := m.weight.Name
	codes, scales := make([]uint8, q.k*q.n), make([]float32, q.k/q.size*q.n)
	for c := range q.n {
		for k := range q.k {
			i := c*q.perColumn() + k/q.size
			codes[k*q.n+c] = uint8(int8(q.codes[i*q.size+k%q.size]) - 8)
			scales[k/q.size*q.n+c] = q.scales[i]
		}
	}
	packed := &graph.Tensor{Name: name + "_quantized", DType: graph.Int4, Shape: []int64{int64(q.k), int64(q.n)}, Data: graph.Raw(pack(codes, 4))}
	in := []*graph.Value{j.keep(packed), j.keep(graph.NewTensor(name+"_scale", scales, int64(q.k/q.size), int64(q.n)))}
	w := j.b.Op("DequantizeLinear", in, graph.IntAttr("axis", 0), graph.IntAttr("block_size", int64(q.size)))
	for _, n := range m.nodes {
		n.Inputs[1] = w
	}
}
