#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>

#include "array.hpp"
#include "simt/simt.hpp"

// What kernels see: built-in variables, memory, atomics, the order in which threads run.

namespace {

// ---- built-in variables ------------------------------------------------------------------------

__global__ void index_kernel(unsigned* visits) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  atomicAdd(&visits[block * threads + thread], 1u + threadIdx.x % warpSize);
}

TEST(Builtins, EachThreadOfThreeDimensionsRunsOnce) {
  const dim3 grid(3, 2, 4);
  const dim3 block(5, 3, 2);
  Array<unsigned> visits(std::vector<unsigned>(3 * 2 * 4 * 5 * 3 * 2));
  launch(index_kernel, grid, block, 0, visits.data());
  const auto got = visits.host();
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], 1 + i % 5) << i;
}

// ---- shared and constant memory ----------------------------------------------------------------

__constant__ float table[3];

template <class T>
__device__ T& counter() {
  return simt::shared_var<T>([] {});
}

template <class T>
__global__ void shared_kernel(T* out) {
  auto& first = simt::shared_var<T[4]>([] {});
  auto& second = simt::shared_var<T[4]>([] {});
  T* dynamic = simt::dynamic_shared<T>();
  const unsigned thread = threadIdx.x;
  first[thread] = static_cast<T>(thread);
  second[thread] = static_cast<T>(10 + thread);
  dynamic[thread] = static_cast<T>(table[2]);
  if (thread == 0) counter<T>() = T{0};
  __syncthreads();
  if (thread == 3) counter<T>() += T{7};
  __syncthreads();
  out[blockIdx.x * 4 + thread] =
      first[3 - thread] + second[3 - thread] + dynamic[3 - thread] + counter<T>();
}

template <class T>
void expect_shared_works() {
  const float values[3] = {1.0f, 2.0f, 100.0f};
  ASSERT_EQ(cudaMemcpyToSymbolAsync(table, values, sizeof values), cudaSuccess);
  Array<T> out(8);
  launch(shared_kernel<T>, 2, 4, 4 * sizeof(T), out.data());
  const std::vector<T> wanted = {123, 121, 119, 117, 123, 121, 119, 117};
  EXPECT_EQ(out.host(), wanted);
}

TEST(SharedMemory, DeclarationsAndInstantiationsAreDistinct) {
  expect_shared_works<float>();
  expect_shared_works<double>();
  expect_shared_works<int>();
}

TEST(ConstantMemory, IsCheckedForItsSize) {
  const float values[3] = {};
  EXPECT_EQ(cudaMemcpyToSymbolAsync(table, values, sizeof values, 4), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
}

// ---- what kernels may do, and the checker must not mind ----------------------------------------

struct LargeParameter {
  int values[200];
};

__global__ void harmless_kernel(LargeParameter parameter, const int* pinned, int* out) {
  auto& bytes = simt::shared_var<std::uint8_t[64]>([] {});
  const unsigned thread = threadIdx.x;
  int local[4];
  for (unsigned i = 0; i < 4; ++i) local[i] = static_cast<int>(thread + i);
  bytes[thread] = static_cast<std::uint8_t>(thread);  // four threads share a word
  __syncthreads();
  out[thread] = bytes[63 - thread] + parameter.values[thread] + pinned[thread] + local[thread % 4];
}

TEST(Kernel, MayShareWordsAndReadParametersPinnedMemoryAndItsStack) {
  LargeParameter parameter{};
  for (int i = 0; i < 200; ++i) parameter.values[i] = 1000 * i;
  int* pinned = nullptr;
  cudaMallocHost(&pinned, 64 * sizeof(int));
  for (int i = 0; i < 64; ++i) pinned[i] = 100000 * i;
  Array<int> out(64);
  launch(harmless_kernel, 1, 64, 0, parameter, pinned, out.data());
  const auto got = out.host();
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(got[static_cast<std::size_t>(i)], 63 - i + 101000 * i + i + i % 4);
  }
  cudaFreeHost(pinned);
}

// Blocks 0 and 1 meet at one ticket, the later of them and block 2 at another: who comes last reads
// what block 0 wrote, which it knows of through block 1.
__global__ void two_tickets_kernel(int* partial, unsigned* tickets, int* sum) {
  if (threadIdx.x != 0) return;
  partial[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
  __threadfence();
  if (blockIdx.x < 2) {
    if (atomicAdd(&tickets[0], 1u) != 1) return;
    __threadfence();
  }
  if (atomicAdd(&tickets[1], 1u) != 1) return;
  *sum = partial[0] + partial[1] + partial[2];
}

TEST(Kernel, MayPassOnWhatAnotherBlockPublished) {
  Array<int> partial(3);
  Array<unsigned> tickets(std::vector<unsigned>{0, 0});
  Array<int> sum(1);
  launch(two_tickets_kernel, 3, 32, 0, partial.data(), tickets.data(), sum.data());
  EXPECT_EQ(sum.host()[0], 6);
}

// ---- atomics -----------------------------------------------------------------------------------

template <class T>
__global__ void atomic_kernel(T* cells, T* old) {
  old[0] = atomicAdd(&cells[0], T{5});
  old[1] = atomicExch(&cells[1], T{5});
  old[2] = atomicMin(&cells[2], T{5});
  old[3] = atomicMax(&cells[3], T{5});
  old[4] = atomicAnd(&cells[4], T{6});
  old[5] = atomicOr(&cells[5], T{6});
  old[6] = atomicXor(&cells[6], T{6});
  old[7] = atomicCAS(&cells[7], T{3}, T{9});
  old[8] = atomicCAS(&cells[8], T{4}, T{9});
}

template <class T>
void expect_atomics() {
  Array<T> cells(std::vector<T>(9, T{3}));
  Array<T> old(9);
  launch(atomic_kernel<T>, 1, 1, 0, cells.data(), old.data());
  EXPECT_EQ(cells.host(), (std::vector<T>{8, 5, 3, 5, 2, 7, 5, 9, 3}));
  EXPECT_EQ(old.host(), std::vector<T>(9, T{3}));
}

TEST(Atomics, GiveTheOldValueAndStoreTheNew) {
  expect_atomics<int>();
  expect_atomics<unsigned>();
  expect_atomics<unsigned long long>();
}

__global__ void clock_kernel(unsigned* up, unsigned* down, float* sum, double* total) {
  atomicInc(up, 6u);
  atomicDec(down, 6u);
  atomicAdd(sum, 0.5f);
  atomicAdd(total, 0.25);
}

TEST(Atomics, AddUpOverBlocksAndWrapAtTheirLimit) {
  Array<unsigned> cells(std::vector<unsigned>{0, 0});
  Array<float> sum(std::vector<float>{0.0f});
  Array<double> total(std::vector<double>{0.0});
  launch(clock_kernel, 10, 40, 0, cells.data(), cells.data() + 1, sum.data(), total.data());
  EXPECT_EQ(cells.host(), (std::vector<unsigned>{400 % 7, 6 - (400 - 1) % 7}));
  EXPECT_EQ(sum.host()[0], 200.0f);
  EXPECT_EQ(total.host()[0], 100.0);
}

// ---- the order of threads ----------------------------------------------------------------------

__global__ void order_kernel(unsigned* ticket, unsigned* order) {
  order[atomicAdd(ticket, 1u)] = threadIdx.x + blockIdx.x * blockDim.x;
}

std::vector<unsigned> order_of_threads(simt::Order order, std::uint64_t seed) {
  const simt::Options before = simt::options();
  simt::options().order = order;
  simt::options().random_blocks = order == simt::Order::kRandom;
  simt::options().seed = seed;
  Array<unsigned> ticket(std::vector<unsigned>{0});
  Array<unsigned> ran(40);
  launch(order_kernel, 5, 8, 0, ticket.data(), ran.data());
  cudaDeviceSynchronize();
  simt::options() = before;
  return ran.host();
}

TEST(Order, IsWhatTheOptionsSay) {
  std::vector<unsigned> forward(40);
  std::iota(forward.begin(), forward.end(), 0u);
  EXPECT_EQ(order_of_threads(simt::Order::kForward, 1), forward);
  std::vector<unsigned> reverse;
  for (unsigned i = 0; i < 40; ++i) reverse.push_back(i / 8 * 8 + 7 - i % 8);
  EXPECT_EQ(order_of_threads(simt::Order::kReverse, 1), reverse);
}

TEST(Order, IsRandomAndRepeatable) {
  std::set<std::vector<unsigned>> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    simt::reset();  // the number of the launch is part of the seed
    const auto once = order_of_threads(simt::Order::kRandom, seed);
    simt::reset();
    EXPECT_EQ(order_of_threads(simt::Order::kRandom, seed), once);
    EXPECT_TRUE(std::is_permutation(once.begin(), once.end(),
                                    order_of_threads(simt::Order::kForward, 1).begin()));
    orders.insert(once);
  }
  EXPECT_EQ(orders.size(), 20u);
}

}  // namespace
