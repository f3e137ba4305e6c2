#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/neighbors_candidates.cuh"

namespace culatent::neighbors {
namespace {

// ---- finish -------------------------------------------------------------------------------------
//
// A warp a query. Candidates of other splits join those of the first, as rows joined in collect().
// What the bounds leave then, about k, is measured, and each writes itself to its place, which is
// how many are nearer.
//   a query: 4 D bytes a candidate, from anywhere; k² / 32 comparisons a lane

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;

// Adds candidates of another list that pass the limit.
__device__ __forceinline__ void join(const CandidateList& list, const Candidate* others,
                                     int n_others, int full, QueryState& state) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int first = 0; first < n_others; first += kWarp) {
    Candidate candidate{};
    bool keep = false;
    if (first + lane < n_others) {
      candidate = others[first + lane];
      keep = candidate.score >= state.limit;
    }
    const unsigned mask = __ballot_sync(device::kAllLanes, keep);
    const int at = state.count + __popc(mask & ((1u << lane) - 1u));
    if (keep) list.candidates[at] = candidate;
    state.count += __popc(mask);
    __syncwarp();
    if (state.count <= full) continue;
    cut_back(list, state);
    if (state.count > full) settle(list, state);
  }
}

// A place of the wave without a query.
__device__ __forceinline__ void leave_out(std::int64_t query, int k, std::int32_t* indices,
                                          double* squares) {
  for (int rank = static_cast<int>(threadIdx.x) % kWarp; rank < k; rank += kWarp) {
    indices[query * k + rank] = -1;
    squares[query * k + rank] = static_cast<double>(kUnbounded);
  }
}

// The query at a place of the wave, which has a row.
__device__ __forceinline__ void finish_query(const SearchWave& wave, std::int64_t query,
                                             std::int64_t warp, std::int64_t to,
                                             std::int32_t* indices, double* squares) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t position = wave.first_tile * kTileRows + query;
  const std::int64_t first = query / kTileRows * wave.n_splits * kTileRows + query % kTileRows;
  const CandidateList list = list_of(wave, position, first, warp);
  QueryState state;
  for (int split = 0; split < wave.n_splits; ++split) {
    state.reach = fminf(state.reach, wave.buffers.reaches[first + split * kTileRows]);
  }
  state.limit = limit_of(list, state.reach);
  state.count = keep_from(list, wave.buffers.counts[first], state.limit);
  for (int split = 1; split < wave.n_splits; ++split) {
    const std::int64_t other = first + split * kTileRows;
    join(list, wave.buffers.candidates + other * wave.capacity.total, wave.buffers.counts[other],
         wave.capacity.full, state);
  }
  if (state.count > list.k) cut_back(list, state);
  measure(list, state.count);
  for (int c = lane; c < state.count; c += kWarp) {
    const int rank = rank_of(list, state.count, c);
    if (rank >= list.k) continue;
    indices[to + rank] = static_cast<std::int32_t>(row_at(list.rows, list.candidates[c].position));
    squares[to + rank] = list.squares[c];
  }
  if (lane == 0) {
    atomicAdd(&wave.counters->n_finished, static_cast<unsigned long long>(state.count));
  }
}

// One block is asked for because the compiler spills where it is left to choose.
__global__ void __launch_bounds__(kThreads, 1)
    finish_kernel(const SearchWave wave, bool by_row, std::int32_t* indices, double* squares) {
  const std::int64_t warp =
      std::int64_t{blockIdx.x} * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t n_warps = std::int64_t{gridDim.x} * kWarps;
  for (std::int64_t query = warp; query < wave.n_tiles * kTileRows; query += n_warps) {
    const std::int64_t row = row_at(wave.queries, wave.first_tile * kTileRows + query);
    if (row < 0) {
      if (!by_row) leave_out(query, wave.capacity.k, indices, squares);
      continue;
    }
    finish_query(wave, query, warp, (by_row ? row : query) * wave.capacity.k, indices, squares);
    __syncwarp();  // the scratch is free
  }
}

}  // namespace

void finish(const CudaBackend& backend, const SearchWave& wave, bool by_row, std::int32_t* indices,
            double* squares) {
  device::launch(finish_kernel,
                 static_cast<unsigned>(wave.n_tiles * wave.n_splits * (kTileWarps / kWarps)),
                 kThreads, 0, backend.device.stream(), wave, by_row, indices, squares);
}

}  // namespace culatent::neighbors
