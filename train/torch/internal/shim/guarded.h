//go:build !lite

#pragma once
#include <torch/torch.h>

#include <cstring>

// guarded runs f and turns an exception into a message that the caller frees, null where there is none. c10::Error's text
// ends with a backtrace, which the Go side cuts off.
template <class F>
char* guarded(F f) {
  try {
    f();
    return nullptr;
  } catch (const std::exception& e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

// ref is the tensor behind a handle, opt the same or an undefined one where there is no handle.
inline const at::Tensor& ref(void* t) { return *static_cast<at::Tensor*>(t); }
inline at::Tensor opt(void* t) { return t ? ref(t) : at::Tensor(); }
