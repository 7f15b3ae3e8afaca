package dataset

import (
	"context"
	"iter"
	"runtime"
	"sync"

	"graft/lines"
)

// Lines are parsed in chunks of this many lines or bytes, whichever comes first.
const (
	chunkLines = 256
	chunkBytes = 1 << 17
)

// parsedRow is what became of a line.
type parsedRow struct {
	row Row
	err error
}

// parseLines gives the rows of lines in their order, parsed on all processors. An error of reading is the last thing that
// it yields. When it returns, nothing reads from all any more.
func parseLines(ctx context.Context, all iter.Seq2[lines.Line, error], parse func(lines.Line) (Row, error)) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		queue := make(chan chan []parsedRow, runtime.GOMAXPROCS(0)) // in the order of the lines
		stop := make(chan struct{})
		var reader sync.WaitGroup
		reader.Go(func() {
			defer close(queue)
			for chunk, err := range chunks(ctx, all) {
				result := make(chan []parsedRow, 1)
				select {
				case queue <- result:
				case <-stop:
					return
				}
				go func() { result <- parseChunk(chunk, err, parse) }()
			}
		})
		defer reader.Wait()
		defer close(stop)
		for result := range queue {
			for _, p := range <-result {
				if !yield(p.row, p.err) {
					return
				}
			}
		}
	}
}

// chunks copies lines together. The last chunk may come with an error, of reading or of ctx, that follows its lines.
func chunks(ctx context.Context, all iter.Seq2[lines.Line, error]) iter.Seq2[[]lines.Line, error] {
	return func(yield func([]lines.Line, error) bool) {
		var chunk []lines.Line
		text := make([]byte, 0, chunkBytes)
		for l, err := range all {
			if err != nil {
				yield(chunk, err)
				return
			}
			if len(chunk) == chunkLines || len(chunk) > 0 && len(text)+len(l.Text) > chunkBytes {
				if !yield(chunk, ctx.Err()) || ctx.Err() != nil {
					return
				}
				chunk, text = nil, make([]byte, 0, chunkBytes)
			}
			start := len(text)
			text = append(text, l.Text...)
			chunk = append(chunk, lines.Line{Number: l.Number, Text: text[start:]})
		}
		yield(chunk, ctx.Err())
	}
}

// parseChunk parses what is not blank.
func parseChunk(chunk []lines.Line, last error, parse func(lines.Line) (Row, error)) []parsedRow {
	rows := make([]parsedRow, 0, len(chunk)+1)
	for _, l := range chunk {
		if l.Blank() {
			continue
		}
		row, err := parse(l)
		rows = append(rows, parsedRow{row, err})
	}
	if last != nil {
		rows = append(rows, parsedRow{err: last})
	}
	return rows
}
