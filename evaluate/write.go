package evaluate

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFile writes a file through a temporary sibling that is renamed when it is
// complete, making the folders above it: a failure leaves the old file or none.
func writeFile(path string, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("write %q: %w", path, err)
		}
	}()
	b := bufio.NewWriterSize(f, 1<<16)
	// One failure is one line: what comes after the first says the same, or follows from it.
	err = cmp.Or(write(b), b.Flush(), f.Chmod(0o644))
	err = cmp.Or(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	var at *fs.PathError
	if errors.As(err, &at) && at.Path == f.Name() { // the sibling's name says nothing to anyone
		err = at.Err
	}
	return err
}
