package prune_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/pass"
	"graft/prune"
)

// models are the tiny checkpoints of every architecture.
func models(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "testdata", "models", "*", "config.json"))
	if err != nil || len(files) < len(convert.Archs()) {
		t.Fatalf("%d fixtures for %d architectures (%v)", len(files), len(convert.Archs()), err)
	}
	var dirs []string
	for _, f := range files {
		dirs = append(dirs, filepath.Dir(f))
	}
	return dirs
}

// surgery prunes m to the layers kept as the command does.
func surgery(t *testing.T, m *convert.Model, kept []int) {
	t.Helper()
	p, err := prune.New(context.Background(), m.Graph, prune.Options{Keep: kept})
	if err != nil {
		t.Fatal(err)
	}
	err = m.Rewrite(func(g *graph.Model) (convert.Surgery, error) {
		c, err := p.Apply(g)
		if err != nil {
			return convert.Surgery{}, err
		}
		return convert.Surgery{Layers: c.Kept, Names: c.Names}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A graph without some layers computes, to the bit, what the architecture builds of a checkpoint that has
// only the others, and the saved model is that checkpoint.
func TestPrunedIsBuiltWithFewerLayers(t *testing.T) {
	ids := []int64{1, 5, 9, 33, 21, 2, 1, 7, 64, 3, 0, 0}
	mask := []int64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}
	shape := []int64{2, 6}
	for _, dir := range models(t) {
		for _, kept := range keeps(layersOf(t, dir)) {
			t.Run(fmt.Sprintf("%s/%v", filepath.Base(dir), kept), func(t *testing.T) {
				m := openModel(t, dir, convert.OpenOptions{})
				whole := outputs(t, m.Graph, ids, mask, shape)
				surgery(t, m, kept)
				pruned := outputs(t, m.Graph, ids, mask, shape)
				if slices.Equal(whole["sentence_embedding"], pruned["sentence_embedding"]) {
					t.Error("nothing changed")
				}
				out := filepath.Join(t.TempDir(), "pruned")
				if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{LowerOptions: pass.LowerOptions{}, KeepDType: true}); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(dir, "modernbert") && kept[0] != 0 {
					// Its first layer has no norm of its own, so no other layer can be its first.
					if _, err := os.Stat(filepath.Join(out, safetensors.FileName)); err == nil || len(m.Warnings) == 0 {
						t.Error("a checkpoint is written that says something else")
					}
					return
				}
				// Albert's config shares its layers out evenly among the groups, which what is left need not be.
				if _, err := os.Stat(filepath.Join(out, safetensors.FileName)); err != nil && filepath.Base(dir) != "albert" {
					t.Errorf("no checkpoint is written: %q", m.Warnings)
				}
				built := openModel(t, out, convert.OpenOptions{})
				if built.Sizes.Layers != len(kept) {
					t.Errorf("config.json has %d layers, want %d", built.Sizes.Layers, len(kept))
				}
				for name, want := range outputs(t, built.Graph, ids, mask, shape) {
					if !slices.Equal(pruned[name], want) {
						t.Errorf("%s: the pruned graph differs from the built one", name)
					}
				}
			})
		}
	}
}

// Where a config states by a rule on the layers' places which of them have positions, the layers that are left are named.
func TestPrunedRule(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS("../testdata/models/smollm3")); err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal([]byte(config(t, dir)), &keys); err != nil {
		t.Fatal(err)
	}
	delete(keys, "no_rope_layers")
	delete(keys, "layer_types")
	raw, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o666); err != nil {
		t.Fatal(err)
	}
	for kept, want := range map[[2]int][]int{{0, 1}: nil, {1, 2}: {0, 1}} {
		m := openModel(t, dir, convert.OpenOptions{})
		surgery(t, m, kept[:])
		var left struct {
			Turned []int `json:"no_rope_layers"`
		}
		if err := json.Unmarshal(m.Config, &left); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(left.Turned, want) {
			t.Errorf("layers %v: no_rope_layers is %v, want %v", kept, left.Turned, want)
		}
		if _, err := convert.Save(context.Background(), filepath.Join(t.TempDir(), "pruned"), m, convert.SaveOptions{NoONNX: true}); err != nil {
			t.Errorf("layers %v: %v", kept, err) // no checkpoint is left of a model whose config says something else
		}
	}
}

func layersOf(t *testing.T, dir string) int {
	t.Helper()
	m := openModel(t, dir, convert.OpenOptions{})
	layers, err := graph.Layers(m.Graph)
	if err != nil {
		t.Fatal(err)
	}
	return len(layers)
}

// keeps are what to keep of n layers: all but the first, all but the last, one in the middle.
func keeps(n int) [][]int {
	return [][]int{without(n, []int{0}), without(n, []int{n - 1}), {n / 2}}
}

// The checkpoint and the config of the pruned fixtures are those that the library wrote.
func TestPrunedCheckpoint(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			f := readFixture(t, name)
			m := openModel(t, filepath.Join(f.dir, "model"), convert.OpenOptions{})
			surgery(t, m, without(len(f.Influence), f.Dropped))
			out := filepath.Join(t.TempDir(), "pruned")
			if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{KeepDType: true, NoONNX: true}); err != nil {
				t.Fatal(err)
			}
			got, want := tensors(t, out), tensors(t, filepath.Join(f.dir, "pruned"))
			for name, w := range want {
				if got[name] != w {
					t.Errorf("tensor %q differs", name)
				}
			}
			for name := range got {
				if _, ok := want[name]; !ok {
					t.Errorf("tensor %q is too much", name)
				}
			}
			if g, w := config(t, out), config(t, filepath.Join(f.dir, "pruned")); g != w {
				t.Errorf("config.json:\n%s\nwant:\n%s", g, w)
			}
		})
	}
}

// tensors are those of a checkpoint by name: element type, shape and bytes.
func tensors(t *testing.T, dir string) map[string]string {
	t.Helper()
	c, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all := map[string]string{}
	for _, x := range c.Tensors {
		raw, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		all[x.Name] = fmt.Sprintf("%s %v %x", x.DType, x.Shape, raw)
	}
	return all
}

// config is a config.json in one spelling.
func config(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(keys, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
