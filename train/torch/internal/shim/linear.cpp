//go:build !lite

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <atomic>
#include <map>

#include "guarded.h"
#include "matmul.h"
#include "shim.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

struct Free {
  void operator()(void* p) const { free(p); }
};

// scratch is this thread's, made when it is first asked for.
void* scratch() {
  thread_local std::unique_ptr<void, Free> memory;
  if (!memory) memory.reset(aligned_alloc(64, (graft_matmul_scratch() + 63) / 64 * 64));
  TORCH_CHECK_WITH(OutOfMemoryError, memory, "no memory for a matrix product");
  return memory.get();
}

// matrix is t [rows, columns] where it lies, or in a contiguous copy that kept holds.
graft_matrix matrix(const Tensor& t, Tensor& kept) {
  kept = t.stride(1) == 1 || t.stride(0) == 1 ? t : t.contiguous();
  const bool transposed = kept.stride(1) != 1;
  return {kept.const_data_ptr<float>(), std::max(kept.stride(transposed), kept.size(!transposed)), transposed};
}

// product is a·b + bias, for a [m, k], b [k, n] and bias [n] or undefined.
Tensor product(const Tensor& a, const Tensor& b, const Tensor& bias) {
  Tensor out = at::empty({a.size(0), b.size(1)}, a.options()), kept_a, kept_b, kept_bias;
  if (bias.defined()) kept_bias = bias.contiguous();
  const graft_product p = {a.size(0),         b.size(1), a.size(1), matrix(a, kept_a), matrix(b, kept_b),
                           bias.defined() ? kept_bias.const_data_ptr<float>() : nullptr, out.mutable_data_ptr<float>()};
  at::parallel_for(0, p.m, 256, [&](int64_t first, int64_t last) { graft_matmul_rows(&p, first, last, scratch()); });
  return out;
}

Tensor rows_of(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

// Linear is torch's linear with products by graft_matmul_rows.
struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& w, const std::optional<Tensor>& bias) {
    ctx->save_for_backward({x, w});
    ctx->saved_data["bias"] = bias.has_value();
    auto sizes = x.sizes().vec();
    sizes.back() = w.size(0);
    return product(rows_of(x), w.t(), bias.value_or(Tensor())).view(sizes);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor g = rows_of(grads[0]), &x = saved[0], &w = saved[1];
    variable_list out(3);
    if (ctx->needs_input_grad(0)) out[0] = product(g, w, Tensor()).view(x.sizes());
    if (ctx->needs_input_grad(1)) out[1] = product(g.t(), rows_of(x), Tensor());
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) out[2] = g.sum(0);
    return out;
  }
};

// least_side is how many rows, columns and features a product has at least to be computed in halves, 0 for never. Below 32 a
// product fills no tile; below 128 it gains little.
std::atomic<int64_t> least_side = 0;

const std::map<std::string, int64_t> precisions = {{"highest", 0}, {"high", 32}, {"auto", 128}};

bool takes(const Tensor& x, const Tensor& w, const Tensor& bias) {
  const int64_t least = least_side;
  const auto is_float = [](const Tensor& t) { return t.is_cpu() && t.scalar_type() == at::kFloat; };
  return least > 0 && !at::autocast::is_autocast_enabled(at::kCPU) && is_float(x) && is_float(w) &&
         (!bias.defined() || is_float(bias) && bias.dim() == 1) && w.dim() == 2 && x.dim() >= 1 && x.size(-1) == w.size(1) &&
         w.size(0) >= least && w.size(1) >= least && x.numel() >= least * w.size(1);
}

}  // namespace

char* graft_linear(void** out, void* x, void* w, void* bias) {
  return guarded([&] {
    const Tensor b = opt(bias);
    const std::optional<Tensor> given = b.defined() ? std::optional<Tensor>(b) : std::nullopt;
    *out = new Tensor(takes(ref(x), ref(w), b) ? Linear::apply(ref(x), ref(w), given) : at::linear(ref(x), ref(w), given));
  });
}

char* graft_set_float32_matmul_precision(const char* name) {
  return guarded([&] {
    const auto chosen = precisions.find(name);
    TORCH_CHECK(chosen != precisions.end(), "\"", name, "\" is no precision");
    at::globalContext().setFloat32MatmulPrecision(chosen->first == "high" ? "high" : "highest");
    least_side = graft_matmul_available() ? chosen->second : 0;
  });
}
