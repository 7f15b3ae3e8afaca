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

#define AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,amx-tile,amx-bf16")))
#define INLINE static inline __attribute__((always_inline))

// A number is rounded to bfloat16, or stands as the sum of two halves: itself, rounded, and what is left, rounded. Of the four
// products of halves the one of the smaller two is left out ("Leveraging the bfloat16 Artificial Intelligence Datatype For
// Higher-Precision Computations", Henry, Tang, Heinecke, 2019).
enum { HIGH, LOW, MOST_HALVES };

// A tile register holds 16 rows of 64 bytes. A panel is 32 rows of a or 32 columns of b, two tiles, along BLOCK_K: for every 32
// of k, a step, the two HIGH tiles and, with halves, the two LOW ones. Blocks are sized so that two panels stay near the first-level cache,
// and b's panels for as long as a block of rows needs them in the second.
enum {
  TILE = 16 * 32,  // bfloat16 numbers
  BLOCK_M = 128,
  BLOCK_N = 512,
  BLOCK_K = 256,
  SQUARE = 32 * 32,  // sums of two panels
};
#define STEP(halves) ((halves) * 2 * TILE)
#define PANEL(halves) (BLOCK_K / 32 * STEP(halves))
#define DEPTH(halves) (GRAFT_MATMUL_DEPTH / (halves))  // of k that b is packed for at a time

// Scratch is what a thread works in.
typedef struct {
  uint16_t a[BLOCK_M / 32 * PANEL(MOST_HALVES)];
  uint16_t b[BLOCK_N / 32 * (GRAFT_MATMUL_DEPTH / BLOCK_K) * PANEL(1)];
  float sums[BLOCK_M / 32 * (BLOCK_N / 32) * SQUARE];
} Scratch;

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE __mmask16 lanes(int64_t n) { return n >= 16 ? 0xffff : n > 0 ? (1u << n) - 1 : 0; }

// halve gives x's halves, each in the upper 16 bits of its word; what is below them is without meaning.
INLINE AMX void halve(__m512 x, __m512i half[MOST_HALVES]) {
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

// Source is how the numbers to be packed lie: where k is contiguous x[row * ld + k], else x[k * ld + row]; of float32, or of
// bfloat16.
typedef struct {
  int k_contiguous, bfloat16;
} Source;

INLINE const void* element(Source s, const void* x, int64_t i) {
  return s.bfloat16 ? (const void*)((const uint16_t*)x + i) : (const float*)x + i;
}

// join makes one row of the result of pairs out of two times 16 numbers, of those where a mask has ones.
INLINE AMX void join(Source s, int halves, const void* first, __mmask16 of_first, const void* second, __mmask16 of_second,
                     __m512i word[MOST_HALVES]) {
  const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19,
                                       17, 15, 13, 11, 9, 7, 5, 3, 1);
  const __m512i zip = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3,
                                       18, 2, 17, 1, 16, 0);
  if (s.bfloat16) {
    const __m256i x = _mm256_maskz_loadu_epi16(of_first, first), y = _mm256_maskz_loadu_epi16(of_second, second);
    word[HIGH] = _mm512_inserti64x4(_mm512_castsi256_si512(x), y, 1);
  } else if (halves == 1) {
    word[HIGH] = (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(of_second, second), _mm512_maskz_loadu_ps(of_first, first));
  } else {
    __m512i a[MOST_HALVES], b[MOST_HALVES];
    halve(_mm512_maskz_loadu_ps(of_first, first), a);
    halve(_mm512_maskz_loadu_ps(of_second, second), b);
    for (int h = 0; h < halves; h++)
      word[h] = s.k_contiguous ? _mm512_permutex2var_epi16(a[h], odd, b[h])
                               : _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(a[h], 16), b[h]);
    return;
  }
  if (!s.k_contiguous) word[HIGH] = _mm512_permutexvar_epi16(zip, word[HIGH]);
}

// pairs makes the 16 words (row, k / 2) of a tile, zeros where there are no numbers: word j of the result's row i holds k 2j and
// 2j + 1 of row i where k is contiguous, else k 2i and 2i + 1 of row j.
INLINE AMX void pairs(Source s, int halves, const void* x, int64_t ld, int64_t rows, int64_t k, __m512i words[MOST_HALVES][16]) {
  for (int i = 0; i < 16; i++) {
    const void *first = element(s, x, (s.k_contiguous ? i : 2 * i) * ld), *second = element(s, first, s.k_contiguous ? 16 : ld);
    const __mmask16 of_first = s.k_contiguous ? i < rows ? lanes(k) : 0 : 2 * i < k ? lanes(rows) : 0;
    const __mmask16 of_second = s.k_contiguous ? i < rows ? lanes(k - 16) : 0 : 2 * i + 1 < k ? lanes(rows) : 0;
    __m512i word[MOST_HALVES];
    join(s, halves, first, of_first, second, of_second, word);
    for (int h = 0; h < halves; h++) words[h][i] = word[h];
  }
}

// pack_step packs 32 rows of a, or columns of b, and 32 of k. A tile of a is [row][k], one of b [k / 2][column][2].
INLINE AMX void pack_step(Source s, int halves, int of_b, const void* x, int64_t ld, int64_t rows, int64_t k, uint16_t* step) {
  for (int t = 0; t < 2; t++) {
    __m512i words[MOST_HALVES][16];
    pairs(s, halves, element(s, x, s.k_contiguous ? t * 16 * ld : t * 16), ld, rows - t * 16, k, words);
    for (int h = 0; h < halves; h++) {
      if (s.k_contiguous == of_b) transpose(words[h]);
      for (int i = 0; i < 16; i++) _mm512_store_si512(step + (h * 2 + t) * TILE + i * 32, words[h][i]);
    }
  }
}

// pack_as packs as many panels as rows need, and k up to BLOCK_K, in the order in which the numbers lie in memory.
INLINE AMX void pack_as(Source s, int halves, int of_b, const void* x, int64_t ld, int64_t rows, int64_t k, uint16_t* panels) {
  const int64_t outer = s.k_contiguous ? rows : k, inner = s.k_contiguous ? k : rows;
  for (int64_t i = 0; i < outer; i += 32) {
    for (int64_t j = 0; j < inner; j += 32) {
      const int64_t row = s.k_contiguous ? i : j, at = s.k_contiguous ? j : i;
      pack_step(s, halves, of_b, element(s, x, i * ld + j), ld, rows - row, k - at,
                panels + row / 32 * PANEL(halves) + at / 32 * STEP(halves));
    }
  }
}

// pack packs rows of a, or columns of b, and k from where they begin.
INLINE AMX void pack(int halves, int of_b, const graft_matrix* m, int64_t row, int64_t k0, int64_t rows, int64_t k, uint16_t* panels) {
  const Source s = {m->transposed == of_b, m->bfloat16};
  const void* x = element(s, m->data, s.k_contiguous ? row * m->ld + k0 : k0 * m->ld + row);
  if (s.bfloat16 && s.k_contiguous)
    pack_as((Source){1, 1}, 1, of_b, x, m->ld, rows, k, panels);
  else if (s.bfloat16)
    pack_as((Source){0, 1}, 1, of_b, x, m->ld, rows, k, panels);
  else if (s.k_contiguous)
    pack_as((Source){1, 0}, halves, of_b, x, m->ld, rows, k, panels);
  else
    pack_as((Source){0, 0}, halves, of_b, x, m->ld, rows, k, panels);
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
INLINE AMX void multiply(int halves, int64_t k, const uint16_t* a, const uint16_t* b, int first, float* sums) {
  __asm__ volatile("" ::: "memory");  // compilers do not know what loading a tile reads
  if (first)
    EACH_SUM(ZERO);
  else
    EACH_SUM(_tile_loadd);
  for (int64_t at = 0; at < k; at += 32, a += STEP(halves), b += STEP(halves)) {
    if (halves == 2) {
      LOAD_A(LOW);
      LOAD_B(HIGH);
      MULTIPLY();
      LOAD_A(HIGH);
      MULTIPLY();
      LOAD_B(LOW);
      MULTIPLY();
    } else {
      LOAD_A(HIGH);
      LOAD_B(HIGH);
      MULTIPLY();
    }
  }
  EACH_SUM(_tile_stored);
}

// deliver puts a block's sums where they belong in c: beside the bias, or added to what earlier parts of k gave.
AMX static void deliver(const graft_product* p, const float* sums, int64_t row, int64_t column, int64_t rows, int64_t columns, int first) {
  for (int64_t i = 0; i < rows; i++) {
    const float* from = sums + i / 32 * SQUARE + i % 32 * 32;
    for (int64_t j = 0; j < columns; j += 16) {
      const int64_t at = (row + i) * p->n + column + j;
      const __mmask16 mask = lanes(columns - j);
      __m512 x = _mm512_load_ps(from + j / 32 * (BLOCK_M / 32) * SQUARE + j % 32);
      if (first && p->bias) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, p->bias + column + j));
      if (p->bfloat16) {
        _mm256_mask_storeu_epi16((uint16_t*)p->c + at, mask, (__m256i)_mm512_cvtneps_pbh(x));
      } else {
        float* to = (float*)p->c + at;
        if (!first) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, to));
        _mm512_mask_storeu_ps(to, mask, x);
      }
    }
  }
}

// multiply_block multiplies rows of a with the packed columns of b, along depth of k.
INLINE AMX void multiply_block(int halves, const graft_product* p, int64_t row, int64_t k0, int64_t rows, int64_t columns, int64_t depth,
                               Scratch* s) {
  const int64_t across = (columns + 31) / 32;
  for (int64_t k = 0; k < depth; k += BLOCK_K) {
    const int64_t length = least(BLOCK_K, depth - k);
    pack(halves, 0, &p->a, row, k0 + k, rows, length, s->a);
    for (int64_t j = 0; j < across; j++)
      for (int64_t i = 0; i < rows; i += 32)
        multiply(halves, length, s->a + i / 32 * PANEL(halves), s->b + (k / BLOCK_K * across + j) * PANEL(halves), k == 0,
                 s->sums + (j * (BLOCK_M / 32) + i / 32) * SQUARE);
  }
}

INLINE AMX void multiply_rows(int halves, const graft_product* p, int64_t first, int64_t last, Scratch* s) {
  for (int64_t n0 = 0; n0 < p->n; n0 += BLOCK_N) {
    const int64_t columns = least(BLOCK_N, p->n - n0), across = (columns + 31) / 32;
    for (int64_t k0 = 0; k0 < p->k; k0 += DEPTH(halves)) {
      const int64_t depth = least(DEPTH(halves), p->k - k0);
      for (int64_t k = 0; k < depth; k += BLOCK_K)
        pack(halves, 1, &p->b, n0, k0 + k, columns, least(BLOCK_K, depth - k), s->b + k / BLOCK_K * across * PANEL(halves));
      for (int64_t row = first; row < last; row += BLOCK_M) {
        const int64_t rows = least(BLOCK_M, last - row);
        multiply_block(halves, p, row, k0, rows, columns, depth, s);
        deliver(p, s->sums, row, n0, rows, columns, k0 == 0);
      }
    }
  }
}

AMX static void multiply_rounded(const graft_product* p, int64_t first, int64_t last, Scratch* s) { multiply_rows(1, p, first, last, s); }
AMX static void multiply_halves(const graft_product* p, int64_t first, int64_t last, Scratch* s) { multiply_rows(2, p, first, last, s); }

AMX void graft_matmul_rows(const graft_product* p, int64_t first, int64_t last, void* scratch) {
  struct __attribute__((packed)) { uint8_t palette, start_row, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } shape;
  memset(&shape, 0, sizeof shape);
  shape.palette = 1;
  for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
  _tile_loadconfig(&shape);
  (p->halves ? multiply_halves : multiply_rounded)(p, first, last, scratch);
  _tile_release();
}

size_t graft_matmul_scratch(void) { return sizeof(Scratch); }

int graft_matmul_available(void) {
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };  // arch_prctl(2): ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("amx-bf16") &&
         syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

#endif
