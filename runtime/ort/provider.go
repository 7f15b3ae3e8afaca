package ort

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// A Provider is an execution provider of ONNX Runtime: where a model's nodes
// run.
type Provider struct {
	Name       string   // as given to --provider
	EP         string   // ONNX Runtime's name, as it stands in profiles
	Doc        string   // one line
	Library    string   // the Library it is part of; "" when it is part of all
	Precisions []string // what Options.Precision may say; the first is the default
	// file is the shared library that holds the provider, beside ONNX
	// Runtime's own; "" when it is built in.
	file string
	// lazy are shared libraries that the provider opens itself when a model needs
	// them; they are opened beforehand where they come with graft.
	lazy []string
	// whole makes a model that the provider cannot run whole an error of ONNX
	// Runtime's. Not for CUDA and TensorRT: they leave shape arithmetic to the
	// CPU by design. There, [Fallback] looks at what really ran.
	whole bool
	// config are session options that the provider does best with.
	config map[string]string
	// add appends the provider to the options of a session.
	add func(*ort.SessionOptions, Options) error
}

// providers is the table of execution providers, slowest first.
var providers = []Provider{
	{
		Name: "cpu", EP: "CPUExecutionProvider", Doc: "ONNX Runtime's own kernels",
		Precisions: []string{"f32"},
		// The kernel of SkipLayerNormalization takes five times as long as an addition and
		// LayerNormalization, from which the fusion makes it (docs/benchmarks.md).
		config: map[string]string{"optimization.disable_specified_optimizers": "SkipLayerNormFusion"},
		add:    addCPU,
	},
	{
		Name: "openvino", EP: "OpenVINOExecutionProvider", Doc: "Intel OpenVINO on the CPU: the fast path with AMX or VNNI",
		Library:    "openvino",
		Precisions: []string{"f32", "bf16"},
		file:       "libonnxruntime_providers_openvino.so",
		whole:      true,
		add:        addOpenVINO,
	},
	{
		Name: "cuda", EP: "CUDAExecutionProvider", Doc: "NVIDIA GPUs through CUDA",
		Library:    "cuda",
		Precisions: []string{"f32"},
		file:       "libonnxruntime_providers_cuda.so",
		lazy:       []string{"libcudnn.so.9"},
		add:        addCUDA,
	},
	{
		Name: "tensorrt", EP: "TensorrtExecutionProvider", Doc: "NVIDIA GPUs through TensorRT 10, installed by the user",
		Library:    "cuda",
		Precisions: []string{"f32"},
		file:       "libonnxruntime_providers_tensorrt.so",
		add:        addTensorRT,
	},
}

// Providers returns the table of execution providers.
func Providers() []Provider { return slices.Clone(providers) }

// ProviderNamed returns the provider of that name.
func ProviderNamed(name string) (Provider, error) {
	var names []string
	for _, p := range providers {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Provider{}, fmt.Errorf("unknown execution provider %q (known: %s)", name, strings.Join(names, ", "))
}

// precision returns the precision to compute in.
func (p Provider) precision(asked string) (string, error) {
	if asked == "" {
		return p.Precisions[0], nil
	}
	if !slices.Contains(p.Precisions, asked) {
		return "", fmt.Errorf("provider %s has no precision %q (it has %s)", p.Name, asked, strings.Join(p.Precisions, ", "))
	}
	return asked, nil
}

func addCPU(_ *ort.SessionOptions, o Options) error {
	if len(o.ProviderOptions) > 0 {
		return fmt.Errorf("it takes no options, got %s", strings.Join(slices.Sorted(maps.Keys(o.ProviderOptions)), ", "))
	}
	return nil
}

// openVINOOptions are the options of ONNX Runtime's OpenVINO provider 1.24 that
// mean something on a CPU. It answers any other with "Failed to load shared
// library".
var openVINOOptions = []string{
	"cache_dir", "device_type", "disable_dynamic_shapes", "enable_qdq_optimizer", "layout", "load_config",
	"model_priority", "num_of_threads", "num_streams", "precision", "reshape_input",
}

// openVINORefusal is the provider's answer to a value or device it does not know.
const openVINORefusal = "Failed to load shared library"

// addOpenVINO sets the device to the CPU and the precision explicitly:
// OpenVINO's own default is bf16 where the CPU has it. "load_config" is a JSON
// string of OpenVINO properties by device, into which what decides the precision
// is merged; "cache_dir" keeps compiled models.
func addOpenVINO(so *ort.SessionOptions, o Options) error {
	options := map[string]string{"device_type": "CPU"}
	if o.Threads > 0 {
		options["num_of_threads"] = strconv.Itoa(o.Threads)
	}
	for k, v := range o.ProviderOptions {
		if !slices.Contains(openVINOOptions, k) {
			return fmt.Errorf("unknown option %q (known: %s)", k, strings.Join(openVINOOptions, ", "))
		}
		options[k] = v
	}
	config, err := openVINOConfig(options["load_config"], options["device_type"], o.Precision)
	if err != nil {
		return fmt.Errorf("option load_config: %w", err)
	}
	options["load_config"] = config
	err = so.AppendExecutionProviderOpenVINO(options)
	if err != nil && strings.Contains(err.Error(), openVINORefusal) {
		return fmt.Errorf("it refuses the value of an option, or has no such device: %v", o.ProviderOptions)
	}
	return err
}

// openVINOConfig adds the precision to the properties of the device. Products
// with weights of 8 bits are computed in it too: by itself OpenVINO would round
// activations to 8 bits in groups of 32 numbers.
func openVINOConfig(text, device, precision string) (string, error) {
	config := map[string]map[string]any{}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &config); err != nil {
			return "", err
		}
	}
	if config[device] == nil {
		config[device] = map[string]any{}
	}
	for property, value := range map[string]string{"INFERENCE_PRECISION_HINT": precision, "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"} {
		if _, given := config[device][property]; !given {
			config[device][property] = value
		}
	}
	merged, err := json.Marshal(config)
	return string(merged), err
}

// addCUDA takes the options of ONNX Runtime's CUDA provider (device_id,
// gpu_mem_limit, use_tf32, …). TF32 is off unless asked for: f32 means f32.
func addCUDA(so *ort.SessionOptions, o Options) error {
	options, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer options.Destroy()
	all := map[string]string{"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
	maps.Copy(all, o.ProviderOptions)
	if err := options.Update(all); err != nil {
		return err
	}
	return so.AppendExecutionProviderCUDA(options)
}

// addTensorRT takes the options of ONNX Runtime's TensorRT provider
// (trt_engine_cache_enable, trt_profile_min_shapes, …).
func addTensorRT(so *ort.SessionOptions, o Options) error {
	options, err := ort.NewTensorRTProviderOptions()
	if err != nil {
		return err
	}
	defer options.Destroy()
	if err := options.Update(o.ProviderOptions); err != nil {
		return err
	}
	return so.AppendExecutionProviderTensorRT(options)
}
