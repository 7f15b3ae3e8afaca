package evaluate

import (
	"math"
	"slices"
	"testing"
)

// The tables print the mean of each row: a figure that was copied wrongly moves it.
func TestRecordedScores(t *testing.T) {
	systems := map[string][]string{}
	for _, row := range recordedScores {
		systems[row.system] = append(systems[row.system], row.metric)
		if len(row.scores) != len(recordedTasks) {
			t.Fatalf("%s %s: %d scores of %d tasks", row.system, row.metric, len(row.scores), len(recordedTasks))
		}
		sum, tasks := 0.0, row.scores[:len(row.scores)-1]
		for _, score := range tasks {
			sum += score
		}
		if mean := sum / float64(len(tasks)); math.Abs(mean-row.mean) > 0.0051 {
			t.Errorf("%s %s: the mean is %.4f, recorded as %.2f", row.system, row.metric, mean, row.mean)
		}
	}
	for system, metrics := range systems {
		if !slices.Equal(metrics, RecordedMetrics) {
			t.Errorf("%s: %q", system, metrics)
		}
	}
	if len(systems) != 8 {
		t.Errorf("%d systems", len(systems))
	}
	for _, task := range recordedTasks {
		if known, ok := FindTask(task); !ok || known.Name != task {
			t.Errorf("%s is not in the table of tasks", task)
		}
	}
	if got := Recorded("bge-large-en-v1.5", "scifact"); got["ndcg_at_10"] != 75.50 || got["recall_at_10"] != 88.49 || got["mrr_at_10"] != 71.98 {
		t.Errorf("bge-large-en-v1.5 on SciFact: %v", got)
	}
	if got := Recorded("qwen3-embedding-8b", "MSMARCO-Title"); got["ndcg_at_10"] != 45.72 || got["mrr_at_10"] != 38.66 {
		t.Errorf("qwen3-embedding-8b on MSMARCO-Title: %v", got)
	}
	if len(Recorded("minilm", "SciFact")) > 0 || len(Recorded("llara-passage", "DuRetrieval")) > 0 {
		t.Error("scores that nobody recorded")
	}
}

func TestWhole(t *testing.T) {
	task, _ := FindTask("SciFact")
	mean, _ := FindTask("CQADupstackRetrieval")
	other := task
	other.Split = "train"
	for _, c := range []struct {
		outcome Outcome
		whole   bool
	}{
		{Outcome{Task: task, Queries: 300, Documents: 5183}, true},
		{Outcome{Task: task, Queries: 300, Documents: 5000}, false},
		{Outcome{Task: task, Queries: 3, Documents: 5183}, false},
		{Outcome{Task: other, Queries: 300, Documents: 5183}, false},
		{Outcome{Task: mean, Queries: 13145, Documents: 457199}, true},
		{Outcome{Task: mean, Queries: 13145, Documents: 457198}, false},
		{Outcome{Task: Task{Name: "mine", Split: "test"}}, false},
	} {
		if got := c.outcome.Whole(); got != c.whole {
			t.Errorf("%s, %s, %d queries, %d documents: %t", c.outcome.Task.Name, c.outcome.Task.Split, c.outcome.Queries, c.outcome.Documents, got)
		}
	}
}
