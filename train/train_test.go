//go:build !lite

package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/train/torch"
)

func TestRun(t *testing.T) {
	m, o, r := tinyModel(t), tinyOptions(t), newRecorder()
	before := torch.Live()
	result := mustRun(t, m, o, r.hooks)
	if n := torch.Live(); n != before {
		t.Errorf("%d tensors are alive after the run, %d before it", n, before)
	}
	if result.Steps != 10 || result.Epochs != 2 || result.Rows != 20 {
		t.Errorf("%d steps, %v epochs, %d rows; want 10, 2, 20", result.Steps, result.Epochs, result.Rows)
	}
	if !(result.LastLoss < result.FirstLoss) {
		t.Errorf("loss went from %v to %v", result.FirstLoss, result.LastLoss)
	}
	log, _ := courseOf(t, o.OutputDir)
	if n := strings.Count(log, "\n"); n != 10 {
		t.Errorf("%d lines in the log, want 10:\n%s", n, log)
	}
	card, err := os.ReadFile(filepath.Join(o.OutputDir, cardFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"library_name: sentence-transformers", "rows.jsonl | 20 |", result.Objective, "| learning-rate | 0.001 |"} {
		if !strings.Contains(string(card), want) {
			t.Errorf("the card lacks %q:\n%s", want, card)
		}
	}
	if p := r.progress[len(r.progress)-1]; p.Step != 10 || p.Steps != 10 || p.Resident == 0 || !p.Log {
		t.Errorf("last progress: %+v", p)
	}
}
