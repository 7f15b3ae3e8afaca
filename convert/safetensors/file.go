package safetensors

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// file is an open file that is mapped into memory when first asked for.
type file struct {
	*os.File
	size int64

	mu      sync.Mutex
	mapping []byte // nil until the first call of bytes
	closed  bool
}

// openFile opens a .safetensors file and ties its tensors to it.
func openFile(path string) (*file, *header, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	f := &file{File: r}
	info, err := r.Stat()
	var h *header
	if err == nil {
		f.size = info.Size()
		h, err = readHeader(r, f.size)
	}
	if err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	for _, t := range h.tensors {
		t.file = f
	}
	return f, h, nil
}

// bytes returns the bytes [begin, end) of the mapped file.
func (f *file) bytes(begin, end int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, os.ErrClosed
	}
	if f.mapping == nil {
		m, err := unix.Mmap(int(f.Fd()), 0, int(f.size), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("map %q: %w", f.Name(), err)
		}
		f.mapping = m
	}
	return f.mapping[begin:end:end], nil
}

// release tells the kernel that the whole pages inside [begin, end) are not
// needed now. They stay readable.
func (f *file) release(begin, end int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	page := int64(os.Getpagesize())
	begin, end = (begin+page-1)/page*page, end/page*page
	if f.mapping == nil || begin >= end {
		return nil
	}
	return unix.Madvise(f.mapping[begin:end], unix.MADV_DONTNEED)
}

// Close unmaps and closes the file.
func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var err error
	if f.mapping != nil {
		err = unix.Munmap(f.mapping)
		f.mapping = nil
	}
	return errors.Join(err, f.File.Close())
}
