package evaluate

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"graft/lines"
)

// recordColumns says where the columns of a Parquet file go; others are not kept.
var recordColumns = map[string]func(*record) *cell{
	"_id":         func(r *record) *cell { return &r.UnderscoreID },
	"id":          func(r *record) *cell { return &r.ID },
	"docid":       func(r *record) *cell { return &r.DocID },
	"title":       func(r *record) *cell { return &r.Title },
	"text":        func(r *record) *cell { return &r.Text },
	"instruction": func(r *record) *cell { return &r.Instruction },
	"query-id":    func(r *record) *cell { return &r.QueryID },
	"corpus-id":   func(r *record) *cell { return &r.CorpusID },
	"qid":         func(r *record) *cell { return &r.QID },
	"pid":         func(r *record) *cell { return &r.PID },
	"score":       func(r *record) *cell { return &r.Score },
}

// readParquet yields one record per row, reading a row group's pages as they are needed.
func readParquet(path string) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		stopped := false
		err := eachParquetRow(path, func(r record) bool {
			stopped = !yield(r, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(record{}, err)
		}
	}
}

// eachParquetRow calls f for each row until it returns false. The library panics on some
// corrupt files; that becomes an error too.
func eachParquetRow(path string, f func(record) bool) (err error) {
	row := 0
	inCaller := false
	defer func() {
		if p := recover(); p != nil {
			if inCaller {
				panic(p)
			}
			err = lines.At(path, row, fmt.Errorf("corrupt Parquet file: %v", p))
		}
	}()
	file, closeFile, err := openParquet(path)
	if err != nil {
		return err
	}
	defer closeFile()
	targets := make([]func(*record) *cell, len(file.Schema().Columns()))
	for i, column := range file.Schema().Columns() {
		if len(column) == 1 {
			targets[i] = recordColumns[column[0]]
		}
	}
	buffer := make([]parquet.Row, 256)
	for _, group := range file.RowGroups() {
		rows := group.Rows()
		for {
			n, err := rows.ReadRows(buffer)
			for _, values := range buffer[:n] {
				row++
				r := toRecord(values, targets, path, row)
				inCaller = true
				more := f(r)
				inCaller = false
				if !more {
					return rows.Close()
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				rows.Close()
				return lines.At(path, row, err)
			}
		}
		if err := rows.Close(); err != nil {
			return lines.At(path, row, err)
		}
	}
	return nil
}

func openParquet(path string) (*parquet.File, func() error, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	s, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	file, err := parquet.OpenFile(f, s.Size())
	if err != nil {
		f.Close()
		return nil, nil, lines.In(path, err)
	}
	return file, f.Close, nil
}

func toRecord(values parquet.Row, targets []func(*record) *cell, path string, row int) record {
	r := record{file: path, line: row}
	for _, v := range values {
		if c := v.Column(); c >= 0 && c < len(targets) && targets[c] != nil && !v.IsNull() {
			*targets[c](&r) = text(cellText(v))
		}
	}
	return r
}

// cellText is the decimal form of a number and the bytes of a string.
func cellText(v parquet.Value) string {
	switch v.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return string(v.ByteArray())
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Float:
		return strconv.FormatFloat(float64(v.Float()), 'f', -1, 32)
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'f', -1, 64)
	}
	return v.String()
}
