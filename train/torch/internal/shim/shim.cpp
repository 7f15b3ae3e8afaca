//go:build !lite

#include "shim.h"

#include <ATen/autocast_mode.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/torch.h>

#include "guarded.h"

using at::Tensor;
using torch::autograd::variable_list;

static std::vector<Tensor> list(void** p, int n) {
  std::vector<Tensor> r;
  r.reserve(n);
  for (int i = 0; i < n; i++) r.push_back(ref(p[i]));
  return r;
}

// ---- operations

char* graft_gelu(void** out, void* x, int tanh) {
  return guarded([&] { *out = new Tensor(at::gelu(ref(x), tanh ? "tanh" : "none")); });
}

char* graft_clone(void** out, void* x) {
  return guarded([&] { *out = new Tensor(ref(x).clone()); });
}

char* graft_rms_norm(void** out, void* x, int dims, void* weight, double eps) {
  return guarded([&] {
    const auto sizes = ref(x).sizes();
    TORCH_CHECK(dims > 0 && dims <= (int)sizes.size(), "rms_norm over ", dims, " dimensions of ", sizes.size());
    std::optional<Tensor> w;
    if (weight) w = ref(weight);
    *out = new Tensor(at::rms_norm(ref(x), sizes.slice(sizes.size() - dims), w, eps));
  });
}

char* graft_normalize(void** out, void* x, int64_t dim, double eps) {
  return guarded([&] {
    auto norm = at::linalg_vector_norm(ref(x), 2, {dim}, /*keepdim=*/true).clamp_min(eps);
    *out = new Tensor(ref(x) / norm);
  });
}

// ---- autograd

char* graft_backward(void* y, void* grad) {
  return guarded([&] {
    variable_list grads;
    if (grad) grads.push_back(ref(grad));
    torch::autograd::backward({ref(y)}, grads);
  });
}

// A weight cast by autocast while gradients are off has no history; kept in autocast's cache it would be used with gradients
// on, and the weight would get none. So the cache is off while gradients are.
int graft_set_grad(int on) {
  int before = (at::GradMode::is_enabled() ? 1 : 0) | (at::autocast::is_autocast_cache_enabled() ? 2 : 0);
  at::GradMode::set_enabled((on & 1) != 0);
  at::autocast::set_autocast_cache_enabled((on & 2) != 0);
  return before;
}

struct GradGuard {
  int before;
  explicit GradGuard(int on) : before(graft_set_grad(on)) {}
  ~GradGuard() { graft_set_grad(before); }
};

struct AutocastGuard {
  graft_autocast before;
  AutocastGuard(int device, int dtype) : before(graft_autocast_begin(device, dtype, true)) {}
  ~AutocastGuard() { graft_autocast_end(before); }
};

// Go's half of recomputation: runs the closure on n inputs, whose handles it takes over, and returns the outputs' handles,
// or a message. release forgets the closure.
extern "C" char* graftRunSegment(uintptr_t closure, void** in, int inputs, void** out, int max_outputs, int* outputs);
extern "C" void graftReleaseSegment(uintptr_t closure);

static const int kMaxOutputs = 16;

static variable_list run_closure(uintptr_t closure, const variable_list& in) {
  std::vector<void*> handles;
  for (const auto& t : in) handles.push_back(new Tensor(t));
  void* out[kMaxOutputs];
  int n = 0;
  if (char* message = graftRunSegment(closure, handles.data(), (int)handles.size(), out, kMaxOutputs, &n)) {
    std::string text(message);
    free(message);
    throw std::runtime_error(text);
  }
  variable_list r = list(out, n);
  for (int i = 0; i < n; i++) delete static_cast<Tensor*>(out[i]);
  return r;
}

// Recompute is the autograd node of a segment that ran without a graph: its backward runs the segment again, with a graph,
// and goes back through it. Weights that the closure captured get their gradients in that inner backward.
struct Recompute : torch::autograd::Node {
  uintptr_t closure = 0;
  std::vector<torch::autograd::SavedVariable> saved;
  int autocast_device = -1, autocast_dtype = 0;

  ~Recompute() override { graftReleaseSegment(closure); }
  void release_variables() override { saved.clear(); }

  variable_list inner(const variable_list& in) {
    GradGuard grad(3);
    if (autocast_device < 0) return run_closure(closure, in);
    AutocastGuard autocast(autocast_device, autocast_dtype);
    return run_closure(closure, in);
  }

  variable_list apply(variable_list&& grads) override {
    TORCH_CHECK(saved.size() == num_outputs(), "backward through a recomputed segment a second time");
    variable_list in;
    for (size_t i = 0; i < saved.size(); i++) {
      auto x = saved[i].unpack();
      in.push_back(x.defined() ? x.detach().requires_grad_(task_should_compute_output(i)) : x);
    }
    variable_list out = inner(in), roots, seeds;
    TORCH_CHECK(out.size() == grads.size(), "the recomputed segment has ", out.size(), " outputs, had ", grads.size());
    for (size_t i = 0; i < out.size(); i++) {
      if (!grads[i].defined() || !out[i].requires_grad()) continue;
      roots.push_back(out[i]);
      seeds.push_back(grads[i]);
    }
    out.clear();
    if (!roots.empty()) torch::autograd::backward(roots, seeds);
    variable_list r;
    for (size_t i = 0; i < in.size(); i++) r.push_back(task_should_compute_output(i) ? in[i].grad() : Tensor());
    return r;
  }
};

char* graft_recompute(uintptr_t closure, void** in, int inputs, void** out, int max_outputs, int* outputs) {
  return guarded([&] {
    auto node = std::shared_ptr<Recompute>(new Recompute(), torch::autograd::deleteNode);
    node->closure = closure;
    variable_list x = list(in, inputs), y;
    for (auto device : {at::kCPU, at::kCUDA}) {
      if (!at::autocast::is_autocast_enabled(device)) continue;
      node->autocast_device = device == at::kCUDA;
      node->autocast_dtype = (int)at::autocast::get_autocast_dtype(device);
    }
    {
      GradGuard grad(0);
      y = run_closure(closure, x);
    }
    TORCH_CHECK((int)y.size() <= max_outputs, "a recomputed segment has at most ", max_outputs, " outputs");
    for (const auto& t : x) node->saved.emplace_back(t, /*is_output=*/false);
    node->set_next_edges(torch::autograd::collect_next_edges(x));
    for (size_t i = 0; i < y.size(); i++) {
      auto t = y[i].detach();
      if (at::GradMode::is_enabled()) torch::autograd::set_history(t, node);
      out[i] = new Tensor(t);
    }
    *outputs = (int)y.size();
  });
}

// ---- autocast

// The cache of cast weights is emptied at both ends: it does not tell one type from another.
graft_autocast graft_autocast_begin(int device, int dtype, int on) {
  auto d = device ? at::kCUDA : at::kCPU;
  graft_autocast before = {device, at::autocast::is_autocast_enabled(d), (int)at::autocast::get_autocast_dtype(d),
                           at::autocast::is_autocast_cache_enabled()};
  at::autocast::set_autocast_enabled(d, on != 0);
  at::autocast::set_autocast_dtype(d, (at::ScalarType)dtype);
  at::autocast::set_autocast_cache_enabled(true);
  at::autocast::clear_cache();
  return before;
}

int graft_autocast_dtype(int device) {
  auto d = device ? at::kCUDA : at::kCPU;
  return at::autocast::is_autocast_enabled(d) ? (int)at::autocast::get_autocast_dtype(d) : 0;
}

void graft_autocast_end(graft_autocast before) {
  auto d = before.device ? at::kCUDA : at::kCPU;
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(d, before.enabled);
  at::autocast::set_autocast_dtype(d, (at::ScalarType)before.dtype);
  at::autocast::set_autocast_cache_enabled(before.cache);
}

// ---- gradients and optimizer

static std::vector<Tensor> grads_of(void** params, int n) {
  std::vector<Tensor> r;
  for (int i = 0; i < n; i++)
    if (ref(params[i]).grad().defined()) r.push_back(ref(params[i]).grad());
  return r;
}

char* graft_adamw(void** params, void** exp_avgs, void** exp_avg_sqs, void** steps, int n, double lr, double beta1,
                  double beta2, double decay, double eps) {
  return guarded([&] {
    at::NoGradGuard off;
    std::vector<Tensor> p, g, m, v, s;
    for (int i = 0; i < n; i++) {
      const auto& grad = ref(params[i]).grad();
      if (!grad.defined()) continue;
      p.push_back(ref(params[i]));
      g.push_back(grad);
      m.push_back(ref(exp_avgs[i]));
      v.push_back(ref(exp_avg_sqs[i]));
      s.push_back(ref(steps[i]));
    }
    if (p.empty()) return;
    at::_foreach_add_(s, 1);
    at::_fused_adamw_(p, g, m, v, {}, s, lr, beta1, beta2, decay, eps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

char* graft_grad_norm(void** params, int n, double max, double* norm) {
  return guarded([&] {
    at::NoGradGuard off;
    *norm = 0;
    auto g = grads_of(params, n);
    if (g.empty()) return;
    auto total = at::linalg_vector_norm(at::stack(at::_foreach_norm(g)), 2);
    if (max > 0) at::_foreach_mul_(g, at::clamp_max(max / (total + 1e-6), 1.0));
    *norm = total.item<double>();
  });
}

char* graft_scale_grads(void** params, int n, double factor) {
  return guarded([&] {
    at::NoGradGuard off;
    auto g = grads_of(params, n);
    if (!g.empty()) at::_foreach_mul_(g, factor);
  });
}

// A sum of absolute values overflows only where float32 does, far above any gradient that can be used.
char* graft_grads_finite(void** params, int n, int* finite) {
  return guarded([&] {
    at::NoGradGuard off;
    auto g = grads_of(params, n);
    *finite = g.empty() || at::stack(at::_foreach_norm(g, 1)).isfinite().all().item<bool>();
  });
}

void graft_zero_grads(void** params, int n) {
  for (int i = 0; i < n; i++) static_cast<Tensor*>(params[i])->mutable_grad().reset();
}

// ---- the process

char* graft_seed(int64_t seed) {
  return guarded([&] { torch::manual_seed(seed); });
}

void graft_set_threads(int n) { at::set_num_threads(n); }
int graft_threads(void) { return at::get_num_threads(); }

char* graft_dlopen(const char* path) {
  return dlopen(path, RTLD_NOW | RTLD_GLOBAL) ? nullptr : strdup(dlerror());
}

int graft_cuda_devices(void) {
  try {
    return at::hasCUDA() ? (int)at::globalContext().getAcceleratorHooksInterface(at::kCUDA).deviceCount() : 0;
  } catch (...) {
    return 0;
  }
}

char* graft_memory(int device, int64_t* allocated, int64_t* peak, int64_t* reserved) {
  return guarded([&] {
    const auto stats = c10::getDeviceAllocator(at::kCUDA)->getDeviceStats((c10::DeviceIndex)device);
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *allocated = stats.allocated_bytes[all].current;
    *peak = stats.allocated_bytes[all].peak;
    *reserved = stats.reserved_bytes[all].current;
  });
}

char* graft_reset_peak(int device) {
  return guarded([&] { c10::getDeviceAllocator(at::kCUDA)->resetPeakStats((c10::DeviceIndex)device); });
}
