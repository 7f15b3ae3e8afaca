package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/runtime/ort"
	"graft/runtime/tokenizer"
)

// RecordOptions say how a Recorder runs.
type RecordOptions struct {
	MaxLength   int // tokens of a text, special ones included; 0: the model's
	BatchTokens int // padded tokens of a batch; 0: 1024
	Threads     int // to compute on; 0: one per core
}

// Recorder runs graphs on the same texts and hands over values from inside of them. It runs on ONNX
// Runtime's CPU provider in float32.
type Recorder struct {
	rows    []tokenizer.Encoding
	batches []batch
	pad     int64
	threads int
}

// NewRecorder tokenizes texts as m does.
func NewRecorder(ctx context.Context, m Model, texts []string, o RecordOptions) (*Recorder, error) {
	if m.Tokenizer == nil {
		return nil, fmt.Errorf("record: %w", ErrNoTokenizer)
	}
	rows, err := (&Encoder{model: m}).tokenize(ctx, texts, EncodeOptions{MaxLength: o.MaxLength})
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return RecorderOf(rows, int64(m.Tokenizer.PadID()), o), nil
}

// RecorderOf takes texts that were tokenized; pad is the id of padding.
func RecorderOf(rows []tokenizer.Encoding, pad int64, o RecordOptions) *Recorder {
	if o.BatchTokens <= 0 {
		o.BatchTokens = 1024
	}
	lengths := make([]int, len(rows))
	for i, r := range rows {
		lengths[i] = len(r.IDs)
	}
	return &Recorder{rows: rows, batches: plan(lengths, 0, o.BatchTokens, padMultiple), pad: pad, threads: o.Threads}
}

// Tokens is the number of tokens of all texts, special ones included.
func (r *Recorder) Tokens() int {
	n := 0
	for _, row := range r.rows {
		n += len(row.IDs)
	}
	return n
}

// Record runs m on the texts, batch by batch, and hands over values, computed in m: for each a
// row of features per token, in row-major order, and mask [rows, length], 1 at real tokens. What
// is handed over is the receiver's. m, in the IR's form, is not changed.
func (r *Recorder) Record(ctx context.Context, m *graph.Model, values []*graph.Value, use func(mask []int64, values [][]float32) error) error {
	dir, err := os.MkdirTemp("", "graft-record-*")
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := r.record(ctx, filepath.Join(dir, "model.onnx"), m, values, use); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

func (r *Recorder) record(ctx context.Context, path string, m *graph.Model, values []*graph.Value, use func([]int64, [][]float32) error) error {
	probed, names, err := probe(m, values)
	if err != nil {
		return err
	}
	if err := pass.Lower(probed, pass.LowerOptions{Target: pass.CPU}); err != nil {
		return err
	}
	if err := onnx.Write(path, probed, onnx.Options{}); err != nil {
		return err
	}
	session, err := ort.Open(path, names, ort.Options{Threads: r.threads})
	if err != nil {
		return err
	}
	defer session.Close()
	features := make([]int, len(names)) // of a token
	for _, b := range r.batches {
		inputs, mask, err := r.inputs(session.Inputs, b)
		if err != nil {
			return err
		}
		outputs, err := session.RunArrays(ctx, inputs)
		if err != nil {
			return err
		}
		got := make([][]float32, len(names))
		for i, name := range names {
			data, ok := outputs[name].Data.([]float32)
			if features[i] == 0 {
				features[i] = len(data) / len(mask)
			}
			if !ok || len(data) != features[i]*len(mask) || len(data) == 0 {
				return fmt.Errorf("value %q has shape %v for %d tokens, want features of each", values[i].Name, outputs[name].Shape, len(mask))
			}
			got[i] = data
		}
		if err := use(mask, got); err != nil {
			return err
		}
	}
	return nil
}

// probe is a copy of m that has values as its outputs, and their names there.
func probe(m *graph.Model, values []*graph.Value) (*graph.Model, []string, error) {
	probed := m.Clone()
	g := probed.Graph
	byName := map[string]*graph.Value{}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if v != nil {
				byName[v.Name] = v
			}
		}
	}
	g.Outputs = nil
	b := graph.NewBuilder(g, nil)
	names := make([]string, len(values))
	for i, v := range values {
		inside := byName[v.Name]
		if inside == nil {
			return nil, nil, fmt.Errorf("the graph does not compute a value %q", v.Name)
		}
		names[i] = fmt.Sprintf("graft.recorded.%d", i)
		b.Output(names[i], b.Cast(inside, graph.Float), graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Symbol("sequence"), graph.AnyDim))
	}
	return probed, names, b.Err()
}

// inputs are a batch, padded on the right, under the names of the session's inputs.
func (r *Recorder) inputs(names []string, b batch) (inputs map[string]ort.Array, mask []int64, err error) {
	inputs = map[string]ort.Array{}
	for _, name := range names {
		f, ok := fillers[name]
		if !ok {
			return nil, nil, fmt.Errorf("the graph has an input %q, which an encoder does not know how to fill", name)
		}
		data := make([]int64, len(b.texts)*b.length)
		for i, t := range b.texts {
			f(data[i*b.length:(i+1)*b.length], r.rows[t], 0, r.pad)
		}
		inputs[name] = ort.Array{Type: ort.Int64, Shape: []int64{int64(len(b.texts)), int64(b.length)}, Data: data}
	}
	mask = make([]int64, len(b.texts)*b.length)
	for i, t := range b.texts {
		fillers[attentionMask](mask[i*b.length:(i+1)*b.length], r.rows[t], 0, r.pad)
	}
	return inputs, mask, nil
}
