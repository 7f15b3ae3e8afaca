package quantize

import "graft/graph"

// halves lists the weights that lowering has stored in 16 bits.
func (j *job) halves() {
	j.layers = nil
	for _, v := range j.model.Graph.Initializers {
		t := v.Init
		switch {
		case len(t.Shape) < 2:
		case t.DType == j.scheme.dtype:
			j.layers = append(j.layers, Layer{Name: v.Name, Kind: "weight", Shape: t.Shape, Form: t.DType.String(), Before: 2 * t.Size(), After: t.Size()})
		case t.DType == graph.Float:
			j.layers = append(j.layers, kept(v.Name, "weight", v))
		}
	}
}
