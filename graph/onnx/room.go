package onnx

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// room is an error that wraps ENOSPC where the disk of a folder has no room for so many bytes, told before the minutes that
// it takes to fill it. Where the system does not say, writing will.
func room(dir string, bytes int64) error {
	var disk unix.Statfs_t
	if unix.Statfs(dir, &disk) != nil {
		return nil
	}
	if free := uint64(disk.Bavail) * uint64(disk.Bsize); uint64(bytes) > free {
		return fmt.Errorf("%.1f GB are needed and %.1f GB are free: %w", float64(bytes)/1e9, float64(free)/1e9, unix.ENOSPC)
	}
	return nil
}
