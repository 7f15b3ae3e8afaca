package convert_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
)

// foreign writes a fixture as somebody else's export: change gets the graph before it is lowered,
// rename the lowered one.
func foreign(t *testing.T, name string, opset int64, change, rename func(g *graph.Graph)) string {
	t.Helper()
	m, err := convert.Open(filepath.Join("../testdata/models", name), convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if change != nil {
		change(m.Graph.Graph)
	}
	if err := pass.Lower(m.Graph, pass.LowerOptions{Opset: opset}); err != nil {
		t.Fatal(err)
	}
	if rename != nil {
		rename(m.Graph.Graph)
	}
	path := filepath.Join(t.TempDir(), "encoder.onnx")
	if err := onnx.Write(path, m.Graph, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	return path
}

func dropText(g *graph.Graph) {
	g.Outputs = slices.DeleteFunc(g.Outputs, func(v *graph.Value) bool { return v.Name == "sentence_embedding" })
}

// Encoders of other tools: token vectors under several names, at several opsets, pooled as asked.
func TestForeign(t *testing.T) {
	rename := func(output string) func(g *graph.Graph) {
		return func(g *graph.Graph) {
			dropText(g)
			g.Outputs[0].Name = output
		}
	}
	for _, test := range []struct {
		name, model string
		opset       int64
		rename      func(g *graph.Graph)
		pooling     string
		warns       bool
	}{
		{"last_hidden_state", "bert", 17, dropText, "cls", false},
		{"token_embeddings", "bert", 14, rename("token_embeddings"), "mean", false},
		{"another name", "bert", 13, rename("output_0"), "last", false},
		{"no pooling given", "roberta", 20, dropText, "", true},
		{"text vectors re-pooled", "bert", 17, nil, "cls", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := foreign(t, test.model, test.opset, nil, test.rename)
			m, err := convert.Open(path, convert.OpenOptions{Pooling: test.pooling, Tokenizer: "../testdata/models/bert/tokenizer.json"})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if (len(m.Warnings) > 0) != test.warns {
				t.Errorf("warnings %q", m.Warnings)
			}
			if m.Modules.MaxLength != 64 || m.Sizes.Hidden != 32 {
				t.Errorf("longest text %d, hidden size %d", m.Modules.MaxLength, m.Sizes.Hidden)
			}
			if m.File != "" || m.Dim != 32 || m.Tokenizer == "" {
				t.Errorf("File %q, Dim %d, Tokenizer %q", m.File, m.Dim, m.Tokenizer)
			}
			e := readExpected(t, filepath.Join("../testdata/models", test.model))
			s := session(t, encode(t, m))
			if want := []string{"last_hidden_state", "sentence_embedding"}; !slices.Equal(s.Outputs, want) {
				t.Errorf("outputs %q, want %q", s.Outputs, want)
			}
			if test.pooling == "" {
				test.pooling = "mean"
			}
			e.checkPooled(t, s, e.floats(t, "right.sentence_embedding."+test.pooling+"_norm"))
		})
	}
}

// A file that does not even say how many axes its inputs and outputs have is the same model.
func TestForeignWithoutShapes(t *testing.T) {
	path := foreign(t, "bert", 17, nil, func(g *graph.Graph) {
		for _, v := range slices.Concat(g.Inputs, g.Outputs) {
			v.Type = &graph.Type{Elem: v.Type.Elem}
		}
		for _, n := range g.Nodes {
			for _, v := range n.Outputs {
				if v != nil && !g.IsOutput(v) {
					v.Type = nil
				}
			}
		}
	})
	m, err := convert.Open(path, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Dim != 32 || m.File != "" {
		t.Errorf("vectors of %d features, file %q: want 32, and a graph that says so", m.Dim, m.File)
	}
	for _, v := range m.Graph.Graph.Inputs {
		if len(v.Shape()) != 2 {
			t.Errorf("input %v, want two axes", v)
		}
	}
}

// An exporter that does not see through a model's pooling leaves open how wide its vectors are.
func TestForeignWithoutWidth(t *testing.T) {
	path := foreign(t, "bert", 17, nil, func(g *graph.Graph) {
		g.Outputs = g.Outputs[1:]
		g.Outputs[0].Type = graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Symbol("Divsentence_embedding_dim_1"))
	})
	m, err := convert.Open(path, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Dim != 32 || m.File != "" {
		t.Errorf("vectors of %d features, file %q: want 32, and a graph that says so", m.Dim, m.File)
	}
}

// A file that was exported for one size of batch can be looked at, but not run.
func TestForeignFixedSizes(t *testing.T) {
	path := foreign(t, "bert", 17, nil, func(g *graph.Graph) {
		for _, v := range g.Inputs {
			v.Type = graph.TensorType(graph.Int64, graph.Size(2), graph.Symbol("sequence"))
		}
	})
	m := open(t, path, convert.OpenOptions{})
	if err := m.CheckSizes(); err == nil || !strings.Contains(err.Error(), `input "input_ids" INT64[2 sequence] has a fixed size`) {
		t.Errorf("error %v, want one that names the input and its size", err)
	}
	ours := open(t, "../testdata/models/bert", convert.OpenOptions{})
	if err := ours.CheckSizes(); err != nil {
		t.Errorf("a model without fixed sizes: %v", err)
	}
}

// Vectors of another element type, as a model in 16 bits gives them, are handed over in float32: those of tokens, which
// are pooled here, and those of texts.
func TestForeignElementTypes(t *testing.T) {
	e := readExpected(t, "../testdata/models/bert")
	e.atol, e.rtol = 2e-3, 2e-3 // of float16
	for name, output := range map[string]int{"tokens": 0, "texts": 1} {
		for _, dtype := range []graph.DType{graph.Float16, graph.Double} {
			t.Run(fmt.Sprintf("%s in %v", name, dtype), func(t *testing.T) {
				path := foreign(t, "bert", 17, func(g *graph.Graph) {
					g.Outputs = g.Outputs[output : output+1]
					of := g.Outputs[0]
					v := graph.NewBuilder(g, nil).Cast(of, dtype)
					v.Name, v.Type, of.Name = "vectors", graph.TensorType(dtype, of.Shape()...), "inside"
					g.Outputs[0] = v
				}, nil)
				m, err := convert.Open(path, convert.OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				s := session(t, encode(t, m))
				b := e.batch(t, "right")
				e.near(t, name, run(t, s, b)["sentence_embedding"].data, e.floats(t, "right.sentence_embedding.mean_norm").data)
			})
		}
	}
}

// Exports of decoders take position_ids; ours come from the mask.
func TestForeignPositions(t *testing.T) {
	path := foreign(t, "llama", 17, func(g *graph.Graph) {
		for _, n := range g.Nodes {
			if n.Name == "positions/Mul" {
				v := graph.NewValue("position_ids", graph.TensorType(graph.Int64, graph.Symbol("batch"), graph.Symbol("sequence")))
				g.Replace(n.Outputs[0], v)
				g.Inputs = append(g.Inputs, v)
				return
			}
		}
		t.Fatal("no node positions/Mul")
	}, dropText)
	m, err := convert.Open(path, convert.OpenOptions{Pooling: "last"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := session(t, encode(t, m))
	if want := []string{"input_ids", "attention_mask"}; !slices.Equal(s.Inputs, want) {
		t.Errorf("inputs %q, want %q", s.Inputs, want)
	}
	e := readExpected(t, "../testdata/models/llama")
	e.checkPooled(t, s, e.floats(t, "right.sentence_embedding.last_norm"))
}

func encode(t *testing.T, m *convert.Model) []byte {
	t.Helper()
	var file strings.Builder
	if err := onnx.Encode(&file, m.Graph); err != nil {
		t.Fatal(err)
	}
	return []byte(file.String())
}

func TestForeignMistakes(t *testing.T) {
	for _, test := range []struct {
		name, want string
		rename     func(g *graph.Graph)
		options    convert.OpenOptions
	}{
		{"an image model", `"pixel_values"`, func(g *graph.Graph) { g.Inputs[0].Name = "pixel_values" }, convert.OpenOptions{}},
		{"no mask", "attention_mask", func(g *graph.Graph) { g.Inputs[1].Name = "token_type_ids"; g.Inputs[2].Name = "position_ids" }, convert.OpenOptions{}},
		{"two that are the same", `input "mask": another input is attention_mask already`, func(g *graph.Graph) { g.Inputs[2].Name = "mask" }, convert.OpenOptions{}},
		{"a head", `scores of a classifier or a language model`, func(g *graph.Graph) {
			dropText(g)
			g.Outputs[0].Name = "logits"
		}, convert.OpenOptions{}},
		{"no output", "no output", func(g *graph.Graph) {
			g.Outputs = g.Inputs[:1]
		}, convert.OpenOptions{}},
		{"nothing to pool", "cannot be changed", func(g *graph.Graph) { g.Outputs = g.Outputs[1:] }, convert.OpenOptions{Pooling: "cls"}},
		{"unknown pooling", `"median"`, nil, convert.OpenOptions{Pooling: "median"}},
		{"too many ids", "ids up to 511, but the embedding table has only 160 rows", nil, convert.OpenOptions{Tokenizer: "../testdata/models/bert/tokenizer.json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			model := "bert"
			if test.options.Tokenizer != "" {
				model = "electra"
			}
			_, err := convert.Open(foreign(t, model, 17, nil, test.rename), test.options)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// Functions of the file's own are looked into: what calls them becomes what they hold.
func TestForeignFunctions(t *testing.T) {
	path := foreign(t, "bert", 17, nil, nil)
	m, err := onnx.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	b := graph.NewBuilder(&graph.Graph{Name: "Product"}, nil)
	x, w := b.Input("x", nil), b.Input("w", nil)
	b.Output("y", b.MatMul(x, w), nil)
	m.Functions = []*graph.Function{{Name: "Product", Domain: "local", Opsets: []graph.Opset{{Version: 17}}, Body: b.Graph()}}
	m.SetOpset("local", 1)
	m.IRVersion = max(m.IRVersion, 8)
	calls := 0
	for _, n := range m.Graph.Nodes {
		if n.Is("MatMul") {
			n.Op, n.Domain = "Product", "local"
			calls++
		}
	}
	if err := onnx.Write(path+".functions.onnx", m, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	called, err := convert.Open(path+".functions.onnx", convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer called.Close()
	products := 0
	for _, n := range called.Graph.Graph.Nodes {
		if n.Is("MatMul") {
			products++
		}
	}
	if products != calls || len(called.Graph.Functions) != 0 || called.File != "" {
		t.Errorf("%d products of %d, %d functions, file %q", products, calls, len(called.Graph.Functions), called.File)
	}
	if _, err := called.Raise(); err != nil {
		t.Fatal(err)
	}
	if layers, err := graph.Layers(called.Graph); err != nil || len(layers) != 3 {
		t.Errorf("%d blocks: %v", len(layers), err)
	}
}
