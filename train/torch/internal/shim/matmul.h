//go:build !lite

// Products of float32 matrices on AMX, the CPU's unit for products of bfloat16 tiles.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// graft_matrix is [rows, columns] as data[row * ld + column], or where transposed as data[column * ld + row].
typedef struct {
  const float* data;
  int64_t ld;
  int transposed;
} graft_matrix;

// graft_product is c = a·b + bias, with a [m, k], b [k, n], c [m, n] contiguous, bias [n] or null. Each number of a and b stands as
// the sum of two of bfloat16: 16 bits of mantissa where float32 has 24.
typedef struct {
  int64_t m, n, k;
  graft_matrix a, b;
  const float* bias;
  float* c;
} graft_product;

// graft_matmul_available says whether this CPU and system have what graft_matmul_rows needs, and asks the system for it.
int graft_matmul_available(void);

// graft_matmul_scratch is how many bytes, aligned to 64, a thread needs for graft_matmul_rows.
size_t graft_matmul_scratch(void);

// graft_matmul_rows computes the rows of c from first to last - 1. No element depends on how rows are divided. Infinities and
// numbers above 3.39e38 become NaN.
void graft_matmul_rows(const graft_product* p, int64_t first, int64_t last, void* scratch);

#ifdef __cplusplus
}
#endif
