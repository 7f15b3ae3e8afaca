package ort

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadInfo(t *testing.T) {
	got, err := ReadInfo(filepath.Join(models, "mixed.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	want := &ModelInfo{
		Inputs: []IO{{"x", Float, []int64{-1, 4, 4}, []string{"n", "", ""}}},
		Outputs: []IO{
			{"y", Float, []int64{-1, 4, 4}, []string{"n", "", ""}},
			{"z", Float, []int64{-1}, []string{"n"}},
		},
		IRVersion: 8,
		Opsets:    map[string]int64{"": 17},
		Metadata:  map[string]string{},
		Nodes:     2,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if s := got.Outputs[0].String(); s != "y float [n 4 4]" {
		t.Errorf("String: %q", s)
	}
}

// TestReadInfoRealModels checks that weights listed as initializers are not
// taken for inputs and that a file of another producer is read.
func TestReadInfoRealModels(t *testing.T) {
	info, err := ReadInfo(shared(t, "fixtures", "quant", "bert", "fp32.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, in := range info.Inputs {
		names = append(names, in.String())
	}
	want := []string{"input_ids int64 [B S]", "attention_mask int64 [B S]", "token_type_ids int64 [B S]"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add(addModel())
	if files, err := filepath.Glob(filepath.Join(models, "*.onnx")); err == nil {
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := ParseInfo(data); err == nil && len(m.Outputs) == 0 {
			t.Error("a model without outputs was accepted")
		}
	})
}
