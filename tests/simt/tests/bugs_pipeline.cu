#include <bit>
#include <cstdint>

#include "planted.hpp"

// Copies that run ahead of the arithmetic, and the fragments of tensor cores.

namespace {

enum Bug {
  kNone,
  kNoWait,
  kNoCommit,
  kNoBarrierAfterWait,
  kRefilledTooEarly,
  kMisalignedCopy,
  kNotRounded,
  kFragmentSwapped,
  kRowNotAligned
};

// ---- column sums, the next rows fetched while these are added ----------------------------------

constexpr int kRows = 4;  // a stage
constexpr int kColumns = 16;

template <int kBug>
__global__ void column_sums_kernel(const float* values, int stages, float* sums) {
  auto& buffer = simt::shared_var<float4[2][kRows][kColumns / 4]>([] {});
  const int row = static_cast<int>(threadIdx.x) / (kColumns / 4);
  const int quad = static_cast<int>(threadIdx.x) % (kColumns / 4);
  const auto fetch = [&](int stage) {
    const int shift = kBug == kMisalignedCopy ? 1 : 0;
    simt::cp_async<16>(&buffer[stage % 2][row][quad],
                       values + (stage * kRows + row) * kColumns + 4 * quad + shift);
    if (kBug != kNoCommit) simt::cp_async_commit();
  };
  fetch(0);
  float sum = 0.0f;
  for (int stage = 0; stage < stages; ++stage) {
    const bool more = stage + 1 < stages;
    if (more) fetch(stage + 1);
    if (kBug != kNoWait) simt::cp_async_wait(more ? 1 : 0);
    if (kBug != kNoBarrierAfterWait) __syncthreads();
    const auto& rows = buffer[stage % 2];
    for (int i = 0; i < kRows; ++i) {  // thread t adds up column t, which others fetched
      sum += reinterpret_cast<const float*>(&rows[i])[threadIdx.x];
    }
    if (kBug != kRefilledTooEarly) __syncthreads();
  }
  sums[threadIdx.x] = sum;
}

template <int kBug>
bool run_column_sums() {
  const int stages = 5;
  const auto values = small_numbers(kRows * kColumns * stages + 4);
  Array<float> device_values(values);
  Array<float> sums(kColumns);
  launch(column_sums_kernel<kBug>, 1, kColumns, 0, device_values.data(), stages, sums.data());
  const auto got = sums.host();
  for (std::size_t column = 0; column < kColumns; ++column) {
    float wanted = 0.0f;
    for (std::size_t row = 0; row < kRows * stages; ++row) {
      wanted += values[row * kColumns + column];
    }
    if (got[column] != wanted) return false;
  }
  return true;
}

// ---- one 16 x 8 product on tensor cores --------------------------------------------------------

template <int kBug>
__global__ void fragment_kernel(const float* a, const float* b, float* d) {
  const unsigned row = threadIdx.x / 4;
  const unsigned pair = threadIdx.x % 4;
  const auto element = [](const float* matrix, unsigned at) {
    const float value = matrix[at] + (kBug == kNotRounded ? 0.001f : 0.0f);
    return kBug == kNotRounded ? __float_as_uint(value) : simt::cvt_rna_tf32(value);
  };
  const unsigned second = kBug == kFragmentSwapped ? 2 : 1;
  std::uint32_t a_part[4];
  a_part[0] = element(a, row * 8 + pair);
  a_part[second] = element(a, (row + 8) * 8 + pair);
  a_part[3 - second] = element(a, row * 8 + pair + 4);
  a_part[3] = element(a, (row + 8) * 8 + pair + 4);
  const std::uint32_t b_part[2] = {element(b, pair * 8 + row), element(b, (pair + 4) * 8 + row)};
  const float zero[4] = {};
  float product[4];
  simt::mma_m16n8k8_tf32(product, a_part, b_part, zero);
  for (unsigned i = 0; i < 4; ++i) {
    d[(row + 8 * (i / 2)) * 8 + 2 * pair + i % 2] = product[i];
  }
}

template <int kBug>
bool run_fragment() {
  const auto a = small_numbers(16 * 8);
  const auto b = small_numbers(8 * 8);
  Array<float> device_a(a);
  Array<float> device_b(b);
  Array<float> d(16 * 8);
  launch(fragment_kernel<kBug>, 1, 32, 0, device_a.data(), device_b.data(), d.data());
  const auto got = d.host();
  for (std::size_t i = 0; i < 16 * 8; ++i) {
    float wanted = 0.0f;
    for (std::size_t k = 0; k < 8; ++k) wanted += a[i / 8 * 8 + k] * b[k * 8 + i % 8];
    if (got[i] != wanted) return false;
  }
  return true;
}

// ---- ldmatrix ----------------------------------------------------------------------------------

template <int kBug>
__global__ void load_matrix_kernel(std::uint32_t* out) {
  constexpr int kStride = kBug == kRowNotAligned ? 12 : 16;  // 16-bit elements a row
  auto& tile = simt::shared_var<std::uint16_t[8 * kStride]>([] {});
  for (int i = static_cast<int>(threadIdx.x); i < 8 * kStride; i += 32) {
    tile[i] = static_cast<std::uint16_t>(i);
  }
  __syncthreads();
  std::uint32_t part[1];
  simt::ldmatrix_x1(part, &tile[static_cast<int>(threadIdx.x % 8) * kStride]);
  out[threadIdx.x] = part[0];
}

template <int kBug>
bool run_load_matrix() {
  Array<std::uint32_t> out(32);
  launch(load_matrix_kernel<kBug>, 1, 32, 0, out.data());
  const auto got = out.host();
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    const std::uint32_t first = lane / 4 * 16 + 2 * (lane % 4);
    if (got[lane] != (first | (first + 1) << 16)) return false;
  }
  return true;
}

template <bool (*kWith)(), bool (*kWithout)()>
bool run(bool with_bug) {
  return with_bug ? kWith() : kWithout();
}

}  // namespace

std::vector<Planted> pipeline_bugs() {
  return {
      {"NoWait", "async-pending", run<run_column_sums<kNoWait>, run_column_sums<kNone>>},
      {"NoCommit", "async-pending", run<run_column_sums<kNoCommit>, run_column_sums<kNone>>},
      {"NoBarrierAfterWait", "race",
       run<run_column_sums<kNoBarrierAfterWait>, run_column_sums<kNone>>},
      {"RefilledTooEarly", "race", run<run_column_sums<kRefilledTooEarly>, run_column_sums<kNone>>},
      {"MisalignedCopy", "misaligned",
       run<run_column_sums<kMisalignedCopy>, run_column_sums<kNone>>},
      {"NotRounded", "mma-operand", run<run_fragment<kNotRounded>, run_fragment<kNone>>},
      {"FragmentSwapped", nullptr, run<run_fragment<kFragmentSwapped>, run_fragment<kNone>>},
      {"RowNotAligned", "misaligned", run<run_load_matrix<kRowNotAligned>, run_load_matrix<kNone>>},
  };
}
