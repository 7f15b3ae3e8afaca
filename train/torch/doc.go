// Package torch runs computations on libtorch. It is the only importer of gotch, and uses gotch's package libtch alone:
// handles and calls, no layers above them; what libtch lacks is in shim.cpp.
//
// Tensors are handles without finalizers. A Scope owns the tensors that its operations make and frees them at Close; it
// keeps the first error, after which each of its operations does nothing. libtorch keeps errors, gradient mode and
// autocast per thread: everything that belongs together runs on one OS thread, see Lock.
//
// A build with the tag lite has no libtorch in it; every function of this package then returns ErrLite.
package torch

import "errors"

// ErrLite says that this binary was built without libtorch.
var ErrLite = errors.New("built without libtorch (tag lite)")
