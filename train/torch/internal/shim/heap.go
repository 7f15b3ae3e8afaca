//go:build !lite

package shim

// #include <malloc.h>
// #include <stdint.h>
// static int64_t heap_in_use(void) {
// #if defined(__GLIBC_PREREQ) && __GLIBC_PREREQ(2, 33)
//   struct mallinfo2 m = mallinfo2();
// #else
//   struct mallinfo m = mallinfo(); // up to 2 GiB
// #endif
//   return (int64_t)m.uordblks + (int64_t)m.hblkhd;
// }
import "C"

// HeapInUse is what malloc has given out in the whole process and not got back, in bytes. Unlike resident memory it is
// exact: tests of leaks read it.
func HeapInUse() int64 { return int64(C.heap_in_use()) }
