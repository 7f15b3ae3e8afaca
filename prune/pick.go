package prune

import (
	"fmt"
	"io"

	"graft/graph"
)

// pickFrom is t with the indices in keep of one axis, read from t when it is asked for.
func pickFrom(t *graph.Tensor, axis int, keep []int) *graph.Tensor {
	picked := *t
	picked.Shape = append([]int64{}, t.Shape...)
	picked.Shape[axis] = int64(len(keep))
	outer, inner := int64(1), t.DType.Bytes(1) // what stands before the axis, and the bytes behind one index
	for _, n := range t.Shape[:axis] {
		outer *= n
	}
	for _, n := range t.Shape[axis+1:] {
		inner *= n
	}
	size := t.Shape[axis]
	picked.Data = graph.Derived{Length: picked.Size(), Write: func(w io.Writer) error {
		raw, err := t.Bytes()
		if err != nil {
			return err
		}
		for o := range outer {
			for _, k := range keep {
				if int64(k) >= size {
					return fmt.Errorf("index %d of axis %d of size %d", k, axis, size)
				}
				at := (o*size + int64(k)) * inner
				if _, err := w.Write(raw[at : at+inner]); err != nil {
					return err
				}
			}
		}
		return nil
	}}
	return &picked
}
