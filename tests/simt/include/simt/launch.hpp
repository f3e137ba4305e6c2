#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "simt/api.hpp"

/// Launching kernels, and the API functions that take one as a template argument.

namespace simt::detail {

/// Checks the launch and puts it on its stream with a copy of the arguments. `call` runs one
/// thread: it gets the address of that copy.
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   void (*call)(const void* arguments), const void* arguments, std::size_t bytes,
                   std::size_t alignment);
cudaError_t copy_to_symbol(void* symbol, std::size_t symbol_bytes, const void* from,
                           std::size_t bytes, std::size_t offset, cudaMemcpyKind kind,
                           cudaStream_t stream);

inline constexpr std::size_t kLargestParameters = 4096;  // what every CUDA device takes

}  // namespace simt::detail

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<std::remove_cv_t<Parameters>> && ...),
                "a kernel's parameters are copied as bytes");
  static_assert((std::size_t{0} + ... + sizeof(Parameters)) <= simt::detail::kLargestParameters);
  using Call = std::tuple<void (*)(Parameters...), std::remove_cv_t<Parameters>...>;
  const Call call(kernel, std::forward<Arguments>(arguments)...);
  return simt::detail::launch(
      *config, reinterpret_cast<const void*>(kernel),
      [](const void* copy) {
        std::apply([](auto function, const auto&... values) { function(values...); },
                   *static_cast<const Call*>(copy));
      },
      &call, sizeof(Call), alignof(Call));
}

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute,
                                 int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <class... Parameters>
cudaError_t cudaFuncSetCacheConfig(void (*kernel)(Parameters...), cudaFuncCache config) {
  return cudaFuncSetCacheConfig(reinterpret_cast<const void*>(kernel), config);
}
template <class... Parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*kernel)(Parameters...)) {
  return cudaFuncGetAttributes(attributes, reinterpret_cast<const void*>(kernel));
}
template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks,
                                                          void (*kernel)(Parameters...),
                                                          int block_threads,
                                                          std::size_t dynamic_shared_bytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      blocks, reinterpret_cast<const void*>(kernel), block_threads, dynamic_shared_bytes);
}

template <class T>
cudaError_t cudaMemcpyToSymbolAsync(T& symbol, const void* from, std::size_t bytes,
                                    std::size_t offset = 0,
                                    cudaMemcpyKind kind = cudaMemcpyHostToDevice,
                                    cudaStream_t stream = nullptr) {
  return simt::detail::copy_to_symbol(&symbol, sizeof(T), from, bytes, offset, kind, stream);
}
template <class T>
cudaError_t cudaMemcpyToSymbol(T& symbol, const void* from, std::size_t bytes,
                               std::size_t offset = 0,
                               cudaMemcpyKind kind = cudaMemcpyHostToDevice) {
  return simt::detail::copy_to_symbol(&symbol, sizeof(T), from, bytes, offset, kind, nullptr);
}
