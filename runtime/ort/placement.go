package ort

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Placement is a node of the graph as it is run, and where it ran. A provider
// that compiles parts of the graph (OpenVINO, TensorRT) shows each part as one
// node.
type Placement struct {
	Node     string // name in the optimized graph
	Op       string
	Provider string // ONNX Runtime's name, such as CPUExecutionProvider
	Time     time.Duration
}

// Placements runs the model once on the inputs and tells where each node ran,
// in the order of execution. It is read from ONNX Runtime's own profile.
func Placements(path string, o Options, inputs map[string]Array) ([]Placement, error) {
	return profile(path, o, inputs, 1)
}

// Profile runs the model on the inputs, once to warm up and then runs times, and
// tells of each node where it ran and how long in all of these runs. Nodes of one
// name count as one.
func Profile(path string, o Options, inputs map[string]Array, runs int) ([]Placement, error) {
	placed, err := profile(path, o, inputs, 1+runs)
	if err != nil {
		return nil, err
	}
	var nodes []Placement
	at := map[string]int{}
	for _, p := range placed {
		if i, warm := at[p.Node]; warm {
			nodes[i].Time += p.Time
			continue
		}
		at[p.Node] = len(nodes)
		p.Time = 0
		nodes = append(nodes, p)
	}
	return nodes, nil
}

// profile runs the model and reads the profile of all runs.
func profile(path string, o Options, inputs map[string]Array, runs int) ([]Placement, error) {
	dir, err := os.MkdirTemp("", "graft-profile-")
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	defer os.RemoveAll(dir)
	o.profile = filepath.Join(dir, "profile")
	s, err := Open(path, nil, o)
	if err != nil {
		return nil, err
	}
	for range runs {
		if _, err = s.RunArrays(context.Background(), inputs); err != nil {
			break
		}
	}
	s.Close() // writes the profile
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(o.profile + "*.json")
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("profile: onnxruntime wrote %d files, expected 1 (%v)", len(files), err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return parseProfile(data)
}

// kernelSuffix ends the name of the event that covers a node's own work.
const kernelSuffix = "_kernel_time"

// parseProfile reads a profile in the trace-event format: the events of
// category Node whose name ends in _kernel_time, one for each node in each run.
func parseProfile(data []byte) ([]Placement, error) {
	var events []struct {
		Category string         `json:"cat"`
		Name     string         `json:"name"`
		Duration float64        `json:"dur"` // microseconds
		Args     map[string]any `json:"args"`
	}
	if err := json.Unmarshal(data, &events); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	var placed []Placement
	for _, e := range events {
		provider, _ := e.Args["provider"].(string)
		if e.Category != "Node" || provider == "" || !strings.HasSuffix(e.Name, kernelSuffix) {
			continue
		}
		op, _ := e.Args["op_name"].(string)
		placed = append(placed, Placement{
			Node: strings.TrimSuffix(e.Name, kernelSuffix), Op: op, Provider: provider,
			Time: time.Duration(e.Duration * float64(time.Microsecond)),
		})
	}
	return placed, nil
}

// computing are the operators that make up a transformer's time. Where one of
// them runs on the CPU though another provider was asked for, the provider does
// not do what it was chosen for; shape arithmetic there is no loss.
var computing = []string{"MatMul", "Gemm", "Attention", "Conv", "Einsum", "LayerNorm", "RMSNorm", "Softmax", "Gelu", "Erf", "RotaryEmbedding"}

// Fallback returns the nodes that ran on the CPU provider though p was asked
// for and though they compute.
func Fallback(placed []Placement, p Provider) []Placement {
	var fallen []Placement
	for _, n := range placed {
		heavy := slices.ContainsFunc(computing, func(op string) bool { return strings.Contains(n.Op, op) })
		if heavy && n.Provider != p.EP && n.Provider == providers[0].EP {
			fallen = append(fallen, n)
		}
	}
	return fallen
}

// CountByProvider counts the nodes of each provider, by ONNX Runtime's name.
func CountByProvider(placed []Placement) map[string]int {
	n := map[string]int{}
	for _, p := range placed {
		n[p.Provider]++
	}
	return n
}
