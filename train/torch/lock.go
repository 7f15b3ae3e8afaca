//go:build !lite

package torch

import "runtime"

// Lock ties the calling goroutine to its OS thread until unlock is called. libtorch's error slot, gradient mode, autocast
// and current device belong to the thread, so whoever computes holds a lock for as long as those must stay. Locks nest.
func Lock() (unlock func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
