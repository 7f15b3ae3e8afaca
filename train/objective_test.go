//go:build !lite

package train

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"graft/train/torch"
)

// Widths that the model lacks are an error where the user chose them, and left out where nobody did; the reference trains
// its full width in their place.
func TestMatryoshkaWidths(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*Options)
		want     []int
		warnings int
		err      string
	}{
		{"off", func(o *Options) { o.UseMatryoshka = false }, []int{384}, 0, ""},
		{"as nobody chose them", func(*Options) {}, []int{64, 128, 256, 384}, 2, ""},
		{"parity", func(o *Options) { o.Parity = true }, []int{64, 128, 256, 384, 384}, 2, ""},
		{"chosen", func(o *Options) { o.MatryoshkaDims, o.MatryoshkaLossWeights = []int{32, 64}, []float64{1, 2} }, []int{32, 64, 384}, 0, ""},
		{"chosen alone", func(o *Options) {
			o.MatryoshkaDims, o.MatryoshkaLossWeights, o.MatryoshkaFullDim = []int{32, 64}, []float64{1, 2}, false
		}, []int{32, 64}, 1, ""},
		{"too wide", func(o *Options) { o.MatryoshkaDims, o.MatryoshkaLossWeights = []int{64, 768}, []float64{1, 1} }, nil, 0,
			"--matryoshka-dims: width 768 is beyond the model's 384 features"},
	} {
		o := DefaultOptions()
		o.UseMatryoshka = true
		c.change(&o)
		var warnings []string
		l, err := newObjective(o, 384, func(w string) { warnings = append(warnings, w) })
		if c.err != "" {
			var flag *FlagError
			if !errors.As(err, &flag) || err.Error() != c.err {
				t.Errorf("%s: got %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(l.Dims, c.want) || len(warnings) != c.warnings {
			t.Errorf("%s: got %+v with %q, %v; want widths %v and %d warnings", c.name, l, warnings, err, c.want, c.warnings)
		}
	}
}

// The options reach the arithmetic.
func TestNewStep(t *testing.T) {
	p, err := torch.Compile(readGolden(t, "bert/infonce").graph(t), torch.CompileOptions{Outputs: []string{embedding}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, c := range []struct {
		name   string
		change func(*Options)
		ok     func(x *step) bool
	}{
		{"default", func(*Options) {}, func(x *step) bool {
			return x.tokens == 4096 && x.texts == 0 && !x.gradCache && !x.apart && x.mask && x.gatherer == nil && x.queryPad == 0
		}},
		{"parity", func(o *Options) { o.Parity = true }, func(x *step) bool { return x.apart && !x.mask }},
		{"padding", func(o *Options) { o.Padding = "max_length" }, func(x *step) bool {
			return x.tokens == 0 && x.queryPad == 32 && x.passagePad == 512
		}},
		{"GradCache", func(o *Options) { o.GradCacheChunk = 16 }, func(x *step) bool { return x.gradCache && x.texts == 16*9 }},
		{"GradCache in-batch", func(o *Options) { o.GradCacheChunk, o.Objective = 16, "in-batch" }, func(x *step) bool { return x.texts == 16*2 }},
		{"accumulation", func(o *Options) { o.GradientAccumulationSteps = 3 }, func(x *step) bool { return x.steps == 3 }},
		{"processes", func(o *Options) { o.NegativesCrossDevice = true }, func(x *step) bool { return x.gatherer != nil && !x.replicated }},
		{"processes, parity", func(o *Options) { o.NegativesCrossDevice, o.Parity = true, true }, func(x *step) bool { return x.replicated }},
		{"processes apart", func(*Options) {}, func(x *step) bool { return x.gatherer == nil }},
		{"seed", func(o *Options) { o.Seed = 9 }, func(x *step) bool { return x.rng == torch.RNG{Seed: 9} }},
	} {
		o := DefaultOptions()
		c.change(&o)
		l, err := newObjective(o, 32, nil)
		if err != nil {
			t.Fatal(err)
		}
		x, err := newStep(p, l, o, torch.Device{}, 0, 0, exchangeRank{newExchange(2), 1})
		if err != nil || !c.ok(x) {
			t.Errorf("%s: %+v, %v", c.name, x, err)
		}
	}
}

// A model that wants more than a text says is refused before anything is trained.
func TestUnknownInput(t *testing.T) {
	m := readGolden(t, "bert/infonce").graph(t)
	for _, v := range m.Graph.Inputs {
		if v.Name == "attention_mask" {
			v.Name = "mask"
		}
	}
	p, err := torch.Compile(m, torch.CompileOptions{Outputs: []string{embedding}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	e := &encoder{program: p}
	if err := e.checkInputs(); err == nil || !strings.Contains(err.Error(), `has an input "mask"`) {
		t.Errorf("got %v", err)
	}
}
