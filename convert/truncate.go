package convert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"graft/convert/safetensors"
	"graft/graph"
)

// Truncate cuts text vectors to their first n features, before they are normalized, as Matryoshka
// representations are used (Kusupati et al. 2022). The directory that Save writes says it to
// other libraries as a Dense module whose matrix is the first rows of the identity.
func (m *Model) Truncate(n int) error {
	if n < 1 || m.Dim > 0 && n >= m.Dim {
		return fmt.Errorf("truncate vectors: to %d features, but they have %d", n, m.Dim)
	}
	if err := m.keepParent(); err != nil {
		return err
	}
	m.Modules.Truncate = n
	var err error
	if m.source != nil {
		err = m.truncateBuilt()
	} else {
		err = m.truncateForeign()
	}
	if err != nil {
		return fmt.Errorf("truncate vectors: %w", err)
	}
	return nil
}

// truncateBuilt builds the graph once more, with the truncation.
func (m *Model) truncateBuilt() error {
	config, err := m.readConfig()
	if err != nil {
		return err
	}
	warnings := m.Warnings
	err = m.build(config, m.options)
	m.Warnings = warnings
	return err
}

// truncateForeign pools the token vectors of a graph that came as a file anew.
func (m *Model) truncateForeign() error {
	g := m.Graph.Graph
	tokens := find(g.Outputs, "last_hidden_state")
	switch {
	case tokens == nil:
		return m.truncateText()
	case len(m.Modules.Dense) > 0:
		return errors.New("Dense modules cannot be put behind an ONNX file; truncate the checkpoint")
	case m.Sizes.Hidden == 0:
		return errors.New("the graph does not say how many features a token has")
	}
	old := find(g.Outputs, "sentence_embedding")
	old.Name = "sentence_embedding/whole"
	b := freshBuilder(g)
	modules := m.graphModules(m.options)
	v, dim := modules.embed(b, m.Graph.Opset(""), m.tokenVectors(b, tokens), m.Sizes.Hidden)
	if err := b.Err(); err != nil {
		return err
	}
	v.Type = graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Size(int64(dim)))
	m.Dim = dim
	m.keepOutputs(tokens, v)
	return nil
}

// truncateText cuts the vectors of texts of a graph that has none of tokens. If they had length 1, the beginnings get it again.
func (m *Model) truncateText() error {
	g := m.Graph.Graph
	whole := find(g.Outputs, "sentence_embedding")
	whole.Name = "sentence_embedding/whole"
	b := freshBuilder(g)
	v := b.Slice(whole, -1, 0, int64(m.Modules.Truncate))
	if m.Modules.Normalize {
		v = newPooler(b, m.Graph.Opset(""), tokenVectors{}).normalize(v)
	}
	if err := b.Err(); err != nil {
		return err
	}
	v.Type = graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Size(int64(m.Modules.Truncate)))
	m.Dim = m.Modules.Truncate
	m.keepOutputs(nil, v)
	return nil
}

// features are those of a vector before it is truncated.
func (m *Modules) features(hidden int) int {
	if n := len(m.Dense); n > 0 {
		return m.Dense[n-1].Out
	}
	return hidden * len(m.Pooling)
}

// truncation is the config of the Dense module that truncates.
func (m *Modules) truncation(hidden int) map[string]any {
	return map[string]any{"in_features": m.features(hidden), "out_features": m.Truncate, "bias": false,
		"activation_function": "torch.nn.modules.linear.Identity"}
}

// truncation writes the matrix of the module that truncates.
func (s *saver) truncation() error {
	m := &s.model.Modules
	if m.Truncate == 0 {
		return nil
	}
	rows, columns := int64(m.Truncate), int64(m.features(s.model.Sizes.Hidden))
	one := checkpointTensor{safetensors.Entry{Name: "linear.weight", DType: safetensors.F32, Shape: []int64{rows, columns}}, func(w io.Writer) error {
		row := make([]byte, 4*columns)
		for i := range rows {
			clear(row)
			binary.LittleEndian.PutUint32(row[4*i:], math.Float32bits(1))
			if _, err := w.Write(row); err != nil {
				return err
			}
		}
		return nil
	}}
	return s.writeFile(filepath.Join(m.truncationDir(), safetensors.FileName), []checkpointTensor{one})
}

// truncationDir is the folder of the module that truncates, behind the transformer, the pooling and the Dense modules that there are.
func (m *Modules) truncationDir() string {
	for i := 2 + len(m.Dense); ; i++ {
		dir := fmt.Sprintf("%d_Dense", i)
		if !slices.ContainsFunc(m.Dense, func(d Dense) bool { return d.Dir == dir }) {
			return dir
		}
	}
}
