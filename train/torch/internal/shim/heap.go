//go:build !lite

package shim

// #include <malloc.h>
// #include <stdint.h>
// #include "shim.h"
// static int64_t heap_in_use(void) {
// #if defined(__GLIBC_PREREQ) && __GLIBC_PREREQ(2, 33)
//   struct mallinfo2 m = mallinfo2();
// #else
//   struct mallinfo m = mallinfo(); // up to 2 GiB
// #endif
//   return (int64_t)m.uordblks + (int64_t)m.hblkhd;
// }
import "C"

// HeapInUse is what malloc and the tensors' own heap have given out in the whole process and not got back, in bytes. Unlike
// resident memory it is exact: tests of leaks read it.
func HeapInUse() int64 {
	tensors, _ := TensorHeap()
	return int64(C.heap_in_use()) + tensors
}

// TensorHeap is how many bytes tensors have in their own heap, and how many of it they have ever touched.
func TensorHeap() (inUse, reach int64) {
	var a, b C.int64_t
	C.graft_heap(&a, &b)
	return int64(a), int64(b)
}
