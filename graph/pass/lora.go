package pass

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"graft/graph"
)

// LoRAOptions says which linear modules InsertLoRA adapts, and how (Hu et al. 2021).
type LoRAOptions struct {
	Rank    int     // r, the inner size of the product B·A
	Alpha   float64 // the product is multiplied by Alpha/Rank
	RSLoRA  bool    // by Alpha/√Rank instead (Kalajdzievski 2023)
	Dropout float64 // probability with which elements of the adapter's input are zeroed in training
	// Targets chooses modules: it is searched for in the module's name, and in the names of its
	// node and weight, which in a graph of another exporter may say more.
	Targets *regexp.Regexp
	Seed    uint64 // of the first values of A
}

// Scale is what the product B·A is multiplied by.
func (o LoRAOptions) Scale() float64 {
	if o.RSLoRA {
		return o.Alpha / math.Sqrt(float64(o.Rank))
	}
	return o.Alpha / float64(o.Rank)
}

func (o LoRAOptions) check() error {
	switch {
	case o.Rank < 1:
		return fmt.Errorf("rank %d, want at least 1", o.Rank)
	case !(o.Alpha > 0) || math.IsInf(o.Alpha, 0):
		return fmt.Errorf("alpha %g, want a number above 0", o.Alpha)
	case !(o.Dropout >= 0 && o.Dropout < 1):
		return fmt.Errorf("dropout %g, want at least 0 and below 1", o.Dropout)
	case o.Targets == nil:
		return errors.New("no target modules are named")
	}
	return nil
}

// LoRA is the adapter of one linear module: y += Scale · Dropout(x)·Aᵀ·Bᵀ.
type LoRA struct {
	Module  string
	A, B    *graph.Tensor // float32 [rank, in] and [out, rank]
	Scale   float64
	Dropout float64
}

// The names of an adapter's initializers are those of PEFT's files:
// base_model.model.<module>.lora_A.weight and .lora_B.weight.
const (
	LoRAPrefix = "base_model.model."
	LoRAA      = ".lora_A.weight"
	LoRAB      = ".lora_B.weight"
)

// adaptedBase ends the name of a module's result before its adapter's is added.
const adaptedBase = "/lora_base"

// InsertLoRA adds an adapter to every linear module that o.Targets matches, and returns the modules' names in
// the graph's order. As in PEFT, A is drawn uniformly from ±1/√in (Kaiming with a = √5) and B is
// zero, so that m computes what it did. A depends on the seed and the module's name alone.
func InsertLoRA(m *graph.Model, o LoRAOptions) ([]string, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("insert LoRA: %w", err)
	}
	var adapters []LoRA
	var modules []string
	all := linears(m.Graph)
	for _, l := range all {
		if slices.Contains(modules, l.module) || !l.matches(o.Targets) {
			continue
		}
		in, out := l.sizes()
		modules = append(modules, l.module)
		adapters = append(adapters, LoRA{
			Module: l.module, Scale: o.Scale(), Dropout: o.Dropout,
			A: graph.NewTensor("", uniform(o.Seed, l.module, o.Rank, int(in)), int64(o.Rank), in),
			B: graph.NewTensor("", make([]float32, out*int64(o.Rank)), out, int64(o.Rank)),
		})
	}
	if len(adapters) == 0 {
		return nil, fmt.Errorf("insert LoRA: no linear module matches %q; the model has %s", o.Targets, kinds(all))
	}
	return modules, AttachLoRA(m, adapters)
}

// uniform is A's first values [rank, in].
func uniform(seed uint64, module string, rank, in int) []float32 {
	h := fnv.New64a()
	h.Write([]byte(module))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	bound := 1 / math.Sqrt(float64(in))
	values := make([]float32, rank*in)
	for i := range values {
		values[i] = float32((2*r.Float64() - 1) * bound)
	}
	return values
}

// AttachLoRA adds adapters with given weights. Where a module's bias is added behind its product, the adapter
// comes behind the bias. An adapter whose module the graph lacks, or whose shape is not the
// module's, is an error, and m is as it was.
func AttachLoRA(m *graph.Model, adapters []LoRA) error {
	if v := m.Opset(""); v < 13 {
		return fmt.Errorf("attach LoRA: the graph is written against opset %d, want at least 13", v)
	}
	all := linears(m.Graph)
	byModule := map[string][]linear{}
	for _, l := range all {
		byModule[l.module] = append(byModule[l.module], l)
	}
	for _, a := range adapters {
		if err := a.fits(byModule[a.Module]); err != nil {
			return fmt.Errorf("attach LoRA: module %q: %w; the model has %s", a.Module, err, kinds(all))
		}
	}
	b := graph.NewBuilder(m.Graph, nil)
	for _, a := range adapters {
		first, second := *a.A, *a.B
		first.Name, second.Name = LoRAPrefix+a.Module+LoRAA, LoRAPrefix+a.Module+LoRAB
		wa, wb := m.Graph.AddInitializer(&first), m.Graph.AddInitializer(&second)
		for _, l := range byModule[a.Module] {
			l.adapt(b.Scope("%s", a.Module).Scope("lora"), wa, wb, a)
		}
	}
	if err := m.Graph.Sort(); err != nil {
		return fmt.Errorf("attach LoRA: %w", err)
	}
	return nil
}

// fits reports why a is no adapter of a module's products, nil where it is.
func (a *LoRA) fits(products []linear) error {
	if len(products) == 0 {
		return errors.New("there is no such linear module")
	}
	l := products[0]
	in, out := l.sizes()
	rank := int64(-1)
	if len(a.A.Shape) == 2 {
		rank = a.A.Shape[0]
	}
	switch {
	case l.weight.Init.DType != graph.Float || a.A.DType != graph.Float || a.B.DType != graph.Float:
		return fmt.Errorf("weight is %v, adapter %v and %v; want FLOAT", l.weight.Init.DType, a.A.DType, a.B.DType)
	case rank < 1 || !slices.Equal(a.A.Shape, []int64{rank, in}) || !slices.Equal(a.B.Shape, []int64{out, rank}):
		return fmt.Errorf("lora_A is %v and lora_B %v, want [r %d] and [%d r]", a.A.Shape, a.B.Shape, in, out)
	case l.adapted():
		return errors.New("it has an adapter already")
	}
	return nil
}

// adapt adds the adapter's product to l's result, which keeps its name and its readers.
func (l *linear) adapt(b *graph.Builder, wa, wb *graph.Value, a LoRA) {
	x := l.node.Inputs[0]
	h := b.MatMul(b.Dropout(x, a.Dropout), b.Transpose(wa, 1, 0))
	delta := b.Mul(b.MatMul(h, b.Transpose(wb, 1, 0)), b.Scalar(float32(a.Scale)))
	result := l.last.Outputs[0]
	base := graph.NewValue(result.Name+adaptedBase, nil)
	l.last.SetOutput(0, base)
	sum := b.Add(base, delta)
	sum.Def().SetOutput(0, result)
}

// kinds lists the modules, one for each place in a layer: numbers between dots become "*".
func kinds(all []linear) string {
	var list []string
	for _, l := range all {
		name := layerNumber.ReplaceAllString(l.module, ".*.")
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	const most = 24
	more := ""
	if len(list) > most {
		more = fmt.Sprintf(" and %d more", len(list)-most)
		list = list[:most]
	}
	if len(list) == 0 {
		return "no linear modules"
	}
	return strings.Join(list, ", ") + more
}

var layerNumber = regexp.MustCompile(`\.[0-9]+\.`)
