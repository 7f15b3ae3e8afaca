//go:build !lite

package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// trainerCase is a run of transformers' Trainer that testdata/train/trainer recorded.
type trainerCase struct {
	Name    string
	Model   string          // of testdata/models
	File    string          // name of the training data
	Options json.RawMessage // fields of Options
	Rows    []json.RawMessage
	Steps   []StepLine
}

// Whole runs, from rows to the log, take the steps that transformers' Trainer takes: how many there are, what each batch
// holds, what is added up, clipped, decayed, and at which rate.
func TestAsTransformersTrainer(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(goldenRoot, "trainer", "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []trainerCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			o := c.options(t)
			mustRun(t, checkpointModel(t, c.Model, o.SentencePoolingMethod), o, newRecorder().hooks)
			got, err := readCurve(filepath.Join(o.OutputDir, logFile))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.Steps) || len(got) == 0 {
				t.Fatalf("%d steps, want %d", len(got), len(c.Steps))
			}
			for i, want := range c.Steps {
				for _, v := range []struct {
					what      string
					got, want float64
					tolerance float64 // relative
				}{
					{"loss", got[i].Loss, want.Loss, 1e-4},
					{"gradient's norm", got[i].GradNorm, want.GradNorm, 1e-3},
					{"learning rate", got[i].LearningRate, want.LearningRate, 1e-12},
				} {
					if !(math.Abs(v.got-v.want) <= v.tolerance*math.Abs(v.want)) {
						t.Errorf("step %d: %s %v, want %v", i+1, v.what, v.got, v.want)
					}
				}
			}
		})
	}
}

// options are those of the run on its rows, cut into sub-batches and GradCache's chunks, which must not change anything.
func (c trainerCase) options(t *testing.T) Options {
	t.Helper()
	dir, o := t.TempDir(), DefaultOptions()
	if err := json.Unmarshal(c.Options, &o); err != nil {
		t.Fatal(err)
	}
	o.OutputDir, o.TrainData = filepath.Join(dir, "out"), []string{filepath.Join(dir, c.File)}
	o.DataloaderShuffle, o.Dropout, o.SaveSteps, o.Device, o.Threads = false, 0, 0, "cpu", 1
	o.BatchTokens, o.GradCacheChunk = 60, 2
	f, err := os.Create(o.TrainData[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, row := range c.Rows {
		if err := json.NewEncoder(f).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	return o
}
