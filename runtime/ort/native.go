package ort

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SIGNALS 65

// signal_state is the action of every signal, and the calling thread's
// alternate signal stack.
struct signal_state {
	struct sigaction action[SIGNALS];
	stack_t stack;
};

static struct signal_state *save_signals(void) {
	struct signal_state *s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	for (int i = 1; i < SIGNALS; i++)
		if (sigaction(i, NULL, &s->action[i]) != 0)
			memset(&s->action[i], 0, sizeof s->action[i]);
	sigaltstack(NULL, &s->stack);
	return s;
}

// restore_signals puts back each handler that ran on the alternate stack and
// has since been replaced by one that does not, and the stack itself.
static void restore_signals(struct signal_state *s) {
	if (s == NULL)
		return;
	for (int i = 1; i < SIGNALS; i++) {
		struct sigaction now;
		if (!(s->action[i].sa_flags & SA_ONSTACK) || sigaction(i, NULL, &now) != 0)
			continue;
		if (!(now.sa_flags & SA_ONSTACK))
			sigaction(i, &s->action[i], NULL);
	}
	stack_t now;
	if (!(s->stack.ss_flags & SS_DISABLE) && sigaltstack(NULL, &now) == 0 && now.ss_sp != s->stack.ss_sp)
		sigaltstack(&s->stack, NULL);
	free(s);
}

// stack_address is the calling thread's alternate signal stack.
static void *stack_address(void) {
	stack_t now;
	return sigaltstack(NULL, &now) == 0 ? now.ss_sp : NULL;
}
*/
import "C"

import (
	"errors"
	"runtime"
	"unsafe"
)

// keepSignals notes the process's signal handlers and this thread's alternate
// signal stack, and locks the goroutine to the thread; the function it returns
// puts back what native code has replaced. Two providers do that:
//
//   - CUDA installs handlers without SA_ONSTACK: Go aborts when a signal such
//     as Ctrl-C then arrives on one of its small stacks (onnxruntime_go 140).
//   - OpenVINO's CPU plugin gives the thread that loads it another alternate
//     stack and unmaps it when the last session ends, on whatever thread that
//     is: the next signal on the first thread, such as Go's own preemption,
//     then kills the process or lands in memory that is somebody else's.
func keepSignals() func() {
	runtime.LockOSThread()
	saved := C.save_signals()
	return func() {
		C.restore_signals(saved)
		runtime.UnlockOSThread()
	}
}

// signalStack returns the address of this thread's alternate signal stack.
func signalStack() uintptr { return uintptr(C.stack_address()) }

// openShared opens a shared library by name or path and keeps it open, so that
// libraries which need it by its name find it. The error is the loader's text.
func openShared(name string) error {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	if C.dlopen(c, C.RTLD_LAZY|C.RTLD_GLOBAL) == nil {
		return errors.New(C.GoString(C.dlerror()))
	}
	return nil
}
