#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/device/async.cuh"
#include "kernels/cuda/neighbors_candidates.cuh"
#include "kernels/cuda/neighbors_tiers.cuh"

namespace culatent::neighbors {
namespace {

using device::div_up;

// ---- collect ------------------------------------------------------------------------------------
//
// A block has a tile of queries and goes over its tiles of rows. Operands come a slice at a time
// through a double buffer, one barrier each; those of the queries stay in shared memory where they
// fit, and else come along. Sums begin at −low of their row, so that after the last slice a pair
// costs one comparison with its query's limit (neighbors_candidates.cuh), of which few pass: these
// go to the query's list in global memory. What else is asked of a row, whether it is the query
// itself, is asked of these alone. A list that has less room than a tile of rows is cut back by a
// warp before the next tile: by the bounds, which makes the limit that of the rows so far, and
// where these are too wide by measuring all. That is always right, and how often it happens is told
// to the caller, who may choose other products.
//
// Queries that are rows begin with their own tile: data often lie in an order, in which what is
// near comes last otherwise, and every row would be on the list for a time. Blocks side by side
// still read the same rows at about the same time.
//
// A list gains spare rows or so until it is cut back, the limit then is that of the k nearest of
// the rows seen: each time of 1 + spare / k times as many. So about
// spare ln(N / full) / ln(full / k) rows enter a list, 1,600 of 1e6 for k = 90, 0.2 a query
// and tile.
//
//   1e6 rows, D = 128, k = 90, bf16, on an H200 (790 TF/s; mma.sync has about 62 % of it):
//     products       256 TF at 490 TF/s: 0.52 s
//     comparison     a pair: 1 FSETP, and 1 MOV for its start: 2e12 at 3e13 a second, 0.07 s beside
//                    the products, which the tensor cores are busy with
//     shared memory  a warp and 16 features: 8 times 512 bytes for 32 products, 32 of 52 cycles
//     bytes          32 KB of rows a tile and block: 2.0 TB from the L2 cache, 3.8 TB/s; blocks
//                    begin together and go on alike, so that the rows come from memory about once
//                    for all blocks at work: 7,813 / 264 x 0.26 GB, 2 ms
//     lists          1,600 x 8 bytes and 6 times cut back, some 15 passes over 400 candidates, a
//                    query: 13 GB, and 1e10 instructions of warps, 0.01 s; a block waits for its
//                    warps then, 768 times 5,000 of 3e7 cycles, which the other one uses
//     measuring      100 rows of 512 bytes a query: 0.05 TB, 0.02 s
//   All at once about 0.6 s; of FFMA 5 s. Not measured.

constexpr int kStages = 2;

struct CollectTile {
  alignas(16) float lows[kStages][kTileRows];  // of rows
  float limits[kTileRows];                     // of queries, as all below
  float reaches[kTileRows];
  std::int32_t worst[kTileRows];
  std::int32_t own[kTileRows];  // the row that the query leaves out; −1: none
  std::int32_t counts[kTileRows];
};

struct CollectProblem {
  SearchWave wave;
  int n_slices;
  bool whole;  // all slices of the queries fit in shared memory
};

// The tiles of rows that a block meets, one after another; where tile `start` is among those of a
// range it goes round from there.
class TileWalk {
 public:
  __device__ __forceinline__ TileWalk(const TileLists& lists, int list, int start)
      : range_(lists.ranges + lists.begins[list]),
        last_(lists.ranges + lists.begins[list + 1]),
        start_(start) {
    enter();
  }
  // −1: there are no more.
  __device__ __forceinline__ int next() {
    while (left_ == 0 && range_ != last_) {
      ++range_;
      enter();
    }
    if (left_ == 0) return -1;
    --left_;
    const int tile = tile_++;
    if (tile_ == end_) tile_ = begin_;
    return tile;
  }

 private:
  __device__ __forceinline__ void enter() {
    if (range_ == last_) return;
    begin_ = range_->first;
    left_ = range_->count;
    end_ = begin_ + left_;
    tile_ = start_ >= begin_ && start_ < end_ ? start_ : begin_;
  }
  const TileRange* range_;
  const TileRange* last_;
  int start_, begin_ = 0, end_ = 0, tile_ = 0, left_ = 0;
};

// Starts copying a slice of a tile.
template <int kThreads>
__device__ __forceinline__ void fetch_slice(const DeviceScreen& screen, std::int64_t slice,
                                            uint4* to) {
  const auto* from = reinterpret_cast<const uint4*>(screen.operands) + slice * kSliceSize;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kSliceSize; i += kThreads) {
    device::cp_async<16>(to + i, from + i);
  }
}

// Where the parts of a block's dynamic shared memory are.
struct Slices {
  uint4* rows;     // [kStages]
  uint4* queries;  // [n_slices], or [kStages]
};

template <int kThreads>
__device__ __forceinline__ void fetch_rows(const CollectProblem& p, std::int64_t query_tile,
                                           int row_tile, int slice, int stage, int parity,
                                           const Slices& slices, CollectTile& tile) {
  fetch_slice<kThreads>(p.wave.rows, std::int64_t{row_tile} * p.n_slices + slice,
                        slices.rows + stage * kSliceSize);
  if (!p.whole) {
    fetch_slice<kThreads>(p.wave.queries, query_tile * p.n_slices + slice,
                          slices.queries + stage * kSliceSize);
  }
  const int thread = static_cast<int>(threadIdx.x);
  if (slice == 0 && thread < kTileRows / 4) {
    device::cp_async<16>(&tile.lows[parity][4 * thread],
                         p.wave.rows.low + std::int64_t{row_tile} * kTileRows + 4 * thread);
  }
  device::cp_async_commit();
}

__device__ __forceinline__ void begin_queries(const SearchWave& wave, std::int64_t query_tile,
                                              CollectTile& tile) {
  const int query = static_cast<int>(threadIdx.x);
  if (query >= kTileRows) return;
  const std::int64_t row = row_at(wave.queries, query_tile * kTileRows + query);
  tile.limits[query] = row < 0 ? kUnbounded : kAlways;
  tile.reaches[query] = kUnbounded;
  tile.worst[query] = kAnyRow;
  tile.counts[query] = 0;
  std::int32_t own = -1;
  if (row >= 0 && wave.same) own = static_cast<std::int32_t>(row);
  if (row >= 0 && !wave.same && wave.own != nullptr) own = wave.own[row];
  tile.own[query] = own;
}

// Puts a pair that passed its limit on the list. Whether that is to be cut back then.
__device__ __forceinline__ bool append(const SearchWave& wave, std::int64_t slot, int query,
                                       std::int64_t position, float score, CollectTile& tile) {
  const auto row = static_cast<std::int32_t>(row_at(wave.rows, position));
  if (row == tile.own[query] || row > tile.worst[query]) return false;
  const int at = atomicAdd(&tile.counts[query], 1);
  wave.buffers.candidates[(slot + query) * wave.capacity.total + at] = {
      score, static_cast<std::int32_t>(position)};
  return at >= wave.capacity.full;
}

// Looks for pairs that pass. Whether a list is to be cut back.
template <class Tier>
__device__ __forceinline__ bool offer(const SearchWave& wave, const Tier& tier, std::int64_t slot,
                                      int row_tile, CollectTile& tile) {
  bool passes[Tier::kQueries], any = false;
#pragma unroll
  for (int q = 0; q < Tier::kQueries; ++q) {
    const float limit = tile.limits[Tier::query(q)];
    passes[q] = false;
#pragma unroll
    for (int r = 0; r < Tier::kRows; ++r) passes[q] |= tier.sum(q, r) >= limit;
    any |= passes[q];
  }
  bool full = false;
  if (!any) return full;
#pragma unroll
  for (int q = 0; q < Tier::kQueries; ++q) {
    if (!passes[q]) continue;
    const float limit = tile.limits[Tier::query(q)];
    unsigned found = 0;
#pragma unroll
    for (int r = 0; r < Tier::kRows; ++r) found |= (tier.sum(q, r) >= limit ? 1u : 0u) << r;
    while (found != 0) {
      const int which = __ffs(static_cast<int>(found)) - 1;
      found &= found - 1u;
      float score = 0.0f;
#pragma unroll
      for (int r = 0; r < Tier::kRows; ++r) score = r == which ? tier.sum(q, r) : score;
      const std::int64_t position = std::int64_t{row_tile} * kTileRows + Tier::row(which);
      full |= append(wave, slot, Tier::query(q), position, score, tile);
    }
  }
  return full;
}

// Cuts back the lists that have not the room of a tile; a warp a query.
template <int kThreads>
__device__ __forceinline__ void make_room(const SearchWave& wave, std::int64_t query_tile,
                                          std::int64_t slot, CollectTile& tile) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  static_assert(kThreads / kWarp <= kTileWarps);
  for (int query = warp; query < kTileRows; query += kThreads / kWarp) {
    if (tile.counts[query] <= wave.capacity.full) continue;
    const CandidateList list = list_of(wave, query_tile * kTileRows + query, slot + query,
                                       std::int64_t{blockIdx.x} * kTileWarps + warp);
    QueryState state{tile.reaches[query], tile.limits[query], tile.worst[query],
                     tile.counts[query]};
    cut_back(list, state);
    // Else this would come again too soon.
    if (state.count > wave.capacity.k + wave.capacity.spare / 4 * 3) {
      if (lane == 0) {
        atomicAdd(&wave.counters->n_settled, 1ull);
        atomicAdd(&wave.counters->n_measured, static_cast<unsigned long long>(state.count));
      }
      settle(list, state);
    }
    __syncwarp();
    if (lane == 0) {
      tile.reaches[query] = state.reach;
      tile.limits[query] = state.limit;
      tile.worst[query] = state.worst;
      tile.counts[query] = state.count;
    }
  }
}

template <class Tier>
__global__ void __launch_bounds__(Tier::kThreads, 2) collect_kernel(const CollectProblem p) {
  CULATENT_DYNAMIC_SHARED(shared, uint4);
  CULATENT_SHARED(tile, CollectTile);
  const Slices slices{shared, shared + kStages * kSliceSize};
  const SearchWave& wave = p.wave;
  const int split = static_cast<int>(blockIdx.x) % wave.n_splits;
  const std::int64_t query_tile = wave.first_tile + static_cast<int>(blockIdx.x) / wave.n_splits;
  const std::int64_t slot = std::int64_t{blockIdx.x} * kTileRows;
  TileWalk walk(wave.lists, wave.lists.of_tile != nullptr ? wave.lists.of_tile[query_tile] : split,
                wave.same ? static_cast<int>(query_tile) : 0);
  begin_queries(wave, query_tile, tile);
  if (p.whole) {
    for (int slice = 0; slice < p.n_slices; ++slice) {
      fetch_slice<Tier::kThreads>(wave.queries, query_tile * p.n_slices + slice,
                                  slices.queries + slice * kSliceSize);
    }
  }
  int row_tile = walk.next(), stage = 0, parity = 0;
  if (row_tile >= 0) {
    fetch_rows<Tier::kThreads>(p, query_tile, row_tile, 0, stage, parity, slices, tile);
  }
  const auto n_features = static_cast<int>(wave.rows.rows.n_features);
  Tier tier;
#pragma unroll 1
  while (row_tile >= 0) {
    const int next_tile = walk.next();
#pragma unroll 1
    for (int slice = 0; slice < p.n_slices; ++slice) {
      device::cp_async_wait<0>();
      __syncthreads();  // the slice is there for all, and all have done with the one before
      const bool last = slice + 1 == p.n_slices;
      if (!last || next_tile >= 0) {
        fetch_rows<Tier::kThreads>(p, query_tile, last ? next_tile : row_tile, last ? 0 : slice + 1,
                                   1 - stage, last ? 1 - parity : parity, slices, tile);
      }
      if (slice == 0) tier.start(tile.lows[parity]);
      tier.multiply(slices.queries + (p.whole ? slice : stage) * kSliceSize,
                    slices.rows + stage * kSliceSize,
                    min(Tier::kFeatures, n_features - slice * Tier::kFeatures));
      stage = 1 - stage;
    }
    const bool full = offer(wave, tier, slot, row_tile, tile);
    if (__syncthreads_or(full ? 1 : 0) != 0) {
      make_room<Tier::kThreads>(wave, query_tile, slot, tile);
    }
    row_tile = next_tile;
    parity = 1 - parity;
  }
  __syncthreads();
  const int query = static_cast<int>(threadIdx.x);
  if (query >= kTileRows) return;
  wave.buffers.counts[slot + query] = tile.counts[query];
  wave.buffers.reaches[slot + query] = tile.reaches[query];
}

template <class Tier>
void launch_collect(const CudaBackend& backend, const SearchWave& wave) {
  constexpr auto kTile = static_cast<std::int64_t>(sizeof(CollectTile));
  CollectProblem p{};
  p.wave = wave;
  p.n_slices = static_cast<int>(count_slices(Tier::kProducts, wave.rows.rows.n_features));
  const std::int64_t all = std::int64_t{p.n_slices} * kSliceBytes;
  constexpr std::int64_t kStaged = std::int64_t{kStages} * kSliceBytes;
  p.whole = kTile + kStaged + all <= backend.device.shared_bytes();
  const std::int64_t bytes = kStaged + (p.whole ? all : kStaged);
  device::launch(collect_kernel<Tier>, static_cast<unsigned>(wave.n_tiles * wave.n_splits),
                 Tier::kThreads, static_cast<std::size_t>(bytes), backend.device.stream(), p);
}

}  // namespace

bool can_multiply_bf16(const CudaBackend&, std::int64_t n_features) {
  constexpr std::int64_t kMostFeatures = 1 << 16;  // the bounds stay of use
  return n_features <= kMostFeatures && device::has_tensor_cores(collect_kernel<Bf16Tier>);
}

void collect(const CudaBackend& backend, const SearchWave& wave) {
  if (wave.rows.products == Products::fp32) {
    launch_collect<Fp32Tier>(backend, wave);
  } else {
    launch_collect<Bf16Tier>(backend, wave);
  }
}

}  // namespace culatent::neighbors
