package evaluate

import (
	"encoding/json"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const fixtures = "../testdata/eval"

// expectedMetrics is the shape of expected_metrics.json; null is NaN.
type expectedMetrics struct {
	PytrecKept    pytrecFigures       `json:"pytrec_kept"`
	PytrecRemoved pytrecFigures       `json:"pytrec_identical_removed"`
	MtebKept      map[string]*float64 `json:"mteb_kept"`
	MtebRemoved   map[string]*float64 `json:"mteb_identical_removed"`
	Probe         struct {
		Run        map[string]map[string]float64 `json:"run"`
		ReverseRun map[string]map[string]float64 `json:"reverse_run"`
	} `json:"float32_tie_probe"`
}

type pytrecFigures struct {
	Order    []string                      `json:"order"`
	PerQuery map[string]map[string]float64 `json:"per_query"`
	Mean     map[string]float64            `json:"mean"`
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func fixtureQrels(t *testing.T) Qrels {
	t.Helper()
	j, err := readBEIRQrels(filepath.Join(fixtures, "dataset/qrels/test.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	return j.qrels
}

func fixtureRun(t *testing.T) iter.Seq[Ranking] {
	t.Helper()
	run, err := ReadTREC(filepath.Join(fixtures, "run.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Values(run)
}

// pytrecName gives pytrec_eval's name of a metric of ours.
var pytrecName = map[string]string{
	"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P", "hit_rate": "success",
}

func TestMetricsEqualPytrecEval(t *testing.T) {
	var want expectedMetrics
	readJSON(t, filepath.Join(fixtures, "expected_metrics.json"), &want)
	for _, c := range []struct {
		name   string
		remove bool
		want   pytrecFigures
	}{{"kept", false, want.PytrecKept}, {"removed", true, want.PytrecRemoved}} {
		table := ScoreRun(fixtureRun(t), fixtureQrels(t), c.remove)
		if len(table.Queries) != len(c.want.Order) {
			t.Fatalf("%s: %d queries judged, want %d", c.name, len(table.Queries), len(c.want.Order))
		}
		compared := 0
		for m, metric := range table.Metrics {
			name, ok := pytrecName[metric.Name]
			if !ok {
				continue
			}
			for q, query := range table.Queries {
				for i, k := range Cutoffs {
					key := name + "_" + strconv.Itoa(k)
					got, want := table.Values[m][q][i], c.want.PerQuery[query][key]
					if math.Abs(got-want) > 1e-12 {
						t.Errorf("%s: %s of %s: got %v, want %v", c.name, key, query, got, want)
					}
					compared++
				}
			}
		}
		if compared != 5*7*10 {
			t.Errorf("%s: compared %d figures, want 350", c.name, compared)
		}
	}
}

func TestScoresEqualMteb(t *testing.T) {
	var want expectedMetrics
	readJSON(t, filepath.Join(fixtures, "expected_metrics.json"), &want)
	for _, c := range []struct {
		name   string
		remove bool
		want   map[string]*float64
	}{{"kept", false, want.MtebKept}, {"removed", true, want.MtebRemoved}} {
		scores := ScoreRun(fixtureRun(t), fixtureQrels(t), c.remove).Scores()
		if len(scores) != len(c.want) || len(scores) != 148 {
			t.Errorf("%s: %d figures, want %d", c.name, len(scores), len(c.want))
		}
		for _, s := range scores {
			want, ok := c.want[s.Key]
			if !ok {
				t.Errorf("%s: %s is not mteb's", c.name, s.Key)
				continue
			}
			if !same(s.Value, round(orNaN(want), 6)) {
				t.Errorf("%s: %s: got %v, want %v", c.name, s.Key, s.Value, round(orNaN(want), 6))
			}
		}
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// TestMeanReciprocalRankToTheLastBit holds the sum that mteb does not round.
func TestMeanReciprocalRankToTheLastBit(t *testing.T) {
	var want expectedMetrics
	readJSON(t, filepath.Join(fixtures, "expected_metrics.json"), &want)
	table := ScoreRun(fixtureRun(t), fixtureQrels(t), false)
	for m, metric := range table.Metrics {
		if metric != reciprocalRank {
			continue
		}
		for i, k := range Cutoffs {
			got := compensatedSum(table.column(m, i)) / float64(len(table.Queries))
			if want := *want.MtebKept[metric.key(k)]; got != want {
				t.Errorf("%s: got %v, want %v", metric.key(k), got, want)
			}
		}
	}
}

// TestScoresTieInFloat32 is the probe of the fixture: two doubles that are one float32
// rank by document id descending, whichever is larger; mteb's MRR tells them apart.
func TestScoresTieInFloat32(t *testing.T) {
	var want expectedMetrics
	readJSON(t, filepath.Join(fixtures, "expected_metrics.json"), &want)
	for name, scores := range map[string]map[string]float64{"forward": want.Probe.Run["q"], "reverse": want.Probe.ReverseRun["q"]} {
		ranking := Ranking{"q", []Hit{{"a", scores["a"]}, {"b", scores["b"]}}}
		judged := judge(ranking, map[string]int{"b": 1}, false)
		if got := precision.Value(judged, 1); got != 1 {
			t.Errorf("%s: precision at 1 is %v, want 1", name, got)
		}
		wantMRR := map[string]float64{"forward": 1, "reverse": 0.5}[name]
		if got := reciprocalRank.Value(judged, 10); got != wantMRR {
			t.Errorf("%s: mrr is %v, want %v", name, got, wantMRR)
		}
	}
}

func TestIdsOrderBytewise(t *testing.T) {
	// U+FF21 is above the emoji in UTF-16 but below it in UTF-8.
	if compareHits(Hit{"😀", 1}, Hit{"Ａ", 1}) >= 0 {
		t.Error("the emoji must stand before the full-width letter")
	}
}

func TestKeysOfAResultEntry(t *testing.T) {
	want, err := ReadTaskResult(filepath.Join(fixtures, "mteb/results/fixture__table-encoder/0123456789abcdef0123456789abcdef01234567/FixtureRetrieval.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got, keys []string
	for _, s := range ScoreRun(fixtureRun(t), fixtureQrels(t), false).Scores() {
		got = append(got, s.Key)
	}
	for _, s := range want.Splits[0].Entries[0].Scores {
		keys = append(keys, s.Key)
	}
	if strings.Join(got, " ") != strings.Join(keys, " ") {
		t.Errorf("keys differ from mteb's:\n%v\n%v", got, keys)
	}
}
