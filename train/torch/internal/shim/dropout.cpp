//go:build !lite

#include "dropout.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "guarded.h"
#include "shim.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// MKL's matrix products, which libtorch_cpu exports where it was built with MKL.
extern "C" {
__attribute__((weak)) void sgemm_(const char* ta, const char* tb, const int* m, const int* n, const int* k, const float* alpha,
                                  const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c,
                                  const int* ldc);
__attribute__((weak)) void cblas_gemm_bf16bf16f32(int layout, int ta, int tb, int m, int n, int k, float alpha, const uint16_t* a,
                                                  int lda, const uint16_t* b, int ldb, float beta, float* c, int ldc);
}

namespace {

int64_t blocks(int64_t n) { return (n + GRAFT_BLOCK - 1) / GRAFT_BLOCK; }

// ---- dropout of elements

// drop runs a kernel over rows of n contiguous elements; each row's bytes start at a block of their own.
template <class T, class Kernel>
void drop_rows(Kernel kernel, const graft_drop& d, const T* x, T* y, int64_t rows, int64_t n) {
  const int64_t per_row = blocks(n), grain = 1024;  // blocks: 64 Ki elements
  at::parallel_for(0, rows * per_row, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin / per_row, first = begin % per_row, last = std::min(per_row, first + end - begin);
      const int64_t at = row * n + first * GRAFT_BLOCK;
      kernel(&d, begin, x + at, y + at, std::min(n, last * GRAFT_BLOCK) - first * GRAFT_BLOCK);
      begin += last - first;
    }
  });
}

Tensor drop(const Tensor& given, const graft_drop& d, bool by_row) {
  const Tensor x = given.contiguous();
  if (x.numel() == 0) return x;
  const int64_t n = by_row ? x.size(-1) : x.numel(), rows = x.numel() / n;
  TORCH_CHECK(rows * blocks(n) <= int64_t(1) << 28, "dropout of more than 2^34 elements");
  if (x.scalar_type() == at::kFloat) {
    Tensor y = at::empty_like(x);
    drop_rows(graft_drop_float, d, x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), rows, n);
    return y;
  }
  if (x.scalar_type() == at::kBFloat16) {
    Tensor y = at::empty_like(x);
    drop_rows(graft_drop_bfloat16, d, static_cast<const uint16_t*>(x.const_data_ptr()),
              static_cast<uint16_t*>(y.mutable_data_ptr()), rows, n);
    return y;
  }
  return x * drop(at::ones_like(x, at::kFloat), d, by_row).to(x.scalar_type());
}

void save(AutogradContext* ctx, const graft_drop& d) {
  ctx->saved_data["key"] = (int64_t)d.key;
  ctx->saved_data["threshold"] = (int64_t)d.threshold;
}

graft_drop make_drop(int64_t key, int64_t threshold) {
  return {(uint64_t)key, (int)threshold, threshold < 256 ? 256.0f / (256 - threshold) : 0.0f};
}

graft_drop saved_drop(AutogradContext* ctx) {
  return make_drop(ctx->saved_data["key"].toInt(), ctx->saved_data["threshold"].toInt());
}

// Dropout keeps nothing for backward: it makes the mask again, which costs less than reading it.
struct Dropout : torch::autograd::Function<Dropout> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const graft_drop& d, bool by_row) {
    save(ctx, d);
    ctx->saved_data["by_row"] = by_row;
    return drop(x, d, by_row);
  }
  static variable_list backward(AutogradContext* ctx, variable_list g) {
    return {drop(g[0], saved_drop(ctx), ctx->saved_data["by_row"].toBool()), Tensor(), Tensor()};
  }
};

// ---- attention with dropped weights

// product is C = alpha op(A) op(B) + beta C for row-major matrices, op transposing where ta or tb say so.
void product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda, const float* b,
             int64_t ldb, float beta, float* c, int64_t ldc) {
  const int M = n, N = m, K = k, LA = ldb, LB = lda, LC = ldc;  // for sgemm all are transposed, and so change places
  sgemm_(tb ? "T" : "N", ta ? "T" : "N", &M, &N, &K, &alpha, b, &LA, a, &LB, &beta, c, &LC);
}

void product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const uint16_t* a, int64_t lda, const uint16_t* b,
             int64_t ldb, float beta, float* c, int64_t ldc) {
  const int row_major = 101, plain = 111, transposed = 112;
  cblas_gemm_bf16bf16f32(row_major, ta ? transposed : plain, tb ? transposed : plain, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

// Heads are the matrices of a tensor [batch, heads, rows, columns] whose columns are contiguous; T is float, or uint16_t for
// bfloat16.
template <class T>
struct Heads {
  T* data;
  int64_t heads, batch_stride, head_stride, ld;
  explicit Heads(const Tensor& t)
      : data(static_cast<T*>(t.data_ptr())), heads(t.size(1)), batch_stride(t.stride(0)), head_stride(t.stride(1)),
        ld(std::max(t.stride(2), t.size(3))) {}
  T* at(int64_t head, int64_t row = 0) const {
    return data + head / heads * batch_stride + head % heads * head_stride + row * ld;
  }
};

// Problem is one attention: its sizes, how the query rows are cut into tiles whose scores stay in cache, and what happens
// between the products.
struct Problem {
  int64_t batch, heads, lq, lk, d, dv, ld, tile, tiles;
  graft_drop drop;
  float scale;
  bool causal;
  Tensor mask;  // float32 [batch, heads, lq, lk] by strides, or undefined

  Problem(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& given, const graft_drop& drop, double scale, bool causal)
      : batch(q.size(0)), heads(q.size(1)), lq(q.size(2)), lk(k.size(2)), d(q.size(3)), dv(v.size(3)),
        ld(blocks(lk) * GRAFT_BLOCK), tile(std::min(lq, std::max<int64_t>(16, (causal ? int64_t(1) << 14 : int64_t(1) << 16) / ld))),
        tiles((lq + tile - 1) / tile), drop(drop), scale((float)scale), causal(causal) {
    if (!given.defined()) return;
    mask = given.expand({batch, heads, lq, lk});
    if (mask.stride(3) != 1) mask = mask.contiguous();
  }

  // rows are those of a tile, and the keys that its last row sees; what lies behind them is not computed.
  graft_rows rows(int64_t head, int64_t first) const {
    const int64_t count = std::min(tile, lq - first), keys = causal ? std::min(lk, first + count) : lk;
    graft_rows r = {drop, 0, count, keys, ld, scale, nullptr, 0, causal ? first + 1 : -1};
    r.block = (uint64_t)((head * lq + first) * (ld / GRAFT_BLOCK));
    if (mask.defined()) {
      r.mask_stride = mask.stride(2);
      r.mask = mask.const_data_ptr<float>() + head / heads * mask.stride(0) + head % heads * mask.stride(1) + first * r.mask_stride;
    }
    return r;
  }
};

// Matrix is a thread's scratch; it starts as zeros, because columns that no product writes are read.
template <class T>
std::unique_ptr<T[]> matrix(int64_t rows, int64_t columns) {
  return std::unique_ptr<T[]>(new T[rows * columns]());
}

// pick is the matrix in the type of the products' operands: itself or the rounded copy.
template <class T>
const T* pick(const float* full, const uint16_t* half) {
  if constexpr (std::is_same_v<T, float>) return full;
  else return half;
}

// put stores a result of n columns where it belongs.
template <class T>
void put(const float* from, int64_t rows, int64_t n, T* to, int64_t ld) {
  for (int64_t i = 0; i < rows; i++) {
    if constexpr (std::is_same_v<T, float>) std::copy(from + i * n, from + (i + 1) * n, to + i * ld);
    else graft_to_bfloat16(from + i * n, to + i * ld, n);
  }
}

template <class T>
void attend(const Problem& p, const Tensor& tq, const Tensor& tk, const Tensor& tv, const Tensor& out, float* lse) {
  const Heads<T> q(tq), k(tk), v(tv), o(out);
  const bool rounds = !std::is_same_v<T, float>;
  at::parallel_for(0, p.batch * p.heads * p.tiles, 1, [&](int64_t begin, int64_t end) {
    auto w = matrix<float>(p.tile, p.ld), y = matrix<float>(p.tile, p.dv);
    auto half = matrix<uint16_t>(rounds ? p.tile : 0, p.ld);
    for (int64_t task = begin; task < end; task++) {
      const int64_t head = task / p.tiles, first = task % p.tiles * p.tile;
      const graft_rows r = p.rows(head, first);
      product(false, true, r.rows, r.n, p.d, 1, q.at(head, first), q.ld, k.at(head), k.ld, 0, w.get(), p.ld);
      graft_rows_forward(&r, w.get(), lse + head * p.lq + first, rounds ? half.get() : nullptr);
      product(false, false, r.rows, p.dv, r.n, 1, pick<T>(w.get(), half.get()), p.ld, v.at(head), v.ld, 0, y.get(), p.dv);
      put(y.get(), r.rows, p.dv, o.at(head, first), o.ld);
    }
  });
}

// Gradients of one attention, all [batch, heads, rows, columns]; mask [batch, heads, lq, lk] or undefined.
struct Gradients { Tensor q, k, v, mask; };

template <class T>
void attend_backward(const Problem& p, const Tensor& tq, const Tensor& tk, const Tensor& tv, const float* lse, const Tensor& tg,
                     const Gradients& out) {
  const Heads<T> q(tq), k(tk), v(tv), g(tg), dq(out.q), dk(out.k), dv(out.v);
  const bool rounds = !std::is_same_v<T, float>;
  at::parallel_for(0, p.batch * p.heads, 1, [&](int64_t begin, int64_t end) {
    auto w = matrix<float>(p.tile, p.ld), dw = matrix<float>(p.tile, p.ld), yq = matrix<float>(p.tile, p.d);
    auto yk = matrix<float>(p.lk, p.d), yv = matrix<float>(p.lk, p.dv);
    auto half_w = matrix<uint16_t>(rounds ? p.tile : 0, p.ld), half_dw = matrix<uint16_t>(rounds ? p.tile : 0, p.ld);
    for (int64_t head = begin; head < end; head++) {
      for (int64_t tile = p.tiles; tile-- > 0;) {  // the last first, which sees the most keys
        const int64_t first = tile * p.tile;
        const graft_rows r = p.rows(head, first);
        const float add = tile + 1 < p.tiles;
        product(false, true, r.rows, r.n, p.d, 1, q.at(head, first), q.ld, k.at(head), k.ld, 0, w.get(), p.ld);
        product(false, true, r.rows, r.n, p.dv, 1, g.at(head, first), g.ld, v.at(head), v.ld, 0, dw.get(), p.ld);
        graft_rows_backward(&r, w.get(), dw.get(), lse + head * p.lq + first, rounds ? half_w.get() : nullptr, half_dw.get());
        const T *sw = pick<T>(w.get(), half_w.get()), *sdw = pick<T>(dw.get(), half_dw.get());
        product(true, false, r.n, p.dv, r.rows, 1, sw, p.ld, g.at(head, first), g.ld, add, yv.get(), p.dv);
        product(false, false, r.rows, p.d, r.n, p.scale, sdw, p.ld, k.at(head), k.ld, 0, yq.get(), p.d);
        product(true, false, r.n, p.d, r.rows, p.scale, sdw, p.ld, q.at(head, first), q.ld, add, yk.get(), p.d);
        put(yq.get(), r.rows, p.d, dq.at(head, first), dq.ld);
        for (int64_t i = 0; out.mask.defined() && i < r.rows; i++)
          std::copy_n(dw.get() + i * p.ld, r.n, out.mask.mutable_data_ptr<float>() + (head * p.lq + first + i) * p.lk);
      }
      put(yk.get(), p.lk, p.d, dk.at(head), dk.ld);
      put(yv.get(), p.lk, p.dv, dv.at(head), dv.ld);
    }
  });
}

// with_contiguous_columns is t, or a copy where columns are apart or rows lie on one another, as in an expanded gradient.
Tensor with_contiguous_columns(const Tensor& t) {
  return t.stride(-1) == 1 && (t.stride(-2) >= t.size(-1) || t.size(-2) == 1) ? t : t.contiguous();
}

// by_position makes a tensor [batch, heads, rows, columns] that lies in memory as [batch, rows, heads, columns]: joining the
// heads then costs nothing.
Tensor by_position(const Tensor& like, int64_t columns) {
  return at::empty({like.size(0), like.size(2), like.size(1), columns}, like.options()).transpose(1, 2);
}

// Attention computes a tile of scores at a time. For backward it keeps, beside its inputs, one number a row, and computes the
// scores and the mask again ("FlashAttention", Dao et al., 2022).
struct Attention : torch::autograd::Function<Attention> {
  static Tensor forward(AutogradContext* ctx, const Tensor& q0, const Tensor& k0, const Tensor& v0,
                        const std::optional<Tensor>& given, const graft_drop& d, double scale, bool causal) {
    const Tensor mask = given.value_or(Tensor());
    const Tensor q = with_contiguous_columns(q0), k = with_contiguous_columns(k0), v = with_contiguous_columns(v0);
    const Problem p(q, k, v, mask, d, scale, causal);
    Tensor out = by_position(q, p.dv), lse = at::empty({p.batch, p.heads, p.lq}, q.options().dtype(at::kFloat));
    const auto run = q.scalar_type() == at::kFloat ? attend<float> : attend<uint16_t>;
    run(p, q, k, v, out, lse.mutable_data_ptr<float>());
    ctx->save_for_backward({q, k, v, mask, lse});
    save(ctx, d);
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["causal"] = causal;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &mask = saved[3], &lse = saved[4];
    const Problem p(q, k, v, mask, saved_drop(ctx), ctx->saved_data["scale"].toDouble(), ctx->saved_data["causal"].toBool());
    Gradients out = {by_position(q, p.d), by_position(k, p.d), by_position(v, p.dv), Tensor()};
    if (mask.defined() && ctx->needs_input_grad(3)) out.mask = at::zeros({p.batch, p.heads, p.lq, p.lk}, lse.options());
    const Tensor g = with_contiguous_columns(grads[0].to(q.scalar_type()));
    const auto run = q.scalar_type() == at::kFloat ? attend_backward<float> : attend_backward<uint16_t>;
    run(p, q, k, v, lse.const_data_ptr<float>(), g, out);
    if (out.mask.defined()) out.mask = at::sum_to(out.mask, mask.sizes());
    return {out.q, out.k, out.v, out.mask, Tensor(), Tensor(), Tensor()};
  }
};

// composed is the same attention made of torch's operations, for element types and sizes that Attention has no loops for.
Tensor composed(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, const graft_drop& d, double scale, bool causal) {
  Tensor scores = at::matmul(q, k.transpose(-2, -1)) * scale;
  if (mask.defined()) scores = scores + mask.to(scores.scalar_type());
  if (causal) {
    const Tensor later = at::ones({q.size(-2), k.size(-2)}, q.options().dtype(at::kBool)).triu(1);
    scores = scores.masked_fill(later, -std::numeric_limits<double>::infinity());
  }
  Tensor w = at::_safe_softmax(scores, -1);
  if (d.threshold > 0) w = Dropout::apply(w, d, true);
  return at::matmul(w, v);
}

// Attention's loops are for float32 and bfloat16, four dimensions, equal batches and heads, and need MKL.
bool has_loops(const Tensor& q, const Tensor& k, const Tensor& v) {
  const auto type = q.scalar_type();
  if (!(type == at::kFloat ? sgemm_ != nullptr : type == at::kBFloat16 && cblas_gemm_bf16bf16f32 != nullptr)) return false;
  return k.scalar_type() == type && v.scalar_type() == type && q.dim() == 4 && k.dim() == 4 && v.dim() == 4 && q.numel() > 0 &&
         k.numel() > 0 && v.numel() > 0 && q.size(0) == k.size(0) && q.size(0) == v.size(0) && q.size(1) == k.size(1) &&
         q.size(1) == v.size(1) && k.size(2) == v.size(2) && q.size(3) == k.size(3);
}

// torch_is_faster says that torch's own attention does without dropout what Attention does, and faster: its backward is not,
// for bfloat16 or for a mask with a gradient.
bool torch_is_faster(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, const graft_drop& d) {
  if (d.threshold > 0) return false;
  const bool masks = mask.defined() && mask.requires_grad();
  if (!at::GradMode::is_enabled() || !(q.requires_grad() || k.requires_grad() || v.requires_grad() || masks)) return true;
  return q.scalar_type() != at::kBFloat16 && !masks;
}

std::optional<Tensor> optional(const Tensor& t) { return t.defined() ? std::optional<Tensor>(t) : std::nullopt; }

Tensor torch_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, double p, double scale, bool causal) {
  return at::scaled_dot_product_attention(q, k, v, optional(mask), p, causal, scale);
}

// additive turns a mask of bool (true: attend) into one that is added.
Tensor additive(const Tensor& mask) {
  if (!mask.defined() || mask.scalar_type() != at::kBool) return mask.defined() ? mask.to(at::kFloat) : mask;
  return at::zeros_like(mask, at::kFloat).masked_fill_(mask.logical_not(), -std::numeric_limits<float>::infinity());
}

// seed_device makes torch's own random numbers on a device those of a key.
void seed_device(const Tensor& x, uint64_t key) {
  auto generator = at::globalContext().defaultGenerator(x.device());
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(key);
}

graft_drop drop_of(double p, uint64_t seed, uint64_t offset) {
  TORCH_CHECK(p >= 0 && p <= 1, "probability ", p, " is not between 0 and 1");
  return make_drop((int64_t)graft_drop_key(seed, offset), std::llround(p * 256));
}

}  // namespace

char* graft_dropout(void** out, void* x, double p, uint64_t seed, uint64_t offset, int by_row) {
  return guarded([&] {
    const graft_drop d = drop_of(p, seed, offset);
    if (ref(x).is_cpu()) {
      *out = new Tensor(Dropout::apply(ref(x), d, by_row != 0));
      return;
    }
    seed_device(ref(x), d.key);
    *out = new Tensor(at::dropout(ref(x), d.threshold / 256.0, /*train=*/true));
  });
}

char* graft_attention(void** out, void* q, void* k, void* v, void* mask, int causal, double scale, double p, uint64_t seed,
                      uint64_t offset) {
  return guarded([&] {
    const graft_drop d = drop_of(p, seed, offset);
    Tensor tq = ref(q), tk = ref(k), tv = ref(v), m = opt(mask);
    if (!tq.is_cpu()) {
      if (d.threshold > 0) seed_device(tq, d.key);
      *out = new Tensor(torch_attention(tq, tk, tv, m, d.threshold / 256.0, scale, causal != 0));
      return;
    }
    if (at::autocast::is_autocast_enabled(at::kCPU)) {
      const auto type = at::autocast::get_autocast_dtype(at::kCPU);
      tq = tq.to(type), tk = tk.to(type), tv = tv.to(type);
    }
    if (torch_is_faster(tq, tk, tv, m, d)) {
      *out = new Tensor(torch_attention(tq, tk, tv, m, 0, scale, causal != 0));
      return;
    }
    m = additive(m);
    *out = new Tensor(has_loops(tq, tk, tv) ? Attention::apply(tq, tk, tv, optional(m), d, scale, causal != 0)
                                            : composed(tq, tk, tv, m, d, scale, causal != 0));
  });
}
