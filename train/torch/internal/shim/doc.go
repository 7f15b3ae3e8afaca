// Package shim is the C++ next to gotch's libtch: what that lacks. It is a package of its own because C++ that includes
// torch's headers takes half a minute to compile. Tensors are raw handles, an at::Tensor* each, as in libtch; errors are the
// first line of libtorch's message.
package shim
