#include <algorithm>

#include "kernels/cuda/gaussian_mixture_diagonal_tile.cuh"
#include "kernels/cuda/gaussian_mixture_moments.hpp"
#include "kernels/cuda/gaussian_mixture_outer_products.cuh"

namespace culatent::gaussian_mixture {
namespace {

using device::div_up;
using device::load_piece;
using device::Vector;
using diagonal::kOwn;
using diagonal::Moments;
using diagonal::Patch;

// ---- diagonal and spherical moments -------------------------------------------------------------
//
//   sums[b, k, j] = sum_row q_k z_j,  squares[b, k, j] = sum_row q_k z_j²,  z = x' − shift_k
//
// A block of threads has one patch of components and features (gaussian_mixture_diagonal_tile.cuh)
// and one block of rows, of which it stages 32 at a time: x' by rows, and q, which lies by
// components, turned.
//   instructions 4 N K D, and 2 LDS.128 (float) for 64 of them
//   bytes N D + N K, again for every patch from the L2 cache

constexpr int kThreads = diagonal::kThreads;
constexpr int kStageRows = 32;
constexpr int kMostComponents = 32, kMostFeatures = 16;  // of a patch, in its units

template <class T>
struct DiagonalProblem {
  DeviceRows<T> rows;
  DeviceFrame<T> frame;
  const T* shifts;
  DeviceResponsibilities<T> resp;
  std::int64_t n_components;
  T* tails;
  std::int64_t record;  // elements from one block's to the next's
  std::int64_t first_block;
  int patches, across;  // of a block of rows; side by side
  Patch patch;
  bool whole_rows, whole_features;
};

template <class T>
__global__ void __launch_bounds__(kThreads, 2) diagonal_moments_kernel(const DiagonalProblem<T> p) {
  constexpr int kSize = device::kVectorSize<T>;
  CULATENT_DYNAMIC_SHARED(shared, T);
  const int thread = static_cast<int>(threadIdx.x);
  const int pieces = p.patch.pieces();
  const int features = p.patch.features;
  const int components = p.patch.components * kOwn;
  const int pitch = components + kOwn;  // rows of q begin at different banks
  auto* const x_tile = reinterpret_cast<Vector<T>*>(shared);
  T* const q_tile = shared + kStageRows * features * kSize;

  const std::int64_t d = p.rows.n_features;
  const std::int64_t block = p.first_block + blockIdx.x / static_cast<unsigned>(p.patches);
  const int patch = static_cast<int>(blockIdx.x % static_cast<unsigned>(p.patches));
  const std::int64_t first_component = static_cast<std::int64_t>(patch / p.across) * components;
  const std::int64_t first_feature = static_cast<std::int64_t>(patch % p.across) * features * kSize;
  const std::int64_t first_row = block * kBlockRows;
  const auto block_rows = static_cast<int>(min(p.rows.n_rows - first_row, kBlockRows));

  const int phase = thread / pieces;
  const int own_component = thread % pieces / features;
  const int own_feature = thread % features;
  const std::int64_t component = first_component + own_component * kOwn;
  const std::int64_t feature = first_feature + own_feature * kSize;
  Vector<T> mean[kOwn] = {};
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    if (component + k >= p.n_components) continue;
    const auto piece =
        load_piece<kSize>(p.shifts + (component + k) * d, feature, d, p.whole_features);
#pragma unroll
    for (int i = 0; i < kSize; ++i) mean[k].v[i] = piece.v[i];
  }

  Moments<T> moments{};
#pragma unroll 1
  for (int first = 0; first < block_rows; first += kStageRows) {
    __syncthreads();
    for (int at = thread; at < kStageRows * features; at += kThreads) {
      const int row = at / features;
      const std::int64_t j = first_feature + at % features * kSize;
      Vector<T> value{};
      if (first + row < block_rows) {
        const T* const from = p.rows.data + (first_row + first + row) * p.rows.stride;
        const auto x = load_piece<kSize>(from, j, d, p.whole_rows);
        const auto scale = load_piece<kSize>(p.frame.scale, j, d, p.whole_features);
        const auto offset = load_piece<kSize>(p.frame.offset, j, d, p.whole_features);
#pragma unroll
        for (int i = 0; i < kSize; ++i) value.v[i] = fma(x.v[i], scale.v[i], offset.v[i]);
      }
      x_tile[at] = value;
    }
    for (int at = thread; at < kStageRows * components; at += kThreads) {
      const int row = at % kStageRows;
      const int k = at / kStageRows;
      T q = 0;
      if (first + row < block_rows && first_component + k < p.n_components) {
        q = p.resp.data[(first_component + k) * p.resp.stride + first_row + first + row];
      }
      q_tile[row * pitch + k] = q;
    }
    __syncthreads();
    if (phase < p.patch.phases) {
#pragma unroll 2
      for (int row = phase; row < kStageRows; row += p.patch.phases) {
        const auto* from = reinterpret_cast<const Vector<T>*>(q_tile + row * pitch) +
                           own_component * (kOwn / kSize);
        T q[kOwn];
#pragma unroll
        for (int k = 0; k < kOwn; ++k) q[k] = from[k / kSize].v[k % kSize];
        diagonal::add_row(q, x_tile[row * features + own_feature], mean, moments);
      }
    }
  }
  diagonal::combine(pieces, p.patch.phases, shared, moments);
  if (phase > 0) return;
  T* const record = p.tails + block * p.record;
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if (component + k >= p.n_components || feature + i >= d) continue;
      const std::int64_t at = (component + k) * d + feature + i;
      record[at] = moments.sum[k][i];
      record[p.n_components * d + at] = moments.square[k][i];
    }
  }
}

template <class T>
void add_diagonal_moments(const CudaBackend& backend, DiagonalProblem<T> p) {
  constexpr int kSize = device::kVectorSize<T>;
  const std::int64_t d = p.rows.n_features;
  p.patch.features =
      static_cast<int>(std::min<std::int64_t>(div_up<std::int64_t>(d, kSize), kMostFeatures));
  p.patch.components = static_cast<int>(std::min<std::int64_t>(
      {div_up<std::int64_t>(p.n_components, kOwn), kMostComponents, kThreads / p.patch.features}));
  p.patch.phases = kThreads / p.patch.pieces();
  p.across = static_cast<int>(div_up<std::int64_t>(d, p.patch.features * kSize));
  p.patches =
      p.across * static_cast<int>(div_up<std::int64_t>(p.n_components, p.patch.components * kOwn));
  p.whole_rows = device::whole_pieces(p.rows.data, p.rows.stride, d, kSize);
  p.whole_features = device::whole_pieces(p.frame.scale, 0, d, kSize) &&
                     device::whole_pieces(p.frame.offset, 0, d, kSize) &&
                     device::whole_pieces(p.shifts, d, d, kSize);
  const int staged = kStageRows * static_cast<int>(sizeof(T)) *
                     (p.patch.features * kSize + (p.patch.components + 1) * kOwn);
  const auto bytes =
      static_cast<std::size_t>(std::max(staged, diagonal::kCombineBytes<Moments<T>>));
  const std::int64_t n_blocks = div_up(p.rows.n_rows, kBlockRows);
  const std::int64_t most = INT32_MAX / p.patches;
  for (p.first_block = 0; p.first_block < n_blocks; p.first_block += most) {
    const std::int64_t count = std::min(most, n_blocks - p.first_block);
    device::launch(diagonal_moments_kernel<T>, static_cast<unsigned>(count * p.patches), kThreads,
                   bytes, backend.device.stream(), p);
  }
}

}  // namespace

template <class T>
void add_full_moments(const CudaBackend& backend, const DeviceRows<T>& rows,
                      const DeviceFrame<T>& frame, const DeviceParameters<T>& parameters,
                      const DeviceResponsibilities<T>& resp, const DevicePartials<T>& partials) {
  const Layout layout(Covariance::full, parameters.n_components, rows.n_features);
  outer_products::Problem<T, T> p;
  p.rows = rows;
  p.frame = frame;
  p.shifts = parameters.shifts;
  p.q = resp.data;
  p.q_stride = resp.stride;
  p.n_components = parameters.n_components;
  p.sums = partials.tails;
  p.squares = partials.tails + (layout.squares - layout.sums);
  p.record = layout.size - layout.sums;
  outer_products::launch(backend, p);
}

template <class T>
void add_moments(const CudaBackend& backend, const DeviceRows<T>& rows, const DeviceFrame<T>& frame,
                 const DeviceParameters<T>& parameters, const DeviceResponsibilities<T>& resp,
                 bool scatter, const DevicePartials<T>& partials, Precision precision) {
  const std::int64_t n_components = parameters.n_components;
  if (parameters.covariance == Covariance::tied) {
    add_tied_moments(backend, rows, frame, n_components, resp, scatter, partials);
    return;
  }
  if (parameters.covariance == Covariance::full) {
    if constexpr (sizeof(T) == sizeof(float)) {
      // By instructions counted for a component and 16 rows: with 24 features FMA take 280, Tf32x3
      // 340; with 16, FMA 140, Bf16x3 190.
      const bool pays = rows.n_features > (precision == Precision::fast ? 16 : 24);
      if (pays && add_moments_tensor(backend, rows, frame, parameters, resp, precision, partials)) {
        return;
      }
    }
    add_full_moments(backend, rows, frame, parameters, resp, partials);
    return;
  }
  const Layout layout(parameters.covariance, n_components, rows.n_features);
  DiagonalProblem<T> p{};
  p.rows = rows;
  p.frame = frame;
  p.shifts = parameters.shifts;
  p.resp = resp;
  p.n_components = n_components;
  p.tails = partials.tails;
  p.record = layout.size - layout.sums;
  add_diagonal_moments(backend, p);
}

#define CULATENT_INSTANTIATE(T)                                                                   \
  template void add_full_moments(const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&, \
                                 const DeviceParameters<T>&, const DeviceResponsibilities<T>&,    \
                                 const DevicePartials<T>&);                                       \
  template void add_moments(const CudaBackend&, const DeviceRows<T>&, const DeviceFrame<T>&,      \
                            const DeviceParameters<T>&, const DeviceResponsibilities<T>&, bool,   \
                            const DevicePartials<T>&, Precision);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
