package pickle

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/nlpodyssey/gopickle/types"
)

// maxPickle is the longest data.pkl that is read; it holds names and shapes,
// no weights.
const maxPickle = 64 << 20

// archive is a checkpoint in the zip format of torch 1.6 and later: below one
// folder, data.pkl is the pickle and data/<key> are the storages.
type archive struct {
	file     *os.File
	size     int64
	prefix   string
	entries  map[string]*zip.File
	storages map[string]*storage
}

// readArchive returns the object that a zip checkpoint holds.
func readArchive(f *os.File, size int64) (any, error) {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("zip archive: %w", err)
	}
	a := &archive{file: f, size: size, entries: make(map[string]*zip.File), storages: make(map[string]*storage)}
	for _, entry := range z.File {
		if a.entries[entry.Name] != nil {
			return nil, fmt.Errorf("zip archive holds %q twice", entry.Name)
		}
		a.entries[entry.Name] = entry
		if path.Base(entry.Name) == "data.pkl" {
			a.prefix = strings.TrimSuffix(entry.Name, "data.pkl")
		}
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	r, err := a.entries[a.prefix+"data.pkl"].Open()
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	defer r.Close()
	data, err := newScanner(io.LimitReader(r, maxPickle)).next()
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	object, err := unpickle(data, findGlobal, a.persistentLoad)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	return object, nil
}

// check refuses archives of another kind.
func (a *archive) check() error {
	if a.entries[a.prefix+"data.pkl"] == nil {
		return errors.New("zip archive has no data.pkl: not a torch checkpoint")
	}
	if a.entries[a.prefix+"constants.pkl"] != nil {
		return errors.New("file is a TorchScript program, not a checkpoint of tensors")
	}
	if order := a.entries[a.prefix+"byteorder"]; order != nil {
		r, err := order.Open()
		if err != nil {
			return fmt.Errorf("byteorder: %w", err)
		}
		defer r.Close()
		text, err := io.ReadAll(io.LimitReader(r, 16))
		if err != nil || string(text) != "little" {
			return fmt.Errorf("byte order is %q, only little is supported", text)
		}
	}
	return nil
}

// persistentLoad resolves ("storage", class, key, location, numel).
func (a *archive) persistentLoad(id any) (any, error) {
	class, key, numel, _, err := storageID(id)
	if err != nil {
		return nil, err
	}
	s, ok := a.storages[key]
	if !ok {
		if s, err = a.storage(key); err != nil {
			return nil, fmt.Errorf("storage %q: %w", key, err)
		}
		a.storages[key] = s
	}
	size, ok := product(numel, elementSize[string(class)])
	if !ok || size != s.size {
		return nil, fmt.Errorf("storage %q: %d elements of %s do not make its %d bytes", key, numel, class, s.size)
	}
	return &view{storage: s, dtype: string(class), size: size}, nil
}

func (a *archive) storage(key string) (*storage, error) {
	entry := a.entries[a.prefix+"data/"+key]
	if entry == nil {
		return nil, errors.New("zip archive has no such record")
	}
	if entry.UncompressedSize64 > 1<<62 {
		return nil, fmt.Errorf("size %d is impossible", entry.UncompressedSize64)
	}
	s := &storage{size: int64(entry.UncompressedSize64)}
	start, err := entry.DataOffset()
	if err != nil {
		return nil, err
	}
	if held := a.size - start; entry.Method == zip.Store && (s.size > held || entry.CompressedSize64 != entry.UncompressedSize64) {
		return nil, fmt.Errorf("claims %d bytes, the file has %d: truncated", s.size, held)
	}
	s.open = func(offset, size int64) (io.ReadCloser, error) {
		if entry.Method == zip.Store && size < s.size {
			return io.NopCloser(io.NewSectionReader(a.file, start+offset, size)), nil
		}
		return openPart(entry, offset, size) // checks the CRC of a whole record
	}
	return s, nil
}

// openPart reads a part of a record from the record's start.
func openPart(entry *zip.File, offset, size int64) (io.ReadCloser, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return nil, errors.Join(noEOF(err), r.Close())
	}
	if size == int64(entry.UncompressedSize64) {
		return r, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, size), r}, nil
}

// storageID takes apart the persistent ids of both formats: ("storage",
// class, key, location, numel[, view]). view is nil but for old legacy files.
func storageID(id any) (class storageClass, key string, numel int64, view any, err error) {
	tuple, ok := id.(*types.Tuple)
	if !ok || tuple.Len() < 5 || tuple.Get(0) != "storage" {
		return "", "", 0, nil, errors.New("persistent id is not that of a storage")
	}
	class, ok1 := tuple.Get(1).(storageClass)
	key, ok2 := tuple.Get(2).(string)
	n, ok3 := tuple.Get(4).(int)
	if !ok1 || !ok2 || !ok3 || n < 0 {
		return "", "", 0, nil, errors.New("persistent id of a storage is malformed")
	}
	if tuple.Len() > 5 {
		view = tuple.Get(5)
	}
	return class, key, int64(n), view, nil
}
