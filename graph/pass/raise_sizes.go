package pass

import "graft/graph"

// raiseSizes reads sizes off the graph's inputs. Exporters ask whatever tensor is at hand for them, a layer's keys for one, which then could
// not be cut: its size would be seen to change.
func raiseSizes(r *raiser, n *graph.Node) []*graph.Value {
	if !n.Is("Shape") || n.Int("start", 0) != 0 || n.Attr("end") != nil || n.Input(0).Def() == nil || len(n.Input(0).Shape()) == 0 {
		return nil
	}
	var sizes []*graph.Value
	for _, d := range n.Input(0).Shape() {
		size := r.size(d)
		if size == nil {
			return nil
		}
		sizes = append(sizes, size)
	}
	return []*graph.Value{r.b.Op("Concat", sizes, graph.IntAttr("axis", 0))}
}

// size is d as a vector of one element; nil where no input has it.
func (r *raiser) size(d graph.Dim) *graph.Value {
	if d.Known() {
		return r.b.Int64s(d.Size)
	}
	for _, v := range r.model.Graph.Inputs {
		for axis, of := range v.Shape() {
			if d.Symbol != "" && of == d {
				return r.once(sharedKey{what: "size", of: v, more: axis}, func() *graph.Value { return r.b.Size(v, int64(axis)) })
			}
		}
	}
	return nil
}
