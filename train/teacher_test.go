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
	"slices"
	"strings"
	"testing"

	"graft/runtime/tokenizer"
	"graft/train/dataset"
	"graft/train/torch"
)

// self is a model as a teacher: what it says of texts with the weights that training begins with.
type self struct {
	t       testing.TB
	model   Model
	encoder encoder
	texts   []string // that it was given
	starts  int
}

func newSelf(t testing.TB, m Model) *self {
	t.Helper()
	defer torch.Lock()()
	p, err := torch.Compile(m.Graph, torch.CompileOptions{Outputs: []string{embedding}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &self{t: t, model: m, encoder: encoder{program: p, pad: m.Tokenizer.PadID()}}
}

func (s *self) Encode(ctx context.Context, texts []string, a dataset.Asked) ([]float32, error) {
	prompted := make([]string, len(texts))
	for i, text := range texts {
		prompted[i] = a.Prompt + text
	}
	s.texts = append(s.texts, prompted...)
	encoded, err := s.model.Tokenizer.EncodeBatch(ctx, prompted, tokenizer.EncodeOptions{MaxLength: a.MaxLength})
	if err != nil {
		return nil, err
	}
	ids := make([][]int32, len(encoded))
	for i := range encoded {
		ids[i] = encoded[i].IDs
	}
	return s.encoder.vectors(ids, 0, 4096)
}

func (s *self) Close() error { return nil }

func (s *self) teacher() *Teacher {
	return &Teacher{Hash: "sha256:self", Dim: s.model.Dim, Open: func(context.Context) (dataset.Teacher, error) { s.starts++; return s, nil }}
}

// taught are options for learning from a teacher's vectors.
func taught(t testing.TB, distill string) Options {
	o := tinyOptions(t)
	o.Teacher, o.Distill, o.Dropout = "self", distill, 0
	return o
}

// recorded is a recorder whose hooks have the model as its own teacher.
func recorded(s *self) *recorder {
	r := newRecorder()
	r.hooks.Teacher = s.teacher()
	return r
}

// writeTexts makes a file of texts, one a line.
func writeTexts(t testing.TB, rows int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "texts.txt")
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, "%d %s\n", i, strings.Join(words[i%7:i%7+3+i%5], " "))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// shift moves the weights of a teacher away, so that there is something to learn.
func shift(t testing.TB, s *self) *self {
	t.Helper()
	defer torch.Lock()()
	scope := torch.NewScope()
	defer scope.Close()
	for i, p := range s.encoder.program.Parameters() {
		values, err := p.Tensor.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for j := range values {
			values[j] += 0.1 * float32(math.Sin(float64(i+j)))
		}
		if err := p.Tensor.CopyFrom(scope.Float32s(values, p.Tensor.Shape()...)); err != nil {
			t.Fatal(err)
		}
	}
	if scope.Err() != nil {
		t.Fatal(scope.Err())
	}
	return s
}

// A model that is its own teacher begins at a loss of 0, on texts alone and on queries with passages.
func TestOwnTeacher(t *testing.T) {
	m := tinyModel(t)
	s := newSelf(t, m)
	for _, distill := range []string{"embedding", "score", "margin-mse"} {
		for _, texts := range []bool{false, true} {
			if texts && distill == "margin-mse" {
				continue
			}
			t.Run(fmt.Sprintf("%s texts=%v", distill, texts), func(t *testing.T) {
				o := taught(t, distill)
				o.MaxSteps = 1
				if texts {
					o.TrainData, o.TrainGroupSize = []string{writeTexts(t, 20)}, 1
				} else {
					dropScores(t, o.TrainData[0])
				}
				if r := mustRun(t, m, o, recorded(s).hooks); !(math.Abs(r.FirstLoss) < 1e-7) {
					t.Errorf("the first loss is %g", r.FirstLoss)
				}
			})
		}
	}
}

// dropScores takes the teacher's scores out of rows.
func dropScores(t testing.TB, path string) {
	t.Helper()
	editRows(t, path, func(row map[string]any) { delete(row, "pos_scores"); delete(row, "neg_scores") })
}

func editRows(t testing.TB, path string, edit func(row map[string]any)) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for line := range strings.Lines(string(raw)) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		edit(row)
		text, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, text...), '\n')
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Scores that rows lack are the teacher's similarities over the temperature; those that rows have stay.
func TestTeacherFillsScores(t *testing.T) {
	m := tinyModel(t)
	s := newSelf(t, m)
	o := taught(t, "kl")
	o.MaxSteps = 3
	filled := o
	filled.OutputDir = filepath.Join(t.TempDir(), "filled")
	alone := o
	alone.Teacher = ""
	first := mustRun(t, m, alone, newRecorder().hooks)
	if kept := mustRun(t, m, filled, recorded(s).hooks); kept.FirstLoss != first.FirstLoss {
		t.Errorf("with rows' own scores the loss is %v under a teacher, %v without", kept.FirstLoss, first.FirstLoss)
	}
	dropScores(t, o.TrainData[0])
	o.OutputDir, filled.OutputDir = filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	given := mustRun(t, m, o, recorded(s).hooks)
	editRows(t, o.TrainData[0], func(row map[string]any) { addScores(t, s, o, row) })
	filled.Teacher = ""
	if own := mustRun(t, m, filled, newRecorder().hooks); math.Abs(own.LastLoss-given.LastLoss) > 1e-5 {
		t.Errorf("the teacher's scores give the loss %v, the same in the data %v", given.LastLoss, own.LastLoss)
	}
}

// addScores puts the teacher's similarities over the temperature into a row.
func addScores(t testing.TB, s *self, o Options, row map[string]any) {
	t.Helper()
	encode := func(text string, length int) []float32 {
		v, err := s.Encode(context.Background(), []string{text}, dataset.Asked{MaxLength: length})
		if err != nil {
			t.Fatal(err)
		}
		normalize(v)
		return v
	}
	query := encode(row["query"].(string), o.QueryMaxLen)
	for _, name := range []string{"pos", "neg"} {
		var scores []float64
		for _, p := range row[name].([]any) {
			sum := 0.0
			for j, x := range encode(p.(string), o.PassageMaxLen) {
				sum += float64(x) * float64(query[j])
			}
			scores = append(scores, sum/o.Temperature)
		}
		row[name+"_scores"] = scores
	}
}

// A run on texts alone comes closer to its teacher; GradCache takes the same course; nothing of the teacher is left.
func TestHealing(t *testing.T) {
	m := tinyModel(t)
	for _, distill := range []string{"embedding", "score"} {
		t.Run(distill, func(t *testing.T) {
			s := shift(t, newSelf(t, m))
			o := taught(t, distill)
			o.TrainData, o.TrainGroupSize, o.NumTrainEpochs = []string{writeTexts(t, 40)}, 1, 15
			o.LearningRate, o.PerDeviceTrainBatchSize = 2e-4, 40
			plain := mustRun(t, m, o, recorded(s).hooks)
			if !(plain.FirstLoss > 1e-3 && plain.MeanLoss < 0.9*plain.FirstLoss) {
				t.Errorf("the loss goes from %g to %g", plain.FirstLoss, plain.MeanLoss)
			}
			if s.starts != 1 || len(s.texts) != 40 {
				t.Errorf("the teacher was started %d times for %d texts", s.starts, len(s.texts))
			}
			if _, err := os.Stat(filepath.Join(o.OutputDir, teacherDir)); err == nil {
				t.Error("the teacher's vectors are left")
			}
			o.GradCacheChunk, o.OutputDir = 1, filepath.Join(t.TempDir(), "cached")
			if cached := mustRun(t, m, o, recorded(s).hooks); math.Abs(cached.LastLoss-plain.LastLoss) > 1e-5*plain.FirstLoss {
				t.Errorf("the last loss is %v with GradCache, %v without", cached.LastLoss, plain.LastLoss)
			}
		})
	}
}

// A run that is interrupted goes on bit for bit, and does not ask the teacher again.
func TestResumeTaught(t *testing.T) {
	m := tinyModel(t)
	for name, set := range map[string]func(o *Options){
		"embedding":      func(*Options) {},
		"bf16":           func(o *Options) { o.BF16 = true },
		"lora":           func(o *Options) { o.FineTuneType, o.LoraRank, o.Distill = "lora", 4, "score" },
		"kept elsewhere": func(o *Options) { o.CacheDir = filepath.Join(filepath.Dir(o.OutputDir), "cache") },
		"grad-cache":     func(o *Options) { o.GradCacheChunk, o.Dropout = 1, 0.1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := shift(t, newSelf(t, m))
			o := taught(t, "embedding")
			set(&o)
			straight := o
			straight.OutputDir = filepath.Join(t.TempDir(), "straight")
			mustRun(t, m, straight, recorded(s).hooks)
			s.starts = 0
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r := recorded(s)
			r.hooks.Progress = func(p Progress) {
				if p.Step == 4 {
					cancel()
				}
			}
			if _, err := Run(ctx, m, o, r.hooks); !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v", err)
			}
			other := recorded(s)
			other.hooks.Teacher.Hash = "sha256:another"
			if _, err := Run(context.Background(), m, o, other.hooks); err == nil || !strings.Contains(err.Error(), `teacher: was "sha256:self`) {
				t.Errorf("with another teacher: %v", err)
			}
			s.starts = 0
			mustRun(t, m, o, recorded(s).hooks)
			if s.starts != 0 {
				t.Errorf("the teacher was started %d times", s.starts)
			}
			sameCourse(t, o.OutputDir, straight.OutputDir)
		})
	}
}

// A teacher is handed texts, under prompts of its own, whatever its tokenizer and the model's are.
func TestTeacherReadsTexts(t *testing.T) {
	m := tinyModel(t)
	s := newSelf(t, m)
	o := taught(t, "score")
	o.MaxSteps, o.TrainGroupSize, o.QueryInstruction = 1, 1, "find: "
	if err := os.WriteFile(o.TrainData[0], []byte(`{"query": "Wörter", "pos": ["ein Text"]}`+"\n"+`{"text": "allein"}`+"\n"+`{"text": "noch einer"}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := recorded(s)
	r.hooks.Teacher.QueryPrompt, r.hooks.Teacher.PassagePrompt = "query: ", "passage: "
	mustRun(t, m, o, r.hooks)
	slices.Sort(s.texts)
	if want := []string{"passage: allein", "passage: ein Text", "passage: noch einer", "query: Wörter"}; !slices.Equal(s.texts, want) {
		t.Errorf("the teacher was given %q, want %q", s.texts, want)
	}
}

// A teacher that does not fit, or fails, is refused before the first step.
func TestTeacherRefused(t *testing.T) {
	m := tinyModel(t)
	s := newSelf(t, m)
	for want, c := range map[string]func(o *Options, h *Hooks){
		"--teacher: its vectors have 64 features, the model's 32": func(_ *Options, h *Hooks) { h.Teacher.Dim = 64 },
		"the teacher was not opened":                              func(_ *Options, h *Hooks) { h.Teacher = nil },
		"no session": func(_ *Options, h *Hooks) {
			h.Teacher.Open = func(context.Context) (dataset.Teacher, error) { return nil, errors.New("no session") }
		},
		"query is missing": func(o *Options, _ *Hooks) {
			o.Distill, o.TrainGroupSize = "kl", 2
			o.TrainData[0] = filepath.Join(filepath.Dir(o.TrainData[0]), "text.jsonl")
			if err := os.WriteFile(o.TrainData[0], []byte(`{"text": "a"}`), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			o, r := taught(t, "embedding"), recorded(s)
			c(&o, &r.hooks)
			if _, err := Run(context.Background(), m, o, r.hooks); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
	// Similarities are compared whatever the width.
	o, r := taught(t, "score"), recorded(s)
	o.MaxSteps = 1
	r.hooks.Teacher.Dim = 5
	r.hooks.Teacher.Open = func(context.Context) (dataset.Teacher, error) { return narrow{s}, nil }
	mustRun(t, m, o, r.hooks)
}

// narrow is a teacher of 5 features.
type narrow struct{ *self }

func (n narrow) Encode(ctx context.Context, texts []string, a dataset.Asked) ([]float32, error) {
	v, err := n.self.Encode(ctx, texts, a)
	var out []float32
	for i := range texts {
		out = append(out, v[i*n.model.Dim:][:5]...)
	}
	return out, err
}
