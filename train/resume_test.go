//go:build !lite

package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"graft/graph"
)

// sameCourse fails where two runs' logs or weights differ.
func sameCourse(t *testing.T, got, want string) {
	t.Helper()
	gotLog, gotWeights := courseOf(t, got)
	wantLog, wantWeights := courseOf(t, want)
	if gotLog != wantLog {
		t.Errorf("the logs differ:\n%s\nwant\n%s", gotLog, wantLog)
	}
	if gotWeights != wantWeights {
		t.Error("the weights differ")
	}
}

// variants are the ways of training whose state a checkpoint has to hold.
var variants = map[string]func(o *Options){
	"sft":          func(*Options) {},
	"lora":         func(o *Options) { o.FineTuneType, o.LoraRank = "lora", 4 },
	"bitfit":       func(o *Options) { o.FineTuneType = "bitfit" },
	"accumulation": func(o *Options) { o.GradientAccumulationSteps, o.NumTrainEpochs = 2, 4 },
	"grad-cache":   func(o *Options) { o.GradCacheChunk = 1 },
	"bf16":         func(o *Options) { o.BF16 = true },
	"high":         func(o *Options) { o.Float32MatmulPrecision = "high" },
	"threads":      func(o *Options) { o.Threads = 2 },
	"recompute":    func(o *Options) { o.Recompute = true },
	"sorted":       func(o *Options) { o.GroupByLength, o.NoDuplicates, o.BatchTokens = true, true, 100 },
	"distill":      func(o *Options) { o.Distill = "kl" },
	"matryoshka": func(o *Options) {
		o.UseMatryoshka, o.MatryoshkaDims, o.MatryoshkaLossWeights = true, []int{8, 16}, []float64{1, 1}
	},
}

// A run that is interrupted at any step and goes on is, bit for bit, the run that was not.
func TestResume(t *testing.T) {
	m := tinyModel(t)
	for name, set := range variants {
		t.Run(name, func(t *testing.T) {
			o := tinyOptions(t)
			set(&o)
			straight := o
			straight.OutputDir = filepath.Join(t.TempDir(), "straight")
			mustRun(t, m, straight, newRecorder().hooks)
			for _, at := range []int{3, 7} {
				interruptAfter(t, m, o, at)
			}
			result := mustRun(t, m, o, newRecorder().hooks)
			if want := filepath.Join(o.OutputDir, "checkpoint-7"); result.ResumedFrom != want {
				t.Errorf("resumed from %q, want %q", result.ResumedFrom, want)
			}
			sameCourse(t, o.OutputDir, straight.OutputDir)
		})
	}
}

// interruptAfter runs until so many steps are done, and cancels.
func interruptAfter(t *testing.T, m Model, o Options, steps int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := newRecorder()
	r.hooks.Progress = func(p Progress) {
		if p.Step == steps {
			cancel()
		}
	}
	_, err := Run(ctx, m, o, r.hooks)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled after step %d: %v", steps, err)
	}
	if want := "checkpoint-" + strconv.Itoa(steps); !strings.Contains(err.Error(), want) {
		t.Errorf("the error %q does not name %s", err, want)
	}
}

// killedRun is the environment variable that makes this test binary train in the directory that it names.
const killedRun = "GRAFT_TEST_KILLED_RUN"

// killOptions are those of the run that TestKill kills.
func killOptions(t testing.TB, data, out string) Options {
	o := tinyOptions(t)
	o.TrainData, o.OutputDir, o.SaveSteps, o.SaveTotalLimit, o.MaxSteps = []string{data}, out, 2, 2, 24
	return o
}

// TestKilledChild is not a test: TestKill runs it in processes that it kills.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killedRun)
	if dir == "" {
		t.Skip("TestKill runs it")
	}
	mustRun(t, tinyModel(t), killOptions(t, filepath.Join(dir, "rows.jsonl"), filepath.Join(dir, "out")), newRecorder().hooks)
}

// A process that is killed at any moment, and started again until it comes to its end, leaves what one that was not
// killed leaves.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "rows.jsonl")
	writeRows(t, data, 20)
	straight := killOptions(t, data, filepath.Join(dir, "straight"))
	mustRun(t, tinyModel(t), straight, newRecorder().hooks)

	const attempts = 60
	kills, random := 0, rand.New(rand.NewPCG(3, 4))
	for attempt := range attempts {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
		cmd.Env = append(os.Environ(), killedRun+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		// The log grows by a step every few milliseconds: the moment is a random one after a step that is new.
		if attempt < attempts-1 {
			waitForSteps(filepath.Join(dir, "out", logFile), 2+random.IntN(6), ended)
			time.Sleep(time.Duration(random.IntN(4000)) * time.Microsecond)
		}
		if attempt < attempts-1 && cmd.Process.Kill() == nil {
			kills++
		}
		if err := <-ended; err == nil {
			sameCourse(t, filepath.Join(dir, "out"), straight.OutputDir)
			if kills < 3 {
				t.Errorf("the run was killed %d times only", kills)
			}
			return
		}
	}
	t.Fatal("the run did not come to its end")
}

// waitForSteps returns when the log has so many more lines than it had at first, or when the process has ended.
func waitForSteps(path string, steps int, ended chan error) {
	lines := func() int {
		raw, _ := os.ReadFile(path)
		return strings.Count(string(raw), "\n")
	}
	last, seen := lines(), 0
	for seen < steps {
		select {
		case err := <-ended:
			ended <- err
			return
		case <-time.After(200 * time.Microsecond):
		}
		if n := lines(); n != last {
			seen += max(n-last, 0)
			last = n
		}
	}
}

// A checkpoint of another run is refused, and what differs is named.
func TestResumeMismatch(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	interruptAfter(t, m, o, 3)
	other := filepath.Join(t.TempDir(), "other.jsonl")
	writeRows(t, other, 21)
	for name, c := range map[string]struct {
		change func(m *Model, o *Options)
		want   []string
	}{
		"rate and temperature": {func(_ *Model, o *Options) { o.LearningRate, o.Temperature = 1e-2, 0.1 },
			[]string{`learning-rate: was "0.001", is "0.01"`, "temperature 0.1"}},
		"model":    {func(m *Model, _ *Options) { m.Hash = "sha256:another" }, []string{`model: was "sha256:`, `is "sha256:another"`}},
		"data":     {func(_ *Model, o *Options) { o.TrainData = []string{other} }, []string{"training data and tokenizer: was", `steps: was "10", is "12"`}},
		"lora":     {func(_ *Model, o *Options) { o.FineTuneType = "lora" }, []string{`fine-tune-type: was "sft", is "lora"`, `lora-rank: was not set, is "32"`}},
		"products": {func(_ *Model, o *Options) { o.Normalized = false }, []string{`normalized: was "true", is "false"`}},
	} {
		t.Run(name, func(t *testing.T) {
			m, o := m, o
			c.change(&m, &o)
			_, err := Run(context.Background(), m, o, newRecorder().hooks)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(c.want, "checkpoint-3") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
		})
	}
	t.Run("numerics", func(t *testing.T) {
		r, o := newRecorder(), o
		o.BatchTokens = 50
		mustRun(t, m, o, r.hooks)
		if len(r.warnings) != 1 || !strings.Contains(r.warnings[0], `batch-tokens: was "4096", is "50"`) {
			t.Errorf("warnings: %q", r.warnings)
		}
	})
}

// Checkpoints beyond the limit go, oldest first, and what a killed run left unfinished goes too.
func TestRotation(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.SaveSteps, o.SaveTotalLimit = 2, 2
	if err := os.MkdirAll(filepath.Join(o.OutputDir, ".checkpoint-2.tmp", "training"), 0o777); err != nil {
		t.Fatal(err)
	}
	mustRun(t, m, o, newRecorder().hooks)
	if got, want := fmt.Sprint(checkpointNames(t, o.OutputDir)), "[checkpoint-10 checkpoint-8]"; got != want {
		t.Errorf("checkpoints %v, want %v", got, want)
	}
}

// A checkpoint that was to be replaced by one of the same step, when the process was killed, is there still.
func TestKilledWhileReplacing(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	interruptAfter(t, m, o, 3)
	checkpoint := filepath.Join(o.OutputDir, "checkpoint-3")
	if err := os.Rename(checkpoint, filepath.Join(o.OutputDir, ".checkpoint-3.old.tmp")); err != nil {
		t.Fatal(err)
	}
	if result := mustRun(t, m, o, newRecorder().hooks); result.ResumedFrom != checkpoint {
		t.Errorf("resumed from %q, want %q", result.ResumedFrom, checkpoint)
	}
}

// checkpointNames lists what is named like a checkpoint, finished or not.
func checkpointNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(strings.TrimPrefix(e.Name(), "."), checkpointPrefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// A full disk stops the run; the checkpoint before stays, is named, and can be gone on from.
func TestDiskFull(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.SaveSteps = 2
	straight := o
	straight.OutputDir = filepath.Join(t.TempDir(), "straight")
	mustRun(t, m, straight, newRecorder().hooks)

	full := newRecorder()
	saves := 0
	full.hooks.SaveModel = func(ctx context.Context, dir string, weights []*graph.Tensor) error {
		if saves++; saves < 3 {
			return saveWeights(ctx, dir, weights)
		}
		if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte("half of it"), 0o666); err != nil {
			return err
		}
		return &os.PathError{Op: "write", Path: filepath.Join(dir, "model.safetensors"), Err: syscall.ENOSPC}
	}
	_, err := Run(context.Background(), m, o, full.hooks)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "checkpoint-6") || !strings.Contains(err.Error(), "checkpoint-4") {
		t.Fatalf("error %v; want one that names checkpoint-6, which failed, and checkpoint-4, which is whole", err)
	}
	if got, want := fmt.Sprint(checkpointNames(t, o.OutputDir)), "[checkpoint-2 checkpoint-4]"; got != want {
		t.Errorf("checkpoints %v, want %v", got, want)
	}
	mustRun(t, m, o, newRecorder().hooks)
	sameCourse(t, o.OutputDir, straight.OutputDir)
}

// A run that goes on in another directory has a log of its own, and finds the best checkpoint where it was.
func TestResumeElsewhere(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.EvalSteps, o.LoadBestModelAtEnd = 2, true
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := scored(0.1, 0.5, 0.2)
	r.hooks.Progress = func(p Progress) {
		if p.Step == 5 {
			cancel()
		}
	}
	if _, err := Run(ctx, m, o, r.hooks); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	best, err := os.ReadFile(filepath.Join(o.OutputDir, "checkpoint-2", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	o.ResumeFromCheckpoint, o.OutputDir = filepath.Join(o.OutputDir, "checkpoint-5"), filepath.Join(t.TempDir(), "elsewhere")
	r = scored(0.3, 0.3, 0.4)
	if result := mustRun(t, m, o, r.hooks); result.BestStep != 2 {
		t.Errorf("best after step %d, want 2", result.BestStep)
	}
	log, weights := courseOf(t, o.OutputDir)
	if weights != string(best) {
		t.Error("the result is not the best checkpoint")
	}
	if !strings.Contains(log, `"step":6`) || strings.Contains(log, `"step":5`) {
		t.Errorf("the log is\n%s", log)
	}
	if len(r.warnings) != 1 || !strings.Contains(r.warnings[0], "begins with step 6") {
		t.Errorf("warnings %q", r.warnings)
	}
}
