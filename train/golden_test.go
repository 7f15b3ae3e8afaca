//go:build !lite

package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/pass"
	"graft/train/dataset"
)

// golden is a trajectory of testdata/train and the settings that it was recorded with.
type golden struct {
	dir string

	Objective, Variant, Arch, Pooling string
	Steps, B, G, Accum, World         int
	Temperature, LR, Eps, Margin      float64
	Betas                             [2]float64
	WeightDecay                       float64 `json:"weight_decay"`
	MaxGradNorm                       float64 `json:"max_grad_norm"`
	WarmupSteps                       int     `json:"warmup_steps"`
	Normalise                         bool
	Dims                              []int
	DimWeights                        []float64 `json:"dim_weights"`
	R, Alpha                          int
	NoDecay                           []string `json:"no_decay"`
	TrainableNames                    []string `json:"trainable_names"`

	Expected struct {
		Loss, LR []float64
		GradNorm []float64 `json:"grad_norm"`
		Detail   [][]map[string]any
	}
	Tolerance struct {
		LossAtol     float64  `json:"loss_atol"`
		LossRtol     float64  `json:"loss_rtol"`
		GradNormRtol float64  `json:"grad_norm_rtol"`
		LRRtol       float64  `json:"lr_rtol"`
		WeightsAtol  float64  `json:"weights_atol"`
		Ill          []string `json:"ill_conditioned"`
		IllAtol      float64  `json:"ill_conditioned_atol"`
	}
}

var goldenRoot = filepath.Join("..", "testdata", "train")

func readGolden(t testing.TB, dir string) *golden {
	t.Helper()
	g := &golden{dir: filepath.Join(goldenRoot, dir), World: 1}
	raw, err := os.ReadFile(filepath.Join(g.dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// goldens are the folders of testdata/train that hold a trajectory, as "bert/infonce".
func goldens(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(goldenRoot, "*", "*", "expected.json"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%s: %d trajectories, %v", goldenRoot, len(files), err)
	}
	for i, f := range files {
		files[i], _ = filepath.Rel(goldenRoot, filepath.Dir(f))
	}
	return files
}

// options are what a user would have said.
func (g *golden) options() Options {
	o := DefaultOptions()
	o.Parity = true
	o.TrainGroupSize, o.PerDeviceTrainBatchSize, o.GradientAccumulationSteps = g.G, g.B/g.World, g.Accum
	o.QueryMaxLen, o.PassageMaxLen, o.Padding = 8, 12, "max_length"
	o.Temperature, o.Normalized, o.Margin = g.Temperature, g.Normalise, g.Margin
	o.LearningRate, o.WarmupSteps, o.MaxGradNorm = g.LR, g.WarmupSteps, g.MaxGradNorm
	o.NegativesCrossDevice = g.World > 1
	o.BF16 = g.Objective == "bf16"
	o.MaskFalseNegatives = false
	o.UseMatryoshka, o.MatryoshkaDims, o.MatryoshkaLossWeights = g.Dims != nil, g.Dims, g.DimWeights
	switch g.Objective {
	case "inbatch_margin":
		o.Objective = "in-batch"
	case "own_group":
		o.Objective = "own-group"
	case "kd":
		o.Distill = "kl"
	case "lora", "bitfit":
		o.FineTuneType = g.Objective
	}
	return o
}

// floats reads a file of tensors by name.
func floats(t testing.TB, path string) map[string][]float32 {
	t.Helper()
	c, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out := make(map[string][]float32)
	for _, s := range c.Tensors {
		if out[s.Name], err = s.Float32(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func ints(t testing.TB, c *safetensors.Checkpoint, name string) []int64 {
	t.Helper()
	s := c.Tensor(name)
	raw, err := s.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	v, err := (&graph.Tensor{DType: graph.Int64, Shape: s.Shape, Data: graph.Raw(raw)}).Int64s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// goldenBatches are the 16 batches of 4 queries with 4 passages.
func goldenBatches(t testing.TB) []dataset.Batch {
	t.Helper()
	c, err := safetensors.Open(filepath.Join(goldenRoot, "batches.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	teacher, err := c.Tensor("teacher_scores").Float32()
	if err != nil {
		t.Fatal(err)
	}
	rows := func(side string, length int) [][]int32 {
		ids, mask := ints(t, c, side+"_ids"), ints(t, c, side+"_mask")
		out := make([][]int32, len(ids)/length)
		for i := range out {
			for j := i * length; j < (i+1)*length && mask[j] == 1; j++ {
				out[i] = append(out[i], int32(ids[j]))
			}
		}
		return out
	}
	queries, passages := rows("q", 8), rows("p", 12)
	batches := make([]dataset.Batch, 16)
	for i := range batches {
		for j := range 4 {
			q := i*4 + j
			batches[i].Groups = append(batches[i].Groups, dataset.Group{
				Row: q, Query: queries[q], Passages: passages[4*q : 4*q+4], TeacherScores: teacher[4*q : 4*q+4],
				PassageHashes: make([]uint64, 4),
			})
		}
	}
	return batches
}

// graph is the model before step 0.
func (g *golden) graph(t testing.TB) *graph.Model {
	t.Helper()
	normalize := false
	m, err := convert.Open(filepath.Join(goldenRoot, g.Arch, "init"), convert.OpenOptions{Pooling: g.Pooling, Normalize: &normalize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if g.Objective == "lora" {
		g.attach(t, m.Graph)
	}
	return m.Graph
}

// attach adds the adapters of adapter_init.
func (g *golden) attach(t testing.TB, m *graph.Model) {
	t.Helper()
	c, err := safetensors.Open(filepath.Join(g.dir, "adapter_init", "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tensor := func(name string) *graph.Tensor {
		values, err := c.Tensor(name).Float32()
		if err != nil {
			t.Fatal(err)
		}
		return graph.NewTensor(name, values, c.Tensor(name).Shape...)
	}
	var adapters []pass.LoRA
	for _, s := range c.Tensors {
		if name, ok := strings.CutSuffix(s.Name, pass.LoRAA); ok {
			adapters = append(adapters, pass.LoRA{
				Module: strings.TrimPrefix(name, pass.LoRAPrefix), Scale: float64(g.Alpha) / float64(g.R),
				A: tensor(s.Name), B: tensor(name + pass.LoRAB),
			})
		}
	}
	if err := pass.AttachLoRA(m, adapters); err != nil {
		t.Fatal(err)
	}
}

// droppingModel is the golden architecture's model before step 0, with dropout.
func droppingModel(t *testing.T, g *golden, probability float64) *graph.Model {
	t.Helper()
	from, dir := filepath.Join(goldenRoot, g.Arch, "init"), t.TempDir()
	raw, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout"} {
		config[key] = probability
	}
	if raw, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join(from, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), weights, 0o644); err != nil {
		t.Fatal(err)
	}
	normalize := false
	m, err := convert.Open(dir, convert.OpenOptions{Pooling: g.Pooling, Normalize: &normalize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m.Graph
}
