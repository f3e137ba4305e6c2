#include <Random123/philox.h>

#include "host/random.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/block_counts.cuh"
#include "kernels/cuda/gaussian_mixture_log_joint.hpp"

// ---- nearest_responsibilities, random_responsibilities ------------------------------------------
//
//   q(k, row) = w [k is the nearest centroid]          q(k, row) = w u_k / sum_k u_k
//
// The responsibilities of the first M-step, once a fit: written for shortness. Distances, or the
// draws, go to the buffer first and are then turned into q in place. One block for kBlockRows rows,
// so for one record; a thread owns four rows.
//   bytes 12 N K (sizes of float) beyond the distances; about 100 integer operations a draw

namespace culatent::gaussian_mixture {
namespace {

using namespace device;

// The rows of one record: the weights of a thread's own rows, 0 beyond the last, and their sum.
template <class T>
struct Record {
  std::int64_t first_row;
  double* heads;
  T weights[kRecordRows];
};

template <class T>
__device__ __forceinline__ Record<T> begin_record(const DeviceRows<T>& rows, int n_components,
                                                  double* heads) {
  CULATENT_SHARED(scratch, double[kRecordWarps]);
  constexpr int kHeads = static_cast<int>(Layout::kEntropy) + 1;
  Record<T> record;
  record.first_row = static_cast<std::int64_t>(blockIdx.x) * kBlockRows;
  record.heads = heads + static_cast<std::int64_t>(blockIdx.x) * (kHeads + n_components);
  double weight = 0.0;
#pragma unroll
  for (int r = 0; r < kRecordRows; ++r) {
    const std::int64_t row = record.first_row + record_row(r);
    const bool inside = row < rows.n_rows;
    record.weights[r] = !inside ? T{0} : rows.weights == nullptr ? T{1} : rows.weights[row];
    weight += static_cast<double>(record.weights[r]);
  }
  weight = block_sum<kRecordThreads>(weight, scratch);
  if (threadIdx.x < kHeads) record.heads[threadIdx.x] = threadIdx.x == Layout::kWeight ? weight : 0;
  return record;
}

// Writes q = share(r, k, cell) * weight for every row of the record, 0 beyond the last row, and
// adds up the counts of the very values written.
template <class T, class Share>
__device__ __forceinline__ void write_record(const DeviceResponsibilities<T>& resp,
                                             int n_components, std::int64_t n_rows,
                                             const Record<T>& record, Share&& share) {
  block_counts(n_components, record.heads + Layout::kEntropy + 1,
               [&](int first, double(&values)[kCountChunk]) {
#pragma unroll
                 for (int c = 0; c < kCountChunk; ++c) {
                   values[c] = 0.0;
                   if (first + c >= n_components) continue;
                   T* const cells = resp.data + (first + c) * resp.stride + record.first_row;
#pragma unroll
                   for (int r = 0; r < kRecordRows; ++r) {
                     const int row = record_row(r);
                     const bool inside = record.first_row + row < n_rows;
                     const T q =
                         inside ? share(r, first + c, cells[row]) * record.weights[r] : T{0};
                     cells[row] = q;
                     values[c] += static_cast<double>(q);
                   }
                 }
               });
}

template <class T>
__global__ void __launch_bounds__(kRecordThreads)
    nearest_kernel(DeviceRows<T> rows, int n_components, DeviceResponsibilities<T> resp,
                   double* heads) {
  const Record<T> record = begin_record(rows, n_components, heads);
  int best[kRecordRows];
#pragma unroll
  for (int r = 0; r < kRecordRows; ++r) {
    const std::int64_t row = record.first_row + record_row(r);
    best[r] = 0;
    if (row >= rows.n_rows) continue;
    T least = resp.data[row];
    for (int k = 1; k < n_components; ++k) {
      const T distance = resp.data[k * resp.stride + row];
      if (distance < least) {
        least = distance;
        best[r] = k;
      }
    }
  }
  write_record(resp, n_components, rows.n_rows, record,
               [&](int r, int k, T) { return k == best[r] ? T{1} : T{0}; });
}

// random::uniform() of host/random.hpp.
__device__ __forceinline__ double uniform(std::uint64_t seed, std::uint64_t element,
                                          std::uint32_t index) {
  const philox4x32_ctr_t counter = {{static_cast<std::uint32_t>(element),
                                     static_cast<std::uint32_t>(element >> 32), index,
                                     static_cast<std::uint32_t>(random::Stream::responsibilities)}};
  const philox4x32_key_t key = {
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  const philox4x32_ctr_t out = philox4x32(counter, key);
  const std::uint64_t bits = ((static_cast<std::uint64_t>(out.v[0]) << 32) | out.v[1]) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

template <class T>
__global__ void __launch_bounds__(kRecordThreads, 1)
    random_kernel(DeviceRows<T> rows, std::uint64_t seed, std::int64_t first, int n_components,
                  DeviceResponsibilities<T> resp, double* heads) {
  const Record<T> record = begin_record(rows, n_components, heads);
  T totals[kRecordRows];
#pragma unroll 1
  for (int r = 0; r < kRecordRows; ++r) {
    const std::int64_t row = record.first_row + record_row(r);
    double total = 0.0;
    for (int k = 0; k < n_components && row < rows.n_rows; ++k) {
      const double value =
          uniform(seed, static_cast<std::uint64_t>(first + row), static_cast<std::uint32_t>(k));
      resp.data[k * resp.stride + row] = static_cast<T>(value);
      total += value;
    }
#pragma unroll
    for (int other = 0; other < kRecordRows; ++other) {
      if (other == r) totals[other] = static_cast<T>(total);
    }
  }
  write_record(resp, n_components, rows.n_rows, record,
               [&](int r, int, T value) { return value / totals[r]; });
}

template <class T>
dim3 n_records(const DeviceRows<T>& rows) {
  return dim3(static_cast<unsigned>(div_up(rows.n_rows, kBlockRows)));
}

}  // namespace

template <class T>
void nearest_responsibilities(const CudaBackend& backend, const DeviceRows<T>& rows,
                              const DeviceFrame<T>& frame, const T* centroids, const T* metric,
                              std::int64_t n_components, const DeviceResponsibilities<T>& resp,
                              const DevicePartials<T>& partials) {
  if (rows.n_rows == 0) return;
  squared_distances(backend, rows, frame, centroids, metric, n_components, resp);
  device::launch(nearest_kernel<T>, n_records(rows), dim3(kRecordThreads), 0,
                 backend.device.stream(), rows, n_components, resp, partials.heads);
}

template <class T>
void random_responsibilities(const CudaBackend& backend, const DeviceRows<T>& rows,
                             std::uint64_t seed, std::int64_t first, std::int64_t n_components,
                             const DeviceResponsibilities<T>& resp,
                             const DevicePartials<T>& partials) {
  if (rows.n_rows == 0) return;
  device::launch(random_kernel<T>, n_records(rows), dim3(kRecordThreads), 0,
                 backend.device.stream(), rows, seed, first, n_components, resp, partials.heads);
}

#define CULATENT_INSTANTIATE(T)                                                            \
  template void nearest_responsibilities(                                                  \
      const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&, const T*, const T*, \
      std::int64_t, const DeviceResponsibilities<T>&, const DevicePartials<T>&);           \
  template void random_responsibilities(                                                   \
      const CudaBackend&, const DeviceRows<T>&, std::uint64_t, std::int64_t, std::int64_t, \
      const DeviceResponsibilities<T>&, const DevicePartials<T>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
