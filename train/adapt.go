//go:build !lite

package train

import (
	"fmt"
	"regexp"
	"strings"

	"graft/graph"
	"graft/graph/pass"
)

// adapted is the model as it is trained: a copy of its graph with the options' dropout and adapters.
type adapted struct {
	model *graph.Model
	lora  map[string]bool // names of the adapters' tensors; nil: none
}

// adapt makes the copy. A model that has adapters already goes on training them.
func adapt(m Model, o Options, warn func(string)) (*adapted, error) {
	a := &adapted{model: m.Graph.Clone()}
	if o.Dropout >= 0 && setDropout(a.model, o.Dropout) == 0 && o.Dropout > 0 {
		warn(fmt.Sprintf("--dropout %v has no effect: the model has no dropout", o.Dropout))
	}
	if o.FineTuneType != "lora" {
		return a, nil
	}
	a.lora = loraTensors(a.model)
	if len(a.lora) > 0 {
		return a, nil
	}
	targets := o.LoraTargets
	if targets == "" {
		targets = m.LoraTargets
	}
	if targets == "" {
		targets = "." // every linear layer, PEFT's "all-linear"
	}
	expression, err := regexp.Compile(targets)
	if err != nil {
		return nil, &FlagError{"lora-targets", err.Error()}
	}
	_, err = pass.InsertLoRA(a.model, pass.LoRAOptions{
		Rank: o.LoraRank, Alpha: o.LoraAlpha, Dropout: o.LoraDropout, Targets: expression, Seed: uint64(o.Seed),
	})
	a.lora = loraTensors(a.model)
	return a, err
}

// loraTensors names the adapters' tensors of a model.
func loraTensors(m *graph.Model) map[string]bool {
	names := map[string]bool{}
	for _, v := range m.Graph.Initializers {
		if strings.HasSuffix(v.Name, pass.LoRAA) || strings.HasSuffix(v.Name, pass.LoRAB) {
			names[v.Name] = true
		}
	}
	return names
}

// setDropout gives all of a model's dropout the probability p, and says in how many places.
func setDropout(m *graph.Model, p float64) int {
	ratio := m.Graph.AddInitializer(graph.NewTensor("graft.dropout", []float32{float32(p)}))
	places := 0
	m.Graph.Walk(func(n *graph.Node) {
		switch {
		case n.Is("Dropout") && len(n.Inputs) > 1:
			n.Inputs[1] = ratio
			places++
		case n.Is("Attention") && n.Meta(graph.AttentionDropout) != "":
			n.SetMeta(graph.AttentionDropout, fmt.Sprint(p))
			places++
		}
	})
	return places
}

// settle fits options to the model and resolves those that others imply.
func settle(m Model, o Options, warn func(string)) Options {
	for _, l := range []struct {
		texts  string
		tokens *int
	}{{"queries", &o.QueryMaxLen}, {"passages", &o.PassageMaxLen}} {
		if m.MaxLength > 0 && *l.tokens > m.MaxLength {
			warn(fmt.Sprintf("%s are cut at the model's %d tokens, not at %d", l.texts, m.MaxLength, *l.tokens))
			*l.tokens = m.MaxLength
		}
	}
	if o.FP16OptLevel == "O0" {
		o.BF16, o.FP16 = false, false
	}
	if !o.Normalized {
		o.Temperature = 1
	}
	if o.Parity && o.Float32MatmulPrecision == "auto" {
		o.Float32MatmulPrecision = "highest"
	}
	return o
}
