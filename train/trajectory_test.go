//go:build !lite

package train

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/train/loss"
	"graft/train/torch"
)

// trainer is a step with what the loop has around it.
type trainer struct {
	*step
	params *parameters
}

func newTrainer(t testing.TB, m *graph.Model, o Options, gatherer loss.Gatherer) *trainer {
	t.Helper()
	t.Cleanup(torch.Lock()) // how many threads compute is a thread's own, and decides how many workers there are
	lora := make(map[string]bool)
	for _, v := range m.Graph.Initializers {
		if strings.HasPrefix(v.Name, pass.LoRAPrefix) {
			lora[v.Name] = true
		}
	}
	p, err := torch.Compile(m, torch.CompileOptions{
		Outputs: []string{embedding}, Trainable: trains(o.FineTuneType, lora), Recompute: o.Recompute, FrozenDType: frozenDTypes[o.FrozenDType],
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	l, err := newObjective(o, 32, func(w string) { t.Log(w) })
	if err != nil {
		t.Fatal(err)
	}
	if err := torch.SetFloat32MatmulPrecision(o.Float32MatmulPrecision); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = torch.SetFloat32MatmulPrecision("highest") })
	var autocast torch.DType
	if o.BF16 {
		autocast = torch.BFloat16
	}
	x := &trainer{}
	if x.step, err = newStep(p, l, o, torch.Device{}, autocast, 0, gatherer); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.step.workers.close)
	if x.params, err = chooseParameters(p, o); err != nil {
		t.Fatal(err)
	}
	return x
}

// gradients are those that the parameters have now.
func (x *trainer) gradients(t testing.TB) map[string][]float32 {
	t.Helper()
	out := make(map[string][]float32)
	for i, p := range x.params.tensors {
		g := p.Grad()
		if g == nil {
			t.Fatalf("%s has no gradient", x.params.names[i])
		}
		values, err := g.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		g.Free()
		out[x.params.names[i]] = values
	}
	return out
}

func (x *trainer) weights(t testing.TB) map[string][]float32 {
	t.Helper()
	out := make(map[string][]float32)
	for _, p := range x.program.Parameters() {
		values, err := p.Tensor.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = values
	}
	return out
}

// trajectory is what a run did.
type trajectory struct {
	loss, norm, rate []float64
	parts            [][]loss.Part // of each step's first batch
	gradients        map[string][]float32
	weights          map[string][]float32
}

// run takes the steps of the trajectory on one process.
func (g *golden) run(t testing.TB, o Options, rank int, e *exchange) *trajectory {
	t.Helper()
	defer torch.Lock()()
	var gatherer loss.Gatherer
	if e != nil {
		gatherer = exchangeRank{e, rank}
	}
	x := newTrainer(t, g.graph(t), o, gatherer)
	adam, err := torch.NewAdamW(x.params.tensors, x.params.decay, torch.AdamWOptions{
		Beta1: g.Betas[0], Beta2: g.Betas[1], Eps: g.Eps, WeightDecay: g.WeightDecay,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer adam.Close()
	batches, rates, out := goldenBatches(t), newSchedule(o, g.Steps), &trajectory{}
	for s := range g.Steps {
		total := 0.0
		for i := range g.Accum {
			b := batches[s*g.Accum+i]
			b.Groups = b.Groups[rank*g.B/g.World : (rank+1)*g.B/g.World]
			st, err := x.accumulate(b, 1)
			if err != nil {
				t.Fatal(err)
			}
			total += st.loss
			if i == 0 {
				out.parts = append(out.parts, st.parts)
			}
		}
		if e != nil {
			total = e.average(t, rank, total, x.params.tensors)
		}
		if s == 0 {
			out.gradients = x.gradients(t)
		}
		norm, err := torch.ClipGradNorm(x.params.tensors, g.MaxGradNorm)
		if err != nil {
			t.Fatal(err)
		}
		out.loss, out.norm, out.rate = append(out.loss, total), append(out.norm, norm), append(out.rate, rates.at(s))
		if err := adam.Step(rates.at(s)); err != nil {
			t.Fatal(err)
		}
		torch.ZeroGrads(x.params.tensors)
	}
	out.weights = x.weights(t)
	return out
}

// layouts are ways to cut a batch that must not change what comes out.
var layouts = map[string]func(*Options){
	"padded to the maximum":      func(*Options) {},
	"sub-batches":                func(o *Options) { o.Padding, o.BatchTokens = "longest", 40 },
	"GradCache of 1 query":       func(o *Options) { o.GradCacheChunk = 1 },
	"GradCache with sub-batches": func(o *Options) { o.Padding, o.BatchTokens, o.GradCacheChunk = "longest", 64, 3 },
	"recomputation":              func(o *Options) { o.Recompute = true },
}

// Every trajectory of the reference libraries is followed within the tolerances that they state.
func TestGoldenTrajectories(t *testing.T) {
	for _, dir := range goldens(t) {
		for _, name := range slices.Sorted(maps.Keys(layouts)) {
			t.Run(dir+"/"+name, func(t *testing.T) {
				g := readGolden(t, dir)
				o := g.options()
				layouts[name](&o)
				g.follow(t, o)
			})
		}
	}
}

// With products in halves the losses, norms and gradients stay within the tolerances of float32. Where a gradient is nearly zero,
// its sign decides what AdamW does: twice the tolerance of the weights.
func TestGoldenTrajectoriesHigh(t *testing.T) {
	for _, dir := range goldens(t) {
		t.Run(dir, func(t *testing.T) {
			g := readGolden(t, dir)
			o := g.options()
			o.Float32MatmulPrecision = "high"
			g.Tolerance.WeightsAtol *= 2
			g.follow(t, o)
		})
	}
}

// follow runs the trajectory, in as many processes as it was recorded with, and compares.
func (g *golden) follow(t *testing.T, o Options) {
	if g.World == 1 {
		g.compare(t, g.run(t, o, 0, nil))
		return
	}
	g.compareAcross(t, o)
}

// compareAcross runs the trajectory in as many processes as it was recorded with, each a goroutine.
func (g *golden) compareAcross(t *testing.T, o Options) {
	o.Parity = g.Variant == "reference"
	ranks, e := make([]*trajectory, g.World), newExchange(g.World)
	var wg sync.WaitGroup
	for r := range ranks {
		wg.Go(func() {
			defer e.leave()
			ranks[r] = g.run(t, o, r, e)
		})
	}
	wg.Wait()
	for r, got := range ranks {
		if got == nil {
			t.Fatalf("rank %d did not end", r)
		}
		g.compare(t, got)
	}
}

// compare holds a trajectory against the recorded one, and logs which part of each tolerance it needs.
func (g *golden) compare(t *testing.T, got *trajectory) {
	t.Helper()
	var worst []string
	check := func(what string, got, want []float64, atol, rtol float64) {
		if atol == 0 && rtol == 0 {
			return
		}
		share := 0.0
		for i := range want {
			share = max(share, math.Abs(got[i]-want[i])/(atol+rtol*math.Abs(want[i])))
		}
		if len(got) != len(want) || !(share <= 1) {
			t.Errorf("%s: %.3g times the tolerance\ngot  %v\nwant %v", what, share, got, want)
		}
		worst = append(worst, fmt.Sprintf("%s %.2g", what, share))
	}
	check("loss", got.loss, g.Expected.Loss, g.Tolerance.LossAtol, g.Tolerance.LossRtol)
	check("norm", got.norm, g.Expected.GradNorm, 0, g.Tolerance.GradNormRtol)
	check("rate", got.rate, g.Expected.LR, 1e-12, g.Tolerance.LRRtol)
	g.compareParts(t, got.parts)
	if share, ok := g.compareGradients(t, got.gradients); ok {
		worst = append(worst, fmt.Sprintf("gradients %.2g", share))
	}
	if share, ok := g.compareWeights(t, got.weights); ok {
		worst = append(worst, fmt.Sprintf("weights %.2g", share))
	}
	t.Log("of the tolerance: ", strings.Join(worst, ", "))
}

// compareParts holds the terms of the loss against those recorded.
func (g *golden) compareParts(t *testing.T, got [][]loss.Part) {
	t.Helper()
	for s, parts := range got {
		if s >= len(g.Expected.Detail) {
			return
		}
		var want []float64
		detail := g.Expected.Detail[s][0]
		switch g.Objective {
		case "kd":
			want = []float64{detail["infonce"].(float64), detail["kd_cross_entropy"].(float64)}
		case "matryoshka":
			for _, v := range detail["per_dim"].([]any) {
				want = append(want, v.(float64))
			}
		default:
			return
		}
		if len(parts) != len(want) {
			t.Fatalf("step %d: %d parts, want %d", s, len(parts), len(want))
		}
		for i, p := range parts {
			if math.Abs(p.Value-want[i]) > g.Tolerance.LossAtol+g.Tolerance.LossRtol*want[i] {
				t.Errorf("step %d: %s of %d features is %v, want %v", s, p.Name, p.Dim, p.Value, want[i])
			}
		}
	}
}

// compareGradients holds those of step 0 against the recorded ones: 1e-4 of each tensor's largest.
func (g *golden) compareGradients(t *testing.T, got map[string][]float32) (share float64, ok bool) {
	t.Helper()
	path := filepath.Join(g.dir, "grad_step0.safetensors")
	if _, err := os.Stat(path); err != nil {
		return 0, false
	}
	want := floats(t, path)
	if len(want) != len(got) {
		t.Errorf("%d gradients, want %d", len(got), len(want))
	}
	for name, w := range want {
		name = strings.Replace(name, ".default.", ".", 1) // as PEFT has it in memory
		if slices.Contains(g.Tolerance.Ill, name) {
			continue
		}
		largest := 0.0
		for _, v := range w {
			largest = max(largest, math.Abs(float64(v)))
		}
		d := largestDifference(t, name, got[name], w)
		if largest > 0 {
			d /= 1e-4 * largest
		}
		if share = max(share, d); !(d <= 1) {
			t.Errorf("gradient of %s: %.3g times the tolerance", name, d)
		}
	}
	return share, true
}

func (g *golden) compareWeights(t *testing.T, got map[string][]float32) (share float64, ok bool) {
	t.Helper()
	file := "final.safetensors"
	switch g.Objective + " " + g.Variant {
	case "bf16 ":
		return 0, false
	case "lora ":
		file = filepath.Join("adapter_final", "adapter_model.safetensors")
	case "ddp2 exact":
		file = filepath.Join("..", "infonce", file)
	}
	want := floats(t, filepath.Join(g.dir, file))
	if len(want) == 0 {
		t.Fatalf("%s is empty", file)
	}
	for name, w := range want {
		atol := g.Tolerance.WeightsAtol
		if slices.Contains(g.Tolerance.Ill, name) {
			atol = g.Tolerance.IllAtol
		}
		d := largestDifference(t, name, got[name], w) / atol
		if atol == g.Tolerance.WeightsAtol {
			share = max(share, d)
		}
		if !(d <= 1) {
			t.Errorf("%s: %.3g times the tolerance", name, d)
		}
	}
	return share, true
}

func largestDifference(t testing.TB, name string, got, want []float32) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return math.Inf(1)
	}
	d := 0.0
	for i := range want {
		if x := math.Abs(float64(got[i]) - float64(want[i])); !(x <= d) {
			d = x
		}
	}
	return d
}
