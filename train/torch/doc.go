// Package torch runs computations on libtorch. It is the only importer of gotch, and uses gotch's package libtch alone:
// handles and calls, no layers above them. A build with the tag lite has no libtorch in it; every function of this
// package then returns ErrLite.
package torch

import "errors"

// ErrLite says that this binary was built without libtorch.
var ErrLite = errors.New("built without libtorch (tag lite)")
