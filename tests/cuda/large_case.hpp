#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <vector>

#include "culatent/gaussian_mixture.hpp"
#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/pattern_rows.hpp"

/// Tests at sizes at which an index or a counter of 32 bits, or a count in float, is wrong. Every
/// body runs as Small as well, so that the stand-in proves it; Large needs a GPU with the memory.
namespace culatent {

namespace gm = gaussian_mixture;
using gm::Covariance;

struct Case {
  std::int64_t n_rows = 0;
  Covariance covariance = Covariance::diagonal;
  bool host = false;  // the rows come from the host
};
inline void PrintTo(const Case& c, std::ostream* out) {
  *out << c.n_rows << " rows, " << name(c.covariance) << (c.host ? ", from the host" : "");
}

inline constexpr std::int64_t kSmall = 3 * kBlockRows + 3;
inline constexpr double kSigma = 2.0;  // of every component before the first update
inline constexpr double kReach =
    640;  // no row of two groups is farther from the centre of the data

// Groups of PatternRows as a mixture of equal weights.
inline gm::Model model_of(const PatternRows& rows, std::int64_t n_components,
                          Covariance covariance) {
  gm::Model model;
  model.covariance = covariance;
  model.weights.assign(static_cast<std::size_t>(n_components),
                       1.0 / static_cast<double>(n_components));
  model.means = Matrix<double>(n_components, rows.d);
  const std::int64_t n_parts =
      covariance == Covariance::tied ? 1 : n_components;  // [K or 1] matrices or vectors
  for (std::int64_t k = 0; k < n_components; ++k) {
    std::fill_n(&model.means(k, 0), rows.d, static_cast<double>(rows.centre(k)));
  }
  for (std::int64_t k = 0; k < n_parts; ++k) {
    const bool matrix = covariance == Covariance::full || covariance == Covariance::tied;
    const std::int64_t size = covariance == Covariance::spherical ? 1
                              : matrix                            ? rows.d * rows.d
                                                                  : rows.d;
    for (std::int64_t i = 0; i < size; ++i) {
      const bool on_diagonal = !matrix || i % (rows.d + 1) == 0;
      model.covariances.push_back(on_diagonal ? kSigma * kSigma : 0.0);
    }
  }
  return model;
}

class LargeTest : public CudaTest, public testing::WithParamInterface<Case> {
 protected:
  // False, and the test is skipped, when the device has not so many bytes.
  bool has_memory(std::int64_t bytes) {
    const std::int64_t there = backend().device.free_bytes();
    const std::int64_t needed = bytes + bytes / 16 + (std::int64_t{1} << 28);
    if (there >= needed) return true;
    [&] {
      GTEST_SKIP() << "needs " << (needed >> 20) << " MiB of device memory, " << (there >> 20)
                   << " MiB are free";
    }();
    return false;
  }

  // Memory whose every byte is set, as no result is.
  template <class T>
  DeviceArray<T> unwritten(std::int64_t size) {
    CudaDevice& device = backend().device;
    DeviceArray<T> array(device, size, "results");
    std::int64_t done = std::min<std::int64_t>(size, 1 << 20);
    std::vector<T> first(static_cast<std::size_t>(done));
    std::memset(first.data(), 0xff, first.size() * sizeof(T));
    array.upload(first.data(), done);
    for (std::int64_t count = 0; done < size; done += count) {
      count = std::min(done, size - done);
      device.copy(array.data() + done, array.data(), count * static_cast<std::int64_t>(sizeof(T)));
    }
    device.synchronize();
    return array;
  }
};

}  // namespace culatent
