//go:build !lite

#include "dropout.h"

#include <math.h>
#include <string.h>

// Each loop is compiled for AVX-512, for AVX2 and for any CPU; the loader takes the best.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORIZED
#endif
#define INLINE static inline __attribute__((always_inline))

// splitmix64 (Steele, Lea, Flood, 2014): its finalizer.
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t graft_drop_key(uint64_t seed, uint64_t offset) {
  return mix(mix(seed + 0x9e3779b97f4a7c15u) + offset * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u);
}

// random_block makes the 64 bytes of a block: 16 words, each a hash of its number. The hash is triple32 (Wellons, "Prospecting
// for hash functions", 2018), a bijection without measurable bias, with one half of the key before it and one inside.
INLINE void random_block(uint64_t key, uint64_t block, uint8_t bytes[GRAFT_BLOCK]) {
  typedef uint32_t words __attribute__((vector_size(GRAFT_BLOCK)));
  const words number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  words x = (number + (uint32_t)(block * (GRAFT_BLOCK / 4))) ^ (uint32_t)key;
  x = (x ^ (x >> 17)) * 0xed5ad4bbu;
  x = (x ^ (x >> 11)) * 0xac4c1b51u + (uint32_t)(key >> 32);
  x = (x ^ (x >> 15)) * 0x31848babu;
  x ^= x >> 14;
  memcpy(bytes, &x, GRAFT_BLOCK);
}

INLINE float load_bfloat16(uint16_t v) {
  const uint32_t bits = (uint32_t)v << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

// Rounds to nearest, ties to even.
INLINE uint16_t store_bfloat16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

VECTORIZED void graft_to_bfloat16(const float* x, uint16_t* y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = store_bfloat16(x[i]);
}

VECTORIZED void graft_drop_float(const graft_drop* d, uint64_t block, const float* x, float* y, int64_t n) {
  uint8_t bytes[GRAFT_BLOCK];
  const float scale = d->scale;
  const int threshold = d->threshold;
  int64_t i = 0;
  for (; i + GRAFT_BLOCK <= n; i += GRAFT_BLOCK, block++) {
    random_block(d->key, block, bytes);
#pragma omp simd
    for (int j = 0; j < GRAFT_BLOCK; j++) {
      const float v = x[i + j] * scale;
      y[i + j] = bytes[j] >= threshold ? v : 0;
    }
  }
  if (i < n) random_block(d->key, block, bytes);
  for (int j = 0; i < n; i++, j++) y[i] = bytes[j] >= threshold ? x[i] * scale : 0;
}

VECTORIZED void graft_drop_bfloat16(const graft_drop* d, uint64_t block, const uint16_t* x, uint16_t* y, int64_t n) {
  uint8_t bytes[GRAFT_BLOCK];
  const float scale = d->scale;
  const int threshold = d->threshold;
  int64_t i = 0;
  for (; i + GRAFT_BLOCK <= n; i += GRAFT_BLOCK, block++) {
    random_block(d->key, block, bytes);
#pragma omp simd
    for (int j = 0; j < GRAFT_BLOCK; j++) {
      const uint16_t v = store_bfloat16(load_bfloat16(x[i + j]) * scale);
      y[i + j] = bytes[j] >= threshold ? v : 0;
    }
  }
  if (i < n) random_block(d->key, block, bytes);
  for (int j = 0; i < n; i++, j++) y[i] = bytes[j] >= threshold ? store_bfloat16(load_bfloat16(x[i]) * scale) : 0;
}

// exponential is exp for x <= 0, within 2 units in the last place, and 0 below -87: x = n ln 2 + r, |r| <= ln 2 / 2, and a
// polynomial for exp(r) (Cephes, expf).
INLINE float exponential(float x) {
  const float bounded = x < -87.0f ? -87.0f : x;
  const float shifted = bounded * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
  const float n = shifted - 12582912.0f;
  float r = bounded - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  uint32_t bits;
  memcpy(&bits, &p, 4);
  bits += (uint32_t)(int32_t)n << 23;
  float y;
  memcpy(&y, &bits, 4);
  return x < -87.0f ? 0 : y;
}

// width is the columns that are computed: the keys, up to a whole block.
INLINE int64_t width(const graft_rows* r) { return (r->n + GRAFT_BLOCK - 1) / GRAFT_BLOCK * GRAFT_BLOCK; }

// visible is how many keys a row sees.
INLINE int64_t visible(const graft_rows* r, int64_t row) {
  if (r->causal < 0) return r->n;
  const int64_t seen = r->causal + row;
  return seen < r->n ? seen : r->n;
}

// scores scales a row's products and adds the mask; it returns their maximum.
INLINE float scores(const graft_rows* r, int64_t row, int64_t seen, float* s) {
  float top = -INFINITY;
  const float scale = r->scale;
  if (r->mask) {
    const float* mask = r->mask + row * r->mask_stride;
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < seen; j++) {
      s[j] = s[j] * scale + mask[j];
      top = s[j] > top ? s[j] : top;
    }
    return top;
  }
#pragma omp simd reduction(max : top)
  for (int64_t j = 0; j < seen; j++) {
    s[j] = s[j] * scale;
    top = s[j] > top ? s[j] : top;
  }
  return top;
}

// bytes_of_row makes the bytes of columns from on, all 255 where nothing is dropped.
INLINE void bytes_of_row(const graft_rows* r, int64_t row, int64_t from, uint8_t bytes[GRAFT_BLOCK]) {
  if (r->drop.threshold == 0) {
    memset(bytes, 255, GRAFT_BLOCK);
    return;
  }
  random_block(r->drop.key, r->block + (uint64_t)((row * r->ld + from) / GRAFT_BLOCK), bytes);
}

VECTORIZED void graft_rows_forward(const graft_rows* r, float* s, float* lse, uint16_t* half) {
  const int threshold = r->drop.threshold;
  const int64_t columns = width(r);
  for (int64_t i = 0; i < r->rows; i++, s += r->ld) {
    const int64_t seen = visible(r, i);
    const float top = scores(r, i, seen, s);
    for (int64_t j = seen; j < columns; j++) s[j] = -INFINITY;
    const float base = top == -INFINITY ? 0 : top;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < columns; j++) {
      s[j] = exponential(s[j] - base);
      sum += s[j];
    }
    lse[i] = sum > 0 ? base + logf(sum) : INFINITY;
    const float factor = sum > 0 ? r->drop.scale / sum : sum;  // a NaN stays one
    uint16_t* h = half ? half + i * r->ld : 0;
    for (int64_t from = 0; from < columns; from += GRAFT_BLOCK) {
      uint8_t bytes[GRAFT_BLOCK];
      bytes_of_row(r, i, from, bytes);
      float* t = s + from;
      for (int j = 0; j < GRAFT_BLOCK; j++) {
        const float v = t[j] * factor;
        t[j] = bytes[j] >= threshold ? v : 0;
      }
      if (h)
        for (int j = 0; j < GRAFT_BLOCK; j++) h[from + j] = store_bfloat16(t[j]);
    }
  }
}

VECTORIZED void graft_rows_backward(const graft_rows* r, float* s, float* ds, const float* lse, uint16_t* half_s,
                                    uint16_t* half_ds) {
  const int threshold = r->drop.threshold;
  const float keep = r->drop.scale;
  const int64_t columns = width(r);
  uint8_t bytes[GRAFT_BLOCK];
  for (int64_t i = 0; i < r->rows; i++, s += r->ld, ds += r->ld) {
    const int64_t seen = visible(r, i);
    scores(r, i, seen, s);
    for (int64_t j = seen; j < columns; j++) s[j] = -INFINITY;
    // With w the weights, d the dropped ones and g their gradient, the gradient of the scores is d g - w sum(d g).
    float dot = 0;
    for (int64_t from = 0; from < columns; from += GRAFT_BLOCK) {
      bytes_of_row(r, i, from, bytes);
      float *t = s + from, *g = ds + from;
      float part = 0;
#pragma omp simd reduction(+ : part)
      for (int j = 0; j < GRAFT_BLOCK; j++) {
        const float w = exponential(t[j] - lse[i]), v = w * keep;
        const float d = bytes[j] >= threshold ? v : 0;
        t[j] = w;
        g[j] = d * g[j];
        part += g[j];
      }
      dot += part;
    }
    for (int64_t from = 0; from < columns; from += GRAFT_BLOCK) {
      bytes_of_row(r, i, from, bytes);
      float *t = s + from, *g = ds + from;
#pragma omp simd
      for (int j = 0; j < GRAFT_BLOCK; j++) {
        g[j] = g[j] - t[j] * dot;
        const float v = t[j] * keep;
        t[j] = bytes[j] >= threshold ? v : 0;
      }
      if (!half_s) continue;
      for (int j = 0; j < GRAFT_BLOCK; j++) half_s[i * r->ld + from + j] = store_bfloat16(t[j]);
      for (int j = 0; j < GRAFT_BLOCK; j++) half_ds[i * r->ld + from + j] = store_bfloat16(g[j]);
    }
  }
}
