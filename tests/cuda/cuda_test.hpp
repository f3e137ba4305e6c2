#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/runtime.hpp"

/// What tests of CUDA steps share. The same test sources run on the CPU stand-in and on a GPU.
namespace culatent {

/// A device for each test; skipped, and counted as such, where there is none.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::vector<Device> found = cuda_devices();
    if (found.empty() || !found.front().available) GTEST_SKIP() << "no CUDA device";
    device_.emplace(0, nullptr, 0);
  }

  CudaBackend backend() { return {*device_, threads_, 1}; }

  template <class T>
  DeviceArray<T> to_device(const std::vector<T>& values) {
    DeviceArray<T> array(*device_, static_cast<std::int64_t>(values.size()), "test");
    array.upload(values.data(), array.size());
    device_->synchronize();  // other streams may read it
    return array;
  }
  template <class T>
  std::vector<T> to_host(const DeviceArray<T>& array) {
    std::vector<T> values(static_cast<std::size_t>(array.size()));
    array.download(values.data(), array.size());
    return values;
  }
  /// An output that is NaN (all bits set for integers) until something is written.
  template <class T>
  DeviceArray<T> blank(std::int64_t size) {
    T value{};
    if constexpr (std::numeric_limits<T>::has_quiet_NaN) {
      value = std::numeric_limits<T>::quiet_NaN();
    } else {
      value = static_cast<T>(-1);
    }
    return to_device(std::vector<T>(static_cast<std::size_t>(size), value));
  }

 private:
  ThreadPool threads_{1};
  std::optional<CudaDevice> device_;
};

}  // namespace culatent
