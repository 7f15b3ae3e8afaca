//go:build !lite

package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultsAreValid(t *testing.T) {
	o := DefaultOptions()
	o.OutputDir, o.TrainData = "out", []string{"rows.jsonl"}
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
}

// What is wrong whatever the model and the data are names its flag.
func TestValidate(t *testing.T) {
	for want, change := range map[string]func(o *Options){
		"--output-dir: is missing":                                       func(o *Options) { o.OutputDir = "" },
		"--train-data: is missing":                                       func(o *Options) { o.TrainData = nil },
		`--fine-tune-type: "qlora" is not one of sft, lora, bitfit`:      func(o *Options) { o.FineTuneType = "qlora" },
		`--padding: "left" is not one of longest, max_length`:            func(o *Options) { o.Padding = "left" },
		`--objective: "triplet" is not one of`:                           func(o *Options) { o.Objective = "triplet" },
		`--distill: "mse" is not one of kl, margin-mse`:                  func(o *Options) { o.Distill = "mse" },
		`--lr-scheduler-type: "step" is not one of`:                      func(o *Options) { o.LRSchedulerType = "step" },
		`--lora-targets: "(" is not a regular expression`:                func(o *Options) { o.LoraTargets = "(" },
		"--train-group-size: 0 is less than 1":                           func(o *Options) { o.TrainGroupSize = 0 },
		"--per-device-train-batch-size: 0 is less than 1":                func(o *Options) { o.PerDeviceTrainBatchSize = 0 },
		"--gradient-accumulation-steps: -1 is less than 1":               func(o *Options) { o.GradientAccumulationSteps = -1 },
		"--query-max-len: 0 is less than 1":                              func(o *Options) { o.QueryMaxLen = 0 },
		"--learning-rate: NaN is not between":                            func(o *Options) { o.LearningRate = math.NaN() },
		"--learning-rate: -1 is not between":                             func(o *Options) { o.LearningRate = -1 },
		"--warmup-ratio: 1.5 is not between 0 and 1":                     func(o *Options) { o.WarmupRatio = 1.5 },
		"--temperature: 0 is not a positive number":                      func(o *Options) { o.Temperature = 0 },
		"--adam-beta2: 1 is not in [0, 1)":                               func(o *Options) { o.AdamBeta2 = 1 },
		"--dropout: 1 is not less than 1":                                func(o *Options) { o.Dropout = 1 },
		"--num-train-epochs: 0 epochs and no --max-steps":                func(o *Options) { o.NumTrainEpochs = 0 },
		"--fp16: cannot be together with --bf16":                         func(o *Options) { o.FP16, o.BF16 = true, true },
		`--float32-matmul-precision: "medium" is not one of`:             func(o *Options) { o.Float32MatmulPrecision = "medium" },
		`--frozen-dtype: "int8" is not one of fp32, bf16`:                func(o *Options) { o.FrozenDType = "int8" },
		"--frozen-dtype: nothing is frozen":                              func(o *Options) { o.FrozenDType = "bf16" },
		"--use-inbatch-neg: contradicts --objective own-group":           func(o *Options) { o.UseInbatchNeg, o.Objective = true, "own-group" },
		"--distill: needs the hard negatives":                            func(o *Options) { o.Distill, o.UseInbatchNeg = "kl", true },
		"--lora-rank: 0 is less than 1":                                  func(o *Options) { o.FineTuneType, o.LoraRank = "lora", 0 },
		"--train-group-size: one query and one passage a batch":          func(o *Options) { o.TrainGroupSize, o.PerDeviceTrainBatchSize = 1, 1 },
		"--train-group-size: the objective in-batch with one query":      func(o *Options) { o.UseInbatchNeg, o.PerDeviceTrainBatchSize = true, 1 },
		"--train-group-size: the objective own-group with one passage":   func(o *Options) { o.Objective, o.TrainGroupSize = "own-group", 1 },
		"--matryoshka-dims: [8 8]: a width occurs twice":                 func(o *Options) { o.UseMatryoshka, o.MatryoshkaDims = true, []int{8, 8} },
		"--matryoshka-dims: [0]: widths are positive":                    func(o *Options) { o.UseMatryoshka, o.MatryoshkaDims = true, []int{0} },
		"--matryoshka-loss-weights: 5 weights for 1 widths":              func(o *Options) { o.UseMatryoshka, o.MatryoshkaDims = true, []int{8} },
		"--matryoshka-loss-weights: [1 1 1 1 -1]: weights are positive":  func(o *Options) { o.UseMatryoshka, o.MatryoshkaLossWeights = true, []float64{1, 1, 1, 1, -1} },
		"--resume-from-checkpoint: is empty; auto, none or a checkpoint": func(o *Options) { o.ResumeFromCheckpoint = "" },
	} {
		o := DefaultOptions()
		o.OutputDir, o.TrainData = "out", []string{"rows.jsonl"}
		change(&o)
		var flag *FlagError
		if err := o.Validate(); !errors.As(err, &flag) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// What does not go with the model, the data or the output directory is refused before anything is written.
func TestRefuse(t *testing.T) {
	m := tinyModel(t)
	for want, change := range map[string]func(t *testing.T, m *Model, o *Options){
		"64 is beyond the model's 32 features": func(_ *testing.T, _ *Model, o *Options) {
			o.UseMatryoshka, o.MatryoshkaDims, o.MatryoshkaLossWeights = true, []int{64}, []float64{1}
		},
		"rows.jsonl:3": func(t *testing.T, _ *Model, o *Options) {
			appendText(t, o.TrainData[0], `{"query": "a", "pos": []}`+"\n", 2)
		},
		"--train-group-size 1 trains on pairs alone": func(t *testing.T, _ *Model, o *Options) {
			appendText(t, o.TrainData[0], `{"query": "a", "pos": ["b"]}`+"\n", 1)
		},
		"scores are missing": func(t *testing.T, _ *Model, o *Options) {
			o.Distill = "kl"
			appendText(t, o.TrainData[0], `{"query": "a", "pos": ["b"], "neg": ["c"]}`+"\n", 1)
		},
		"--objective all-passages reads the negatives too": func(t *testing.T, _ *Model, o *Options) {
			o.Objective, o.TrainData = "in-batch", []string{ownGroupFile(t, o.TrainData[0])}
		},
		"--train-group-size 2 or more": func(t *testing.T, _ *Model, o *Options) {
			o.TrainGroupSize, o.TrainData = 1, []string{ownGroupFile(t, o.TrainData[0])}
		},
		"leave no negative": func(t *testing.T, _ *Model, o *Options) {
			o.TrainGroupSize = 1
			if err := os.WriteFile(o.TrainData[0], []byte(`{"query": "a", "pos": ["b"]}`+"\n"), 0o666); err != nil {
				t.Fatal(err)
			}
		},
		"20 rows do not fill one batch of 32": func(_ *testing.T, _ *Model, o *Options) {
			o.PerDeviceTrainBatchSize, o.DataloaderDropLast = 32, true
		},
		"--fp16: needs a CUDA device":        func(_ *testing.T, _ *Model, o *Options) { o.FP16 = true },
		"--device: ":                         func(_ *testing.T, _ *Model, o *Options) { o.Device = "abacus" },
		`no linear module matches "nothing"`: func(_ *testing.T, _ *Model, o *Options) { o.FineTuneType, o.LoraTargets = "lora", "nothing" },
		`resume from checkpoint "nowhere"`:   func(_ *testing.T, _ *Model, o *Options) { o.ResumeFromCheckpoint = "nowhere" },
		"no such file":                       func(_ *testing.T, _ *Model, o *Options) { o.TrainData = []string{"nowhere.jsonl"} },
	} {
		t.Run(want, func(t *testing.T) {
			m, o := m, tinyOptions(t)
			change(t, &m, &o)
			_, err := Run(context.Background(), m, o, newRecorder().hooks)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("error %v, want %q", err, want)
			}
			if o.ResumeFromCheckpoint == "auto" {
				if _, err := os.Stat(o.OutputDir); err == nil {
					t.Error("the output directory was made")
				}
			}
		})
	}
}

// ownGroupFile gives a file of rows the name of one whose rows take negatives from their own groups alone.
func ownGroupFile(t *testing.T, path string) string {
	t.Helper()
	named := filepath.Join(filepath.Dir(path), "rows_no_in_batch_neg.jsonl")
	if err := os.Rename(path, named); err != nil {
		t.Fatal(err)
	}
	return named
}

// appendText puts a line behind so many lines of a file.
func appendText(t *testing.T, path, line string, after int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfterN(string(raw), "\n", after+1)
	lines[after] = line + lines[after]
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o666); err != nil {
		t.Fatal(err)
	}
}

// A directory that holds something is left alone unless it may be overwritten; then a run begins anew in it.
func TestOutputDirectory(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.SaveSteps = 5
	mustRun(t, m, o, newRecorder().hooks)
	first, _ := courseOf(t, o.OutputDir)

	o.ResumeFromCheckpoint = "none"
	_, err := Run(context.Background(), m, o, newRecorder().hooks)
	var flag *FlagError
	if !errors.As(err, &flag) || flag.Flag != "output-dir" || !strings.Contains(err.Error(), "is not empty") {
		t.Fatalf("error %v", err)
	}

	o.ResumeFromCheckpoint, o.OverwriteOutputDir, o.SaveSteps, o.Seed = "auto", true, 0, 7
	result := mustRun(t, m, o, newRecorder().hooks)
	second, _ := courseOf(t, o.OutputDir)
	if result.ResumedFrom != "" || len(checkpointNames(t, o.OutputDir)) > 0 {
		t.Errorf("overwritten: resumed from %q, checkpoints %v", result.ResumedFrom, checkpointNames(t, o.OutputDir))
	}
	if strings.Count(second, "\n") != 10 || first == second {
		t.Errorf("overwritten: the log is\n%s", second)
	}
	runs, err := os.ReadDir(filepath.Join(o.OutputDir, eventsDir))
	if err != nil || len(runs) != 1 {
		t.Errorf("overwritten: %d event files, %v", len(runs), err)
	}
}

// A loss that is no number stops the run; the report names the step and the rows.
func TestNotFinite(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.LearningRate, o.WarmupSteps, o.MaxGradNorm, o.SaveSteps, o.NumTrainEpochs = 1e30, 2, 0, 1, 20
	_, err := Run(context.Background(), m, o, newRecorder().hooks)
	if !errors.Is(err, errNotFinite) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"step ", "rows.jsonl:", `the last checkpoint is "`, "--learning-rate"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

// Lengths beyond the model are cut with a word to the user; without normalization the temperature is 1.
func TestSettle(t *testing.T) {
	r := newRecorder()
	o := DefaultOptions()
	o.Normalized, o.BF16, o.FP16OptLevel = false, true, "O0"
	got := settle(Model{MaxLength: 64}, o, r.hooks.Warn)
	if got.QueryMaxLen != 32 || got.PassageMaxLen != 64 || got.Temperature != 1 || got.BF16 {
		t.Errorf("settled: %+v", got)
	}
	if len(r.warnings) != 1 || r.warnings[0] != "passages are cut at the model's 64 tokens, not at 512" {
		t.Errorf("warnings %q", r.warnings)
	}
}
