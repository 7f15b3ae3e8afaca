package graph_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"
	"testing/iotest"

	"graft/graph"
)

// patterned is a matrix of numbered elements, all different up to 16 bits.
func patterned(d graph.DType, rows, cols int64) *graph.Tensor {
	t := &graph.Tensor{Name: "w", DType: d, Shape: []int64{rows, cols}}
	raw := make([]byte, t.Size())
	size := d.Bits() / 8
	for i := range int(rows * cols) {
		var element [8]byte
		binary.LittleEndian.PutUint64(element[:], uint64(i)*0x9e3779b97f4a7c15)
		copy(raw[i*size:(i+1)*size], element[:])
	}
	t.Data = graph.Raw(raw)
	return t
}

// Every element is at its place, for all widths and for sides that are no multiples of a tile's.
func TestTranspose(t *testing.T) {
	for _, d := range []graph.DType{graph.Int8, graph.BFloat16, graph.Float, graph.Int64} {
		for _, shape := range [][2]int64{{1, 1}, {3, 70}, {32, 32}, {33, 31}, {100, 65}, {0, 5}} {
			w := patterned(d, shape[0], shape[1])
			size := d.Bits() / 8
			out := graph.Transpose(w)
			if !slices.Equal(out.Shape, []int64{shape[1], shape[0]}) || out.Name != "w.T" || out.DType != d {
				t.Fatalf("%q %v %v", out.Name, out.DType, out.Shape)
			}
			got, err := out.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			from := w.Data.(graph.Raw)
			for r := range int(shape[0]) {
				for c := range int(shape[1]) {
					if !bytes.Equal(got[(c*int(shape[0])+r)*size:][:size], from[(r*int(shape[1])+c)*size:][:size]) {
						t.Fatalf("%v %v: element %d, %d is not at its place", d, shape, r, c)
					}
				}
			}
		}
	}
}

// float32Bits are v's elements as float32, widened one by one.
func float32Bits(t *testing.T, v *graph.Tensor) []uint32 {
	t.Helper()
	values, err := v.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]uint32, len(values))
	for i, x := range values {
		out[i] = math.Float32bits(x)
	}
	return out
}

// A conversion gives the numbers that rounding each element gives, through any pieces of bytes.
func TestConvert(t *testing.T) {
	round := map[graph.DType]func(float32) float32{
		graph.Float:    func(f float32) float32 { return f },
		graph.Float16:  func(f float32) float32 { return graph.Float16ToFloat32(graph.Float32ToFloat16(f)) },
		graph.BFloat16: func(f float32) float32 { return math.Float32frombits(uint32(graph.Float32ToBFloat16(f)) << 16) },
	}
	for _, from := range []graph.DType{graph.Float, graph.Float16, graph.BFloat16, graph.Double} {
		for to, rounded := range round {
			if from == to {
				continue // as it is, NaNs' payloads included
			}
			w := patterned(from, 300, 301)
			want := float32Bits(t, w)
			for i, b := range want {
				want[i] = math.Float32bits(rounded(math.Float32frombits(b)))
			}
			raw := w.Data.(graph.Raw)
			w.Data = graph.Derived{Length: w.Size(), Write: func(out io.Writer) error {
				_, err := io.CopyBuffer(struct{ io.Writer }{out}, iotest.HalfReader(bytes.NewReader(raw)), make([]byte, 7))
				return err
			}}
			out := graph.Convert(w, to)
			if out.DType != to || out.Data.Size() != to.Bytes(w.Len()) {
				t.Fatalf("%v to %v: %v, %d bytes", from, to, out.DType, out.Data.Size())
			}
			if got := float32Bits(t, out); !slices.Equal(got, want) {
				t.Errorf("%v to %v: other numbers", from, to)
			}
		}
	}
}

// Transpositions and conversions in any order give the same, read from the stored elements without a detour.
func TestDerivedChains(t *testing.T) {
	stored := patterned(graph.BFloat16, 40, 50)
	wide := graph.Convert(stored, graph.Float)
	for i, chain := range []struct{ got, want *graph.Tensor }{ // the last two with other rows in between
		{graph.Transpose(graph.Transpose(stored)), stored},
		{graph.Convert(wide, graph.BFloat16), stored},
		{graph.Transpose(graph.Convert(graph.Transpose(wide), graph.BFloat16)), stored},
		{graph.Convert(graph.Transpose(wide), graph.Float16), graph.Transpose(graph.Convert(stored, graph.Float16))},
		{graph.Convert(graph.Convert(wide, graph.Float16), graph.Float), graph.Convert(graph.Convert(stored, graph.Float16), graph.Float)},
		{graph.Transpose(reshaped(graph.Transpose(stored), 40, 50)), graph.Transpose(reshaped(materialized(t, graph.Transpose(stored)), 40, 50))},
		{graph.Transpose(reshaped(wide, 25, 80)), graph.Convert(graph.Transpose(reshaped(stored, 25, 80)), graph.Float)},
	} {
		got, err := chain.got.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		want, err := chain.want.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) || !slices.Equal(chain.got.Shape, chain.want.Shape) {
			t.Errorf("chain %d: other bytes", i)
		}
		if source, _ := chain.got.Source(); source.DType != graph.BFloat16 && i < 5 {
			t.Errorf("chain %d starts from %v", i, source.DType)
		}
	}
}

// reshaped has t's elements in other rows.
func reshaped(t *graph.Tensor, shape ...int64) *graph.Tensor {
	out := *t
	out.Shape = shape
	return &out
}

// materialized holds t's elements in memory.
func materialized(test *testing.T, t *graph.Tensor) *graph.Tensor {
	test.Helper()
	raw, err := t.Bytes()
	if err != nil {
		test.Fatal(err)
	}
	out := *t
	out.Data = graph.Raw(raw)
	return &out
}

func BenchmarkDerived(b *testing.B) {
	for _, test := range []struct {
		from, to  graph.DType
		transpose bool
	}{
		{graph.BFloat16, graph.BFloat16, true}, {graph.BFloat16, graph.Float16, true}, {graph.BFloat16, graph.Float, true},
		{graph.Float, graph.Float, true}, {graph.BFloat16, graph.Float16, false}, {graph.Float, graph.Float16, false},
	} {
		b.Run(fmt.Sprintf("%v-%v-%v", test.from, test.to, test.transpose), func(b *testing.B) {
			w := patterned(test.from, 4096, 4096)
			b.SetBytes(w.Size())
			w = graph.Convert(w, test.to)
			if test.transpose {
				w = graph.Transpose(w)
			}
			for b.Loop() {
				if _, err := w.Data.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
