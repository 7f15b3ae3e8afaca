//go:build !lite

package train

import (
	"fmt"
	"strings"

	"graft/train/torch"
)

// trains says which parameters a fine-tuning type trains, by name; lora names the tensors that the adapters added.
func trains(kind string, lora map[string]bool) func(name string) bool {
	switch kind {
	case "lora":
		return func(name string) bool { return lora[name] }
	case "bitfit":
		return isBias
	}
	return func(string) bool { return true }
}

// isBias is how BitFit (Ben Zaken et al. 2022), and the reference, knows what to train: gains' biases are of it too.
func isBias(name string) bool { return strings.Contains(strings.ToLower(name), "bias") }

// decaysWeight reports whether weight decay acts on a parameter. The reference leaves out names with "bias" or "norm" in
// them. Vectors are left out besides, for they are gains and biases whatever their names: somebody else's ONNX file
// may call them anything.
func decaysWeight(name string, shape []int64, parity bool) bool {
	name = strings.ToLower(name)
	if strings.Contains(name, "bias") || strings.Contains(name, "norm") {
		return false
	}
	return parity || len(shape) > 1
}

// parameters is what the optimizer moves: those of the program that train, in its order.
type parameters struct {
	names   []string
	tensors []*torch.Tensor
	decay   []bool
	count   int64 // elements that train
	all     int64 // elements of the whole program
	decayed int64 // elements that decay
}

// chooseParameters lists what trains. It refuses a program in which nothing does.
func chooseParameters(p *torch.Program, o Options) (*parameters, error) {
	c := &parameters{}
	for _, w := range p.Parameters() {
		n := w.Tensor.Len()
		c.all += n
		if !w.Trainable {
			continue
		}
		decay := decaysWeight(w.Name, w.Tensor.Shape(), o.Parity)
		c.names = append(c.names, w.Name)
		c.tensors = append(c.tensors, w.Tensor)
		c.decay = append(c.decay, decay)
		c.count += n
		if decay {
			c.decayed += n
		}
	}
	if c.count == 0 {
		return nil, &FlagError{"fine-tune-type", o.FineTuneType + nothingTrains[o.FineTuneType]}
	}
	return c, nil
}

// nothingTrains says why a fine-tuning type finds no parameter.
var nothingTrains = map[string]string{
	"sft":    " trains nothing: the model has no weights",
	"lora":   " trains nothing: no layer got an adapter",
	"bitfit": ` trains nothing: no parameter's name contains "bias"; this model has no biases, or does not name them`,
}

// String says how much trains.
func (c *parameters) String() string {
	return fmt.Sprintf("%d of %d parameters train (%.2f%%) in %d tensors; weight decay acts on %d",
		c.count, c.all, 100*float64(c.count)/float64(c.all), len(c.names), c.decayed)
}
