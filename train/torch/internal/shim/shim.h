//go:build !lite

// The C side of this package: what gotch's libtch lacks. A handle is an at::Tensor*, as in libtch. Functions that can fail
// return a message that the caller frees, or null.
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Operations. *out receives a new handle; optional tensors may be null.
char* graft_gelu(void** out, void* x, int tanh);
char* graft_clone(void** out, void* x);
char* graft_rms_norm(void** out, void* x, int dims, void* weight, double eps);
char* graft_normalize(void** out, void* x, int64_t dim, double eps);

// Linear, x·wᵀ + bias, in the precision that the next function sets: "highest" or "high", as torch.set_float32_matmul_precision.
char* graft_linear(void** out, void* x, void* w, void* bias);
char* graft_set_float32_matmul_precision(const char* name);

// Dropout with probability p, rounded to 256ths, and the mask of (seed, offset). With by_row each row of the last dimension
// has its bytes from a block on, as attention's weights have.
char* graft_dropout(void** out, void* x, double p, uint64_t seed, uint64_t offset, int by_row);
char* graft_attention(void** out, void* q, void* k, void* v, void* mask, int causal, double scale, double p, uint64_t seed,
                      uint64_t offset);

// Autograd.
char* graft_backward(void* y, void* grad);
int graft_set_grad(int on);
char* graft_recompute(uintptr_t closure, void** in, int inputs, void** out, int max_outputs, int* outputs);

// Autocast: begin returns the state to hand to end.
typedef struct { int device; int enabled; int dtype; int cache; } graft_autocast;
graft_autocast graft_autocast_begin(int device, int dtype, int on);
void graft_autocast_end(graft_autocast before);
int graft_autocast_dtype(int device); // 0: off

// Gradients and optimizer; a parameter without gradient is left out.
char* graft_adamw(void** params, void** exp_avgs, void** exp_avg_sqs, void** steps, int n, double lr, double beta1,
                  double beta2, double decay, double eps);
char* graft_grad_norm(void** params, int n, double max, double* norm);
char* graft_scale_grads(void** params, int n, double factor);
char* graft_grads_finite(void** params, int n, int* finite);
void graft_zero_grads(void** params, int n);

// The process.
char* graft_seed(int64_t seed);
void graft_set_threads(int n);
int graft_threads(void);
char* graft_dlopen(const char* path);
int graft_cuda_devices(void);
char* graft_memory(int device, int64_t* allocated, int64_t* peak, int64_t* reserved);
char* graft_reset_peak(int device);
int graft_own_heap(void); // 0: not granted
void graft_heap(int64_t* in_use, int64_t* reach);

#ifdef __cplusplus
}
#endif
