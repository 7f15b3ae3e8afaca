package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
)

// Raise brings the graph of an ONNX file into the form that training executes and passes look
// for; the graph of a checkpoint is in it already. Copies of a weight become one. The file that Save writes then is the raised graph, lowered.
func (m *Model) Raise() (pass.RaiseReport, error) {
	if m.source != nil {
		return pass.RaiseReport{}, nil
	}
	if err := m.keepParent(); err != nil {
		return pass.RaiseReport{}, err
	}
	sparse, err := onnx.SparseWeights(m.Graph.Graph)
	if err == nil && len(sparse) > 0 {
		err = fmt.Errorf("weight %q is stored sparse, which can be run but not rewritten: store it dense", sparse[0])
	}
	if err != nil {
		return pass.RaiseReport{}, err
	}
	report, err := pass.Raise(m.Graph)
	if err != nil || report.Kept != nil {
		return report, err
	}
	m.Graph.ProducerName = "graft" // what runs it lowers it first
	before := len(m.Graph.Graph.Initializers)
	if shared, err := pass.Run(m.Graph, pass.Share); err != nil || !shared {
		return report, err
	}
	m.Warnings = append(m.Warnings, fmt.Sprintf("%d of the file's weights are copies of others: layers share them from now on", before-len(m.Graph.Graph.Initializers)))
	return report, nil
}

// SetWeights gives initializers of the graph, found by their names, the values that training left:
// floating-point tensors of their shapes. Save writes them. A name that the graph lacks or a
// shape that is not the initializer's is an error, and nothing has changed. The first call hashes
// the model, which Save names as the parent of what it writes.
func (m *Model) SetWeights(weights []*graph.Tensor) error {
	byName := make(map[string]*graph.Value, len(m.Graph.Graph.Initializers))
	for _, v := range m.Graph.Graph.Initializers {
		byName[v.Name] = v
	}
	var unknown []string
	for _, t := range weights {
		v := byName[t.Name]
		switch {
		case v == nil:
			unknown = append(unknown, t.Name)
		case !slices.Equal(t.Shape, v.Init.Shape):
			return fmt.Errorf("set weights: tensor %q: shape %v, want %v", t.Name, t.Shape, v.Init.Shape)
		case floatNames[t.DType] == "" || floatNames[v.Init.DType] == "":
			return fmt.Errorf("set weights: tensor %q: %v for %v, want floating-point numbers", t.Name, t.DType, v.Init.DType)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("set weights: the model has no weights %q; it has %d%s", unknown, len(byName), sample(m.weightNames()))
	}
	if err := m.keepParent(); err != nil {
		return err
	}
	for _, t := range weights {
		v := byName[t.Name]
		set := *v.Init
		set.Data = castTensor(t, v.Init.DType).Data
		v.Init = &set
		m.changed[v.Name] = true
	}
	return nil
}

// MergeLoRA adds the adapters in the graph to the weights of their modules.
func (m *Model) MergeLoRA() error {
	if err := m.keepParent(); err != nil {
		return err
	}
	names, err := pass.MergeLoRA(m.Graph)
	for _, name := range names {
		m.changed[name] = true
	}
	return err
}

// keepParent notes what the model is before its first change.
func (m *Model) keepParent() (err error) {
	if m.changed == nil {
		m.changed = map[string]bool{}
	}
	if m.File = ""; m.parent == "" {
		m.parent, err = m.Hash()
	}
	return err
}

func (m *Model) weightNames() []string {
	var names []string
	for _, v := range m.Graph.Graph.Initializers {
		if len(v.Init.Shape) > 0 && v.Init.DType.IsFloat() {
			names = append(names, v.Name)
		}
	}
	return names
}

// floatNames are the floating-point types of weights and their names in safetensors.
var floatNames = map[graph.DType]string{
	graph.Float: safetensors.F32, graph.Float16: safetensors.F16, graph.BFloat16: safetensors.BF16, graph.Double: safetensors.F64,
}

// castTensor is t in another floating-point type, rounded when it is read.
func castTensor(t *graph.Tensor, to graph.DType) *graph.Tensor {
	if t.DType == to {
		return t
	}
	out := *t
	out.DType = to
	out.Data = graph.Derived{Length: out.Size(), Write: func(w io.Writer) error {
		raw, err := t.Bytes()
		if err != nil {
			return err
		}
		r, err := safetensors.Cast(bytes.NewReader(raw), floatNames[t.DType], floatNames[to])
		if err != nil {
			return err
		}
		_, err = io.Copy(w, r)
		return err
	}}
	return &out
}

// graphModules are the modules that the graph is ended with.
func (m *Model) graphModules(o OpenOptions) Modules {
	modules := m.Modules
	if o.Unnormalized && modules.Normalize {
		modules.Normalize, modules.TruncateDim, m.unnormalized = false, 0, true
	}
	return modules
}

// normalize ends g, a copy of the model's graph, with the normalization that was left out of it.
func (m *Model) normalize(g *graph.Model) error {
	out := g.Graph.Output("sentence_embedding")
	vector := graph.NewValue("sentence_embedding/unnormalized", out.Type)
	n := out.Def()
	n.SetOutput(slices.Index(n.Outputs, out), vector)
	b := freshBuilder(g.Graph)
	unit := newPooler(b, g.Opset(""), tokenVectors{}).normalize(vector)
	if n := m.Modules.TruncateDim; n > 0 && n < m.Dim {
		unit = b.Slice(unit, -1, 0, int64(n))
		out.Type = graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Size(int64(n)))
	}
	unit.Def().SetOutput(0, out)
	return b.Err()
}

// checkpointTensor is a tensor of a checkpoint as it is to be written.
type checkpointTensor struct {
	safetensors.Entry
	write func(io.Writer) error
}

// checkpointTensors are the model's tensors whose names begin with one of prefixes: those that
// changed from the graph, under today's names, all others as they are stored. keep rounds what
// changed to the element type that the checkpoint stores it in; it is float32 otherwise.
func (m *Model) checkpointTensors(keep bool, in func(name string) bool) ([]checkpointTensor, error) {
	changed := map[string]*graph.Tensor{} // by name in the checkpoint
	for name := range m.changed {
		v := m.Graph.Graph.Initializer(name)
		if v == nil {
			continue // it was replaced by what a pass made of it
		}
		stored, ok := m.stored[name]
		if !ok {
			return nil, fmt.Errorf("weight %q has changed, and the checkpoint has no tensor for it", name)
		}
		changed[stored] = v.Init
	}
	var list []checkpointTensor
	for _, name := range m.source.names() {
		if !in(name) {
			continue
		}
		raw := m.source.raw[name]
		t := checkpointTensor{safetensors.Entry{Name: name, DType: raw.dtype, Shape: m.source.tensors[name].Shape},
			func(w io.Writer) error { _, err := raw.WriteTo(w); return err }}
		if c := changed[name]; c != nil {
			if keep {
				c = castTensor(c, elementTypes[raw.dtype].from)
			}
			t.Entry.Name, t.DType, t.Shape = c.Name, floatNames[c.DType], c.Shape
			t.write = func(w io.Writer) error { _, err := c.Data.WriteTo(w); return err }
		}
		list = append(list, t)
	}
	return list, nil
}

// checkMerged refuses a graph that holds an adapter: neither a checkpoint nor an ONNX file has a
// place for one.
func (m *Model) checkMerged() error {
	for _, v := range m.Graph.Graph.Initializers {
		if strings.HasPrefix(v.Name, pass.LoRAPrefix) && strings.HasSuffix(v.Name, pass.LoRAA) {
			return errors.New("the graph holds a LoRA adapter that is not merged")
		}
	}
	return nil
}
