package quantize

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"graft/graph"
)

// rounding is the quantization of a weight: done when its parts are read, and again each time that its codes are,
// so that a model of many gigabytes is neither in memory whole nor written twice.
type rounding struct {
	name  string    // of the weight
	sizes []int64   // of the parts in bytes, the codes first
	write roundFunc // of all

	mu       sync.Mutex
	others   [][]byte // the parts behind the codes: kept from when the codes were read until they are
	measured bool
	error    float64 // relative, of the weights; once measured
}

// roundFunc writes the codes of a weight, and returns the parts beside them and the relative error.
type roundFunc func(codes io.Writer) (others [][]byte, relative float64, err error)

// finished is the rounding of a weight that was rounded before.
func finished(parts [][]byte, relative float64) *rounding {
	r := &rounding{measured: true, error: relative, write: func(codes io.Writer) ([][]byte, float64, error) {
		_, err := codes.Write(parts[0])
		return slices.Clone(parts[1:]), relative, err
	}}
	for _, p := range parts {
		r.sizes = append(r.sizes, int64(len(p)))
	}
	return r
}

// bytes of all parts in a file.
func (r *rounding) bytes() (n int64) {
	for _, size := range r.sizes {
		n += size
	}
	return n
}

// data are the parts as they are read.
func (r *rounding) data() []graph.Data {
	list := make([]graph.Data, len(r.sizes))
	for i, size := range r.sizes {
		list[i] = graph.Derived{Length: size, Write: func(w io.Writer) error { return r.part(i, w) }}
	}
	return list
}

func (r *rounding) part(i int, w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i == 0 {
		return r.round(w)
	}
	if r.others == nil || r.others[i-1] == nil {
		if err := r.round(io.Discard); err != nil {
			return err
		}
	}
	_, err := w.Write(r.others[i-1])
	r.others[i-1] = nil
	return err
}

func (r *rounding) round(codes io.Writer) error {
	others, relative, err := r.write(codes)
	if err == nil {
		r.others, r.error, r.measured = others, relative, true
	}
	return err
}

// measure takes the relative error where the codes have not been read yet.
func (r *rounding) measure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.measured {
		return nil
	}
	err := r.round(io.Discard)
	r.others = nil
	return err
}

// chunk is the number of weights that are rounded at once, as many as a processor's second cache holds.
const chunk = 64 << 10

// inOrder rounds a matrix as it is read, some rows at a time, on all cores, and hands the results to use in the rows' order.
// round may put a result where an older one was, which use has done with; at first old is zero.
func inOrder[T any](matrix *graph.Tensor, round func(first int, rows graph.Chunk, old T) T, use func(T) error) error {
	width, most := int(matrix.Shape[1]), 2*runtime.GOMAXPROCS(0) // under way
	waiting, used := make(chan chan T, most), make(chan T, most)
	for range most {
		var none T
		used <- none
	}
	group, ctx := errgroup.WithContext(context.Background())
	group.Go(func() error {
		for next := range waiting {
			result := <-next
			if err := use(result); err != nil {
				return err
			}
			used <- result
		}
		return nil
	})
	err := matrix.Chunks(max(chunk/width, 1)*width, func(at int64, rows graph.Chunk) error {
		select {
		case <-ctx.Done():
			return ctx.Err() // use has failed, and its error is told
		case old := <-used:
			next := make(chan T, 1)
			waiting <- next
			go func() {
				next <- round(int(at)/width, rows, old)
				rows.Free()
			}()
			return nil
		}
	})
	close(waiting)
	if failed := group.Wait(); failed != nil {
		return failed
	}
	return err
}

// sampled reports whether the error of a row of a matrix is taken: of all of a small matrix, of one in 32 of a large one,
// which takes less time so.
func sampled(row, rows int) bool { return rows < 1024 || row%32 == 0 }

// floatBytes are the bytes of a tensor.
func floatBytes(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, f := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// finite reports whether all of x are numbers.
func finite(x []float32) bool {
	return !slices.ContainsFunc(x, func(f float32) bool { return f-f != 0 })
}

var errNotFinite = errors.New("its weights are not finite")
