package convert

import (
	"context"
	"io"
	"sync/atomic"

	"graft/graph"
)

// watched is the streaming of weights: it ends when the context does, and is reported.
type watched struct {
	ctx    context.Context
	total  int64 // bytes
	report func(done, total int64)
	done   atomic.Int64
}

// watchedData is one of the weights.
type watchedData struct {
	graph.Data
	*watched
}

func (d watchedData) WriteTo(w io.Writer) (int64, error) {
	return d.Data.WriteTo(watchedWriter{w, d.watched})
}

type watchedWriter struct {
	io.Writer
	*watched
}

func (w watchedWriter) Write(p []byte) (int, error) {
	n, err := stoppableWriter{w.ctx, w.Writer}.Write(p)
	if done := w.done.Add(int64(n)); w.report != nil {
		w.report(done, w.total)
	}
	return n, err
}

type stoppableWriter struct {
	ctx context.Context
	w   io.Writer
}

func (s stoppableWriter) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}
