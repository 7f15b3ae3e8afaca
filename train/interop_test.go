//go:build interop && !lite

package train

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TensorBoard reads what a run wrote: the curve of the log, once, though the run was interrupted and went back.
func TestInteropTensorBoard(t *testing.T) {
	interpreter := os.Getenv("GRAFT_PYTHON")
	if interpreter == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("GRAFT_PYTHON is not set: run make interop")
		}
		t.Skip("GRAFT_PYTHON is not set: run make interop")
	}
	m, o := tinyModel(t), tinyOptions(t)
	interruptAfter(t, m, o, 4)
	mustRun(t, m, o, newRecorder().hooks)

	var stderr bytes.Buffer
	cmd := exec.Command(interpreter, "-B", filepath.Join("..", "testdata", "tensorboard", "read.py"), filepath.Join(o.OutputDir, eventsDir))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var scalars map[string][][2]float64
	if err := json.Unmarshal(out, &scalars); err != nil {
		t.Fatal(err)
	}
	curve, err := readCurve(filepath.Join(o.OutputDir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	for tag, value := range map[string]func(StepLine) float64{
		"train/loss":          func(l StepLine) float64 { return l.Loss },
		"train/grad_norm":     func(l StepLine) float64 { return l.GradNorm },
		"train/learning_rate": func(l StepLine) float64 { return l.LearningRate },
	} {
		got := scalars[tag]
		if len(got) != len(curve) {
			t.Errorf("%s has %d values, the log %d", tag, len(got), len(curve))
			continue
		}
		for i, l := range curve {
			want := float64(float32(value(l)))
			if got[i][0] != float64(l.Step) || math.Abs(got[i][1]-want) > 1e-6*math.Abs(want) {
				t.Errorf("%s: step %v has %v, the log says %v at %d", tag, got[i][0], got[i][1], want, l.Step)
			}
		}
	}
}
