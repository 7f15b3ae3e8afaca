//go:build !lite

package loss_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"graft/train/loss"
)

// Loss and gradients of learning from a teacher's vectors are those of sentence-transformers and PyTorch.
func TestDistillGolden(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "testdata", "train", "distill.json"))
	if err != nil {
		t.Fatal(err)
	}
	type record struct {
		Loss              float64
		Queries, Passages [][]float64
		TeacherQueries    [][]float64 `json:"teacher_queries"`
		TeacherPassages   [][]float64 `json:"teacher_passages"`
		QueriesGrad       [][]float64 `json:"queries_grad"`
		PassagesGrad      [][]float64 `json:"passages_grad"`
		Same              [][]int
	}
	var all struct {
		Temperature  float64
		Group        int
		Embedding    record
		Score        record
		ScoreOfTexts record `json:"score of texts"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, distill string
		want          record
	}{
		{"embedding", "embedding", all.Embedding},
		{"score", "score", all.Score},
		{"score of texts", "score", all.ScoreOfTexts},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newSample(1, len(c.want.Queries), all.Group, len(c.want.Queries[0]))
			x.queries, x.passages, x.same = c.want.Queries, c.want.Passages, c.want.Same
			x.teacherQueries, x.teacherPassages = c.want.TeacherQueries, c.want.TeacherPassages
			value, queries, passages := run(t, loss.Config{
				Objective: "all-passages", Temperature: all.Temperature, Normalize: true, Distill: c.distill,
			}, x)
			near(t, "loss", []float32{float32(value)}, []float64{c.want.Loss}, 1e-6)
			near(t, "gradient of the queries", queries, join(c.want.QueriesGrad), 1e-5)
			near(t, "gradient of the passages", passages, join(c.want.PassagesGrad), 1e-5)
		})
	}
}

func join(m [][]float64) []float64 {
	var out []float64
	for _, row := range m {
		out = append(out, row...)
	}
	return out
}
