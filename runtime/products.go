package runtime

import (
	"bytes"
	"context"
	"fmt"

	"graft/graph"
	"graft/graph/onnx"
	"graft/runtime/ort"
)

// Products runs m on the texts and returns Xᵀ·X of each of values, [features, features] in row-major order, over the
// rows X of all real tokens, and how many tokens these are. m, in the IR's form, is not changed.
func (r *Recorder) Products(ctx context.Context, m *graph.Model, values []*graph.Value) (sums [][]float32, tokens int, err error) {
	product, err := newSelfProduct(r.threads)
	if err != nil {
		return nil, 0, fmt.Errorf("record: %w", err)
	}
	defer product.Close()
	sums = make([][]float32, len(values))
	err = r.Record(ctx, m, values, func(mask []int64, batch [][]float32) error {
		for i, x := range batch {
			features := len(x) / len(mask)
			if sums[i] == nil {
				sums[i] = make([]float32, features*features)
			}
			rows := realRows(x, mask)
			if i == 0 {
				tokens += len(rows) / features
			}
			if len(rows) == 0 {
				continue
			}
			sum, err := addSelfProduct(ctx, product, rows, features, sums[i])
			if err != nil {
				return err
			}
			sums[i] = sum
		}
		return nil
	})
	return sums, tokens, err
}

// realRows moves the rows of real tokens to the front of x and returns them.
func realRows(x []float32, mask []int64) []float32 {
	features, n := len(x)/len(mask), 0
	for t, real := range mask {
		if real != 0 {
			copy(x[n*features:][:features], x[t*features:])
			n++
		}
	}
	return x[:n*features]
}

// newSelfProduct opens the graph xᵀ·x + sum.
func newSelfProduct(threads int) (*ort.Session, error) {
	g := &graph.Graph{Name: "products"}
	b := graph.NewBuilder(g, nil)
	square := graph.TensorType(graph.Float, graph.Symbol("features"), graph.Symbol("features"))
	x := b.Input("x", graph.TensorType(graph.Float, graph.Symbol("tokens"), graph.Symbol("features")))
	b.Output("product", b.Op("Gemm", []*graph.Value{x, x, b.Input("sum", square)}, graph.IntAttr("transA", 1)), square)
	m := &graph.Model{IRVersion: 8, Opsets: []graph.Opset{{Domain: "", Version: 17}}, ProducerName: producer, Graph: g}
	var file bytes.Buffer
	if err := onnx.Encode(&file, m); err != nil {
		return nil, err
	}
	return ort.OpenBytes(file.Bytes(), nil, ort.Options{Provider: "cpu", Threads: threads})
}

func addSelfProduct(ctx context.Context, s *ort.Session, x []float32, features int, sum []float32) ([]float32, error) {
	n := int64(features)
	out, err := s.RunArrays(ctx, map[string]ort.Array{
		"x":   {Type: ort.Float, Shape: []int64{int64(len(x)) / n, n}, Data: x},
		"sum": {Type: ort.Float, Shape: []int64{n, n}, Data: sum},
	})
	if err != nil {
		return nil, err
	}
	return out["product"].Data.([]float32), nil
}
