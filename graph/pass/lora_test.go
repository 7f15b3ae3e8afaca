package pass_test

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// gemms is a model as other exporters write one: a matrix stored [in, out] under a name that says
// nothing, a Gemm of either layout, a module that is applied twice, and a table that is a matrix too.
func gemms(t *testing.T) *graph.Model {
	c := checkpoint{}
	b, x, _, m := start(c)
	for name, shape := range map[string][2]int64{"onnx::MatMul_7": {hidden, inner}, "fc.weight": {hidden, inner}, "out.weight": {hidden, hidden}, "twice.weight": {hidden, hidden}} {
		c.put(name, false, shape[0], shape[1])
	}
	c.put("up.bias", false, inner)
	c.put("fc.bias", false, hidden)
	table := b.MatMul(x, b.Weight("twice.weight", hidden, hidden))
	h := b.MatMul(b.MatMul(table, b.Weight("twice.weight", hidden, hidden)), b.Weight("onnx::MatMul_7", hidden, inner))
	h.Def().Name = "/encoder/layer.0/up/MatMul"
	h = b.Activation("gelu", b.Add(b.Weight("up.bias", inner), h))
	h = b.Op("Gemm", []*graph.Value{b.Reshape(h, -1, inner), b.Weight("fc.weight", hidden, inner), b.Weight("fc.bias", hidden)}, graph.IntAttr("transB", 1))
	h = b.Op("Gemm", []*graph.Value{h, b.Weight("out.weight", hidden, hidden)})
	shared := b.Op("Gather", []*graph.Value{b.Weight("out.weight", hidden, hidden), b.Int64(3)})
	y := b.Add(b.Op("Reshape", []*graph.Value{h, b.Op("Shape", []*graph.Value{x})}), shared)
	return finish(t, b, m, y)
}

var loraModels = []struct {
	name    string
	make    func(*testing.T) *graph.Model
	targets string
	modules []string // how often a module of each kind is adapted
}{
	{"post-norm", bert, `query$|value$`, []string{"encoder.layer.0.attention.self.query", "encoder.layer.0.attention.self.value", "encoder.layer.1.attention.self.query", "encoder.layer.1.attention.self.value"}},
	{"pre-norm", preNorm, `\.(q|down)$`, []string{"encoder.layer.0.q", "encoder.layer.0.down", "encoder.layer.1.q", "encoder.layer.1.down"}},
	{"other layouts", gemms, ``, []string{"twice", "encoder.layer.0.up", "fc"}},
	{"by the weight's name", gemms, `onnx::MatMul`, []string{"encoder.layer.0.up"}},
}

func loraOptions(targets string) pass.LoRAOptions {
	return pass.LoRAOptions{Rank: 4, Alpha: 8, Dropout: 0.1, Targets: regexp.MustCompile(targets), Seed: 1}
}

// fillB gives the adapters second factors that are not zero.
func fillB(m *graph.Model) {
	for _, v := range m.Graph.Initializers {
		if strings.HasSuffix(v.Name, pass.LoRAB) {
			v.Init = tensor(v.Name, 0.2, v.Init.Shape...)
		}
	}
}

func lowered(t *testing.T, m *graph.Model) *graph.Model {
	t.Helper()
	c := m.Clone()
	if err := pass.Lower(c, pass.LowerOptions{}); err != nil {
		t.Fatal(err)
	}
	return c
}

// A new adapter changes nothing; a trained one changes the output, and merged it changes it alike.
func TestLoRA(t *testing.T) {
	for _, test := range loraModels {
		t.Run(test.name, func(t *testing.T) {
			base := test.make(t)
			m := base.Clone()
			modules, err := pass.InsertLoRA(m, loraOptions(test.targets))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(modules, test.modules) {
				t.Errorf("modules %q, want %q", modules, test.modules)
			}
			if err := graph.Check(m); err != nil {
				t.Fatal(err)
			}
			want := run(t, lowered(t, base), ort.OptimizeOff, inputs())
			agree(t, "new adapter", run(t, lowered(t, m), ort.OptimizeOff, inputs()), want, 0)

			fillB(m)
			trained := run(t, lowered(t, m), ort.OptimizeOff, inputs())
			if difference(trained["y"], want["y"], 1e-2) == nil {
				t.Error("a trained adapter changes nothing")
			}
			names, err := pass.MergeLoRA(m)
			if err != nil {
				t.Fatal(err)
			}
			if len(names) != len(test.modules) {
				t.Errorf("merged %q", names)
			}
			if len(m.Graph.Nodes) != len(base.Graph.Nodes) || len(m.Graph.Initializers) != len(base.Graph.Initializers) {
				t.Errorf("%d nodes and %d weights, want %d and %d", len(m.Graph.Nodes), len(m.Graph.Initializers), len(base.Graph.Nodes), len(base.Graph.Initializers))
			}
			agree(t, "merged", run(t, lowered(t, m), ort.OptimizeOff, inputs()), trained, 2e-6)
		})
	}
}

// What InsertLoRA adds, MergeLoRA takes away: of an adapter that was never trained nothing remains.
func TestLoRAUndone(t *testing.T) {
	for _, test := range loraModels {
		base := test.make(t)
		m := base.Clone()
		if _, err := pass.InsertLoRA(m, loraOptions(test.targets)); err != nil {
			t.Fatal(err)
		}
		if _, err := pass.MergeLoRA(m); err != nil {
			t.Fatal(err)
		}
		if err := base.Graph.Sort(); err != nil {
			t.Fatal(err)
		}
		if d := graph.Diff(m, base); len(d) > 0 {
			t.Errorf("%s: %s", test.name, strings.Join(d, "\n"))
		}
	}
}

// The adapter's tensors are PEFT's: names, shapes, A uniform within 1/√in and the same for the same
// seed and module whatever else is adapted, B zero; the scale is alpha/r, or alpha/√r.
func TestLoRATensors(t *testing.T) {
	tensors := func(o pass.LoRAOptions) (map[string]*graph.Tensor, float32) {
		m := bert(t)
		if _, err := pass.InsertLoRA(m, o); err != nil {
			t.Fatal(err)
		}
		named := map[string]*graph.Tensor{}
		var scale float32
		for _, v := range m.Graph.Initializers {
			named[v.Name] = v.Init
		}
		m.Graph.Walk(func(n *graph.Node) {
			if n.Is("Mul") && strings.Contains(n.Name, "lora") {
				f, _ := n.Inputs[1].Init.Float32s()
				scale = f[0]
			}
		})
		return named, scale
	}
	o := loraOptions(`intermediate\.dense$`)
	named, scale := tensors(o)
	const name = "base_model.model.encoder.layer.1.intermediate.dense.lora_"
	a, b := named[name+"A.weight"], named[name+"B.weight"]
	if a == nil || b == nil || !slices.Equal(a.Shape, []int64{4, hidden}) || !slices.Equal(b.Shape, []int64{inner, 4}) {
		t.Fatalf("A %+v, B %+v", a, b)
	}
	if scale != 2 {
		t.Errorf("scale %g, want 2", scale)
	}
	values, _ := a.Float32s()
	sum, square := 0.0, 0.0
	bound := 1 / math.Sqrt(hidden)
	for _, v := range values {
		sum, square = sum+float64(v), square+float64(v)*float64(v)
		if math.Abs(float64(v)) > bound {
			t.Errorf("A holds %g, bound %g", v, bound)
		}
	}
	n := float64(len(values))
	if mean, sd := sum/n, math.Sqrt(square/n); math.Abs(mean) > 4*bound/math.Sqrt(3*n) || math.Abs(sd-bound/math.Sqrt(3)) > 0.2*bound {
		t.Errorf("A has the mean %g and the deviation %g, want 0 and %g", mean, sd, bound/math.Sqrt(3))
	}
	if zero, _ := b.Float32s(); slices.ContainsFunc(zero, func(f float32) bool { return f != 0 }) {
		t.Error("B is not zero")
	}

	more := o
	more.Targets, more.RSLoRA = regexp.MustCompile(`dense|query`), true
	again, scale := tensors(more)
	if scale != 4 {
		t.Errorf("scale %g with rsLoRA, want 4", scale)
	}
	if same, _ := again[name+"A.weight"].Float32s(); !slices.Equal(same, values) {
		t.Error("A depends on what else is adapted")
	}
	o.Seed++
	other, _ := tensors(o)
	if same, _ := other[name+"A.weight"].Float32s(); slices.Equal(same, values) {
		t.Error("A does not depend on the seed")
	}
	layer0, _ := named[strings.Replace(name, "layer.1", "layer.0", 1)+"A.weight"].Float32s()
	if slices.Equal(layer0, values) {
		t.Error("two modules have equal A")
	}
}

func TestLoRAErrors(t *testing.T) {
	good := loraOptions(`query`)
	for _, test := range []struct {
		change func(*pass.LoRAOptions)
		want   string
	}{
		{func(o *pass.LoRAOptions) { o.Rank = 0 }, "rank 0"},
		{func(o *pass.LoRAOptions) { o.Alpha = math.NaN() }, "alpha NaN"},
		{func(o *pass.LoRAOptions) { o.Dropout = 1 }, "dropout 1"},
		{func(o *pass.LoRAOptions) { o.Targets = nil }, "no target modules"},
		{func(o *pass.LoRAOptions) { o.Targets = regexp.MustCompile(`q_proj`) }, `"q_proj"; the model has encoder.layer.*.attention.self.query, `},
	} {
		o := good
		test.change(&o)
		if _, err := pass.InsertLoRA(bert(t), o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %s", err, test.want)
		}
	}

	const module = "encoder.layer.0.attention.self.query"
	a, b := tensor("A", 1, 4, hidden), tensor("B", 1, hidden, 4)
	for _, test := range []struct {
		lora pass.LoRA
		want string
	}{
		{pass.LoRA{Module: "layers.0.q_proj", A: a, B: b, Scale: 1}, `module "layers.0.q_proj": there is no such linear module; the model has encoder`},
		{pass.LoRA{Module: module, A: b, B: b, Scale: 1}, fmt.Sprintf("lora_A is [%d 4]", hidden)},
		{pass.LoRA{Module: module, A: a, B: tensor("B", 1, hidden, 3), Scale: 1}, fmt.Sprintf("want [r %d] and [%d r]", hidden, hidden)},
		{pass.LoRA{Module: module, A: graph.NewTensor("A", make([]float64, 4*hidden), 4, hidden), B: b, Scale: 1}, "DOUBLE"},
	} {
		m := bert(t)
		if err := pass.AttachLoRA(m, []pass.LoRA{test.lora}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %s", err, test.want)
		} else if d := graph.Diff(m, bert(t)); len(d) > 0 {
			t.Errorf("%s: the model has changed: %q", test.want, d)
		}
	}
	m := bert(t)
	for i := range 2 {
		if err := pass.AttachLoRA(m, []pass.LoRA{{Module: module, A: a, B: b, Scale: 1}}); (err != nil) != (i == 1) {
			t.Errorf("adapter %d of one module: %v", i, err)
		}
	}
}
