package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// inspectOptions are what inspect is asked for.
type inspectOptions struct {
	open     convert.OpenOptions
	print    graph.PrintOptions
	layers   bool
	provider string
	json     bool
}

func inspectCommand() *cli.Command {
	o := &inspectOptions{}
	return &cli.Command{
		Name: "inspect", Usage: "what is in a model: operators, layers, inputs, outputs, precision, size, provenance", ArgsUsage: "MODEL",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "onnx", Value: true, Destination: &o.open.ONNX, Usage: "look at onnx/model.onnx where there is one (false: at the checkpoint)"},
			&cli.StringFlag{Name: "variant", Destination: &o.open.Variant, Usage: "look at onnx/model_`NAME`.onnx"},
			&cli.BoolFlag{Name: "layers", Destination: &o.layers, Usage: "list the transformer blocks: weights, precision, share of time, products"},
			&cli.BoolFlag{Name: "ops", Destination: &o.print.Nodes, Usage: "list every node"},
			&cli.BoolFlag{Name: "weights", Destination: &o.print.Weights, Usage: "list every weight"},
			&cli.StringFlag{Name: "provider", Value: "cpu", Destination: &o.provider, Usage: "run the file once on this provider, and count the nodes that each provider runs"},
			jsonFlag(&o.json),
		},
		Action: func(c *cli.Context) error {
			model, err := modelArg(c, "")
			if err != nil {
				return err
			}
			providers := listed(ort.Providers(), func(p ort.Provider) string { return p.Name })
			if err := checkName("inspect", "provider", o.provider, providers); err != nil {
				return err
			}
			return inspect(c.Context, model, *o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func inspect(ctx context.Context, path string, o inspectOptions, w, stderr io.Writer) error {
	m, err := openModel(ctx, path, o.open, stderr)
	if err != nil {
		return err
	}
	defer m.Close()
	graph.Infer(m.Graph) // what cannot be inferred is shown as unknown
	raised := m.Graph.Clone()
	report, err := pass.Raise(raised)
	if err != nil {
		return err
	}
	layers, layersErr := graph.Layers(raised)
	nodes, err := placements(m, o.provider)
	if err != nil {
		return err
	}
	var blocks *blockTable
	if o.layers && layersErr == nil {
		if blocks, err = newBlockTable(m, layers, o.provider); err != nil {
			return err
		}
	}
	if o.json {
		return inspectJSON(w, m, report, len(layers), blocks, nodes)
	}
	printModel(w, m)
	if err := graph.Fprint(w, m.Graph, o.print); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nrecognized: %v\n", report)
	if layersErr != nil {
		fmt.Fprintf(w, "transformer blocks: %v\n", layersErr)
	} else {
		fmt.Fprintf(w, "transformer blocks: %d\n", len(layers))
	}
	if blocks != nil {
		blocks.print(w)
		for i, l := range layers {
			printLayer(w, i, l)
		}
	}
	for _, name := range sortedKeys(nodes) {
		fmt.Fprintf(w, "nodes as run by %s: %d\n", name, nodes[name])
	}
	return nil
}

// printLayer lists a transformer block's products, with their weights' shapes.
func printLayer(w io.Writer, i int, l graph.Layer) {
	fmt.Fprintf(w, "  %2d  %s  attention, %d norms\n", i, l.Name, len(l.Norms))
	for _, p := range l.Linears {
		fmt.Fprintf(w, "      %-50s %v\n", p.Weight.Name, p.Weight.Shape())
	}
}

// placements runs the file once on the provider and counts the nodes of the graph as it is run;
// nil where the model is no file that could be run as it stands.
func placements(m *convert.Model, provider string) (map[string]int, error) {
	if m.File == "" {
		return nil, nil
	}
	info, err := ort.ReadInfo(m.File)
	if err != nil {
		return nil, err
	}
	inputs, err := info.DummyInputs(2, 16)
	if err != nil {
		return nil, err
	}
	placed, err := ort.Placements(m.File, ort.Options{Provider: provider}, inputs)
	if err != nil {
		return nil, fmt.Errorf("inspect: %w", err)
	}
	return ort.CountByProvider(placed), nil
}

// printModel lists what stands around the graph.
func printModel(w io.Writer, m *convert.Model) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	row("model", "%s", m.Path)
	if m.File != "" {
		row("file", "%s", m.File)
	}
	if m.Arch != nil {
		row("architecture", "%s: %s", m.Arch.Name, m.Arch.Doc)
	}
	if p, made := convert.PresetOf(m); made {
		row("preset", "%s: %s", p.Name, p.Doc)
	} else if p != nil {
		row("preset", "none; --preset %s is made for it (%s)", p.Name, p.Doc)
	}
	row("vector", "%d features, pooling %s, normalized %t", m.Dim, m.Modules.PoolingName(), m.Modules.Normalize)
	if m.Modules.PromptPooling != convert.PromptPooled {
		row("", "the input pooling_mask leaves the prompt's tokens out (%s)", m.Modules.PromptPooling)
	}
	row("max length", "%d tokens", m.Modules.MaxLength)
	for _, key := range sortedKeys(m.Modules.Prompts) {
		row("prompt", "%s: %q", key, m.Modules.Prompts[key])
	}
	for _, key := range sortedKeys(m.Modules.Suffixes) {
		if m.Modules.Suffixes[key] != "" {
			row("suffix", "%s: %q", key, m.Modules.Suffixes[key])
		}
	}
	if m.Modules.PairTitles {
		row("documents", "pairs of title and text")
	}
	switch {
	case m.Tokenizer == "":
		row("tokenizer", "none")
	case m.TokenizerFrom != "":
		row("tokenizer", "made of %s", m.TokenizerFrom)
	}
	if len(m.Unused) > 0 {
		row("unused", "%d tensors of the checkpoint: %s", len(m.Unused), strings.Join(m.Unused, ", "))
	}
	for _, s := range m.Steps {
		options, _ := json.Marshal(s.Options) // read from JSON before
		row("step", "%s %s %s (graft %s)", s.Command, s.Variant, options, s.Version)
	}
	for _, text := range m.Warnings {
		row("warning", "%s", text)
	}
	fmt.Fprintln(w)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func inspectJSON(w io.Writer, m *convert.Model, report pass.RaiseReport, layers int, blocks *blockTable, nodes map[string]int) error {
	census := graph.TakeCensus(m.Graph.Graph)
	arch := ""
	if m.Arch != nil {
		arch = m.Arch.Name
	}
	preset := ""
	if p, _ := convert.PresetOf(m); p != nil {
		preset = p.Name
	}
	object := map[string]any{
		"preset": preset, "suffixes": m.Modules.Suffixes, "similarity": m.Modules.Similarity,
		"model": m.Path, "file": m.File, "architecture": arch, "dim": m.Dim, "pooling": m.Modules.PoolingName(),
		"normalize": m.Modules.Normalize, "prompt_pooling": m.Modules.PromptPooling, "max_length": m.Modules.MaxLength, "prompts": m.Modules.Prompts,
		"unused": m.Unused, "steps": m.Steps, "warnings": m.Warnings, "census": census, "raised": report, "layers": layers, "nodes": nodes,
	}
	if blocks != nil {
		object["blocks"] = blocks
	}
	return json.NewEncoder(w).Encode(object)
}
