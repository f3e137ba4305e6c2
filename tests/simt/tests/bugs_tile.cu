#include "planted.hpp"

// A product of matrices by tiles in shared memory, and what goes wrong in such kernels.

namespace {

enum Bug {
  kNone,
  kNoBarrierAfterLoad,
  kNoBarrierBeforeReuse,
  kOneRowTooMany,
  kPastTheRow,
  kTailWritesLastRow,
  kTailNotZeroed,
  kNoRowGuard,
  kEarlyReturn,
  kBarrierInBothArms,
  kBarrierInDivergentLoop
};

constexpr int kTile = 8;

struct Matrices {
  const float* a;  // [rows, depth]
  const float* b;  // [depth, kTile]
  float* c;        // [rows, kTile]
  int rows;
  int depth;
  int row_excess;
};

template <int kBug>
__global__ void product_kernel(Matrices m) {
  auto& a_tile = simt::shared_var<float[kTile][kTile]>([] {});
  auto& b_tile = simt::shared_var<float[kTile][kTile]>([] {});
  const int column = static_cast<int>(threadIdx.x);
  const int row_in_tile = static_cast<int>(threadIdx.y);
  const int row = static_cast<int>(blockIdx.x) * kTile + row_in_tile;
  if (kBug == kEarlyReturn && row >= m.rows) return;

  float sum = 0.0f;
  for (int first = 0; first < m.depth; first += kTile) {
    const int k = first + column;
    const bool inside = row < m.rows && k < m.depth;
    if (kBug == kNoRowGuard) {
      a_tile[row_in_tile][column] = k < m.depth ? m.a[row * m.depth + k] : 0.0f;
    } else if (kBug == kTailNotZeroed) {
      if (inside) a_tile[row_in_tile][column] = m.a[row * m.depth + k];
    } else {
      a_tile[row_in_tile][column] = inside ? m.a[row * m.depth + k] : 0.0f;
    }
    const int b_row = first + row_in_tile;
    b_tile[row_in_tile][column] = b_row < m.depth ? m.b[b_row * kTile + column] : 0.0f;

    if (kBug == kBarrierInBothArms && row < m.rows) {
      __syncthreads();
    } else if (kBug != kNoBarrierAfterLoad) {
      __syncthreads();
    }
    const int last = kBug == kOneRowTooMany ? kTile + m.row_excess : kTile;
    for (int i = 0; i < last; ++i) sum += a_tile[row_in_tile][i] * b_tile[i][column];
    if (kBug == kPastTheRow) sum += 0.0f * a_tile[row_in_tile][kTile + column];
    if (kBug == kBarrierInDivergentLoop && row >= m.rows) break;
    if (kBug != kNoBarrierBeforeReuse) __syncthreads();
  }
  if (kBug == kBarrierInDivergentLoop) __syncthreads();
  if (kBug == kTailWritesLastRow) {
    m.c[(row < m.rows ? row : m.rows - 1) * kTile + column] = sum;
  } else if (row < m.rows) {
    m.c[row * kTile + column] = sum;
  }
}

template <int kBug>
bool run_product() {
  const int rows = 11;  // a full tile and a ragged one
  const int depth = 20;
  const auto a = small_numbers(static_cast<std::size_t>(rows * depth));
  const auto b = small_numbers(static_cast<std::size_t>(depth * kTile));
  Array<float> device_a(a);
  Array<float> device_b(b);
  Array<float> device_c(static_cast<std::size_t>(rows * kTile));
  launch(product_kernel<kBug>, 2, dim3(kTile, kTile), 0,
         Matrices{device_a.data(), device_b.data(), device_c.data(), rows, depth, 1});
  const auto c = device_c.host();
  for (int i = 0; i < rows * kTile; ++i) {
    float wanted = 0.0f;
    for (int k = 0; k < depth; ++k) {
      wanted += a[static_cast<std::size_t>(i / kTile * depth + k)] *
                b[static_cast<std::size_t>(k * kTile + i % kTile)];
    }
    if (c[static_cast<std::size_t>(i)] != wanted) return false;
  }
  return true;
}

template <int kBug>
bool run(bool with_bug) {
  return with_bug ? run_product<kBug>() : run_product<kNone>();
}

}  // namespace

std::vector<Planted> tile_bugs() {
  return {
      {"NoBarrierAfterLoad", "race", run<kNoBarrierAfterLoad>},
      {"NoBarrierBeforeReuse", "race", run<kNoBarrierBeforeReuse>},
      {"OneRowTooMany", "out-of-bounds", run<kOneRowTooMany>},
      {"PastTheRow", "out-of-bounds", run<kPastTheRow>},
      {"TailWritesLastRow", "race", run<kTailWritesLastRow>},
      {"TailNotZeroed", "uninitialised", run<kTailNotZeroed>},
      {"NoRowGuard", "out-of-bounds", run<kNoRowGuard>},
      {"EarlyReturn", "early-exit", run<kEarlyReturn>},
      {"BarrierInBothArms", "divergent-sync", run<kBarrierInBothArms>},
      {"BarrierInDivergentLoop", "divergent-sync", run<kBarrierInDivergentLoop>},
  };
}
