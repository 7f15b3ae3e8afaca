package convert

import (
	"io"

	"graft/graph"
)

// rowRange are rows [from, from+n) of a tensor.
type rowRange struct{ from, n int64 }

func countRows(ranges []rowRange) (n int64) {
	for _, r := range ranges {
		n += r.n
	}
	return n
}

// rowsOf are some rows of a tensor, each of width bytes. They are read when they are needed: all of the tensor is in memory then.
func rowsOf(tensor func() ([]byte, error), width int64, ranges []rowRange) graph.Data {
	return graph.Derived{Length: countRows(ranges) * width, Write: func(w io.Writer) error {
		all, err := tensor()
		if err != nil {
			return err
		}
		for _, r := range ranges {
			if _, err := w.Write(all[r.from*width:][:r.n*width]); err != nil {
				return err
			}
		}
		return nil
	}}
}
