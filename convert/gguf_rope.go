package convert

import (
	"fmt"
	"math"
	"slices"

	"graft/convert/gguf"
	"graft/graph"
)

// ropeTable is a tensor of llama.cpp's files: what the angle of each pair of a head's features is divided by.
const ropeTable = "rope_freqs.weight"

// llama3Published are the parameters, but for the factor, that every published model with llama 3's scaling has
// (Llama 3.1, 3.2 and 3.3). llama.cpp writes the table that comes of them, not the parameters.
var llama3Published = ropeParameters{LowFreqFactor: 1, HighFreqFactor: 4, OriginalPosition: 8192}

// tableScaling is rope_scaling in config.json for a file with a table, nil where it has none: the parameters of llama 3's scaling
// that give the same table. The largest divisor is its factor.
func (m ggufMeta) tableScaling(theta float64, headDim uint64) (map[string]any, error) {
	i := slices.IndexFunc(m.Tensors, func(t *gguf.Tensor) bool { return t.Name == ropeTable })
	if i < 0 {
		return nil, nil
	}
	x := m.Tensors[i]
	t := &graph.Tensor{Name: x.Name, DType: elementTypes[x.DType].from, Shape: x.Shape, Data: storedData{x}}
	table, err := t.Float32s()
	if err != nil {
		return nil, err
	}
	return llama3Of(table, theta, int(headDim))
}

// llama3Of finds the scaling that a table of divisors stands for.
func llama3Of(table []float32, theta float64, headDim int) (map[string]any, error) {
	if 2*len(table) != headDim {
		return nil, fmt.Errorf("tensor %q has %d elements, want one for each two of a head's %d features", ropeTable, len(table), headDim)
	}
	p := llama3Published
	p.Factor = float64(slices.Max(table))
	for i, have := range table {
		inv := math.Pow(theta, -2*float64(i)/float64(headDim))
		if want := inv / llama3Scaling(p, i, headDim, inv); !(math.Abs(float64(have)-want) <= 1e-3*want) {
			return nil, fmt.Errorf("tensor %q: element %d is %g, llama 3's scaling has %g: other scalings of rotary positions by a table are not supported", ropeTable, i, have, want)
		}
	}
	return map[string]any{
		"rope_type": "llama3", "factor": p.Factor, "low_freq_factor": p.LowFreqFactor, "high_freq_factor": p.HighFreqFactor,
		"original_max_position_embeddings": p.OriginalPosition,
	}, nil
}
