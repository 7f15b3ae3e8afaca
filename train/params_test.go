//go:build !lite

package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert/safetensors"
)

// The names that decay, and those that BitFit trains, are those that testdata/train was made with, by the reference's
// rule and by ours.
func TestParameterGroups(t *testing.T) {
	for _, arch := range []string{"bert", "llama"} {
		dir := filepath.Join("..", "testdata", "train", arch)
		file, err := safetensors.Open(filepath.Join(dir, "init", "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, kind := range []string{"infonce", "bitfit"} {
			raw, err := os.ReadFile(filepath.Join(dir, kind, "expected.json"))
			if os.IsNotExist(err) {
				continue // llama has no biases
			}
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				NoDecay   []string `json:"no_decay"`
				Trainable []string `json:"trainable_names"`
			}
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			if len(want.NoDecay) == 0 {
				t.Fatalf("%s/%s: nothing is said of decay", arch, kind)
			}
			trainable := trains(map[string]string{"infonce": "sft", "bitfit": "bitfit"}[kind], nil)
			var names []string
			for _, tensor := range file.Tensors {
				name := tensor.Name
				if !trainable(name) {
					continue
				}
				names = append(names, name)
				for _, parity := range []bool{false, true} {
					if decay := decaysWeight(name, tensor.Shape, parity); decay == slices.Contains(want.NoDecay, name) {
						t.Errorf("%s/%s: %q decays: %v (parity %v)", arch, kind, name, decay, parity)
					}
				}
			}
			slices.Sort(names)
			slices.Sort(want.Trainable)
			if kind == "bitfit" && !slices.Equal(names, want.Trainable) {
				t.Errorf("%s: BitFit trains %q, want %q", arch, names, want.Trainable)
			}
		}
	}
}

// A vector whose name says nothing, as in somebody else's ONNX file, is a gain or a bias, but by the reference's rule.
func TestNamelessVector(t *testing.T) {
	if decaysWeight("onnx::Add_12", []int64{32}, false) || !decaysWeight("onnx::Add_12", []int64{32}, true) || !decaysWeight("onnx::MatMul_12", []int64{32, 32}, false) {
		t.Error("wrong decay of tensors without names")
	}
}

// Adapters' tensors train and nothing else does; dropout is set in every place.
func TestAdapt(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.FineTuneType, o.LoraRank, o.LoraTargets, o.Dropout = "lora", 4, "query|value", 0.5
	a, err := adapt(m, o, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	if len(a.lora) != 3*2*2 {
		t.Errorf("%d adapter tensors, want A and B of two modules in three layers", len(a.lora))
	}
	trainable := trains("lora", a.lora)
	for _, v := range a.model.Graph.Initializers {
		if want := strings.Contains(v.Name, "lora_"); trainable(v.Name) != want {
			t.Errorf("%q trains: %v", v.Name, !want)
		}
	}
	if n := setDropout(a.model, 0); n != 1+3*3+6 {
		t.Errorf("%d places of dropout, want 1 of the embeddings, 3 in each layer and 6 of the adapters", n)
	}
	if len(loraTensors(m.Graph)) != 0 {
		t.Error("the caller's graph was changed")
	}
}
