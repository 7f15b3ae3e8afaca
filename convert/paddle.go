package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"graft/convert/pickle"
	"graft/graph"
)

// paddleConfigFile is the config of PaddleNLP's models before version 2.5; later ones have a config.json.
const paddleConfigFile = "model_config.json"

func findPaddle(path string) (string, error) {
	if file := filepath.Join(path, pickle.PaddleFileName); exists(file) {
		return file, nil
	}
	return "", nil
}

// paddleModules are the modules of a block of PaddleNLP's encoders (paddle.nn.TransformerEncoderLayer) and
// transformers' names for them.
var paddleModules = map[string]string{
	"self_attn.q_proj": "attention.self.query", "self_attn.k_proj": "attention.self.key", "self_attn.v_proj": "attention.self.value",
	"self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm",
	"linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm",
}

// paddleBlock is a tensor of a block: what stands before, the layer, the module, and what of it.
var paddleBlock = regexp.MustCompile(`^(.*)encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$`)

// fromPaddle is a tensor's name in transformers. Names of modules that transformers does not have are as they were.
func fromPaddle(name string) string {
	if p := paddleBlock.FindStringSubmatch(name); p != nil && paddleModules[p[3]] != "" {
		return p[1] + "encoder.layer." + p[2] + "." + paddleModules[p[3]] + "." + p[4]
	}
	return strings.Replace(name, "embeddings.layer_norm.", "embeddings.LayerNorm.", 1)
}

// readPaddle reads a model of PaddleNLP: BERT's and ERNIE's encoders.
func (t *translation) readPaddle(path string) error {
	c, err := pickle.OpenPaddle(path)
	if err != nil {
		return err
	}
	t.source = newSource("paddle", c)
	config, err := t.paddleConfig(c)
	if err != nil {
		return err
	}
	for _, x := range c.Tensors {
		name, shape, data := fromPaddle(x.Name), x.Shape, stored(x)
		// paddle.nn.Linear keeps [in, out]; tables of embeddings are as everywhere.
		if len(shape) == 2 && !strings.Contains(name, "embeddings.") {
			shape, data = []int64{shape[1], shape[0]}, transposed{x}
		}
		if err := t.source.add(name, x.DType, shape, data); err != nil {
			return err
		}
	}
	return errors.Join(t.replace("config.json", config), t.wordPiece())
}

// transposed is a matrix whose rows are the columns of another; it is turned in memory when it is read.
type transposed struct{ *pickle.Tensor }

func (t transposed) WriteTo(w io.Writer) (int64, error) {
	raw := graph.Derived{Length: t.Size(), Write: func(w io.Writer) error { _, err := t.Tensor.WriteTo(w); return err }}
	from, err := raw.Bytes()
	if err != nil {
		return 0, err
	}
	rows, columns := t.Shape[0], t.Shape[1]
	to := make([]byte, len(from))
	size := t.Size() / max(1, rows*columns)
	for i := range rows {
		for j := range columns {
			copy(to[(j*rows+i)*size:][:size], from[(i*columns+j)*size:])
		}
	}
	n, err := w.Write(to)
	return int64(n), err
}

func (t transposed) Open() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		_, err := t.WriteTo(w)
		w.CloseWithError(err)
	}()
	return r, nil
}

// paddleTypes are the classes of PaddleNLP, by how their names begin, and the model types of transformers.
var paddleTypes = map[string]string{"Ernie": "ernie", "Bert": "bert"}

// paddleConfig is config.json as transformers would have written it.
func (t *translation) paddleConfig(c *pickle.Checkpoint) (map[string]any, error) {
	config, class, err := t.readPaddleConfig()
	if err != nil {
		return nil, err
	}
	kind, _ := config["model_type"].(string)
	for begin, modelType := range paddleTypes {
		if kind == "" && strings.HasPrefix(class, begin) {
			kind = modelType
		}
	}
	if kind == "" {
		return nil, fmt.Errorf("neither model_type nor a class of the config (%q) says which architecture it is; known: %s", class, sortedKeys(paddleTypes))
	}
	config["model_type"] = kind
	// What PaddleNLP takes where its config is silent: paddle.nn.LayerNorm's epsilon, and a feed-forward layer of four times the width.
	for key, value := range map[string]any{"layer_norm_eps": 1e-5, "hidden_act": "gelu"} {
		if config[key] == nil {
			config[key] = value
		}
	}
	if width, ok := config["hidden_size"].(float64); ok && config["intermediate_size"] == nil {
		config["intermediate_size"] = 4 * width
		for _, x := range c.Tensors {
			if strings.HasSuffix(x.Name, "encoder.layers.0.linear1.bias") && len(x.Shape) == 1 {
				config["intermediate_size"] = x.Shape[0]
			}
		}
	}
	return config, nil
}

// readPaddleConfig reads config.json or model_config.json; of the latter, class is what the innermost model is of.
func (t *translation) readPaddleConfig() (config map[string]any, class string, err error) {
	err = readJSON(t.dir, "config.json", &config)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		if list, _ := config["architectures"].([]any); len(list) > 0 {
			class, _ = list[0].(string)
		}
		return config, class, err
	}
	var file map[string]any
	if err := readJSON(t.dir, paddleConfigFile, &file); err != nil {
		return nil, "", fmt.Errorf("neither config.json nor %s: %w", paddleConfigFile, err)
	}
	config = file
	// A task's model is called with the model that it wraps: init_args[0], with arguments of its own.
	for range 4 {
		if name, ok := config["init_class"].(string); ok {
			class = name
		}
		args, _ := config["init_args"].([]any)
		if len(args) == 0 {
			break
		}
		inner, ok := args[0].(map[string]any)
		if !ok {
			break
		}
		config = inner
	}
	if name, ok := config["init_class"].(string); ok {
		class = name
	}
	if config["hidden_size"] == nil {
		raw, _ := json.Marshal(config)
		return nil, "", fmt.Errorf("%s: no sizes of a model in %s", paddleConfigFile, raw)
	}
	delete(config, "init_class")
	delete(config, "init_args")
	return config, class, nil
}
