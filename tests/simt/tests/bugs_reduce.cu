#include "planted.hpp"

// Sums and counts: within a warp, a block, and over blocks.

namespace {

enum Bug {
  kNone,
  kNoSyncwarp,
  kReadWhileWarpReduces,
  kNoFence,
  kFenceOfOneThread,
  kFenceTooEarly,
  kFenceOfAnotherThread,
  kNoBarrierAfterTicket,
  kWriteWhileOthersRead,
  kPlainGlobalSum,
  kPlainSharedSum,
  kNoBarrierAfterZeroing,
  kOnePastDynamic,
  kNoAttribute,
  kShuffleInDivergentLoop,
  kNotInMask,
  kTooMuchShared,
  kNoRoomBesideStatic
};

constexpr int kThreads = 64;
constexpr int kBlocks = 3;

// ---- a tree whose last steps are one warp's ----------------------------------------------------

template <int kBug>
__global__ void tree_kernel(const float* values, float* sums) {
  auto& tile = simt::shared_var<float[kThreads]>([] {});
  const unsigned thread = threadIdx.x;
  tile[thread] = values[blockIdx.x * kThreads + thread];
  __syncthreads();
  if (thread < 32) {
    tile[thread] += tile[thread + 32];
    for (unsigned half = 16; half > 0; half /= 2) {
      if (kBug != kNoSyncwarp) __syncwarp();
      if (thread < half) tile[thread] += tile[thread + half];
    }
  }
  if (kBug != kReadWhileWarpReduces) __syncthreads();
  const float sum = tile[0];
  if (thread == kThreads - 1) sums[blockIdx.x] = sum;
}

template <int kBug>
bool run_tree() {
  const auto values = small_numbers(kThreads * kBlocks);
  Array<float> device_values(values);
  Array<float> sums(kBlocks);
  launch(tree_kernel<kBug>, kBlocks, kThreads, 0, device_values.data(), sums.data());
  const auto got = sums.host();
  for (std::size_t block = 0; block < kBlocks; ++block) {
    float wanted = 0.0f;
    for (std::size_t i = 0; i < kThreads; ++i) wanted += values[block * kThreads + i];
    if (got[block] != wanted) return false;
  }
  return true;
}

// ---- the last block to finish adds up what all blocks left -------------------------------------

template <int kBug>
__global__ void last_block_kernel(const float* values, float* partial, unsigned* ticket,
                                  float* sum) {
  auto& last_block = simt::shared_var<unsigned>([] {});
  const unsigned thread = threadIdx.x;
  const unsigned i = blockIdx.x * kThreads + thread;
  partial[i] = 2.0f * values[i];
  // All fence and meet, or all meet and the one fences that takes the ticket.
  const bool fences_first = kBug == kNone || (kBug == kFenceOfOneThread && thread == 0) ||
                            (kBug == kFenceTooEarly && thread == 0);
  if (fences_first) __threadfence();
  if (kBug != kFenceOfOneThread) __syncthreads();
  if (kBug == kNoBarrierAfterTicket && thread == 0) __threadfence();
  if (kBug == kFenceOfAnotherThread && thread == 1) __threadfence();

  unsigned before = 0;
  if (thread == 0) before = atomicAdd(ticket, 1u);
  unsigned reader = 0;
  if (kBug == kNoBarrierAfterTicket) {  // a shuffle carries the ticket, but orders no memory
    if (thread >= 32) return;
    before = __shfl_sync(0xffffffffu, before, 0);
    reader = 1;
  } else {
    if (thread == 0) last_block = before;
    __syncthreads();
    before = last_block;
  }
  if (before != gridDim.x - 1 || thread != reader) return;
  float total = 0.0f;
  for (unsigned k = 0; k < gridDim.x * kThreads; ++k) total += partial[k];
  *sum = total;
}

template <int kBug>
bool run_last_block() {
  const auto values = small_numbers(kThreads * kBlocks);
  Array<float> device_values(values);
  Array<float> partial(values.size());
  Array<unsigned> ticket(std::vector<unsigned>{0});
  Array<float> sum(1);
  launch(last_block_kernel<kBug>, kBlocks, kThreads, 0, device_values.data(), partial.data(),
         ticket.data(), sum.data());
  float wanted = 0.0f;
  for (const float value : values) wanted += 2.0f * value;
  return sum.host()[0] == wanted;
}

// ---- a value that all read and one replaces ----------------------------------------------------

template <int kBug>
__global__ void replace_kernel(float* sums) {
  auto& value = simt::shared_var<float>([] {});
  if (threadIdx.x == 0) value = 3.0f;
  __syncthreads();
  const float mine = value;
  if (kBug == kWriteWhileOthersRead) {
    __syncwarp();  // the other warp may not have read yet
  } else {
    __syncthreads();
  }
  if (threadIdx.x == 0) value = 4.0f;
  sums[threadIdx.x] = mine;
}

template <int kBug>
bool run_replace() {
  Array<float> sums(kThreads);
  launch(replace_kernel<kBug>, 1, kThreads, 0, sums.data());
  return sums.host() == std::vector<float>(kThreads, 3.0f);
}

// ---- counts in dynamic shared memory -----------------------------------------------------------

template <int kBug>
__global__ void count_kernel(const int* labels, int n_labels, int* counts, int n_bins) {
  int* bins = simt::dynamic_shared<int>();
  const int thread = static_cast<int>(threadIdx.x);
  const int end = kBug == kOnePastDynamic ? n_bins + 1 : n_bins;
  for (int bin = thread; bin < end; bin += kThreads) bins[bin] = 0;
  if (kBug != kNoBarrierAfterZeroing) __syncthreads();
  for (int i = static_cast<int>(blockIdx.x) * kThreads + thread; i < n_labels;
       i += kThreads * static_cast<int>(gridDim.x)) {
    if (kBug == kPlainSharedSum) {
      bins[labels[i]] += 1;
    } else {
      atomicAdd(&bins[labels[i]], 1);
    }
  }
  __syncthreads();
  for (int bin = thread; bin < n_bins; bin += kThreads) {
    if (kBug == kPlainGlobalSum) {
      counts[bin] += bins[bin];
    } else {
      atomicAdd(&counts[bin], bins[bin]);
    }
  }
}

template <int kBug>
bool run_count() {
  const int n_bins = 15000;  // 60 kB
  const auto shared_bytes = static_cast<std::size_t>(n_bins) * sizeof(int);
  std::vector<int> labels;
  for (int i = 0; i < 500; ++i) labels.push_back(i * i * 37 % n_bins / 100 * 100);
  std::vector<int> wanted(static_cast<std::size_t>(n_bins));
  for (const int label : labels) ++wanted[static_cast<std::size_t>(label)];
  Array<int> device_labels(labels);
  Array<int> counts(std::vector<int>(static_cast<std::size_t>(n_bins)));
  if (kBug != kNoAttribute) {
    cudaFuncSetAttribute(count_kernel<kBug>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes));
  }
  launch(count_kernel<kBug>, kBlocks, kThreads, shared_bytes, device_labels.data(), 500,
         counts.data(), n_bins);
  return counts.host() == wanted;
}

// ---- the largest of a row, a warp a row --------------------------------------------------------

template <int kBug>
__global__ void maximum_kernel(const float* values, int columns, float* largest) {
  const int lane = static_cast<int>(threadIdx.x);
  float mine = 0.0f;
  const auto over_warp = [](unsigned mask, float value) {
    for (int distance = 16; distance > 0; distance /= 2) {
      value = fmaxf(value, __shfl_xor_sync(mask, value, distance));
    }
    return value;
  };
  for (int column = lane; column < columns; column += 32) {
    mine = fmaxf(mine, values[column]);
    if (kBug == kShuffleInDivergentLoop) mine = over_warp(0xffffffffu, mine);
  }
  mine = over_warp(kBug == kNotInMask ? 0xffffu : 0xffffffffu, mine);
  if (lane == 0) *largest = mine;
}

template <int kBug>
bool run_maximum() {
  std::vector<float> values = small_numbers(45);
  values[40] = 9.0f;
  Array<float> device_values(values);
  Array<float> largest(1);
  launch(maximum_kernel<kBug>, 1, 32, 0, device_values.data(), 45, largest.data());
  return largest.host()[0] == 9.0f;
}

// ---- static shared memory ----------------------------------------------------------------------

template <int kBug>
__global__ void large_tile_kernel(float* out) {
  constexpr int kCount = kBug == kTooMuchShared ? 12289 : 12288;  // 48 KiB
  auto& tile = simt::shared_var<float[kCount]>([] {});
  tile[kCount - 1] = 3.0f;
  *out = tile[kCount - 1];
}

template <int kBug>
bool run_large_tile() {
  Array<float> out(1);
  launch(large_tile_kernel<kBug>, 1, 1, 0, out.data());
  return out.host()[0] == 3.0f;
}

// ---- dynamic shared memory within 48 KiB, but not together with the static
// -----------------------

template <int kBug>
__global__ void both_kinds_kernel(float* out) {
  auto& tile = simt::shared_var<float[256]>([] {});
  float* const dynamic = simt::dynamic_shared<float>();
  tile[255] = 1.0f;
  dynamic[12287] = 2.0f;
  *out = tile[255] + dynamic[12287];
}

template <int kBug>
bool run_both_kinds() {
  constexpr std::size_t kBytes = 12288 * sizeof(float);  // 48 KiB
  if (kBug != kNoRoomBesideStatic) {
    cudaFuncSetAttribute(reinterpret_cast<const void*>(both_kinds_kernel<kBug>),
                         cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  }
  Array<float> out(1);
  launch(both_kinds_kernel<kBug>, 1, 1, kBytes, out.data());
  return out.host()[0] == 3.0f;
}

template <bool (*kWith)(), bool (*kWithout)()>
bool run(bool with_bug) {
  return with_bug ? kWith() : kWithout();
}

}  // namespace

std::vector<Planted> reduce_bugs() {
  return {
      {"NoSyncwarp", "race", run<run_tree<kNoSyncwarp>, run_tree<kNone>>},
      {"ReadWhileWarpReduces", "race", run<run_tree<kReadWhileWarpReduces>, run_tree<kNone>>},
      {"NoFence", "race", run<run_last_block<kNoFence>, run_last_block<kNone>>},
      {"FenceOfOneThread", "race", run<run_last_block<kFenceOfOneThread>, run_last_block<kNone>>},
      {"FenceTooEarly", "race", run<run_last_block<kFenceTooEarly>, run_last_block<kNone>>},
      {"FenceOfAnotherThread", "race",
       run<run_last_block<kFenceOfAnotherThread>, run_last_block<kNone>>},
      {"NoBarrierAfterTicket", "race",
       run<run_last_block<kNoBarrierAfterTicket>, run_last_block<kNone>>},
      {"WriteWhileOthersRead", "race", run<run_replace<kWriteWhileOthersRead>, run_replace<kNone>>},
      {"PlainGlobalSum", "race", run<run_count<kPlainGlobalSum>, run_count<kNone>>},
      {"PlainSharedSum", "race", run<run_count<kPlainSharedSum>, run_count<kNone>>},
      {"NoBarrierAfterZeroing", "race", run<run_count<kNoBarrierAfterZeroing>, run_count<kNone>>},
      {"OnePastDynamic", "out-of-bounds", run<run_count<kOnePastDynamic>, run_count<kNone>>},
      {"NoAttribute", "bad-launch", run<run_count<kNoAttribute>, run_count<kNone>>},
      {"ShuffleInDivergentLoop", "inactive-lane",
       run<run_maximum<kShuffleInDivergentLoop>, run_maximum<kNone>>},
      {"NotInMask", "warp-mask", run<run_maximum<kNotInMask>, run_maximum<kNone>>},
      {"TooMuchShared", "shared-size", run<run_large_tile<kTooMuchShared>, run_large_tile<kNone>>},
      {"NoRoomBesideStatic", "shared-size",
       run<run_both_kinds<kNoRoomBesideStatic>, run_both_kinds<kNone>>},
  };
}
