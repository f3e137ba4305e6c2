#include "kernels/affinities_step.hpp"
#include "kernels/cuda/affinities.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/reduce.cuh"

namespace culatent::affinities {
namespace {

using device::div_up;

constexpr int kThreads = 256;
constexpr int kRowsBlock = kThreads / 32;

// What a row's squares are over the least, in units; lane l has every 32nd from l. Read again each
// time: a row stays in L1, and two more instructions a value are few beside an exponential.
struct Excess {
  const double* squares;
  std::int64_t k;
  double least;
  double per_unit;
  int lane;

  // visit(neighbour, excess)
  template <class Visit>
  __device__ __forceinline__ void for_each(Visit&& visit) const {
#pragma unroll 2
    for (std::int64_t j = lane; j < k; j += 32) visit(j, (squares[j] - least) * per_unit);
  }
};

// ---- conditional --------------------------------------------------------------------------------
//
//   p_j|i = exp(−β_i x_j) / sum,   β_i such that the entropy is log perplexity
//
// A warp has a row. Each of some 8 steps of the search takes, a lane, k / 32 exponentials in double
// with three sums (60 instructions each, 26 of them of double), and 15 exchanges of doubles, a
// logarithm, an exponential and four quotients (300, 130 of them of double). k = 90: 500 warp
// instructions a step. A multiprocessor issues four a clock, and two of double: 60,000 rows take
// an H200 0.26 ms, 1M rows 4.4 ms.
//   bytes: 8 N k read, 4 N k written: 0.015 ms of 60,000 x 90; so instructions bind it.

// Weights at a β, and their sum.
struct Weighed {
  double beta = 0.0;
  double sum = 1.0;
  bool reached = true;
};

__device__ __forceinline__ Weighed search_bandwidth(const Excess& row, double entropy) {
  BandwidthSearch search;
  Weighed found;
  for (int step = 0; step < kMaxSearchSteps; ++step) {
    found.beta = exp(search.log_beta);
    double sum = 0.0, first = 0.0, second = 0.0;
    row.for_each([&](std::int64_t, double excess) {
      const double y = found.beta * excess;
      const double weight = exp(-y);
      const double product = weight * y;  // 0 where y² may be infinite
      sum += weight;
      first += product;
      second += product * y;
    });
    found.sum = device::warp_sum(sum);
    const WeightMoments moments =
        moments_of(found.sum, device::warp_sum(first), device::warp_sum(second));
    if (!take_search_step(search, moments, entropy)) break;
  }
  found.reached = search.reached;
  return found;
}

// Of a row of k values, n_least of which are 0.
__device__ __forceinline__ Weighed weigh(const Excess& row, std::int64_t k, int n_least,
                                         double entropy) {
  const double most_even = log(static_cast<double>(n_least));
  if (n_least < k && most_even < entropy) return search_bandwidth(row, entropy);
  return {exact_sum::kInfinity, static_cast<double>(n_least),
          fabs(most_even - entropy) <= kEntropyTolerance};
}

__global__ void __launch_bounds__(kThreads)
    conditional_kernel(DeviceSquares squares, DeviceBandwidth bandwidth, float* conditional,
                       double* beta, RowCounts* counts) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t i = std::int64_t{blockIdx.x} * kRowsBlock + static_cast<int>(threadIdx.x) / 32;
  if (i >= squares.n_rows) return;
  const std::int64_t k = squares.n_neighbors;
  Excess row = {squares.data + i * k, k, squares.data[i * k], 1.0, lane};
  if (lane == 0 && squares.data[i * k + k - 1] == 0.0) atomicAdd(&counts->n_equal, 1ull);
  float* const out = conditional + i * k;
  if (bandwidth.n_scales == 0) {
    double sum = 0.0;
    row.for_each([&](std::int64_t, double x) { sum += weight_of(x, bandwidth.beta); });
    const double factor = 1.0 / device::warp_sum(sum);
    row.for_each([&](std::int64_t j, double x) {
      out[j] = static_cast<float>(weight_of(x, bandwidth.beta) * factor);
    });
    return;
  }
  double total = 0.0;
  int n_least = 0;
  row.for_each([&](std::int64_t, double x) {
    total += x;
    n_least += x == 0.0 ? 1 : 0;
  });
  total = device::warp_sum(total);
  n_least = device::warp_sum(n_least);
  if (n_least < k) row.per_unit = static_cast<double>(k) / total;
  bool reached = true;
  for (int scale = 0; scale < bandwidth.n_scales; ++scale) {
    const Weighed found = weigh(row, k, n_least, bandwidth.entropies[scale]);
    reached = reached && found.reached;
    const double factor = 1.0 / (found.sum * static_cast<double>(bandwidth.n_scales));
    row.for_each([&](std::int64_t j, double x) {
      const auto share = static_cast<float>(weight_of(x, found.beta) * factor);
      out[j] = scale == 0 ? share : out[j] + share;
    });
    if (lane == 0 && beta != nullptr && scale == 0) beta[i] = found.beta * row.per_unit;
  }
  if (lane == 0 && !reached) atomicAdd(&counts->n_unreached, 1ull);
}

}  // namespace

void conditional(const CudaBackend& backend, const DeviceSquares& squares,
                 const DeviceBandwidth& bandwidth, float* conditional, double* beta,
                 RowCounts* counts) {
  device::launch(conditional_kernel,
                 static_cast<unsigned>(div_up<std::int64_t>(squares.n_rows, kRowsBlock)), kThreads,
                 0, backend.device.stream(), squares, bandwidth, conditional, beta, counts);
}

}  // namespace culatent::affinities
