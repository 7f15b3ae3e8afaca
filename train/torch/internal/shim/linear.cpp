//go:build !lite

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <algorithm>
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

// matrix is t [rows, columns] where it lies, or in a contiguous copy that kept holds. A gradient may be expanded, all its rows one.
graft_matrix matrix(const Tensor& t, Tensor& kept) {
  const bool transposed = t.stride(0) == 1 && t.stride(1) >= t.size(0);
  kept = transposed || t.stride(1) == 1 && t.stride(0) >= t.size(1) ? t : t.contiguous();
  return {kept.const_data_ptr(), kept.stride(transposed), transposed, kept.scalar_type() == at::kBFloat16};
}

// product is a·b + bias in a type, for a [m, k], b [k, n] and bias [n] or undefined.
Tensor product(bool halves, const Tensor& a, const Tensor& b, const Tensor& bias, at::ScalarType type) {
  const bool in_parts = a.size(1) > GRAFT_MATMUL_DEPTH && type == at::kBFloat16;
  Tensor out = at::empty({a.size(0), b.size(1)}, a.options().dtype(in_parts ? at::kFloat : type)), kept_a, kept_b, kept_bias;
  if (bias.defined()) kept_bias = bias.to(at::kFloat).contiguous();
  const graft_product p = {halves,
                           a.size(0),
                           b.size(1),
                           a.size(1),
                           matrix(a, kept_a),
                           matrix(b, kept_b),
                           bias.defined() ? kept_bias.const_data_ptr<float>() : nullptr,
                           out.mutable_data_ptr(),
                           out.scalar_type() == at::kBFloat16};
  at::parallel_for(0, p.m, 256, [&](int64_t first, int64_t last) { graft_matmul_rows(&p, first, last, scratch()); });
  return out.to(type);
}

Tensor rows_of(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

// Linear is torch's linear with products by graft_matmul_rows: in halves, of float32, or rounded, as in autocast to bfloat16.
struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& w, const std::optional<Tensor>& bias, bool halves) {
    ctx->save_for_backward({x, w});
    ctx->saved_data["halves"] = halves;
    if (bias) ctx->saved_data["bias"] = bias->scalar_type();
    auto sizes = x.sizes().vec();
    sizes.back() = w.size(0);
    return product(halves, rows_of(x), w.t(), bias.value_or(Tensor()), halves ? at::kFloat : at::kBFloat16).view(sizes);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor g = rows_of(grads[0]), &x = saved[0], &w = saved[1];
    const bool halves = ctx->saved_data["halves"].toBool();
    const auto bias = ctx->saved_data.find("bias");
    variable_list out(4);
    if (ctx->needs_input_grad(0)) out[0] = product(halves, g, w, Tensor(), x.scalar_type()).view(x.sizes());
    if (ctx->needs_input_grad(1)) out[1] = product(halves, g.t(), rows_of(x), Tensor(), w.scalar_type());
    if (bias != ctx->saved_data.end() && ctx->needs_input_grad(2)) out[2] = g.sum(0, false, bias->second.toScalarType());
    return out;
  }
};

// least_side is how many rows, columns and features a product of float32 has at least to be computed in halves, 0 for never.
// Below 32 a product fills no tile; below 128 it gains little.
std::atomic<int64_t> least_side = 0;

const std::map<std::string, int64_t> precisions = {{"highest", 0}, {"high", 32}, {"auto", 128}};

// takes says whether all operands lie on the CPU in one of the types and a product has so many rows, columns and features.
bool takes(const Tensor& x, const Tensor& w, const Tensor& bias, int64_t least, std::initializer_list<at::ScalarType> types) {
  const auto is_one = [&](const Tensor& t) { return t.is_cpu() && std::find(types.begin(), types.end(), t.scalar_type()) != types.end(); };
  return is_one(x) && is_one(w) && (!bias.defined() || is_one(bias) && bias.dim() == 1) && w.dim() == 2 && x.dim() >= 1 &&
         x.size(-1) == w.size(1) && w.size(0) >= least && w.size(1) >= least && x.numel() >= least * w.size(1);
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) {
  const std::optional<Tensor> given = bias.defined() ? std::optional<Tensor>(bias) : std::nullopt;
  static const bool available = graft_matmul_available();
  if (available && at::autocast::is_autocast_enabled(at::kCPU)) {
    if (at::autocast::get_autocast_dtype(at::kCPU) == at::kBFloat16 && takes(x, w, bias, 128, {at::kFloat, at::kBFloat16}))
      return Linear::apply(x, w, given, false);
  } else if (const int64_t least = least_side; available && least > 0 && takes(x, w, bias, least, {at::kFloat})) {
    return Linear::apply(x, w, given, true);
  }
  return at::linear(x, w, given);
}

}  // namespace

char* graft_linear(void** out, void* x, void* w, void* bias) {
  return guarded([&] { *out = new Tensor(linear(ref(x), ref(w), opt(bias))); });
}

char* graft_set_float32_matmul_precision(const char* name) {
  return guarded([&] {
    const auto chosen = precisions.find(name);
    TORCH_CHECK(chosen != precisions.end(), "\"", name, "\" is no precision");
    at::globalContext().setFloat32MatmulPrecision(chosen->first == "high" ? "high" : "highest");
    least_side = chosen->second;
  });
}
