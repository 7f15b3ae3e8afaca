package onnx

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// fileData is tensor data that is still in a file.
type fileData struct {
	src io.ReaderAt
	region
}

// copyBuffers bound the memory that streaming takes to 1 MiB a copy.
var copyBuffers = sync.Pool{New: func() any { return new([1 << 20]byte) }}

func (d *fileData) Size() int64 { return d.length }

func (d *fileData) Bytes() ([]byte, error) {
	b := make([]byte, d.length)
	if n, err := d.src.ReadAt(b, d.offset); int64(n) < d.length {
		return nil, short(err)
	}
	return b, nil
}

func (d *fileData) WriteTo(w io.Writer) (int64, error) {
	buf := copyBuffers.Get().(*[1 << 20]byte)
	defer copyBuffers.Put(buf)
	// The struct hides w's ReadFrom, which would use a buffer of its own.
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.NewSectionReader(d.src, d.offset, d.length), buf[:])
	if err == nil && n < d.length {
		err = short(io.EOF)
	}
	return n, err
}

func short(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the file was cut off since it was opened: %w", err)
}

// folder opens the files of external data that lie beside a model or below it, each once.
type folder struct {
	dir   string
	files map[string]*dataFile
}

type dataFile struct {
	*os.File
	size int64
}

// data returns the data that external_data entries describe, in memory where it is small. size is
// what the tensor takes, -1 where that is unknown. Keys other than location, offset, length and
// checksum are ignored.
func (f *folder) data(entries []*pb.StringStringEntryProto, size int64) (graph.Data, error) {
	if f == nil {
		return nil, fmt.Errorf("the model was not read from a folder")
	}
	value := map[string]string{}
	for _, e := range entries {
		value[e.GetKey()] = e.GetValue()
	}
	file, err := f.open(value["location"], value["checksum"])
	if err != nil {
		return nil, fmt.Errorf("location %q: %w", value["location"], err)
	}
	offset, err := number(value, "offset", 0)
	if err != nil {
		return nil, err
	}
	length, err := number(value, "length", max(size, 0))
	if err != nil {
		return nil, err
	}
	if offset > file.size || length > file.size-offset {
		return nil, fmt.Errorf("location %q: offset %d and length %d, but the file has %d bytes", value["location"], offset, length, file.size)
	}
	data := &fileData{src: file.File, region: region{offset, length}}
	if length > inlineMax {
		return data, nil
	}
	b, err := data.Bytes()
	return graph.Raw(b), err
}

func number(value map[string]string, key string, missing int64) (int64, error) {
	s, ok := value[key]
	if !ok {
		return missing, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s %q is no number of bytes", key, s)
	}
	return n, nil
}

// open opens a file of the folder. No name, and no symbolic link, leads out of it, but for the links
// of the Hugging Face hub's cache.
func (f *folder) open(location, checksum string) (*dataFile, error) {
	if file, ok := f.files[location]; ok {
		return file, nil
	}
	name := filepath.FromSlash(location)
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("not a path inside the model's folder")
	}
	dir := f.dir
	if blobs, blob := hubBlob(dir, name); blob != "" {
		dir, name = blobs, blob
	}
	file, size, err := openInside(dir, name)
	if err != nil {
		return nil, err
	}
	if err := verify(file, checksum); err != nil {
		file.Close()
		return nil, err
	}
	if f.files == nil {
		f.files = map[string]*dataFile{}
	}
	f.files[location] = &dataFile{file, size}
	return f.files[location], nil
}

// openInside opens a regular file below dir, which no link leads out of, and tells its size.
func openInside(dir, name string) (*os.File, int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	stat, err := root.Stat(name) // before Open, which would wait for a pipe's writer
	if err != nil {
		return nil, 0, cause(err)
	}
	if !stat.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("not a regular file")
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, 0, cause(err)
	}
	return file, stat.Size(), nil
}

// hubBlob follows a link of the Hugging Face hub's cache, where a file of
// models--org--name/snapshots/commit is a link into models--org--name/blobs (huggingface_hub,
// "Understand caching"). It returns the folder blobs of the model that dir belongs to and the
// file's name in it; "" where dir is not of that layout or name leads elsewhere.
func hubBlob(dir, name string) (blobs, blob string) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", ""
	}
	for at := abs; filepath.Dir(at) != at; at = filepath.Dir(at) {
		repo := filepath.Dir(filepath.Dir(at))
		if filepath.Base(filepath.Dir(at)) != "snapshots" || !strings.HasPrefix(filepath.Base(repo), "models--") {
			continue
		}
		real, err := filepath.EvalSymlinks(filepath.Join(abs, name))
		if err != nil {
			return "", ""
		}
		if blobs, err = filepath.EvalSymlinks(filepath.Join(repo, "blobs")); err != nil || filepath.Dir(real) != blobs {
			return "", ""
		}
		return blobs, filepath.Base(real)
	}
	return "", ""
}

// verify compares a file with the SHA-1 that external_data may state of it.
func verify(file *os.File, checksum string) error {
	if checksum == "" {
		return nil
	}
	h := sha1.New()
	if _, err := io.Copy(h, file); err != nil {
		return cause(err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(sum, checksum) {
		return fmt.Errorf("SHA-1 is %s, the model says %s", sum, checksum)
	}
	return nil
}
