package onnx

import (
	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// SparseWeights names the weights of g that its file stores sparse. The IR does not model them: they are written again as they were
// read, and nodes read names that nothing in g defines.
func SparseWeights(g *graph.Graph) ([]string, error) {
	msg := &pb.GraphProto{}
	if err := restore(g.Extra, msg); err != nil {
		return nil, err
	}
	var names []string
	for _, w := range msg.SparseInitializer {
		names = append(names, w.GetValues().GetName())
	}
	return names, nil
}
