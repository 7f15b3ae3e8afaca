//go:build !lite

package train

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/train/dataset"
	"graft/train/loss"
	"graft/train/torch"
)

// gradient takes one step's gradient and drops it from the parameters.
func (x *trainer) gradient(t *testing.T, batches ...dataset.Batch) (float64, map[string][]float32) {
	t.Helper()
	defer torch.Lock()()
	total := 0.0
	x.steps = len(batches)
	for _, b := range batches {
		st, err := x.accumulate(b, 1)
		if err != nil {
			t.Fatal(err)
		}
		total += st.loss
	}
	out := x.gradients(t)
	torch.ZeroGrads(x.params.tensors)
	return total, out
}

// sameGradients allows no element to differ by more than tolerance times the norm of the whole gradient, and returns the
// part of the norm by which the worst does.
func sameGradients(t *testing.T, got, want map[string][]float32, tolerance float64) (worst float64) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("gradients of %d tensors, want %d", len(got), len(want))
	}
	norm := 0.0
	for _, w := range want {
		for _, v := range w {
			norm += float64(v) * float64(v)
		}
	}
	norm = math.Sqrt(norm)
	for name, w := range want {
		d := largestDifference(t, name, got[name], w) / norm
		if worst = max(worst, d); !(d <= tolerance) {
			t.Errorf("gradient of %s differs by %.3g of the norm, want at most %.3g", name, d, tolerance)
		}
	}
	return worst
}

// variations are what a gradient must be the same for, however the batch is cut.
var variations = map[string]struct {
	trajectory string
	change     func(*Options)
}{
	"bert":            {"bert/infonce", func(*Options) {}},
	"bert own group":  {"bert/own_group", func(*Options) {}},
	"bert in-batch":   {"bert/inbatch_margin", func(*Options) {}},
	"bert matryoshka": {"bert/matryoshka", func(*Options) {}},
	"bert kl":         {"bert/kd", func(*Options) {}},
	"bert margin-mse": {"bert/kd", func(o *Options) { o.Distill, o.Normalized = "margin-mse", false }},
	"bert bitfit":     {"bert/bitfit", func(*Options) {}},
	"bert lora":       {"bert/lora", func(*Options) {}},
	"bert bf16":       {"bert/infonce", func(o *Options) { o.BF16 = true }},
	"bert high":       {"bert/infonce", func(o *Options) { o.Float32MatmulPrecision = "high" }},
	"llama":           {"llama/infonce", func(*Options) {}},
	"llama recompute": {"llama/matryoshka", func(o *Options) { o.Recompute = true }},
	"llama lora":      {"llama/lora", func(o *Options) { o.Recompute, o.BF16, o.FrozenDType = true, true, "bf16" }},
}

// eachVariation runs a test for each; dropping says that the model has dropout.
func eachVariation(t *testing.T, dropping float64, test func(t *testing.T, m *graph.Model, o Options)) {
	for name, v := range variations {
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, v.trajectory)
			o := g.options()
			o.Parity = false
			o.Padding, o.BatchTokens = "longest", 0
			v.change(&o)
			m := droppingModel(t, g, dropping)
			if g.Objective == "lora" {
				targets, err := pass.InsertLoRA(m, pass.LoRAOptions{Rank: 4, Alpha: 8, Dropout: dropping, Seed: 1, Targets: loraTargets})
				if err != nil || len(targets) == 0 {
					t.Fatalf("%d adapters, %v", len(targets), err)
				}
			}
			test(t, m, o)
		})
	}
}

// loraTargets are modules that bert and llama have.
var loraTargets = regexp.MustCompile(`query|value|q_proj|down_proj`)

// GradCache's gradient is that of the plain batch, dropout included, whether the chunks divide the batch or not.
func TestGradCacheIsExact(t *testing.T) {
	eachVariation(t, 0.2, func(t *testing.T, m *graph.Model, o Options) {
		batches := goldenBatches(t)
		for _, limit := range []limits{{texts: 1}, {texts: 4}, {texts: 7}, {tokens: 50}, {tokens: 50, texts: 3}} {
			x := newTrainer(t, m, o, nil)
			x.limits = limit
			x.limits.start = 16
			start := x.rng
			value, want := x.gradient(t, batches[0])
			after := x.rng
			if after == start {
				t.Fatal("nothing was dropped")
			}
			x.rng, x.gradCache = start, true
			cached, got := x.gradient(t, batches[0])
			worst := sameGradients(t, got, want, 1e-6)
			if cached != value || x.rng != after {
				t.Errorf("%+v: loss %v and random state %v, want %v and %v", limit, cached, x.rng, value, after)
			}
			x.rng, x.gradCache = start, false
			_, wantTwo := x.gradient(t, batches[1], batches[2])
			x.rng, x.gradCache = start, true
			_, gotTwo := x.gradient(t, batches[1], batches[2])
			worst = max(worst, sameGradients(t, gotTwo, wantTwo, 1e-6))
			t.Logf("%+v: within %.2g", limit, worst)
		}
	})
}

// Masks that are not replayed give another gradient: what the test above would miss.
func TestDropoutChangesGradients(t *testing.T) {
	g := readGolden(t, "bert/infonce")
	o := g.options()
	x := newTrainer(t, droppingModel(t, g, 0.2), o, nil)
	batch := goldenBatches(t)[0]
	_, a := x.gradient(t, batch)
	_, b := x.gradient(t, batch)
	if d := largestDifference(t, "", a["embeddings.word_embeddings.weight"], b["embeddings.word_embeddings.weight"]); d < 1e-3 {
		t.Errorf("the same batch twice differs by %v: dropout is off", d)
	}
}

// cutTolerance is how far gradients may be apart, as a share of their norm, when the batch is cut in another way.
func cutTolerance(o Options) float64 {
	switch {
	case o.BF16:
		return 0.02 // a product's rounding depends on its shape
	case o.Float32MatmulPrecision == "high":
		return 1e-5 // what differs in the last bit may fall to another side when it is cut to 16 bits
	}
	return 1e-6
}

// Without dropout the gradient does not depend on how the texts are cut, padded and shared.
func TestSubBatchesAreExact(t *testing.T) {
	eachVariation(t, 0, func(t *testing.T, m *graph.Model, o Options) {
		batch := repeatTexts(goldenBatches(t)[0])
		plain := newTrainer(t, m, o, nil)
		plain.apart = true
		value, want := plain.gradient(t, batch)
		tolerance := cutTolerance(o)
		for name, change := range map[string]func(*step){
			"equal texts once":    func(x *step) { x.apart = false },
			"sub-batches":         func(x *step) { x.limits.tokens, x.limits.start = 40, 8 },
			"one text at a time":  func(x *step) { x.limits.texts = 1 },
			"padded to 8 and 12":  func(x *step) { x.queryPad, x.passagePad = 8, 12 },
			"padded to 30 tokens": func(x *step) { x.queryPad, x.passagePad = 30, 30 },
			"another padding id":  func(x *step) { x.pad = 99 },
		} {
			x := newTrainer(t, m, o, nil)
			x.apart = true
			change(x.step)
			got, gradient := x.gradient(t, batch)
			worst := sameGradients(t, gradient, want, tolerance)
			if math.Abs(got-value) > 10*tolerance*max(1, value) {
				t.Errorf("%s: loss %v, want %v", name, got, value)
			}
			t.Logf("%s: within %.2g", name, worst)
		}
	})
}

// Two processes that join their passages compute the gradient of one with the whole batch.
func TestProcessesEqualOne(t *testing.T) {
	eachVariation(t, 0, func(t *testing.T, m *graph.Model, o Options) {
		tolerance := cutTolerance(o)
		batch := hashed(repeatTexts(goldenBatches(t)[0]))
		o.NegativesCrossDevice, o.MaskFalseNegatives, o.BatchTokens = true, true, 64
		one := newTrainer(t, m, o, nil)
		value, want := one.gradient(t, batch)

		e, losses, gradients := newExchange(2), make([]float64, 2), make([]map[string][]float32, 2)
		var wg sync.WaitGroup
		for r := range 2 {
			half := batch
			half.Groups = batch.Groups[2*r : 2*r+2]
			x := newTrainer(t, m, o, exchangeRank{e, r})
			x.gradCache = r == 1
			wg.Go(func() {
				defer e.leave()
				defer torch.Lock()()
				st, err := x.accumulate(half, 1)
				if err != nil {
					t.Error(err)
					return
				}
				losses[r] = e.average(t, r, st.loss, x.params.tensors)
				gradients[r] = x.gradients(t)
			})
		}
		wg.Wait()
		for r := range 2 {
			sameGradients(t, gradients[r], want, tolerance)
			if math.Abs(losses[r]-value) > 10*tolerance*max(1, value) {
				t.Errorf("rank %d: loss %v, want %v", r, losses[r], value)
			}
		}
	})
}

// hashed gives every text its hash, makes passage 2 of query 3 a known positive of query 0, and leaves query 1 to its
// own group.
func hashed(b dataset.Batch) dataset.Batch {
	known := map[string]uint64{}
	hash := func(ids []int32) uint64 {
		key := textKey(text{ids: ids})
		if known[key] == 0 {
			known[key] = uint64(len(known)+1) * 0x9e3779b97f4a7c15
		}
		return known[key]
	}
	for i := range b.Groups {
		g := &b.Groups[i]
		g.QueryHash, g.PassageHashes, g.OwnGroup = hash(g.Query), nil, i == 1
		for _, p := range g.Passages {
			g.PassageHashes = append(g.PassageHashes, hash(p))
		}
		g.KnownPositives = g.PassageHashes[:1]
	}
	b.Groups[0].KnownPositives = []uint64{b.Groups[0].PassageHashes[0], b.Groups[3].PassageHashes[2]}
	return b
}

// Passages that answer the query do not count against it.
func TestFalseNegativesAreMasked(t *testing.T) {
	g := readGolden(t, "bert/infonce")
	o := g.options()
	o.Parity = false
	batch := hashed(goldenBatches(t)[0])
	batch.Groups[1].OwnGroup = false
	batch.Groups[2].Passages = slices.Clone(batch.Groups[2].Passages)
	batch.Groups[2].Passages[1] = batch.Groups[0].Passages[0]
	batch.Groups[2].PassageHashes[1] = batch.Groups[0].PassageHashes[0]
	var values []float64
	for _, mask := range []bool{true, false} {
		o.MaskFalseNegatives = mask
		x := newTrainer(t, g.graph(t), o, nil)
		in := loss.Input{Group: 4}
		s := torch.NewScope()
		if err := x.lossInput(s, batch, &in); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if mask && (!slices.Equal(in.Ignore[0], []int{9, 14}) || len(in.Ignore[1])+len(in.Ignore[2])+len(in.Ignore[3]) > 0) {
			t.Errorf("ignored %v, want passages 9 and 14 of query 0 alone", in.Ignore)
		}
		value, _ := x.gradient(t, batch)
		values = append(values, value)
	}
	if !(values[0] < values[1]) {
		t.Errorf("loss %v with the mask, %v without", values[0], values[1])
	}
}

// The scale of fp16 training multiplies gradients and not the loss; accumulation takes the mean of the batches.
func TestScaleAndAccumulation(t *testing.T) {
	g := readGolden(t, "bert/infonce")
	x := newTrainer(t, g.graph(t), g.options(), nil)
	batches := goldenBatches(t)
	first, a := x.gradient(t, batches[0])
	second, b := x.gradient(t, batches[1])
	both, sum := x.gradient(t, batches[0], batches[1])
	mean := make(map[string][]float32)
	for name := range a {
		for i := range a[name] {
			mean[name] = append(mean[name], (a[name][i]+b[name][i])/2)
		}
	}
	sameGradients(t, sum, mean, 1e-6)
	if math.Abs(both-(first+second)/2) > 1e-6 {
		t.Errorf("loss of two batches is %v, want the mean of %v and %v", both, first, second)
	}
	x.steps = 1
	defer torch.Lock()()
	st, err := x.accumulate(batches[0], 1024)
	if err != nil {
		t.Fatal(err)
	}
	scaled := x.gradients(t)
	for name := range scaled {
		for i := range scaled[name] {
			scaled[name][i] /= 1024
		}
	}
	if sameGradients(t, scaled, a, 0); st.loss != first {
		t.Errorf("loss %v under a scale, %v without", st.loss, first)
	}
}

// Autocast reaches the encoder alone: products are rounded, weights and gradients stay float32.
func TestAutocast(t *testing.T) {
	g := readGolden(t, "bert/infonce")
	o := g.options()
	batch := goldenBatches(t)[0]
	exact := newTrainer(t, g.graph(t), o, nil)
	value, want := exact.gradient(t, batch)
	o.BF16 = true
	x := newTrainer(t, g.graph(t), o, nil)
	rounded, got := x.gradient(t, batch)
	name := "encoder.layer.0.intermediate.dense.weight"
	if d := largestDifference(t, name, got[name], want[name]); d < 1e-6 || rounded == value || math.Abs(rounded-value) > 0.1 {
		t.Errorf("loss %v in bfloat16, %v in float32; gradients differ by %v", rounded, value, d)
	}
	for _, p := range x.params.tensors {
		if p.DType() != torch.Float32 {
			t.Errorf("a weight is %v", p.DType())
		}
	}
}

func TestStepRefuses(t *testing.T) {
	g := readGolden(t, "bert/kd")
	o := g.options()
	x := newTrainer(t, g.graph(t), o, nil)
	good := goldenBatches(t)[0]
	x.gradient(t, good) // starts the workers
	for want, change := range map[string]func(b *dataset.Batch){
		"the batch is empty":                          func(b *dataset.Batch) { b.Groups = nil },
		"row 2 has 3 passages, want 4":                func(b *dataset.Batch) { b.Groups[1].Passages = b.Groups[1].Passages[:3] },
		"row 4 has 0 teacher's scores for 4 passages": func(b *dataset.Batch) { b.Groups[3].TeacherScores = nil },
		"index out of range":                          func(b *dataset.Batch) { b.Groups[0].Query = []int32{5, 5000} },
	} {
		b := good
		b.Groups = slices.Clone(good.Groups)
		change(&b)
		before := torch.Live()
		if _, err := x.accumulate(b, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
		if n := torch.Live() - before; n != 0 {
			t.Errorf("%s: %d tensors are left", want, n)
		}
	}
	g = readGolden(t, "bert/ddp2_reference")
	o = g.options()
	y := newTrainer(t, g.graph(t), o, exchangeRank{newExchange(1), 0})
	y.mask = true
	if _, err := y.accumulate(good, 1); err == nil || !strings.Contains(err.Error(), "every process scores all queries") {
		t.Errorf("got %v", err)
	}
}

// Steps leave no tensor behind, whatever they do.
func TestStepsLeaveNoTensor(t *testing.T) {
	eachVariation(t, 0.1, func(t *testing.T, m *graph.Model, o Options) {
		for _, cached := range []bool{false, true} {
			x := newTrainer(t, m, o, nil)
			x.limits.tokens, x.gradCache = 50, cached
			batch := goldenBatches(t)[0]
			x.gradient(t, batch)
			before := torch.Live()
			for range 3 {
				x.gradient(t, batch)
			}
			if n := torch.Live() - before; n != 0 {
				t.Errorf("GradCache %v: %d tensors are left after 3 steps", cached, n)
			}
		}
	})
}
