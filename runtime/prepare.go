package runtime

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// form is how a provider runs a graph in each of its precisions, and how texts are put into
// batches. What is best is measured: docs/benchmarks.md.
type form struct {
	precisions  map[string]precision
	batchTokens int                         // small enough for a layer's values to stay in a core's cache
	beside      bool                        // batches run beside one another, on a thread each, which need not wait for one another
	share       func(*ort.Options, Options) // shares the threads among the runs
}

// precision is the target that a graph is lowered to, and either a hint to the provider, the graph
// staying in float32, or the element type of the graph itself.
type precision struct {
	target pass.Target
	hint   string
	dtype  graph.DType
}

var forms = map[string]form{
	"cpu": {map[string]precision{
		"fp32": {pass.CPU, "f32", graph.Float}}, 512, true, threadsByRun},
	"openvino": {map[string]precision{
		"fp32": {pass.Portable, "f32", graph.Float}, "bf16": {pass.OpenVINOBF16, "bf16", graph.Float}}, 1024, true, streamByRun},
	"cuda":     {byElementType(pass.CUDA), 16384, false, threadsByRun},
	"tensorrt": {byElementType(pass.TensorRT), 16384, false, threadsByRun},
}

// byElementType are the precisions of a provider that computes in the graph's own types.
func byElementType(t pass.Target) map[string]precision {
	return map[string]precision{"fp32": {t, "", graph.Float}, "fp16": {t, "", graph.Float16}, "bf16": {t, "", graph.BFloat16}}
}

// threadsByRun gives each run its part of the threads.
func threadsByRun(c *ort.Options, o Options) {
	c.Threads, c.ProviderOptions = max(1, o.Threads/o.Runs), o.ProviderOptions
}

// streamByRun lets OpenVINO make a stream for each run, which share its threads.
func streamByRun(c *ort.Options, o Options) {
	c.Threads = o.Threads
	c.ProviderOptions = map[string]string{"num_streams": strconv.Itoa(o.Runs)}
	maps.Copy(c.ProviderOptions, o.ProviderOptions)
}

// prepare returns a file that the provider can run: the model's own where it will do, else one
// written to a temporary folder, which Close removes.
func (e *Encoder) prepare(p precision) (string, error) {
	if e.model.Path != "" && e.runsAsItIs(p) {
		if dataBehindLink(e.model) {
			return e.write(e.model.Graph)
		}
		return e.model.Path, nil
	}
	m := e.model.Graph.Clone()
	built := m.ProducerName == producer && e.model.Path == ""
	switch {
	case built:
	case e.Provider == "cpu" && !unknownToCPU(m):
		return e.write(m) // somebody else's graph, ended by our pooling
	default:
		if _, err := pass.Raise(m); err != nil {
			return "", err
		}
	}
	if err := pass.Simplify(m); err != nil {
		return "", err
	}
	if e.options.portable {
		p.target = pass.Portable
	}
	if err := pass.Lower(m, pass.LowerOptions{Target: p.target, DType: p.dtype}); err != nil {
		return "", err
	}
	return e.write(m)
}

// producer is the name that graft's own files carry.
const producer = "graft"

// runsAsItIs reports whether the provider takes the model's own file: the CPU provider takes any in float32 and
// float16; the others take what graft wrote in portable operators where they compute in fp32. Somebody else's masks
// (-3.4e38) are not finite in bf16, so their graphs are raised and lowered again.
func (e *Encoder) runsAsItIs(p precision) bool {
	if p.dtype != graph.Float || p.target == pass.OpenVINOBF16 {
		return false
	}
	if e.Provider == "cpu" {
		return !unknownToCPU(e.model.Graph)
	}
	portable := e.model.Graph.ProducerName == producer
	e.model.Graph.Graph.Walk(func(n *graph.Node) {
		portable = portable && n.Domain == ""
	})
	return portable
}

// unknownToCPU reports whether m computes in bfloat16 or in double, for which the CPU provider lacks most operators: it runs in
// float32 there. Other exporters' rotations of opset 23 are written anew: they give all texts one table, which the provider refuses.
func unknownToCPU(m *graph.Model) bool {
	rotates := slices.ContainsFunc(m.Graph.Nodes, func(n *graph.Node) bool { return n.Is("RotaryEmbedding") })
	return rotates && m.ProducerName != producer || slices.ContainsFunc(m.Graph.Initializers, func(v *graph.Value) bool {
		t := v.Init
		return t.Len() > 1 && (t.DType == graph.BFloat16 || t.DType == graph.Double)
	})
}

// dataBehindLink reports whether m's file is a link, as in the Hugging Face hub's cache, and its weights
// lie in another: ONNX Runtime may refuse these (ValidateExternalDataPath: "escapes model directory").
func dataBehindLink(m Model) bool {
	link, err := os.Lstat(m.Path)
	if err != nil || link.Mode()&os.ModeSymlink == 0 {
		return false
	}
	file, err := os.Stat(m.Path)
	return err == nil && file.Size() < graph.TakeCensus(m.Graph.Graph).Bytes
}

func (e *Encoder) write(m *graph.Model) (string, error) {
	dir, err := os.MkdirTemp("", "graft-encoder-*")
	if err != nil {
		return "", err
	}
	e.remove = dir
	path := filepath.Join(dir, "model.onnx")
	if err := onnx.Write(path, m, onnx.Options{}); err != nil {
		return "", fmt.Errorf("write the graph as %s runs it: %w", e.Provider, err)
	}
	return path, nil
}
