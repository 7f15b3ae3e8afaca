package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"graft/graph"
)

// provenanceFile holds how a model came about.
const provenanceFile = "graft.json"

// Step is one command in a model's history, as graft.json keeps it.
type Step struct {
	Command string         `json:"command"`
	Variant string         `json:"variant,omitempty"` // of the ONNX file that it wrote; "": the default
	Options map[string]any `json:"options,omitempty"`
	Version string         `json:"version"`           // of the tool
	Parent  string         `json:"parent,omitempty"`  // hash of the model that it read
	Changes map[string]any `json:"changes,omitempty"` // what was measured: quality, size, speed
}

func readSteps(dir string) ([]Step, error) {
	var file struct {
		Steps []Step `json:"steps"`
	}
	return file.Steps, readOptional(dir, provenanceFile, &file)
}

func writeSteps(dir string, steps []Step) error {
	return writeJSON(filepath.Join(dir, provenanceFile), map[string]any{"steps": steps})
}

// Hash identifies what the model computes: "sha256:" and the digest of its graph's nodes and of the
// names, types, shapes and bytes of its weights as they are stored, wherever the files lie. It reads the weights once.
func (m *Model) Hash() (string, error) {
	h := sha256.New()
	g := m.Graph.Graph
	for _, v := range slices.Concat(g.Inputs, g.Outputs) {
		fmt.Fprintf(h, "%v\n", v)
	}
	g.Walk(func(n *graph.Node) { hashNode(h, n) })
	weights := slices.SortedFunc(slices.Values(g.Initializers), func(a, b *graph.Value) int {
		return strings.Compare(a.Name, b.Name)
	})
	digests, err := digestsOf(weights)
	if err != nil {
		return "", fmt.Errorf("hash model: %w", err)
	}
	for i, v := range weights {
		if digests[i] != nil {
			fmt.Fprintf(h, "%q %v %v %x\n", v.Name, v.Init.DType, v.Init.Shape, digests[i])
		} else if err := hashTensor(h, v.Name, v.Init); err != nil {
			return "", fmt.Errorf("hash model: %w", err)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// hashedApart is the size in bytes from which a weight enters a model's hash by a digest of its own.
const hashedApart = 64 << 20

// digestsOf are the digests of the large weights, taken on all cores; nil for the others.
func digestsOf(weights []*graph.Value) ([][]byte, error) {
	digests := make([][]byte, len(weights))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, v := range weights {
		if v.Init.Data == nil || v.Init.Size() < hashedApart {
			continue
		}
		group.Go(func() error {
			h := sha256.New()
			err := hashTensor(h, v.Name, v.Init)
			digests[i] = h.Sum(nil)
			return err
		})
	}
	return digests, group.Wait()
}

func hashNode(h io.Writer, n *graph.Node) {
	fmt.Fprintf(h, "%q %q", n.Domain, n.Op)
	for _, v := range slices.Concat(n.Inputs, n.Outputs) {
		if v != nil {
			fmt.Fprintf(h, " %q", v.Name)
		} else {
			fmt.Fprint(h, " -")
		}
	}
	for _, a := range n.Attrs {
		fmt.Fprintf(h, " %q %d %g %d %q %v %v %q", a.Name, a.Kind, a.Float, a.Int, a.Str, a.Floats, a.Ints, a.Strs)
		if a.Tensor != nil {
			hashTensor(h, "", a.Tensor) // in memory: constants of nodes are small
		}
	}
	fmt.Fprintln(h)
}

func hashTensor(h io.Writer, name string, t *graph.Tensor) error {
	if stored, turned := t.Source(); !turned {
		t = stored
	}
	fmt.Fprintf(h, "%q %v %v %q\n", name, t.DType, t.Shape, t.Strings)
	if t.Data == nil {
		return nil
	}
	if _, err := t.Data.WriteTo(h); err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o666)
}
