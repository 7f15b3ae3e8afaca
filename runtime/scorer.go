package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"graft/graph"
	"graft/graph/onnx"
	"graft/runtime/ort"
)

// Scorer computes dot products of queries and documents with ONNX Runtime's matrix product, on
// the CPU. It is for one goroutine at a time.
type Scorer struct {
	session            *ort.Session
	queries, documents *ort.Tensor[float32]
	scores             *ort.Tensor[float32]
}

// NewScorer prepares the product; threads 0 is one per core.
func NewScorer(threads int) (*Scorer, error) {
	g := &graph.Graph{Name: "scores"}
	b := graph.NewBuilder(g, nil)
	q := b.Input("queries", graph.TensorType(graph.Float, graph.Symbol("queries"), graph.Symbol("dim")))
	d := b.Input("documents", graph.TensorType(graph.Float, graph.Symbol("documents"), graph.Symbol("dim")))
	b.Output("scores", b.Op("Gemm", []*graph.Value{q, d}, graph.IntAttr("transB", 1)),
		graph.TensorType(graph.Float, graph.Symbol("queries"), graph.Symbol("documents")))
	m := &graph.Model{IRVersion: 8, Opsets: []graph.Opset{{Domain: "", Version: 17}}, ProducerName: producer, Graph: g}
	var file bytes.Buffer
	if err := onnx.Encode(&file, m); err != nil {
		return nil, fmt.Errorf("prepare scoring: %w", err)
	}
	s, err := ort.OpenBytes(file.Bytes(), nil, ort.Options{Provider: "cpu", Threads: threads})
	if err != nil {
		return nil, fmt.Errorf("prepare scoring: %w", err)
	}
	return &Scorer{s, ort.NewTensor[float32](), ort.NewTensor[float32](), ort.NewTensor[float32]()}, nil
}

// scorerRows is how many documents go into one product. ONNX Runtime sums in another order where
// there are fewer, so a smaller block is filled up: a score does not depend on what else is in the
// block, and a search that is resumed equals one that was not interrupted.
const scorerRows = 2048

// Score sets scores[q·n+d] to the dot product of row q of queries [m, dim] and row d of documents [n, dim].
func (s *Scorer) Score(ctx context.Context, queries, documents []float32, dim int, scores []float32) error {
	if dim <= 0 || len(queries)%dim != 0 || len(documents)%dim != 0 {
		return fmt.Errorf("score: %d and %d numbers are not rows of %d", len(queries), len(documents), dim)
	}
	m, n := len(queries)/dim, len(documents)/dim
	if len(scores) < m*n {
		return fmt.Errorf("score: room for %d scores, want %d", len(scores), m*n)
	}
	if err := s.queries.Use(queries, int64(m), int64(dim)); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	for first := 0; first < n; first += scorerRows {
		block := documents[first*dim : min(n, first+scorerRows)*dim]
		if err := s.block(ctx, m, n, first, dim, block, scores); err != nil {
			return fmt.Errorf("score: %w", err)
		}
	}
	return nil
}

// block scores the documents from first on, at most scorerRows of them. Where nothing has to be
// filled up or put apart, the product reads and writes the caller's memory.
func (s *Scorer) block(ctx context.Context, m, n, first, dim int, documents, scores []float32) error {
	rows := len(documents) / dim
	var errD, errS error
	if rows == scorerRows {
		errD = s.documents.Use(documents, scorerRows, int64(dim))
	} else {
		var d []float32
		if d, errD = s.documents.Resize(scorerRows, int64(dim)); errD == nil {
			clear(d[copy(d, documents):])
		}
	}
	if n == scorerRows {
		errS = s.scores.Use(scores[:m*n], int64(m), scorerRows)
	} else {
		_, errS = s.scores.Resize(int64(m), scorerRows)
	}
	if err := errors.Join(errD, errS); err != nil {
		return err
	}
	if err := s.session.Run(ctx, []ort.Value{s.queries, s.documents}, []ort.Value{s.scores}); err != nil || n == scorerRows {
		return err
	}
	for i, row := range slices.Collect(slices.Chunk(s.scores.Data(), scorerRows)) {
		copy(scores[i*n+first:i*n+first+rows], row)
	}
	return nil
}

// Close frees the product's memory.
func (s *Scorer) Close() error {
	s.queries.Close()
	s.documents.Close()
	s.scores.Close()
	return s.session.Close()
}
