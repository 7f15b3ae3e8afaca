//go:build !lite

#include "matmul.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__has_include)
#if __has_include(<amxbf16intrin.h>)
#define HAVE_AMX
#endif
#endif

#ifndef HAVE_AMX

int graft_matmul_available(void) { return 0; }
size_t graft_matmul_scratch(void) { return 0; }
void graft_matmul_rows(const graft_product* p, int64_t first, int64_t last, void* scratch) { (void)p, (void)first, (void)last, (void)scratch; }

#else

#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AMX __attribute__((target("avx512f,avx512bw,amx-tile,amx-bf16")))
#define INLINE static inline __attribute__((always_inline))

// A number stands as the sum of two of bfloat16: itself, rounded, and what is left, rounded. Of the four products of such halves
// the one of the smaller two is left out ("Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
// Computations", Henry, Tang, Heinecke, 2019).
enum { HIGH, LOW, HALVES };

// A tile register holds 16 rows of 64 bytes. A panel is 32 rows of a or 32 columns of b, two tiles, along BLOCK_K: for every 32
// of k, a step, the two HIGH tiles and the two LOW ones. Blocks are sized so that two panels stay near the first-level cache,
// and b's panels for as long as a block of rows needs them in the second.
enum {
  TILE = 16 * 32,  // bfloat16 numbers
  STEP = HALVES * 2 * TILE,
  BLOCK_M = 128,
  BLOCK_N = 512,
  BLOCK_K = 256,
  DEPTH = 1536,  // of k that b is packed for at a time
  PANEL = BLOCK_K / 32 * STEP,
  SQUARE = 32 * 32,  // sums of two panels
};

// Scratch is what a thread works in.
typedef struct {
  uint16_t a[BLOCK_M / 32 * PANEL];
  uint16_t b[BLOCK_N / 32 * (DEPTH / BLOCK_K) * PANEL];
  float sums[BLOCK_M / 32 * (BLOCK_N / 32) * SQUARE];
} Scratch;

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE __mmask16 lanes(int64_t n) { return n >= 16 ? 0xffff : n > 0 ? (1u << n) - 1 : 0; }

// halve gives x's halves, each in the upper 16 bits of its word; what is below them is without meaning.
INLINE AMX void halve(__m512 x, __m512i half[HALVES]) {
  const __m512i round = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
  half[HIGH] = _mm512_add_epi32(_mm512_castps_si512(x), round);
  const __m512 left = _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_and_si512(half[HIGH], upper)));
  half[LOW] = _mm512_add_epi32(_mm512_castps_si512(left), round);
}

// transpose turns 16 x 16 words around.
INLINE AMX void transpose(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// pairs makes the 16 words (row, k / 2) of a tile out of float32 numbers, zeros where there are none: word j of the result's
// row i holds k 2j and 2j + 1 of row i where k is contiguous, else k 2i and 2i + 1 of row j.
INLINE AMX void pairs(int k_contiguous, const float* x, int64_t ld, int64_t rows, int64_t k, __m512i words[HALVES][16]) {
  const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19,
                                       17, 15, 13, 11, 9, 7, 5, 3, 1);
  for (int i = 0; i < 16; i++) {
    const float *first = x + (k_contiguous ? i : 2 * i) * ld, *second = k_contiguous ? first + 16 : first + ld;
    const __mmask16 of_first = k_contiguous ? i < rows ? lanes(k) : 0 : 2 * i < k ? lanes(rows) : 0;
    const __mmask16 of_second = k_contiguous ? i < rows ? lanes(k - 16) : 0 : 2 * i + 1 < k ? lanes(rows) : 0;
    __m512i a[HALVES], b[HALVES];
    halve(_mm512_maskz_loadu_ps(of_first, first), a);
    halve(_mm512_maskz_loadu_ps(of_second, second), b);
    for (int h = 0; h < HALVES; h++)
      words[h][i] = k_contiguous ? _mm512_permutex2var_epi16(a[h], odd, b[h])
                                 : _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(a[h], 16), b[h]);
  }
}

// pack_step packs 32 rows of a, or columns of b, and 32 of k. A tile of a is [row][k], one of b [k / 2][column][2].
INLINE AMX void pack_step(int k_contiguous, int of_b, const float* x, int64_t ld, int64_t rows, int64_t k, uint16_t* step) {
  for (int t = 0; t < 2; t++) {
    __m512i words[HALVES][16];
    pairs(k_contiguous, x + (k_contiguous ? t * 16 * ld : t * 16), ld, rows - t * 16, k, words);
    for (int h = 0; h < HALVES; h++) {
      if (k_contiguous == of_b) transpose(words[h]);
      for (int i = 0; i < 16; i++) _mm512_store_si512(step + (h * 2 + t) * TILE + i * 32, words[h][i]);
    }
  }
}

// pack packs as many panels as rows need, and k up to BLOCK_K, in the order in which the numbers lie in memory.
INLINE AMX void pack(int k_contiguous, int of_b, const float* x, int64_t ld, int64_t rows, int64_t k, uint16_t* panels) {
  const int64_t outer = k_contiguous ? rows : k, inner = k_contiguous ? k : rows;
  for (int64_t i = 0; i < outer; i += 32) {
    for (int64_t j = 0; j < inner; j += 32) {
      const int64_t row = k_contiguous ? i : j, at = k_contiguous ? j : i;
      pack_step(k_contiguous, of_b, x + i * ld + j, ld, rows - row, k - at,
                panels + row / 32 * PANEL + at / 32 * STEP);
    }
  }
}

AMX static void pack_a(const graft_matrix* a, int64_t row, int64_t k0, int64_t rows, int64_t k, uint16_t* panels) {
  if (a->transposed)
    pack(0, 0, a->data + k0 * a->ld + row, a->ld, rows, k, panels);
  else
    pack(1, 0, a->data + row * a->ld + k0, a->ld, rows, k, panels);
}

AMX static void pack_b(const graft_matrix* b, int64_t column, int64_t k0, int64_t columns, int64_t k, uint16_t* panels) {
  if (b->transposed)
    pack(1, 1, b->data + column * b->ld + k0, b->ld, columns, k, panels);
  else
    pack(0, 1, b->data + k0 * b->ld + column, b->ld, columns, k, panels);
}

// Tile registers: 0 to 3 hold the sums, 4 and 5 rows of a, 6 and 7 columns of b.
#define LOAD_A(half)                                  \
  do {                                                \
    _tile_loadd(4, a + (half) * 2 * TILE, 64);        \
    _tile_loadd(5, a + (half) * 2 * TILE + TILE, 64); \
  } while (0)
#define LOAD_B(half)                                  \
  do {                                                \
    _tile_loadd(6, b + (half) * 2 * TILE, 64);        \
    _tile_loadd(7, b + (half) * 2 * TILE + TILE, 64); \
  } while (0)
#define MULTIPLY()           \
  do {                       \
    _tile_dpbf16ps(0, 4, 6); \
    _tile_dpbf16ps(1, 4, 7); \
    _tile_dpbf16ps(2, 5, 6); \
    _tile_dpbf16ps(3, 5, 7); \
  } while (0)
#define EACH_SUM(operation)                    \
  do {                                         \
    operation(0, sums, 128);                   \
    operation(1, sums + 16, 128);              \
    operation(2, sums + SQUARE / 2, 128);      \
    operation(3, sums + SQUARE / 2 + 16, 128); \
  } while (0)
#define ZERO(tile, at, stride) _tile_zero(tile)

// multiply adds the product of two panels to sums [32, 32], or sets them where it is the first.
AMX static void multiply(int64_t k, const uint16_t* a, const uint16_t* b, int first, float* sums) {
  __asm__ volatile("" ::: "memory");  // compilers do not know what loading a tile reads
  if (first)
    EACH_SUM(ZERO);
  else
    EACH_SUM(_tile_loadd);
  for (int64_t at = 0; at < k; at += 32, a += STEP, b += STEP) {
    LOAD_A(LOW);
    LOAD_B(HIGH);
    MULTIPLY();
    LOAD_A(HIGH);
    MULTIPLY();
    LOAD_B(LOW);
    MULTIPLY();
  }
  EACH_SUM(_tile_stored);
}

// deliver puts a block's sums where they belong in c: beside the bias, or added to what earlier parts of k gave.
AMX static void deliver(const graft_product* p, const float* sums, int64_t row, int64_t column, int64_t rows, int64_t columns, int first) {
  for (int64_t i = 0; i < rows; i++) {
    const float* from = sums + i / 32 * SQUARE + i % 32 * 32;
    for (int64_t j = 0; j < columns; j += 16) {
      float* to = p->c + (row + i) * p->n + column + j;
      const __mmask16 mask = lanes(columns - j);
      __m512 x = _mm512_load_ps(from + j / 32 * (BLOCK_M / 32) * SQUARE + j % 32);
      if (!first)
        x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, to));
      else if (p->bias)
        x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, p->bias + column + j));
      _mm512_mask_storeu_ps(to, mask, x);
    }
  }
}

// multiply_block multiplies rows of a with the packed columns of b, along depth of k.
AMX static void multiply_block(const graft_product* p, int64_t row, int64_t k0, int64_t rows, int64_t columns, int64_t depth, Scratch* s) {
  const int64_t across = (columns + 31) / 32;
  for (int64_t k = 0; k < depth; k += BLOCK_K) {
    const int64_t length = least(BLOCK_K, depth - k);
    pack_a(&p->a, row, k0 + k, rows, length, s->a);
    for (int64_t j = 0; j < across; j++)
      for (int64_t i = 0; i < rows; i += 32)
        multiply(length, s->a + i / 32 * PANEL, s->b + (k / BLOCK_K * across + j) * PANEL, k == 0,
                 s->sums + (j * (BLOCK_M / 32) + i / 32) * SQUARE);
  }
}

AMX void graft_matmul_rows(const graft_product* p, int64_t first, int64_t last, void* scratch) {
  struct __attribute__((packed)) { uint8_t palette, start_row, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } shape;
  memset(&shape, 0, sizeof shape);
  shape.palette = 1;
  for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
  _tile_loadconfig(&shape);
  Scratch* s = scratch;
  for (int64_t n0 = 0; n0 < p->n; n0 += BLOCK_N) {
    const int64_t columns = least(BLOCK_N, p->n - n0), across = (columns + 31) / 32;
    for (int64_t k0 = 0; k0 < p->k; k0 += DEPTH) {
      const int64_t depth = least(DEPTH, p->k - k0);
      for (int64_t k = 0; k < depth; k += BLOCK_K)
        pack_b(&p->b, n0, k0 + k, columns, least(BLOCK_K, depth - k), s->b + k / BLOCK_K * across * PANEL);
      for (int64_t row = first; row < last; row += BLOCK_M) {
        const int64_t rows = least(BLOCK_M, last - row);
        multiply_block(p, row, k0, rows, columns, depth, s);
        deliver(p, s->sums, row, n0, rows, columns, k0 == 0);
      }
    }
  }
  _tile_release();
}

size_t graft_matmul_scratch(void) { return sizeof(Scratch); }

int graft_matmul_available(void) {
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };  // arch_prctl(2): ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("amx-bf16") && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

#endif
