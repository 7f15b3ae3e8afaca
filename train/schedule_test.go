//go:build !lite

package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// The rates of testdata/train are those that torch trained with.
func TestScheduleGolden(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "train", "bert", "infonce", "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		LR       float64
		Steps    int
		Warmup   int `json:"warmup_steps"`
		Expected struct{ LR []float64 }
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.LearningRate, o.WarmupSteps = g.LR, g.Warmup
	s := newSchedule(o, g.Steps)
	if len(g.Expected.LR) != g.Steps {
		t.Fatalf("%d rates for %d steps", len(g.Expected.LR), g.Steps)
	}
	for step, want := range g.Expected.LR {
		if got := s.at(step); math.Abs(got-want) > 1e-18 {
			t.Errorf("step %d: rate %v, want %v", step, got, want)
		}
	}
}

// The figures are transformers': get_scheduler(name, …, num_warmup_steps=w, num_training_steps=n).
func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		kind     string
		warmup   int
		ratio    float64
		parity   bool
		steps    int
		step     int
		expected float64
	}{
		{"linear", 0, 0, false, 10, 0, 1},
		{"linear", 0, 0, false, 10, 9, 0.1},
		{"linear", 0, 0.25, false, 10, 3, 1},      // 2.5 steps are 3 in transformers …
		{"linear", 0, 0.25, true, 10, 2, 1},       // … and 2 in PaddleNLP
		{"linear", 4, 0.9, false, 10, 2, 0.5},     // the steps win
		{"linear", 20, 0, false, 10, 9, 9.0 / 20}, // warm-up beyond the run
		{"cosine", 2, 0, false, 10, 1, 0.5},
		{"cosine", 2, 0, false, 10, 2, 1},
		{"cosine", 2, 0, false, 10, 4, 0.8535533905932737},
		{"cosine", 2, 0, false, 10, 6, 0.5},
		{"constant", 2, 0, false, 10, 1, 0.5},
		{"constant", 2, 0, false, 10, 9, 1},
	} {
		o := DefaultOptions()
		o.LearningRate, o.LRSchedulerType, o.WarmupSteps, o.WarmupRatio, o.Parity = 1, c.kind, c.warmup, c.ratio, c.parity
		if got := newSchedule(o, c.steps).at(c.step); math.Abs(got-c.expected) > 1e-15 {
			t.Errorf("%+v: rate %v", c, got)
		}
	}
}

func TestCalendar(t *testing.T) {
	seven := func(int) int { return 7 }
	for _, c := range []struct {
		accumulation, maxSteps int
		epochs                 float64
		want                   int
	}{
		{1, 0, 1, 7}, {1, 0, 2.5, 18}, {2, 0, 1, 4}, {2, 0, 1.5, 6}, {3, 0, 2, 6}, {8, 0, 3, 3}, {1, 5, 3, 5}, {2, 100, 1, 100}, {1, 0, 0.01, 1},
	} {
		if got := (calendar{seven, c.accumulation}).total(c.epochs, c.maxSteps); got != c.want {
			t.Errorf("%+v: %d steps", c, got)
		}
	}
	// No step takes batches of two epochs; epochs may differ in length.
	c := calendar{func(epoch int) int { return 3 + epoch }, 2}
	var got []string
	var p position
	for range 5 {
		batches, after := c.next(p)
		got = append(got, fmt.Sprint(batches))
		p = after
	}
	if got, want := fmt.Sprint(got), "[[{0 0} {0 1}] [{0 2}] [{1 0} {1 1}] [{1 2} {1 3}] [{2 0} {2 1}]]"; got != want {
		t.Errorf("batches %s\nwant    %s", got, want)
	}
	if got := c.passed(position{1, 2}); got != 1.5 {
		t.Errorf("two of the second epoch's four batches: %v epochs passed", got)
	}
}
