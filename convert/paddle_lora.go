package convert

import (
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"
	"strings"

	"graft/graph"
)

// The files of an adapter that PaddleNLP's LoRAModel saves, the weights by paddle.save or in safetensors, in one file or in shards.
const (
	paddleLoRAConfig  = "lora_config.json"
	paddleLoRAWeights = "lora_model_state.pdparams"
	paddleLoRASafe    = "peft_model.safetensors"
	paddleLoRAIndex   = "peft_model.safetensors.index.json"
)

// isPaddleAdapter reports whether a directory holds an adapter of PaddleNLP. Its base's config.json is often beside it.
func isPaddleAdapter(dir string) bool {
	return exists(filepath.Join(dir, paddleLoRAConfig)) && !hasCheckpoint(dir)
}

// paddleLoRA are the fields of lora_config.json that say what the adapter computes (paddlenlp/peft/lora/lora_config.py).
type paddleLoRA struct {
	Base    string  `json:"base_model_name_or_path"`
	Rank    int     `json:"r"`
	Alpha   float64 `json:"lora_alpha"`
	RSLoRA  bool    `json:"rslora"`
	Dropout float64 `json:"lora_dropout"`
}

// paddleLoRARefused are the fields that make an adapter more, or other, than W + scale·A·B, where they are set: pissa and loraga change the
// base's weights.
var paddleLoRARefused = []string{
	"pissa", "loraga", "use_mora", "lora_use_mixer", "do_qat", "enable_lora_list", "trainable_bias", "trainable_modules",
}

// readPaddle reads the adapter of PaddleNLP in the adapter's directory.
func (a *Adapter) readPaddle() error {
	var c paddleLoRA
	var fields map[string]any
	for _, v := range []any{&c, &fields} {
		if err := readJSON(a.Dir, paddleLoRAConfig, v); err != nil {
			return err
		}
	}
	for _, name := range paddleLoRARefused {
		if isSet(fields[name]) {
			return fmt.Errorf("%s: %s is %v, which is not supported", paddleLoRAConfig, name, fields[name])
		}
	}
	if c.Rank < 1 || !(c.Alpha > 0) {
		return fmt.Errorf("%s: r is %d and lora_alpha %g, want numbers above 0", paddleLoRAConfig, c.Rank, c.Alpha)
	}
	a.Base, a.Rank, a.Alpha, a.RSLoRA, a.Dropout = c.Base, c.Rank, c.Alpha, c.RSLoRA, c.Dropout
	if err := a.readPaddleWeights(); err != nil {
		return err
	}
	for i := range a.Modules {
		m := &a.Modules[i]
		m.Dropout = c.Dropout
		m.Scale = c.Alpha / float64(c.Rank)
		if c.RSLoRA {
			m.Scale = c.Alpha / math.Sqrt(float64(c.Rank))
		}
	}
	return nil
}

// paddleLoRATensor is a matrix of an adapter: lora_A [in, r] or lora_B [r, out].
var paddleLoRATensor = regexp.MustCompile(`^(.+)\.lora_([AB])$`)

// readPaddleWeights reads the matrices, which are PEFT's turned, under PEFT's names.
func (a *Adapter) readPaddleWeights() error {
	var s *source
	for _, name := range []string{paddleLoRAWeights, paddleLoRASafe, paddleLoRAIndex} {
		if file := filepath.Join(a.Dir, name); s == nil && exists(file) {
			var err error
			if s, err = openPaddle(file); err != nil {
				return err
			}
		}
	}
	if s == nil {
		return fmt.Errorf("no weights: the directory has neither %s nor %s: %w", paddleLoRAWeights, paddleLoRASafe, fs.ErrNotExist)
	}
	a.files = closers{s}
	tensors := newSource("paddle", s)
	for name, t := range s.tensors {
		parts := paddleLoRATensor.FindStringSubmatch(name)
		if parts == nil || len(t.Shape) != 2 {
			return fmt.Errorf("tensor %q %v is not of a linear module's lora_A or lora_B", name, t.Shape)
		}
		module := strings.TrimSuffix(encoderName(parts[1]+".weight"), ".weight")
		tensors.tensors[module+".lora_"+parts[2]+".weight"] = graph.Transpose(t)
	}
	var err error
	a.Modules, err = pairs(tensors.names(), func(name string) *graph.Tensor { return tensors.tensors[name] })
	return err
}
