//go:build !lite

package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert/safetensors"
)

// The encoder that evaluations get makes the vectors that sentence-transformers makes of the same model, prompts and
// maximum length; before training has changed it, in a model whose dropout would show.
func TestEncoder(t *testing.T) {
	dir := filepath.Join("..", "testdata", "models", "bert")
	raw, err := os.ReadFile(filepath.Join(dir, "st_expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Texts     []string
		Prompts   map[string]string
		MaxLength int `json:"max_seq_length"`
		Tolerance struct{ ATol float64 }
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	vectors, err := safetensors.Open(filepath.Join(dir, "st_expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer vectors.Close()

	m, o, r := tinyModel(t), tinyOptions(t), newRecorder()
	o.MaxSteps, o.QueryMaxLen, o.PassageMaxLen = 1, want.MaxLength, want.MaxLength
	o.QueryInstruction, o.PassageInstruction = want.Prompts["query"], want.Prompts["document"]
	calls, finished := 0, 0
	r.hooks.Evaluate = func(ctx context.Context, e Encoder) (map[string]float64, error) {
		for key, query := range map[string]bool{"query": true, "document": false} {
			if calls > 0 { // the weights have moved
				break
			}
			got, err := e.Encode(ctx, want.Texts, query, func(n int) { finished += n })
			if err != nil {
				return nil, err
			}
			expected, err := vectors.Tensor("embedding." + key).Float32()
			if err != nil {
				return nil, err
			}
			if len(got) != len(expected) || e.Dim() != m.Dim {
				return nil, fmt.Errorf("%d numbers, want %d", len(got), len(expected))
			}
			for i := range got {
				if d := math.Abs(float64(got[i] - expected[i])); !(d <= want.Tolerance.ATol) {
					t.Errorf("%s: number %d is %v, want %v", key, i, got[i], expected[i])
				}
			}
		}
		calls++
		return map[string]float64{"main_score": 1}, nil
	}
	mustRun(t, m, o, r.hooks)
	if calls != 2 || finished != 2*len(want.Texts) {
		t.Errorf("%d evaluations, %d texts reported; want 2 and %d", calls, finished, 2*len(want.Texts))
	}
}

// scored are hooks whose evaluations give these scores, one after the other.
func scored(scores ...float64) *recorder {
	r := newRecorder()
	r.hooks.Evaluate = func(context.Context, Encoder) (map[string]float64, error) {
		if len(scores) == 0 {
			return nil, errors.New("one evaluation too many")
		}
		s := scores[0]
		scores = scores[1:]
		return map[string]float64{"main_score": s, "recall_at_10": s / 2}, nil
	}
	return r
}

// The best checkpoint outlives rotation, and its weights are the result where that is wanted.
func TestBestCheckpoint(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.EvalSteps, o.SaveSteps, o.SaveTotalLimit, o.LoadBestModelAtEnd = 2, 2, 1, true
	result := mustRun(t, m, o, scored(0.1, 0.2, 0.5, 0.3, 0.4, 0.45).hooks)
	if result.BestStep != 4 || result.Best != 0.5 || len(result.Evaluations) != 6 {
		t.Errorf("best %v after step %d of %d evaluations", result.Best, result.BestStep, len(result.Evaluations))
	}
	if got, want := fmt.Sprint(checkpointNames(t, o.OutputDir)), "[checkpoint-10 checkpoint-4]"; got != want {
		t.Errorf("checkpoints %v, want %v", got, want)
	}
	read := func(dir string) string {
		raw, err := os.ReadFile(filepath.Join(o.OutputDir, dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if read(".") != read("checkpoint-4") {
		t.Error("the result is not the best checkpoint")
	}
	if read("checkpoint-10") == read("checkpoint-4") {
		t.Error("the weights do not move")
	}
	log, _ := courseOf(t, o.OutputDir)
	if want := `{"epoch":0.8,"metrics":{"main_score":0.5,"recall_at_10":0.25},"step":4}`; !strings.Contains(log, want) {
		t.Errorf("the log lacks %s:\n%s", want, log)
	}
	card, err := os.ReadFile(filepath.Join(o.OutputDir, cardFile))
	if err != nil {
		t.Fatal(err)
	}
	want := "| steps | main_score | recall_at_10 |\n|---|---|---|\n| before training | 0.10000 | 0.05000 |\n| 4 (best) | 0.50000 | 0.25000 |\n| 10 | 0.45000 | 0.22500 |\n"
	if !strings.Contains(string(card), want) {
		t.Errorf("the card lacks\n%s\n%s", want, card)
	}
}

func TestEarlyStopping(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.EvalSteps, o.EarlyStoppingPatience = 2, 2
	result := mustRun(t, m, o, scored(0.1, 0.3, 0.2, 0.3).hooks)
	if result.Steps != 6 || !strings.Contains(result.Stopped, "2 evaluations without a better main_score") {
		t.Errorf("%d steps, stopped: %q", result.Steps, result.Stopped)
	}
	// Started again, it is as stopped as before.
	if result := mustRun(t, m, o, scored(0.2, 0.3).hooks); result.Steps != 6 || result.Stopped == "" {
		t.Errorf("started again: %d steps, stopped: %q", result.Steps, result.Stopped)
	}
}

// An evaluation that is cut short is made up for when the run goes on, and the log is that of a run that was not.
func TestInterruptedEvaluation(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.EvalSteps = 4
	straight := o
	straight.OutputDir = filepath.Join(t.TempDir(), "straight")
	mustRun(t, m, straight, scored(0.1, 0.2, 0.3, 0.4).hooks)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := scored(0.1)
	inner := r.hooks.Evaluate
	r.hooks.Evaluate = func(ctx context.Context, e Encoder) (map[string]float64, error) {
		metrics, err := inner(ctx, e)
		if err != nil { // the second one
			cancel()
			return nil, ctx.Err()
		}
		return metrics, nil
	}
	if _, err := Run(ctx, m, o, r.hooks); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "checkpoint-4") {
		t.Fatalf("cancelled in an evaluation: %v", err)
	}
	mustRun(t, m, o, scored(0.2, 0.3, 0.4).hooks)
	sameCourse(t, o.OutputDir, straight.OutputDir)
}

// A metric that the evaluation does not have is found before the first step.
func TestUnknownMetric(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.MetricForBestModel = "ndcg_at_11"
	_, err := Run(context.Background(), m, o, scored(0.1).hooks)
	var flag *FlagError
	if !errors.As(err, &flag) || flag.Flag != "metric-for-best-model" || !strings.Contains(err.Error(), "recall_at_10") {
		t.Errorf("error %v", err)
	}
	if lines, _ := os.ReadFile(filepath.Join(o.OutputDir, logFile)); len(lines) > 0 {
		t.Errorf("steps were taken:\n%s", lines)
	}
}
