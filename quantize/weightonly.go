package quantize

import (
	"fmt"

	"graft/graph"
)

// applyWeight8 stores weights in int8: in blocks for the providers that have MatMulNBits, else with a
// scale for each column. On the CPU blocks have zero points, as those of applyWeight4.
func applyWeight8(j *job) error {
	nbits := j.Target == CPU || j.Target == CUDA
	for _, m := range j.matrices {
		if nbits {
			b := blocking{k: m.k, n: m.n, size: blockSize, bits: 8, asymmetric: j.Target == CPU}
			r, err := j.corrected(m, b, (*blocks).parts, b.rounding(graph.Transpose(m.weight.Init)))
			if err != nil {
				return err
			}
			j.storeBlocks(m, b, r.data())
			j.rounded(m, fmt.Sprintf("int8 in blocks of %d", b.size), r)
			continue
		}
		b := blocking{k: m.k, n: m.n, size: m.k, bits: 8, positive: true}
		r, err := j.corrected(m, b, (*blocks).channelParts, roundChannels(m.values, m.k, m.n, mostCode))
		if err != nil {
			return err
		}
		j.storeChannels(m, r)
		j.rounded(m, "int8 per column", r)
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
		b := blocking{k: m.k, n: m.n, size: blockSize, bits: 4, asymmetric: j.Target == CPU, positive: j.Target == TensorRT}
		parts, nearest, store := (*blocks).parts, b.rounding, j.storeBlocks
		if j.Target == TensorRT {
			parts, nearest, store = (*blocks).rowMajor, b.roundingRowMajor, j.storeInt4
		}
		r, err := j.corrected(m, b, parts, nearest(graph.Transpose(m.weight.Init)))
		if err != nil {
			return err
		}
		store(m, b, r.data())
		j.rounded(m, fmt.Sprintf("int4 in blocks of %d", b.size), r)
	}
	return nil
}

// storeBlocks makes the products with m multiply by codes, scales and zero points in b.
func (j *job) storeBlocks(m *matrix, b blocking, data []graph.Data) {
	name, per := m.weight.Name, int64(b.perColumn())
	list := []*graph.Tensor{
		{Name: fmt.Sprintf("%s_Q%d", name, b.bits), DType: graph.Uint8, Shape: []int64{int64(b.n), per, int64(b.size * b.bits / 8)}},
		{Name: name + "_scales", DType: graph.Float, Shape: []int64{int64(b.n), per}},
		{Name: name + "_zero_points", DType: graph.Uint8, Shape: []int64{int64(b.n), int64(b.zeroBytes())}},
	}
	var parts []*graph.Value
	for i, d := range data {
		list[i].Data = d
		parts = append(parts, j.model.Graph.AddInitializer(list[i]))
	}
	for _, n := range m.nodes {
		b.matMulNBits(n, parts)
	}
}

// storeChannels makes the products with m read r, from roundChannels, through DequantizeLinear.
func (j *job) storeChannels(m *matrix, r *rounding) {
	w := j.b.Op("DequantizeLinear", j.channelParts(m, r), graph.IntAttr("axis", 1))
	for _, n := range m.nodes {
		n.Inputs[1] = w
	}
}

// storeInt4 makes the products with m read codes and scales through DequantizeLinear of INT4 with blocks along K,
// as TensorRT takes it: codes with sign, scales above 0, no zero points.
func (j *job) storeInt4(m *matrix, b blocking, data []graph.Data) {
	name, k, n := m.weight.Name, int64(b.k), int64(b.n)
	codes := &graph.Tensor{Name: name + "_quantized", DType: graph.Int4, Shape: []int64{k, n}, Data: data[0]}
	scales := &graph.Tensor{Name: name + "_scale", DType: graph.Float, Shape: []int64{k / int64(b.size), n}, Data: data[1]}
	in := []*graph.Value{j.model.Graph.AddInitializer(codes), j.model.Graph.AddInitializer(scales)}
	w := j.b.Op("DequantizeLinear", in, graph.IntAttr("axis", 0), graph.IntAttr("block_size", int64(b.size)))
	for _, n := range m.nodes {
		n.Inputs[1] = w
	}
}
