package main

import (
	"fmt"
	"math"
	"slices"

	"graft/graph"
)

// everyWeight and vectors are which weights checkNumbers reads.
func everyWeight(*graph.Tensor) bool { return true }
func vectors(t *graph.Tensor) bool   { return len(t.Shape) < 2 }

// checkNumbers refuses those weights whose vectors would not be finite, which nobody sees where nothing is measured. −∞ is what masks hold.
func checkNumbers(g *graph.Graph, which func(*graph.Tensor) bool) error {
	const numbers = 1 << 16 // at a time
	x := make([]float32, numbers)
	for _, v := range g.Initializers {
		t := v.Init
		if !t.DType.IsFloat() || t.DType.Bits() < 16 || t.Len() == 0 || !which(t) {
			continue
		}
		err := t.Chunks(numbers, func(at int64, c graph.Chunk) error {
			defer c.Free()
			x := x[:c.Len()]
			c.Float32s(x, 0)
			if i := slices.IndexFunc(x, func(f float32) bool { return !(f <= math.MaxFloat32) }); i >= 0 {
				return fmt.Errorf("number %d of %d is %g", at+int64(i)+1, t.Len(), x[i])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
