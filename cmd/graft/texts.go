package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"graft/lines"
)

// texts reads a file of texts: the field "text" of each line of .jsonl, each line of anything
// else; .gz is unpacked; "-" is standard input, as lines of JSON where they begin with "{".
// Errors name file and line.
func texts(ctx context.Context, path string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		all, format := openTexts(ctx, path)
		for l, err := range all {
			text := ""
			if err == nil {
				if text, err = parseText(l.Text, format); err != nil {
					err = lines.At(path, l.Number, err)
				}
			}
			if err != nil {
				yield("", fmt.Errorf("read texts: %w", err))
				return
			}
			if !yield(text, nil) {
				return
			}
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
	var row struct {
		Text *string `json:"text"`
	}
	if err := lines.Unmarshal(line, &row); err != nil {
		return "", err
	}
	if row.Text == nil {
		return "", fmt.Errorf("no field \"text\"")
	}
	return *row.Text, nil
}

func openTexts(ctx context.Context, path string) (iter.Seq2[lines.Line, error], textFormat) {
	switch {
	case path == "-":
		return lines.Of(standardInput(ctx), path), guessLines
	case filepath.Ext(strings.TrimSuffix(path, ".gz")) == ".jsonl":
		return lines.Read(path, nil), jsonLines
	}
	return lines.Read(path, nil), plainLines
}

// standardInput is standard input until ctx ends: a read that waits for a person cannot be
// interrupted itself.
func standardInput(ctx context.Context) io.Reader {
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
