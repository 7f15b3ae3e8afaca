package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

// Hash identifies the model: "sha256:" and the digest of config.json and of the names, types,
// shapes and bytes of all tensors, or of the ONNX file as it stands. It reads the weights once.
func (m *Model) Hash() (string, error) {
	h := sha256.New()
	if m.File != "" {
		f, err := os.Open(m.File)
		if err != nil {
			return "", fmt.Errorf("hash model: %w", err)
		}
		defer f.Close()
		if _, err := io.Copy(h, f); err != nil {
			return "", fmt.Errorf("hash model: %w", err)
		}
	} else {
		h.Write(m.Config)
	}
	weights := slices.SortedFunc(slices.Values(m.Graph.Graph.Initializers), func(a, b *graph.Value) int {
		return strings.Compare(a.Name, b.Name)
	})
	for _, v := range weights {
		fmt.Fprintf(h, "%s %v %v\n", v.Name, v.Init.DType, v.Init.Shape)
		if v.Init.Data == nil {
			continue
		}
		if _, err := v.Init.Data.WriteTo(h); err != nil {
			return "", fmt.Errorf("hash model: tensor %q: %w", v.Name, err)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o666)
}
