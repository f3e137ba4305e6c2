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
using diagonal::Patch;

// ---- tied sums ----------------------------------------------------------------------------------
//
//   q'_k = q_k w / sum_l q_l,  counts[b, k] = sum_row q'_k,  sums[b, k, j] = sum_row q'_k x'_j
//
// in double. A block of threads has one patch of components and features and one block of rows; it
// first adds up q over all components of its rows, then stages 16 rows at a time.
//   flops 2 N K D in double     bytes N D + N K, again for every patch from the L2 cache

constexpr int kThreads = diagonal::kThreads;
constexpr int kStageRows = 16;
constexpr int kMostComponents = 32, kMostFeatures = 16;  // of a patch, in its units
constexpr int kSize = device::kVectorSize<double>;

template <class T>
struct TiedProblem {
  DeviceRows<T> rows;
  DeviceFrame<T> frame;
  DeviceResponsibilities<T> resp;
  std::int64_t n_components;
  double* counts;
  double* tails;
  std::int64_t head_record, tail_record;  // elements from one block's to the next's
  std::int64_t first_block;
  int patches, across;  // of a block of rows; side by side
  Patch patch;
};

struct TiedSums {
  double sum[kOwn][kSize];
  double count[kOwn];
};

// factors[row] = w / sum_k q_k of the rows of the block; 0 where nothing has a share.
template <class T>
__device__ __forceinline__ void row_factors(const TiedProblem<T>& p, std::int64_t first_row,
                                            int block_rows, double* factors) {
  for (int row = static_cast<int>(threadIdx.x); row < block_rows; row += kThreads) {
    const T* q = p.resp.data + first_row + row;
    double total = 0.0;
#pragma unroll 4
    for (std::int64_t k = 0; k < p.n_components; ++k, q += p.resp.stride) {
      total += static_cast<double>(*q);
    }
    const double weight =
        p.rows.weights == nullptr ? 1.0 : static_cast<double>(p.rows.weights[first_row + row]);
    factors[row] = total > 0.0 ? weight / total : 0.0;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) tied_sums_kernel(const TiedProblem<T> p) {
  CULATENT_DYNAMIC_SHARED(shared, double);
  CULATENT_SHARED(factors, double[kBlockRows]);
  const int thread = static_cast<int>(threadIdx.x);
  const int pieces = p.patch.pieces();
  const int features = p.patch.features;
  const int components = p.patch.components * kOwn;
  const int pitch = components + kSize;  // rows of q begin at different banks
  auto* const x_tile = reinterpret_cast<Vector<double>*>(shared);
  double* const q_tile = shared + kStageRows * features * kSize;

  const std::int64_t d = p.rows.n_features;
  const std::int64_t block = p.first_block + blockIdx.x / static_cast<unsigned>(p.patches);
  const int patch = static_cast<int>(blockIdx.x % static_cast<unsigned>(p.patches));
  const std::int64_t first_component = static_cast<std::int64_t>(patch / p.across) * components;
  const std::int64_t first_feature = static_cast<std::int64_t>(patch % p.across) * features * kSize;
  const std::int64_t first_row = block * kBlockRows;
  const auto block_rows = static_cast<int>(min(p.rows.n_rows - first_row, kBlockRows));
  row_factors(p, first_row, block_rows, factors);

  const int phase = thread / pieces;
  const int own_component = thread % pieces / features;
  const int own_feature = thread % features;
  TiedSums own{};
#pragma unroll 1
  for (int first = 0; first < block_rows; first += kStageRows) {
    __syncthreads();
    for (int at = thread; at < kStageRows * features; at += kThreads) {
      const std::int64_t j = first_feature + at % features * kSize;
      const int row = first + at / features;
      Vector<double> value{};
      if (row < block_rows) {
        const T* const from = p.rows.data + (first_row + row) * p.rows.stride;
        const auto x = load_piece<kSize>(from, j, d, false);
        const auto scale = load_piece<kSize>(p.frame.scale, j, d, false);
        const auto offset = load_piece<kSize>(p.frame.offset, j, d, false);
#pragma unroll
        for (int i = 0; i < kSize; ++i) {
          value.v[i] = static_cast<double>(fma(x.v[i], scale.v[i], offset.v[i]));
        }
      }
      x_tile[at] = value;
    }
    for (int at = thread; at < kStageRows * components; at += kThreads) {
      const int row = first + at % kStageRows;
      const int k = at / kStageRows;
      double q = 0.0;
      if (row < block_rows && first_component + k < p.n_components) {
        q = factors[row] *
            static_cast<double>(
                p.resp.data[(first_component + k) * p.resp.stride + first_row + row]);
      }
      q_tile[at % kStageRows * pitch + k] = q;
    }
    __syncthreads();
    if (phase < p.patch.phases) {
      for (int row = phase; row < kStageRows; row += p.patch.phases) {
        const Vector<double> x = x_tile[row * features + own_feature];
        const double* const q = q_tile + row * pitch + own_component * kOwn;
#pragma unroll
        for (int k = 0; k < kOwn; ++k) {
          own.count[k] += q[k];
#pragma unroll
          for (int i = 0; i < kSize; ++i) own.sum[k][i] += q[k] * x.v[i];
        }
      }
    }
  }
  diagonal::combine(pieces, p.patch.phases, shared, own);
  if (phase > 0) return;
  const std::int64_t component = first_component + own_component * kOwn;
  const std::int64_t feature = first_feature + own_feature * kSize;
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    if (component + k >= p.n_components) continue;
    if (feature == 0) {
      p.counts[block * p.head_record + component + k] = own.count[k];
    }
    double* const out = p.tails + block * p.tail_record + (component + k) * d;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if (feature + i < d) out[feature + i] = own.sum[k][i];
    }
  }
}

}  // namespace

template <class T>
void add_tied_moments(const CudaBackend& backend, const DeviceRows<T>& rows,
                      const DeviceFrame<T>& frame, std::int64_t n_components,
                      const DeviceResponsibilities<T>& resp, bool scatter,
                      const DevicePartials<T>& partials) {
  const std::int64_t d = rows.n_features;
  const std::int64_t n_blocks = div_up(rows.n_rows, kBlockRows);
  const Layout layout(Covariance::tied, n_components, d);
  TiedProblem<T> p{};
  p.rows = rows;
  p.frame = frame;
  p.resp = resp;
  p.n_components = n_components;
  p.counts = partials.heads + layout.counts;
  p.head_record = layout.sums;
  p.tails = partials.wide_tails;
  p.tail_record = layout.size - layout.sums;
  p.patch.features =
      static_cast<int>(std::min<std::int64_t>(div_up<std::int64_t>(d, kSize), kMostFeatures));
  p.patch.components = static_cast<int>(std::min<std::int64_t>(
      {div_up<std::int64_t>(n_components, kOwn), kMostComponents, kThreads / p.patch.features}));
  p.patch.phases = kThreads / p.patch.pieces();
  p.across = static_cast<int>(div_up<std::int64_t>(d, p.patch.features * kSize));
  p.patches =
      p.across * static_cast<int>(div_up<std::int64_t>(n_components, p.patch.components * kOwn));
  const int staged = kStageRows * static_cast<int>(sizeof(double)) *
                     (p.patch.features * kSize + p.patch.components * kOwn + kSize);
  const auto bytes = static_cast<std::size_t>(std::max(staged, diagonal::kCombineBytes<TiedSums>));
  const std::int64_t most = INT32_MAX / p.patches;
  for (p.first_block = 0; p.first_block < n_blocks; p.first_block += most) {
    const std::int64_t count = std::min(most, n_blocks - p.first_block);
    device::launch(tied_sums_kernel<T>, static_cast<unsigned>(count * p.patches), kThreads, bytes,
                   backend.device.stream(), p);
  }
  if (!scatter) return;
  outer_products::Problem<T, double> squares;
  squares.rows = rows;
  squares.frame = frame;
  squares.q = rows.weights;
  squares.squares = partials.wide_tails + (layout.squares - layout.sums);
  squares.record = p.tail_record;
  outer_products::launch(backend, squares);
}

template void add_tied_moments(const CudaBackend&, const DeviceRows<float>&,
                               const DeviceFrame<float>&, std::int64_t,
                               const DeviceResponsibilities<float>&, bool,
                               const DevicePartials<float>&);
template void add_tied_moments(const CudaBackend&, const DeviceRows<double>&,
                               const DeviceFrame<double>&, std::int64_t,
                               const DeviceResponsibilities<double>&, bool,
                               const DevicePartials<double>&);

}  // namespace culatent::gaussian_mixture
