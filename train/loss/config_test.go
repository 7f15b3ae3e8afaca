//go:build !lite

package loss_test

import (
	"reflect"
	"strings"
	"testing"

	"graft/train/loss"
)

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		config      loss.Config
		b, g, world int
		want        string
	}{
		{loss.Config{Objective: "all-passages", Temperature: 0.02, Normalize: true}, 8, 8, 1,
			"softmax over 64 candidates: 56 in-batch, 7 hard; temperature 0.02; dims 384"},
		{loss.Config{Objective: "all-passages", Temperature: 0.02, Normalize: true}, 8, 8, 4,
			"softmax over 256 candidates: 56 in-batch, 7 hard, 192 cross-device; temperature 0.02; dims 384"},
		{loss.Config{Objective: "in-batch", Temperature: 0.02, Margin: 0.2, Normalize: true}, 8, 8, 1,
			"softmax over 8 candidates: 7 in-batch, 0 hard; temperature 0.02; margin 0.2; dims 384"},
		{loss.Config{Objective: "own-group", Temperature: 0.02}, 8, 4, 1,
			"softmax over 4 candidates: 0 in-batch, 3 hard; temperature 1; dims 384"},
		{loss.Config{Objective: "all-passages", Temperature: 0.02, Normalize: true, Distill: "kl", DistillWeight: 0.5,
			Dims: []int{64, 384}, DimWeights: []float64{0.5, 1}}, 8, 8, 1,
			"softmax over 64 candidates: 56 in-batch, 7 hard; plus 0.5 × kl to the teacher over 8 passages; temperature 0.02; dims 64 (× 0.5) + 384"},
		{loss.Config{Objective: "all-passages", Temperature: 0.02, Normalize: true, Distill: "margin-mse"}, 8, 8, 1,
			"margin-mse to the teacher over 8 passages; temperature 0.02; dims 384"},
		{loss.Config{Objective: "all-passages", Temperature: 0.02, Normalize: true, Distill: "embedding"}, 32, 1, 1,
			"1 - cosine to the teacher's vectors; dims 384"},
		{loss.Config{Objective: "in-batch", Temperature: 0.02, Normalize: true, Distill: "score"}, 32, 1, 1,
			"kl to the teacher's similarities with 32 passages; temperature 0.02; dims 384"},
	} {
		l, err := loss.New(c.config, 384)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Describe(c.b, c.g, c.world); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for want, c := range map[string]loss.Config{
		`objective "cosent" is not known; known: all-passages, in-batch, own-group`: {Objective: "cosent", Temperature: 1, Normalize: true},
		`distillation "mse" is not known; known: kl, margin-mse, embedding, score`:  {Objective: "own-group", Temperature: 1, Normalize: true, Distill: "mse"},
		"temperature 0 is not above 0":                                              {Objective: "own-group", Normalize: true},
		"of which the objective \"in-batch\" reads one":                             {Objective: "in-batch", Temperature: 1, Normalize: true, Distill: "kl"},
		"width 32 is not between 1 and the model's 16 features":                     {Objective: "own-group", Temperature: 1, Normalize: true, Dims: []int{32}},
		"2 weights for 1 widths":                                                    {Objective: "own-group", Temperature: 1, Normalize: true, Dims: []int{8}, DimWeights: []float64{1, 1}},
	} {
		if _, err := loss.New(c, 16); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// A softmax over one candidate is always 0, so nothing would be learned.
func TestTooFewCandidates(t *testing.T) {
	for _, c := range []struct {
		objective, distill string
		b, g, world        int
		ok                 bool
	}{
		{"all-passages", "", 1, 1, 1, false},
		{"all-passages", "", 1, 1, 2, true},
		{"all-passages", "", 2, 1, 1, true},
		{"all-passages", "", 1, 2, 1, true},
		{"in-batch", "", 1, 8, 1, false},
		{"in-batch", "", 2, 1, 1, true},
		{"own-group", "", 8, 1, 4, false},
		{"own-group", "", 1, 2, 1, true},
		{"all-passages", "kl", 8, 1, 1, false},
		{"all-passages", "margin-mse", 1, 2, 1, true},
		{"all-passages", "embedding", 1, 1, 1, true},
		{"all-passages", "score", 2, 1, 1, false},
		{"all-passages", "score", 3, 1, 1, true},
	} {
		l, err := loss.New(loss.Config{Objective: c.objective, Distill: c.distill, Temperature: 1, Normalize: true}, 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Check(c.b, c.g, c.world); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestResolveDims(t *testing.T) {
	all := []int{64, 128, 256, 512, 768}
	for _, c := range []struct {
		dims    []int
		weights []float64
		beyond  loss.Beyond
		full    bool

		want        []int
		wantWeights []float64
		warnings    int
		err         string
	}{
		{all, nil, loss.Drop, true, []int{64, 128, 256, 384}, []float64{1, 1, 1, 1}, 2, ""},
		{all, []float64{5, 4, 3, 2, 1}, loss.Repeat, false, []int{64, 128, 256, 384, 384}, []float64{5, 4, 3, 2, 1}, 2, ""},
		{all, nil, loss.Refuse, true, nil, nil, 0, "width 512 is beyond the model's 384 features"},
		{[]int{64}, []float64{0.5}, loss.Refuse, true, []int{64, 384}, []float64{0.5, 1}, 0, ""},
		{[]int{64}, nil, loss.Refuse, false, []int{64}, []float64{1}, 1, ""},
		{[]int{384, 64}, []float64{2}, loss.Refuse, true, []int{384, 64}, []float64{2, 1}, 0, ""},
		{[]int{64}, []float64{1, 1}, loss.Refuse, true, nil, nil, 0, "2 weights for 1 widths"},
		{[]int{0}, nil, loss.Refuse, true, nil, nil, 0, "width 0 is not between 1 and"},
		{[]int{64}, []float64{-1}, loss.Refuse, true, nil, nil, 0, "weight -1 of width 64 is not above 0"},
		{[]int{512}, nil, loss.Drop, false, nil, nil, 0, "no width is left"},
	} {
		dims, weights, warnings, err := loss.ResolveDims(c.dims, c.weights, 384, c.beyond, c.full)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v: got %v, want an error with %q", c.dims, err, c.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(dims, c.want) || !reflect.DeepEqual(weights, c.wantWeights) || len(warnings) != c.warnings {
			t.Errorf("%v: got %v %v, %q, %v; want %v %v and %d warnings", c.dims, dims, weights, warnings, err, c.want, c.wantWeights, c.warnings)
		}
	}
}

func TestFalseNegatives(t *testing.T) {
	passages := []uint64{10, 11, 12, 20, 10, 21, 30, 20, 12} // of three queries
	for _, c := range []struct {
		name      string
		positives [][]uint64
		first     int
		want      [][]int
	}{
		{"the positive's text", [][]uint64{{10}, {20}, {30}}, 0, [][]int{{4}, {7}, nil}},
		{"its own negative too", [][]uint64{{10, 11}, {20, 12, 10}, {30}}, 0, [][]int{{1, 4}, {0, 2, 4, 7, 8}, nil}},
		{"what the query is trained on is known", [][]uint64{{}, {}, {}}, 0, [][]int{{4}, {7}, nil}},
		{"second of two processes", [][]uint64{{20}}, 3, [][]int{{7}}},
		{"none", [][]uint64{{31}}, 6, nil},
	} {
		if got := loss.FalseNegatives(c.positives, passages, 3, c.first); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
