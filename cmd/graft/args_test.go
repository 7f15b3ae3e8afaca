package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"graft/evaluate"
)

func testApp() *cli.App {
	a := &cli.App{Name: "graft", Commands: commands()}
	for _, c := range a.Commands {
		c.Flags = append(c.Flags, configFlag())
	}
	return a
}

// TestCanonicalArgs: each command line as people write it, and as cli parses it.
func TestCanonicalArgs(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("task_name: [a, b]\nmax-length: 7\nsave_run: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ given, want string }{
		{"graft", "graft"},
		{"graft --help", "graft --help"},
		{"graft unknown --x y", "graft unknown --x y"},
		{"graft export M -o D", "graft export --output=D -- M"},
		{"graft export -o D M --opset=20", "graft export --output=D --opset=20 -- M"},
		{"graft export M --output_dir D --overwrite_output_dir True", "graft export --output=D --overwrite=True -- M"},
		{"graft export M -o D --verify false", "graft export --output=D --verify=false -- M"},
		{"graft export M -o D --external-data --variant x", "graft export --output=D --external-data --variant=x -- M"},
		{"graft embed M --input -", "graft embed --input=- -- M"},
		{"graft embed M --prompt --as", "graft embed --prompt=--as -- M"},
		{"graft embed -- --model", "graft embed -- --model"},
		{"graft inspect -h", "graft inspect --help"},
		{"graft eval M --kv_cache_reuse 1 --task t", "graft eval --task=t -- M"},
		{"graft eval M --do_train --task t", "graft eval --task=t -- M"},
		{"graft eval M --config " + config, "graft eval --max-length=7 --save-run=true --task=a,b -- M"},
		{"graft eval M --max_seq_length 9 --config=" + config + " --task c", "graft eval --max-length=9 --task=c --save-run=true -- M"},
	} {
		got, err := canonicalArgs(testApp(), strings.Fields(test.given), &bytes.Buffer{})
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s\ngave %q, %v\nwant %s", test.given, got, err, test.want)
		}
	}
}

func TestCanonicalArgsMistakes(t *testing.T) {
	for given, want := range map[string]string{
		"graft export M --opste 17":        "export has no flag --opste",
		"graft export M --output":          "flag --output needs a value",
		"graft embed M --evaluate_all":     "embed has no flag --evaluate_all",
		"graft inspect M --config no.yaml": "read config: ",
	} {
		_, err := canonicalArgs(testApp(), strings.Fields(given), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", given, err, want)
		}
	}
}

// TestIgnoredFlagsSaySoOnce: a switch without meaning here is accepted.
func TestIgnoredFlagsSaySoOnce(t *testing.T) {
	var said bytes.Buffer
	if _, err := canonicalArgs(testApp(), strings.Fields("graft eval M --do_train --do_train --model_type bert"), &said); err != nil {
		t.Fatal(err)
	}
	if got := said.String(); strings.Count(got, "--do-train has no effect") != 1 || strings.Count(got, "--model-type has no effect") != 1 {
		t.Errorf("said %q", got)
	}
}

func TestEdits(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"opset", "opste", 2}, {"opset", "opsets", 1}, {"kitten", "sitting", 3}} {
		if got := edits(test.a, test.b); got != test.want || edits(test.b, test.a) != got {
			t.Errorf("edits(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	dims := []int{64, 128}
	n := &numbers[int]{&dims}
	if n.String() != "64,128" {
		t.Errorf("the default is printed as %q", n)
	}
	for _, text := range []string{"32,16", "32 16", "[32, 16]"} {
		if err := n.Set(text); err != nil || !slices.Equal(dims, []int{32, 16}) {
			t.Errorf("%q gives %v, %v", text, dims, err)
		}
	}
	for _, bad := range []string{"a", "1,b", "1.5"} {
		if n.Set(bad) == nil {
			t.Errorf("%q is taken for a list of whole numbers", bad)
		}
	}
	var weights []float64
	if err := (&numbers[float64]{&weights}).Set("1,0.5"); err != nil || !slices.Equal(weights, []float64{1, 0.5}) {
		t.Errorf("%v, %v", weights, err)
	}
}

func TestShard(t *testing.T) {
	for _, bad := range []string{"", "1", "0/2", "3/2", "1/0", "-1/2", "1/2x", " 1/2", "a/b"} {
		if new(shard).Set(bad) == nil {
			t.Errorf("%q is taken for a shard", bad)
		}
	}
	taken := make([]int, 100)
	for _, text := range []string{"1/3", "2/3", "3/3"} {
		var s shard
		if err := s.Set(text); err != nil || s.String() != text {
			t.Fatalf("%q: %q %v", text, s.String(), err)
		}
		for i := range taken {
			if s.has(i) {
				taken[i]++
			}
		}
	}
	if slices.Max(taken) != 1 || slices.Min(taken) != 1 {
		t.Errorf("texts are in %v shards", taken)
	}
	if all := new(shard); !all.has(7) || all.String() != "" {
		t.Error("without shards not every text is taken")
	}
}

func TestCut(t *testing.T) {
	whole := []float32{0.6, 0.8}
	if got := cut(whole, 2); got[0] != 0.6 || got[1] != 0.8 {
		t.Errorf("not cut: %v", got)
	}
	got := cut([]float32{3, 4, 12}, 2)
	if len(got) != 2 || math.Abs(float64(got[0])-0.6) > 1e-6 || math.Abs(float64(got[1])-0.8) > 1e-6 {
		t.Errorf("cut to %v", got)
	}
	if got := cut([]float32{0, 0, 1}, 2); got[0] != 0 || got[1] != 0 {
		t.Errorf("a vector of zeros becomes %v", got)
	}
}

func TestSplitModel(t *testing.T) {
	for given, want := range map[string][4]string{
		"m":                     {"m", "", "auto", "fp32"},
		"m:int8":                {"m", "int8", "auto", "fp32"},
		"m@cpu":                 {"m", "", "cpu", "fp32"},
		"dir/m:v@openvino@bf16": {"dir/m", "v", "openvino", "bf16"},
		"hf:org/name":           {"hf:org/name", "", "auto", "fp32"},
	} {
		a, b, c, d := splitModel(given, "auto", "fp32")
		if got := [4]string{a, b, c, d}; got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestGates(t *testing.T) {
	gates, err := parseGates([]string{"ndcg_at_10=0.6", "recall_at_100=1e-2"})
	if err != nil || len(gates) != 2 || gates[1] != (gate{"recall_at_100", 0.01}) {
		t.Fatalf("%v %v", gates, err)
	}
	for _, bad := range []string{"", "ndcg_at_10", "ndcg_at_10=", "=", "ndcg_at_10=high"} {
		if _, err := parseGates([]string{bad}); err == nil {
			t.Errorf("%q is taken for a gate", bad)
		}
	}
	outcome := []*evaluate.Outcome{{Result: &evaluate.TaskResult{Splits: []evaluate.SplitScores{{Entries: []evaluate.Entry{
		{Scores: []evaluate.Score{{Key: "ndcg_at_10", Value: 0.6}, {Key: "recall_at_100", Value: math.NaN()}}}}}}}}}
	if err := checkGates(gates[:1], outcome); err != nil {
		t.Errorf("0.6 is less than 0.6: %v", err)
	}
	var check checkError
	if err := checkGates([]gate{{"ndcg_at_10", 0.61}}, outcome); !errors.As(err, &check) {
		t.Errorf("a low score: %v", err)
	}
	if err := checkGates(gates[1:], outcome); !errors.As(err, &check) {
		t.Errorf("a score that is no number: %v", err)
	}
}
