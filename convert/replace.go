package convert

import "graft/graph"

// ReplaceGraph makes g, in the form that it is to be written in, what m computes. No checkpoint can say
// that: Save, told that the graph is lowered, writes the ONNX file alone, or beside the others.
func (m *Model) ReplaceGraph(g *graph.Model) error {
	if err := m.keepParent(); err != nil {
		return err
	}
	m.Graph, m.File = g, ""
	if m.source != nil {
		m.source, m.stored, m.changed = nil, nil, nil // m.files closes it
	}
	return nil
}
