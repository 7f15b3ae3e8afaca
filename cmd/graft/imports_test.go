package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowedImports is the architecture: which of graft's packages each may import. What is not
// listed is forbidden; cmd/graft may import all, and nothing imports it. Test files are free.
var allowedImports = map[string][]string{
	"graph":                     {},
	"graph/onnx":                {"graph", "graph/onnx/internal/pb"},
	"graph/onnx/internal/pb":    {},
	"graph/pass":                {"graph"},
	"convert":                   {"graph", "graph/onnx", "graph/pass", "convert/safetensors", "convert/pickle", "convert/gguf", "convert/shards", "convert/tokenizerjson", "lines"},
	"convert/gguf":              {},
	"convert/shards":            {},
	"convert/safetensors":       {"convert/shards"},
	"convert/pickle":            {"convert/shards"},
	"convert/tokenizerjson":     {"lines"},
	"prune":                     {"graph", "graph/pass"},
	"train":                     {"graph", "graph/pass", "train/torch", "train/loss", "train/dataset", "runtime/tokenizer", "convert/safetensors"},
	"train/torch":               {"graph", "train/torch/internal/shim"},
	"train/torch/internal/shim": {},
	"train/loss":                {"train/torch"},
	"train/dataset":             {"lines"},
	"quantize":                  {"graph", "graph/pass"},
	"runtime":                   {"graph", "graph/onnx", "graph/pass", "runtime/ort", "runtime/tokenizer"},
	"report":                    {},
	"runtime/ort":               {},
	"runtime/tokenizer":         {"lines"},
	"evaluate":                  {"lines"},
	"lines":                     {},
	"mine":                      {"evaluate", "train/dataset", "lines"},
}

func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || (strings.HasPrefix(name, ".") && file != root) {
				return fs.SkipDir
			}
			return nil
		}
		rel, _ := filepath.Rel(root, file)
		pkg := path.Dir(filepath.ToSlash(rel))
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || pkg == "cmd/graft" {
			return nil
		}
		allowed, known := allowedImports[pkg]
		if !known {
			t.Errorf("%s: package %q is not in the import table", rel, pkg)
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if ours, ok := strings.CutPrefix(name, "graft/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s: package %q may not import %q", rel, pkg, ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
