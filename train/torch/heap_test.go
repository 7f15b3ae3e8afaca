//go:build !lite

package torch

import (
	"math/rand/v2"
	"testing"

	"graft/train/torch/internal/shim"
)

// Tensors of many sizes do not lie on one another, and when they are gone the heap is in one piece again: what comes next
// finds its place where they were.
func TestHeap(t *testing.T) {
	if !shim.OwnHeap() {
		t.Skip("the system grants no range of addresses as large as its memory")
	}
	defer Lock()()
	before, _ := shim.TensorHeap()
	r := rand.New(rand.NewPCG(1, 2))
	type held struct {
		x     *Tensor
		value float64
	}
	var list []held
	var bytes, most int64
	s := NewScope()
	defer s.Close()
	drop := func(i int) {
		h := list[i]
		if first, last := s.Min(h.x, false), s.Max(h.x, false); numbers(t, s, first)[0] != h.value || numbers(t, s, last)[0] != h.value {
			t.Fatalf("a tensor of %v changed", h.value)
		}
		bytes -= 4 * h.x.Len()
		s.Release(h.x)
		list[i] = list[len(list)-1]
		list = list[:len(list)-1]
	}
	for i := range 300 {
		n := int64(1) << (12 + r.IntN(11)) // 16 KiB to 32 MiB
		n += r.Int64N(n)
		list = append(list, held{s.Full(float64(i), Float32, Device{}, n), float64(i)})
		bytes += 4 * n
		most = max(most, bytes)
		if len(list) > 20 {
			drop(r.IntN(len(list)))
		}
	}
	for len(list) > 0 {
		drop(0)
	}
	after, reach := shim.TensorHeap()
	if after != before {
		t.Errorf("%d bytes in use, were %d", after, before)
	}
	whole := s.Zeros(Float32, Device{}, most/4) // as much at once as there was in pieces
	if _, now := shim.TensorHeap(); now > max(reach, before+most+1<<20) || reach > before+2*most {
		t.Errorf("tensors of at most %d bytes reached %d, one as large %d", most, reach, now)
	}
	s.Release(whole)
}

// Products in bfloat16 whose shapes vary take no more memory than a few of them: libtorch keeps the code of each.
func TestVaryingShapes(t *testing.T) {
	defer Lock()()
	s := newScope(t)
	w := require(t, normal(s, 1, 384, 384))
	product := func(rows int64) {
		s := NewScope()
		defer s.Close()
		x := require(t, normal(s, 2, rows, 384))
		var y *Tensor
		s.Autocast(BFloat16, Device{}, func() { y = s.Linear(x, w, nil) })
		s.Backward(s.Sum(s.To(y, Float32), false))
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
	}
	const warm, more = 50, 50
	for i := range warm {
		product(int64(16 + i))
	}
	before := shim.HeapInUse()
	for i := range more {
		product(int64(16 + warm + i))
	}
	if grown := shim.HeapInUse() - before; grown > 8<<20 {
		t.Errorf("%d KiB more are in use after products of %d shapes", grown>>10, more)
	}
}
