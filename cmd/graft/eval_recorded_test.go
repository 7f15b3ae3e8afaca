package main

import (
	"strings"
	"testing"

	"graft/convert"
	"graft/evaluate"
)

func TestRecordedStandBesideWholeTasks(t *testing.T) {
	p, err := convert.PresetNamed("bge-large-en-v1.5")
	if err != nil {
		t.Fatal(err)
	}
	o := &presetOptions{Preset: p}
	report := evalReport{Model: "bge", Preset: o.named(), Tasks: []taskReport{
		{Task: "SciFact", Whole: true, Scores: map[string]float64{"ndcg_at_10": 0.7465, "recall_at_10": 0.88489, "mrr_at_10": 0.71}, Recorded: o.recorded("SciFact")},
		{Task: "CQADupstackRetrieval", Whole: true, Scores: map[string]float64{"ndcg_at_10": 0.43}, Recorded: o.recorded("CQADupstackRetrieval")},
		{Task: "NQ", Queries: 3, Documents: 9, Scores: map[string]float64{"ndcg_at_10": 0.5}, Recorded: o.recorded("NQ")},
		{Task: "godoc", Whole: false, Scores: map[string]float64{"ndcg_at_10": 0.5}, Recorded: o.recorded("godoc")},
	}}
	var w strings.Builder
	printRecorded(&w, []evalReport{report})
	want := `preset             task                  metric        recorded  here   difference
bge-large-en-v1.5  SciFact               ndcg_at_10    75.50     74.65  -0.85
bge-large-en-v1.5  SciFact               recall_at_10  88.49     88.49  -0.00
bge-large-en-v1.5  SciFact               mrr_at_10     71.98     71.00  -0.98
bge-large-en-v1.5  CQADupstackRetrieval  ndcg_at_10    43.05     43.00  -0.05
NQ: not the whole task (3 queries, 9 documents): what the reference recorded of bge-large-en-v1.5 is not comparable
`
	if got := w.String(); got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
	if (&presetOptions{}).recorded("SciFact") != nil {
		t.Error("scores of no preset")
	}
}

// Each preset has recorded scores, and the settings under which they were made are flags of eval.
func TestPresetsAreTheReferences(t *testing.T) {
	for _, p := range convert.Presets() {
		if len(evaluate.Recorded(p.Name, "SciFact")) != len(evaluate.RecordedMetrics) {
			t.Errorf("%s: nothing is recorded of it", p.Name)
		}
		line := &commandLine{cmd: evalCommand(), set: map[string]bool{}, stderr: &strings.Builder{}}
		if err := line.parse(strings.Fields(strings.ReplaceAll(p.Reference, "'", ""))); err != nil && !strings.Contains(p.Reference, "sentence") {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}
