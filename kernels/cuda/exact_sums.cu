#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/launch.cuh"
#include "kernels/cuda/exact_sums.hpp"

namespace culatent {
namespace {

constexpr int kThreads = 256;

// As exact_sum::add_to() of the same number in double, and with the same bits: the 24 digits of a
// float always lie in the upper two of the three bins.
__device__ __forceinline__ void add(ExactSumBins& sum, float value) {
  const unsigned bits = __float_as_uint(value);
  const int biased = static_cast<int>((bits >> 23) & 0xFF);
  if (biased == 0 || biased == 0xFF) {  // zero, subnormal, or not finite
    exact_sum::add_to(sum, static_cast<double>(value));
    return;
  }
  const unsigned exponent = static_cast<unsigned>(biased - 127 + exact_sum::kBias);
  const int bin = static_cast<int>(exponent / exact_sum::kBinBits);
  const unsigned offset = exponent % exact_sum::kBinBits + 9;  // of the last digit over bin − 1
  const std::uint64_t digits = static_cast<std::uint64_t>((bits & 0x7FFFFF) | 0x800000) << offset;
  const auto sign = static_cast<std::int64_t>(static_cast<int>(bits) >> 31);  // 0 or −1
  const std::int64_t high = (static_cast<std::int64_t>(digits >> 32) ^ sign) - sign;
  const std::int64_t low = (static_cast<std::int64_t>(digits & 0xFFFFFFFFu) ^ sign) - sign;
  if (bin > sum.top) exact_sum::raise(sum, bin);
  const std::int64_t shift = sum.top - bin;
  if (shift == 0) {
    sum.bins[0] += high;
    sum.bins[1] += low;
  } else if (shift == 1) {
    sum.bins[1] += high;
    sum.bins[2] += low;
  } else if (shift == 2) {
    sum.bins[2] += high;
  }
}

__device__ __forceinline__ void add(ExactSumBins& sum, double value) {
  exact_sum::add_to(sum, value);
}

// ---- add_partials -------------------------------------------------------------------------------
//
//   sums[i] += sum_b partials[b, i]
//
// A block has `width` sums and kThreads / width threads a sum, which take every so-many-th record
// and merge what they have; exact addition makes the split a matter of speed alone. 32 sums side by
// side read whole cache lines; 8 sums, whole sectors, when there are too few for all
// multiprocessors.
//   bytes n_blocks size sizeof(T); about 20 (float) or 50 (double) integer instructions each
template <class T>
__global__ void __launch_bounds__(kThreads)
    add_partials_kernel(const T* partials, std::int64_t n_blocks, std::int64_t stride,
                        std::int64_t size, int width, DeviceSum* sums) {
  CULATENT_SHARED(scratch, ExactSumBins[kThreads / 2]);
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / width;
  const int n_rows = kThreads / width;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * width + thread % width;
  const bool present = column < size;

  ExactSumBins sum{};
  if (present && row == 0) sum = sums[column];
  if (present) {
#pragma unroll 4
    for (std::int64_t b = row; b < n_blocks; b += n_rows) add(sum, partials[b * stride + column]);
  }
  for (int half = n_rows / 2; half > 0; half /= 2) {
    if (row >= half && row < 2 * half) scratch[thread - half * width] = sum;
    __syncthreads();
    if (row < half) exact_sum::merge(sum, scratch[thread]);
    __syncthreads();
  }
  if (present && row == 0) sums[column] = sum;
}

__global__ void __launch_bounds__(kThreads)
    round_sums_kernel(const DeviceSum* sums, std::int64_t size, double* values) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < size) values[i] = exact_sum::value_of(sums[i]);
}

}  // namespace

template <class T>
void add_partials(const CudaBackend& backend, const T* partials, std::int64_t n_blocks,
                  std::int64_t stride, std::int64_t size, DeviceSum* sums) {
  if (n_blocks <= 0 || size <= 0) return;
  const std::int64_t enough = 2 * backend.device.n_multiprocessors();
  const int width = size >= 32 * enough ? 32 : 8;
  const auto grid = static_cast<unsigned>(device::div_up<std::int64_t>(size, width));
  device::launch(add_partials_kernel<T>, grid, kThreads, 0, backend.device.stream(), partials,
                 n_blocks, stride, size, width, sums);
}

void round_sums(const CudaBackend& backend, const DeviceSum* sums, std::int64_t size,
                double* values) {
  if (size <= 0) return;
  const auto grid = static_cast<unsigned>(device::div_up<std::int64_t>(size, kThreads));
  device::launch(round_sums_kernel, grid, kThreads, 0, backend.device.stream(), sums, size, values);
}

template void add_partials(const CudaBackend&, const float*, std::int64_t, std::int64_t,
                           std::int64_t, DeviceSum*);
template void add_partials(const CudaBackend&, const double*, std::int64_t, std::int64_t,
                           std::int64_t, DeviceSum*);

}  // namespace culatent
