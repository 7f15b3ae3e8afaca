package quantize

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"graft/graph"
	"graft/runtime/ort"
)

// An embedding in int8 is within half a step of its row.
func TestTableRows(t *testing.T) {
	w := []float32{1, -2, 3, 0, 0, 0, 1e-3, 2e-3, -5e-4}
	var stored bytes.Buffer
	others, e, err := roundRows(graph.NewTensor("w", w, 3, 3)).write(&stored)
	if err != nil || e <= 0 || e > 0.01 {
		t.Fatalf("relative error %g, %v", e, err)
	}
	scales, err := (&graph.Tensor{Name: "scales", DType: graph.Float, Shape: []int64{3}, Data: graph.Raw(others[0])}).Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range w {
		if d := math.Abs(float64(x) - float64(int8(stored.Bytes()[i]))*float64(scales[i/3])); d > float64(scales[i/3])/2*1.0001 {
			t.Errorf("element %d: %g is off by %g", i, x, d)
		}
	}
	if scales[1] != 1 {
		t.Errorf("a row of zeros has the scale %g", scales[1])
	}
}

// Rows in blocks miss less than whole ones do, where one feature is large, and come back as rows whatever the indices' rank.
func TestTableBlocks(t *testing.T) {
	const rows, width, n = 64, 96, 8
	r := rand.New(rand.NewPCG(5, 6))
	w, product := make([]float32, rows*width), make([]float32, width*n)
	for i := range w {
		if w[i] = float32(r.NormFloat64()); i%width == 40 {
			w[i] *= 20
		}
	}
	for i := range product {
		product[i] = float32(r.NormFloat64())
	}
	ids := []int64{3, 63, 0, 17, 17, 1}
	for _, shape := range [][]int64{{6}, {2, 3}} {
		g := &graph.Graph{Name: "table"}
		b := graph.NewBuilder(g, nil)
		indices := b.Input("ids", graph.TensorType(graph.Int64, slices.Repeat([]graph.Dim{graph.AnyDim}, len(shape))...))
		row := b.Op("Gather", []*graph.Value{g.AddInitializer(graph.NewTensor("table", w, rows, width)), indices})
		b.Output("y", b.Op("MatMul", []*graph.Value{row, g.AddInitializer(graph.NewTensor("w", product, width, n))}), graph.TensorType(graph.Float, slices.Repeat([]graph.Dim{graph.AnyDim}, len(shape)+1)...))
		m := &graph.Model{Opsets: []graph.Opset{{Version: 23}}, IRVersion: 10, Graph: g}
		inputs := map[string]ort.Array{"ids": {Type: ort.Int64, Shape: shape, Data: ids}}
		exact := run(t, m, ort.OptimizeOff, inputs)["y"].Data.([]float32)
		missed := map[string]float64{}
		for scheme, form := range map[string]string{"int4-weight": "int8 per row", "int8-weight": "int8 in blocks of 32"} {
			p := planned(t, m, Options{Scheme: scheme})
			got := run(t, p.Apply(), ort.OptimizeAll, inputs)["y"].Data.([]float32)
			for _, l := range p.Layers {
				if l.Kind == "Gather" && l.Form != form {
					t.Errorf("%s: %s, want %s", scheme, l.Form, form)
				} else if l.Kind == "Gather" {
					missed[scheme] = *l.Error
				}
			}
			if e := relativeError(exact, got); scheme == "int8-weight" && !(e < 0.01) {
				t.Errorf("indices %v: relative error of the product %g", shape, e)
			}
		}
		if !(missed["int8-weight"] < 0.8*missed["int4-weight"]) {
			t.Errorf("relative errors of the table %v", missed)
		}
	}
}
