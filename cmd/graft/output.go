package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"graft/convert"
)

// onnxPath is the place of an ONNX file in a model directory.
func onnxPath(dir, variant string) string {
	if variant == "" {
		return filepath.Join(dir, "onnx", "model.onnx")
	}
	return filepath.Join(dir, "onnx", "model_"+variant+".onnx")
}

// checkOutput refuses to write over the model that is read, and where Save could not write.
func checkOutput(m *convert.Model, dir string, save convert.SaveOptions) error {
	out, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	in, err := filepath.Abs(m.Dir)
	if err != nil {
		return err
	}
	if save.Variant == "" && out == in {
		return withHint(usagef("the output %q is the model itself", dir), "name another directory with -o, or add --variant NAME")
	}
	return overwriteHint(convert.CheckOutput(dir, save))
}

// progressFrom is the size of a model's weights from which writing them takes long enough to be shown.
const progressFrom = 1 << 30

// showWriting shows on stderr how far the weights of a large model are written. end ends the line.
func showWriting(save *convert.SaveOptions, stderr io.Writer) (end func()) {
	p := newProgress(stderr, "MB")
	save.Progress = func(done, total int64) {
		if total >= progressFrom {
			p.update("write weights, MB", int(done/1e6), int(total/1e6))
		}
	}
	return p.done
}

// overwriteHint says what to type where something is there already.
func overwriteHint(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return withHint(err, "add --overwrite to replace it, or name another output with -o")
	}
	return err
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
