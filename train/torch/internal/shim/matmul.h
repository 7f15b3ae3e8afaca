//go:build !lite

// Products of matrices on AMX, the CPU's unit for products of bfloat16 tiles.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// graft_matrix is [rows, columns] as data[row * ld + column], or where transposed as data[column * ld + row], of float32 or of
// bfloat16.
typedef struct {
  const void* data;
  int64_t ld;
  int transposed, bfloat16;
} graft_matrix;

// graft_product is c = a·b + bias, with a [m, k], b [k, n], c [m, n] contiguous, of float32 or of bfloat16, bias [n] or null. Numbers
// of a and b are rounded to bfloat16, or with halves, for a and b of float32, stand as the sum of two such numbers: 16 bits of
// mantissa where float32 has 24. Sums are float32. A c of bfloat16 needs a k of at most GRAFT_MATMUL_DEPTH.
typedef struct {
  int halves;
  int64_t m, n, k;
  graft_matrix a, b;
  const float* bias;
  void* c;
  int bfloat16;
} graft_product;

enum { GRAFT_MATMUL_DEPTH = 3072 };

// graft_matmul_available says whether this CPU and system have what graft_matmul_rows needs, and asks the system for it.
int graft_matmul_available(void);

// graft_matmul_scratch is how many bytes, aligned to 64, a thread needs for graft_matmul_rows.
size_t graft_matmul_scratch(void);

// graft_matmul_rows computes the rows of c from first to last - 1. No element depends on how rows are divided. With halves,
// infinities and numbers above 3.39e38 become NaN.
void graft_matmul_rows(const graft_product* p, int64_t first, int64_t last, void* scratch);

#ifdef __cplusplus
}
#endif
