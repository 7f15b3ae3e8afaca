package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// maxLine bounds one line of input, so that a file without line ends cannot fill the memory.
const maxLine = 64 << 20

// texts reads a file of texts: the field "text" of each line of .jsonl, each line of anything
// else; .gz is unpacked; "-" is standard input, as lines of JSON where they begin with "{".
// Errors name file and line.
func texts(ctx context.Context, path string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		r, format, err := openTexts(ctx, path)
		if err != nil {
			yield("", fmt.Errorf("read texts: %w", err))
			return
		}
		defer r.Close()
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 64<<10), maxLine)
		n := 0
		for lines.Scan() {
			n++
			text, err := parseText(lines.Bytes(), format)
			if err != nil {
				yield("", fmt.Errorf("read texts: %s:%d: %w", path, n, err))
				return
			}
			if !yield(text, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield("", fmt.Errorf("read texts: %s:%d: %w", path, n+1, err))
		}
	}
}

// textFormat says how a line holds its text.
type textFormat int

const (
	plainLines textFormat = iota
	jsonLines
	guessLines // JSON where the line begins with "{"
)

func parseText(line []byte, format textFormat) (string, error) {
	if format == plainLines || (format == guessLines && !bytes.HasPrefix(line, []byte("{"))) {
		return string(line), nil
	}
	var row struct{ Text *string }
	if err := json.Unmarshal(line, &row); err != nil {
		return "", err
	}
	if row.Text == nil {
		return "", fmt.Errorf("no field \"text\"")
	}
	return *row.Text, nil
}

func openTexts(ctx context.Context, path string) (io.ReadCloser, textFormat, error) {
	if path == "-" {
		return standardInput(ctx), guessLines, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	name := strings.TrimSuffix(path, ".gz")
	format := plainLines
	if filepath.Ext(name) == ".jsonl" {
		format = jsonLines
	}
	if name == path {
		return f, format, nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, format, nil
}

// standardInput is standard input until ctx ends: a read that waits for a person cannot be
// interrupted itself.
func standardInput(ctx context.Context) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, os.Stdin)
		w.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	return r
}

// allTexts reads a whole file of texts, at most n of them (0: all).
func allTexts(ctx context.Context, path string, n int) ([]string, error) {
	var all []string
	for t, err := range texts(ctx, path) {
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		if len(all) == n {
			break
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read texts: %s: no texts", path)
	}
	return all, nil
}
