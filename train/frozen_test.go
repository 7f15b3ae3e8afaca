//go:build !lite

package train

import (
	"math"
	"strings"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/train/torch"
)

// roundedModel has adapters over weights that bfloat16 holds exactly.
func roundedModel(t *testing.T, g *golden) *graph.Model {
	t.Helper()
	m := droppingModel(t, g, 0.1)
	for _, v := range m.Graph.Initializers {
		if v.Init.DType != graph.Float || len(v.Init.Shape) != 2 {
			continue
		}
		values, err := v.Init.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range values {
			values[i] = math.Float32frombits(math.Float32bits(x) &^ 0xffff)
		}
		v.Init = graph.NewTensor(v.Name, values, v.Init.Shape...)
	}
	if _, err := pass.InsertLoRA(m, pass.LoRAOptions{Rank: 4, Alpha: 8, Dropout: 0.1, Seed: 1, Targets: loraTargets}); err != nil {
		t.Fatal(err)
	}
	return m
}

// Under autocast, a step over frozen weights in bfloat16 is that over the same weights in float32 bit for bit; without it,
// it is rounded where products are.
func TestFrozenDType(t *testing.T) {
	for _, name := range []string{"bert/lora", "llama/lora"} {
		for _, autocast := range []bool{true, false} {
			g := readGolden(t, name)
			o := g.options()
			o.BF16 = autocast
			m := roundedModel(t, g)
			batch := goldenBatches(t)[0]
			whole := newTrainer(t, m, o, nil)
			value, want := whole.gradient(t, batch)
			o.FrozenDType = "bf16"
			half := newTrainer(t, m, o, nil)
			got, gradient := half.gradient(t, batch)
			tolerance := 0.0
			if !autocast {
				tolerance = 0.05
			}
			worst := sameGradients(t, gradient, want, tolerance)
			if math.Abs(got-value) > tolerance*value {
				t.Errorf("%s, autocast %v: loss %v, want %v", name, autocast, got, value)
			}
			t.Logf("%s, autocast %v: loss %v and %v, gradients within %.2g", name, autocast, got, value, worst)
			kept := 0
			for _, p := range half.program.Parameters() {
				if p.Tensor.DType() == torch.BFloat16 {
					kept++
				}
				if strings.HasPrefix(p.Name, pass.LoRAPrefix) && p.Tensor.DType() != torch.Float32 {
					t.Errorf("%s: %q trains in %v", name, p.Name, p.Tensor.DType())
				}
			}
			if kept < 10 {
				t.Errorf("%s: %d matrices are kept in bfloat16", name, kept)
			}
		}
	}
}
