#pragma once

#include <cstdint>
#include <utility>

#include "culatent/tsne.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent::tsne {

/// Whole descents on a device.
class TsneFitOnDevice : public CudaTest {
 protected:
  static Context cuda(Observer observer = {}, std::int64_t memory_limit = 0) {
    return Context({.n_threads = 2,
                    .memory_limit = memory_limit,
                    .observer = std::move(observer),
                    .device = "cuda"});
  }
  static Options quick(int n_dimensions = 2) {
    Options options;
    options.n_dimensions = n_dimensions;
    options.perplexity = {8.0};
    options.affinities = Affinities::sparse;
    options.exaggeration_iter = 60;
    options.max_iter = 150;
    options.seed = 1;
    return options;
  }
};

}  // namespace culatent::tsne
