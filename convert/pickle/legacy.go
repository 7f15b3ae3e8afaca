package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
)

// The first two pickles of a legacy file (torch/serialization.py).
const (
	legacyMagic    = "1950a86a20f9469cfc6c" // hexadecimal
	legacyProtocol = 1001
)

// legacy is a checkpoint in the format before torch 1.6: five pickles (magic
// number, protocol version, system information, the object, the storages'
// keys), then for each key the number of elements in 8 bytes and the data.
type legacy struct {
	file     *os.File
	size     int64
	scanner  *scanner
	storages map[string]*legacyStorage
}

type legacyStorage struct {
	storage
	numel int64
	start int64 // of the data in the file; 0 until it is known
}

// readLegacy returns the object that a legacy checkpoint holds.
func readLegacy(f *os.File, size int64) (any, error) {
	l := &legacy{
		file: f, size: size,
		scanner:  newScanner(io.NewSectionReader(f, 0, size)),
		storages: make(map[string]*legacyStorage),
	}
	if err := l.readPreamble(); err != nil {
		return nil, err
	}
	object, err := l.next("object", l.persistentLoad)
	if err != nil {
		return nil, err
	}
	keys, err := l.next("storage keys", nil)
	if err != nil {
		return nil, err
	}
	return object, l.place(keys)
}

// next reads one of the file's pickles.
func (l *legacy) next(name string, persistentLoad func(any) (any, error)) (any, error) {
	data, err := l.scanner.next()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	object, err := unpickle(data, findGlobal, persistentLoad)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return object, nil
}

func (l *legacy) readPreamble() error {
	magic, err := l.next("magic number", nil)
	if err != nil {
		return fmt.Errorf("not a torch checkpoint: %w", err)
	}
	if n, ok := magic.(*big.Int); !ok || n.Text(16) != legacyMagic {
		return errors.New("not a torch checkpoint: the magic number is missing")
	}
	version, err := l.next("protocol version", nil)
	if err != nil {
		return err
	}
	if version != legacyProtocol {
		return fmt.Errorf("protocol version is %v, only %d is supported", version, legacyProtocol)
	}
	info, err := l.next("system information", nil)
	if err != nil {
		return err
	}
	entries, _ := dictEntries(info)
	for _, e := range entries {
		if e.key == "little_endian" && e.value != true {
			return errors.New("byte order is big, only little is supported")
		}
	}
	return nil
}

// persistentLoad resolves ("storage", class, key, location, numel, view),
// where view is None or (key of the view, offset, numel) in elements.
func (l *legacy) persistentLoad(id any) (any, error) {
	class, key, numel, part, err := storageID(id)
	if err != nil {
		return nil, err
	}
	element := elementSize[string(class)]
	size, ok := product(numel, element)
	if !ok || size > l.size {
		return nil, fmt.Errorf("storage %q: %d elements are more than the file holds", key, numel)
	}
	s := l.storages[key]
	if s == nil {
		s = &legacyStorage{storage: storage{size: size}, numel: numel}
		s.open = func(offset, size int64) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(l.file, s.start+offset, size)), nil
		}
		l.storages[key] = s
	}
	if s.size != size {
		return nil, fmt.Errorf("storage %q: is once %d, once %d bytes long", key, s.size, size)
	}
	v := &view{storage: &s.storage, dtype: string(class), size: size}
	if part == nil {
		return v, nil
	}
	items, ok := sequence(part)
	if !ok || len(items) != 3 {
		return nil, fmt.Errorf("storage %q: malformed view", key)
	}
	offset, ok1 := items[1].(int)
	count, ok2 := items[2].(int)
	if !ok1 || !ok2 || offset < 0 || count < 0 || int64(offset) > numel || int64(count) > numel-int64(offset) {
		return nil, fmt.Errorf("storage %q: view of %v elements from %v lies outside its %d", key, items[2], items[1], numel)
	}
	v.offset, v.size = int64(offset)*element, int64(count)*element
	return v, nil
}

// place finds the data of the storages, which follows the pickles in the order
// of the keys.
func (l *legacy) place(keys any) error {
	names, ok := sequence(keys)
	if !ok {
		return errors.New("storage keys are not a list")
	}
	at := l.scanner.n
	for _, name := range names {
		key, _ := name.(string)
		s := l.storages[key]
		if s == nil || s.start != 0 {
			return fmt.Errorf("storage key %q is unknown or comes twice", key)
		}
		var count [8]byte
		if _, err := l.file.ReadAt(count[:], at); err != nil {
			return fmt.Errorf("storage %q: byte %d: %w", key, at, noEOF(err))
		}
		if numel := int64(binary.LittleEndian.Uint64(count[:])); numel != s.numel {
			return fmt.Errorf("storage %q: byte %d: %d elements where %d are due", key, at, numel, s.numel)
		}
		s.start = at + 8
		at = s.start + s.size
		if at > l.size {
			return fmt.Errorf("storage %q: data ends at byte %d, the file at %d: truncated", key, at, l.size)
		}
	}
	for key, s := range l.storages {
		if s.start == 0 {
			return fmt.Errorf("storage %q has no data", key)
		}
	}
	return nil
}
