#include "host/fixed_sums.hpp"
#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/kmeans_tile.cuh"

namespace culatent::kmeans {
namespace {

using device::div_up;

// ---- distances to the own centroid --------------------------------------------------------------
//
//   out_i = unit² |x'_i − c_label|²,   partials_b = sum_{i in block b} w_i out_i
//
// One block for kBlockRows rows; `lanes` lanes share a row, four features a lane at a time, which
// are added up in T, these sums in double. Rounding: a few units of T in the last place.
//   per feature 3 instructions; bytes: N D sizeof(T), and as much of centroids from the cache

struct Sharing {
  int lanes = 1;       // a power of two, at most 32
  bool whole = false;  // four features can be loaded at once
};

template <class T>
__device__ __forceinline__ double own_distance(const ClusterRows<T>& rows, const T* centroid,
                                               std::int64_t row, Sharing sharing) {
  constexpr int kPiece = 4;
  const std::int64_t d = rows.n_features;
  const int lane = static_cast<int>(threadIdx.x) % sharing.lanes;
  const T factor = rows.factors != nullptr ? rows.factors[row] : T{1};
  const T* data = rows.data + row * rows.stride;
  double sum = 0.0;
  for (std::int64_t first = kPiece * lane; first < d; first += kPiece * sharing.lanes) {
    const auto x = device::load_piece<kPiece>(data, first, d, sharing.whole);
    const auto offset = device::load_piece<kPiece>(rows.offset, first, d, sharing.whole);
    const auto c = device::load_piece<kPiece>(centroid, first, d, sharing.whole);
    T part{};
#pragma unroll
    for (int v = 0; v < kPiece; ++v) {
      const T delta = fma(x.v[v], rows.scale, offset.v[v]) * factor - c.v[v];
      part = fma(delta, delta, part);
    }
    sum += static_cast<double>(part);
  }
  return sum;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    own_distances_kernel(ClusterRows<T> rows, const T* centroids, double unit,
                         const std::int32_t* labels, Sharing sharing, T* squared_distances,
                         double* partials) {
  CULATENT_SHARED(distances, double[kBlockRows]);
  CULATENT_SHARED(scratch, double[kThreads / 32]);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first = std::int64_t{blockIdx.x} * kBlockRows;
  const int count = static_cast<int>(min(kBlockRows, rows.n_rows - first));
  for (int at = thread / sharing.lanes; at < kBlockRows; at += kThreads / sharing.lanes) {
    const std::int64_t row = first + at;
    double distance = 0.0;
    if (at < count) {
      distance = own_distance(rows, centroids + labels[row] * rows.n_features, row, sharing);
    }
    for (int offset = sharing.lanes / 2; offset > 0; offset /= 2) {
      distance += __shfl_xor_sync(device::kAllLanes, distance, offset);
    }
    if (thread % sharing.lanes == 0 && at < count) {
      distances[at] = distance * (unit * unit);
      if (squared_distances != nullptr) squared_distances[row] = static_cast<T>(distances[at]);
    }
  }
  if (partials == nullptr) return;
  __syncthreads();
  double sum = 0.0;
  for (int at = thread; at < count; at += kThreads) {
    const double weight = weight_of(rows, first + at);
    if (weight != 0.0) sum += weight * distances[at];
  }
  sum = device::block_sum<kThreads>(sum, scratch);
  if (thread == 0) partials[blockIdx.x] = sum;
}

// ---- sums of the clusters -----------------------------------------------------------------------
//
//   sums[0, label_i, j] += q,             q = the integer nearest to v = x'_ij unit_j w_i
//   sums[1, label_i, j] += the integer nearest to (v − q) fine          (two limbs)
//
// A block keeps the sums of some columns of all clusters in shared memory, as halves of 32 bits,
// because shared memory adds no more at a time: the low half's return tells the carry. It walks
// over its share of the rows and then adds what it has to the sums. Where not even kLeastColumns
// columns fit, sums in global memory are added to at once.
//   per value: 2 conversions, 3 instructions in double, 2 additions in shared memory

constexpr int kMemberThreads = 512;
constexpr std::int64_t kLeastColumns = 8;

struct Columns {
  std::int64_t chunks = 1;  // of columns; blocks of one chunk share the rows
  std::int64_t width = 1;   // columns of a chunk
  std::int64_t parts = 1;   // blocks of one chunk
  int lanes = 1;            // of a row; a power of two
};

__device__ __forceinline__ std::int64_t nearest_integer(double value) {
  return __double_as_longlong(__dadd_rn(value, kToInteger)) - __double_as_longlong(kToInteger);
}

// Sums in shared memory: low halves, then high halves.
struct SharedSums {
  unsigned* low;
  std::int64_t size;

  __device__ __forceinline__ void add(std::int64_t at, std::int64_t integer) const {
    const auto lower = static_cast<unsigned>(integer);
    const unsigned before = atomicAdd(low + at, lower);
    const unsigned carry = before + lower < before ? 1 : 0;
    const unsigned upper = static_cast<unsigned>(integer >> 32) + carry;
    if (upper != 0) atomicAdd(low + size + at, upper);
  }
  __device__ __forceinline__ std::int64_t value(std::int64_t at) const {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low[size + at]) << 32 | low[at]);
  }
};

__device__ __forceinline__ void add_to(std::int64_t* target, std::int64_t integer) {
  atomicAdd(reinterpret_cast<unsigned long long*>(target),
            static_cast<unsigned long long>(integer));
}

// Calls add(limb, label, column, integer) for the values of a chunk of columns, of every row that
// is the block's.
template <class T, class Add>
__device__ __forceinline__ void for_each_member(const ClusterRows<T>& rows,
                                                const std::int32_t* labels,
                                                const DeviceFixedPoint& fixed,
                                                const Columns& columns, Add&& add) {
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first = blockIdx.x % columns.chunks * columns.width;
  const std::int64_t part = blockIdx.x / columns.chunks;
  const std::int64_t end = min(first + columns.width, rows.n_features + 1);
  const int step = kMemberThreads / columns.lanes;
  for (std::int64_t row = part * step + thread / columns.lanes; row < rows.n_rows;
       row += columns.parts * step) {
    const double weight = weight_of(rows, row);
    if (weight == 0.0) continue;  // it may lie anywhere, even where x' has overflowed
    const std::int64_t label = labels[row];
    for (std::int64_t j = first + thread % columns.lanes; j < end; j += columns.lanes) {
      const T x = j < rows.n_features ? in_coordinates(rows, row, j) : T{1};
      // Rounded before it becomes an integer: not one fma, whose integer can be another.
      const double value = __dmul_rn(static_cast<double>(x), __dmul_rn(fixed.units[j], weight));
      const std::int64_t coarse = nearest_integer(value);
      add(0, label, j, coarse);
      if (fixed.n_limbs == 1) continue;
      add(1, label, j, nearest_integer((value - static_cast<double>(coarse)) * fixed.fine));
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kMemberThreads)
    shared_members_kernel(ClusterRows<T> rows, const std::int32_t* labels, DeviceFixedPoint fixed,
                          std::int64_t n_clusters, Columns columns, std::int64_t* sums) {
  CULATENT_DYNAMIC_SHARED(halves, unsigned);
  const std::int64_t of_limb = n_clusters * columns.width;
  const SharedSums own{halves, fixed.n_limbs * of_limb};
  const std::int64_t first = blockIdx.x % columns.chunks * columns.width;
  for (std::int64_t at = threadIdx.x; at < 2 * own.size; at += kMemberThreads) halves[at] = 0;
  __syncthreads();
  for_each_member(rows, labels, fixed, columns,
                  [&](int limb, std::int64_t k, std::int64_t j, std::int64_t integer) {
                    own.add(limb * of_limb + k * columns.width + (j - first), integer);
                  });
  __syncthreads();
  const std::int64_t n_columns = rows.n_features + 1;
  for (std::int64_t at = threadIdx.x; at < own.size; at += kMemberThreads) {
    const std::int64_t integer = own.value(at);
    if (integer == 0) continue;  // so is what lies beyond the last column
    const std::int64_t cluster = at / columns.width, j = first + at % columns.width;
    add_to(sums + cluster * n_columns + j, integer);  // cluster: limb * K + k
  }
}

template <class T>
__global__ void __launch_bounds__(kMemberThreads)
    global_members_kernel(ClusterRows<T> rows, const std::int32_t* labels, DeviceFixedPoint fixed,
                          std::int64_t n_clusters, Columns columns, std::int64_t* sums) {
  const std::int64_t n_columns = rows.n_features + 1;
  for_each_member(rows, labels, fixed, columns,
                  [&](int limb, std::int64_t k, std::int64_t j, std::int64_t integer) {
                    add_to(sums + (limb * n_clusters + k) * n_columns + j, integer);
                  });
}

// The lanes that a row's columns leave idle the least, the most of equal ones.
int member_lanes(std::int64_t width) {
  int best = 32;
  for (const int lanes : {16, 8, 4}) {
    if (div_up<std::int64_t>(width, lanes) * lanes < div_up<std::int64_t>(width, best) * best) {
      best = lanes;
    }
  }
  return best;
}

}  // namespace

template <class T>
void own_distances(const CudaBackend& backend, const ClusterRows<T>& rows, const T* centroids,
                   double unit, const std::int32_t* labels, T* squared_distances,
                   double* partials) {
  if (rows.n_rows == 0) return;
  const std::int64_t d = rows.n_features;
  Sharing sharing;
  while (sharing.lanes < 32 && 4 * sharing.lanes < d) sharing.lanes *= 2;
  sharing.whole = device::whole_pieces(rows.data, rows.stride, d, 4) &&
                  device::whole_pieces(centroids, d, d, 4) &&
                  device::whole_pieces(rows.offset, d, d, 4);
  device::launch(own_distances_kernel<T>, static_cast<unsigned>(div_up(rows.n_rows, kBlockRows)),
                 kThreads, 0, backend.device.stream(), rows, centroids, unit, labels, sharing,
                 squared_distances, partials);
}

template <class T>
void add_members(const CudaBackend& backend, const ClusterRows<T>& rows, const std::int32_t* labels,
                 const DeviceFixedPoint& fixed, std::int64_t n_clusters, std::int64_t* sums) {
  if (rows.n_rows == 0) return;
  const std::int64_t n_columns = rows.n_features + 1;
  const auto bytes = static_cast<std::int64_t>(sizeof(std::int64_t)) * fixed.n_limbs * n_clusters;
  // Two blocks a multiprocessor.
  const std::int64_t fit = (backend.device.shared_bytes() / 2 - 1024) / bytes;
  const bool shared = fit >= std::min(n_columns, kLeastColumns);
  Columns columns;
  if (shared) columns.chunks = div_up(n_columns, std::min(fit, n_columns));
  columns.width = div_up(n_columns, columns.chunks);
  columns.lanes = member_lanes(columns.width);
  const std::int64_t enough = 2 * std::int64_t{backend.device.n_multiprocessors()};
  columns.parts = std::min(div_up(enough, columns.chunks), div_up(rows.n_rows, kBlockRows));
  const auto grid = static_cast<unsigned>(columns.chunks * columns.parts);
  CUstream_st* stream = backend.device.stream();
  if (shared) {
    device::launch(shared_members_kernel<T>, grid, kMemberThreads,
                   static_cast<std::size_t>(bytes * columns.width), stream, rows, labels, fixed,
                   n_clusters, columns, sums);
  } else {
    device::launch(global_members_kernel<T>, grid, kMemberThreads, 0, stream, rows, labels, fixed,
                   n_clusters, columns, sums);
  }
}

#define CULATENT_INSTANTIATE(T)                                                             \
  template void own_distances(const CudaBackend&, const ClusterRows<T>&, const T*, double,  \
                              const std::int32_t*, T*, double*);                            \
  template void add_members(const CudaBackend&, const ClusterRows<T>&, const std::int32_t*, \
                            const DeviceFixedPoint&, std::int64_t, std::int64_t*);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
