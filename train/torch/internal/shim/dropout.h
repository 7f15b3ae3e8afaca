//go:build !lite

// Loops over elements that libtorch has no cheap form of: masks of dropout, and what attention with dropout does between its
// two matrix products. Plain C that the compiler vectorizes, once for each kind of CPU.
//
// A mask is a function of a key and an element's index: byte i of the sequence that the key names; an element stays where
// its byte is at least the threshold. So the probability of dropping is threshold/256, and no result depends on how the
// work is divided. Bytes come in blocks of 64.
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { GRAFT_BLOCK = 64 };

// graft_drop says what to drop: a key made of (seed, offset), the threshold of 256, and the factor of what stays.
typedef struct {
  uint64_t key;
  int threshold;
  float scale;
} graft_drop;

uint64_t graft_drop_key(uint64_t seed, uint64_t offset);

// y[i] = x[i] * scale or 0, for n elements whose bytes start at a block. y may be x.
void graft_drop_float(const graft_drop* d, uint64_t block, const float* x, float* y, int64_t n);
void graft_drop_bfloat16(const graft_drop* d, uint64_t block, const uint16_t* x, uint16_t* y, int64_t n);

// graft_rows are rows of attention scores: n keys, stored with ld columns, a whole number of blocks, at least n. What is
// computed are n columns rounded up to a block. A row's bytes start at block + row * ld / 64.
typedef struct {
  graft_drop drop;
  uint64_t block;
  int64_t rows, n, ld;
  float scale;             // of the products q·k
  const float* mask;       // added to them, or null
  int64_t mask_stride;     // from row to row
  int64_t causal;          // keys that the first row sees, one more each row; negative: all
} graft_rows;

// Products become dropped weights of attention, in s and, where it is not null, in half as bfloat16. lse receives each
// row's log of the sum of exponentials. A row that sees nothing has weights 0.
void graft_rows_forward(const graft_rows* r, float* s, float* lse, uint16_t* half);

// From the products s, lse and the gradient ds of the dropped weights: s becomes the dropped weights, ds the gradient of the
// scores, which are the scaled products plus the mask; both also as bfloat16 where half_s and half_ds are not null.
void graft_rows_backward(const graft_rows* r, float* s, float* ds, const float* lse, uint16_t* half_s, uint16_t* half_ds);

// y = x as bfloat16.
void graft_to_bfloat16(const float* x, uint16_t* y, int64_t n);

#ifdef __cplusplus
}
#endif
