package convert

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/graph"
)

// translation is a temporary folder that stands for a checkpoint which another program wrote: Hugging Face's
// directory as it would be, made of links to the files that the checkpoint's own folder has and of those made
// from what the checkpoint says (config.json, tokenizer.json, …). Close removes it.
type translation struct {
	dir      string
	source   *source
	pooling  string // that the checkpoint names; "": none
	warnings []string
}

// layouts are the checkpoints of other programs: how to tell one, and how to read it.
var layouts = []struct {
	ownNames bool                                       // its files have other names than those of Hugging Face's layout
	find     func(path string) (file string, err error) // "": path, a file or a directory, is none
	read     func(t *translation, file string) error    // sets the source, and writes what the folder lacks
}{
	{true, findGGUF, (*translation).readGGUF},
	{true, findPaddle, (*translation).readPaddle},
	{false, findPaddleSafetensors, (*translation).readPaddle},
}

// translated finds the file of a checkpoint in one of layouts: "" where there is none, or where the
// directory has a checkpoint in Hugging Face's own layout.
func translated(path string) (file string, layout int, err error) {
	usual := slices.ContainsFunc(checkpointFiles, func(name string) bool { return exists(filepath.Join(path, name)) })
	for i, l := range layouts {
		if l.ownNames == usual {
			continue
		}
		if file, err := l.find(path); file != "" || err != nil {
			return file, i, err
		}
	}
	return "", 0, nil
}

// translate opens the checkpoint of another program; nil where path has none.
func translate(path string) (_ *translation, err error) {
	file, layout, err := translated(path)
	if err != nil || file == "" {
		return nil, err
	}
	t := &translation{}
	if t.dir, err = os.MkdirTemp("", "graft-checkpoint-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	if file != path { // a bare file has a folder of its own
		if err := t.link(path); err != nil {
			return nil, err
		}
	}
	if err := layouts[layout].read(t, file); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return t, nil
}

// link puts links to all that a folder holds into the translation.
func (t *translation) link(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(dir, e.Name()), filepath.Join(t.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// has reports whether a file is there already.
func (t *translation) has(name string) bool { return exists(filepath.Join(t.dir, name)) }

// write adds a JSON file unless the checkpoint's folder has one of that name.
func (t *translation) write(name string, value any) error {
	if t.has(name) {
		return nil
	}
	return writeJSON(filepath.Join(t.dir, name), value)
}

// replace writes a JSON file in the place of the one that the checkpoint's folder may have, which stays as it is.
func (t *translation) replace(name string, value any) error {
	path := filepath.Join(t.dir, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // a link
		return err
	}
	return writeJSON(path, value)
}

// Close closes the checkpoint and removes the folder.
func (t *translation) Close() error {
	var err error
	if t.source != nil {
		err = t.source.Close()
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}

// newSource is a source to which tensors are added.
func newSource(format string, files io.Closer) *source {
	return &source{tensors: map[string]*graph.Tensor{}, raw: map[string]rawTensor{}, format: format, Closer: files}
}

// oneFile is the single file of a directory with the given ending, or path itself where it is such a file.
func oneFile(path, ending string) (string, error) {
	if strings.EqualFold(filepath.Ext(path), ending) {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", nil // not a directory, or none: whoever reads it next says so
	}
	var found []string
	for _, e := range entries {
		if strings.EqualFold(filepath.Ext(e.Name()), ending) && !e.IsDir() {
			found = append(found, e.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return filepath.Join(path, found[0]), nil
	}
	return "", fmt.Errorf("the directory has several %s files: %q; name one of them: %w", ending, found, fs.ErrExist)
}
