#include <cstdint>

#include "planted.hpp"

// Pointers and copies that are wrong before a kernel does anything wrong itself.

namespace {

__global__ void double_kernel(float* values, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) values[i] *= 2.0f;
}
__global__ void double_quads_kernel(const float* values, float* out) {
  const float4 quad = *reinterpret_cast<const float4*>(values + 4 * threadIdx.x);
  *reinterpret_cast<float4*>(out + 4 * threadIdx.x) =
      make_float4(2.0f * quad.x, 2.0f * quad.y, 2.0f * quad.z, 2.0f * quad.w);
}
__global__ void sum_bytes_kernel(int written, int* sum) {
  auto& bytes = simt::shared_var<std::uint8_t[8]>([] {});
  for (int i = 0; i < written; ++i) bytes[i] = 1;
  int total = 0;
  for (int i = 0; i < 7; ++i) total += bytes[i];
  *sum = total;
}
__global__ void sum_dynamic_bytes_kernel(int count, int* sum) {
  auto* bytes = simt::dynamic_shared<std::uint8_t>();
  int total = 0;
  for (int i = 0; i < count; ++i) {
    bytes[i] = 1;
    total += bytes[i];
  }
  *sum = total;
}
__global__ void trap_kernel(int limit) {
  if (static_cast<int>(threadIdx.x) >= limit) __trap();
}

constexpr int kCount = 100;

bool all_doubled(const std::vector<float>& got, const std::vector<float>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (got[i] != 2.0f * values[i]) return false;
  }
  return true;
}

bool host_pointer(bool with_bug) {
  auto values = small_numbers(kCount);
  Array<float> device(values);
  launch(double_kernel, 2, 64, 0, with_bug ? values.data() : device.data(), kCount);
  return all_doubled(device.host(), small_numbers(kCount));
}
bool use_after_free(bool with_bug) {
  const auto values = small_numbers(kCount);
  Array<float> device(values);
  float* other = nullptr;
  cudaMalloc(&other, kCount * sizeof(float));
  cudaMemset(other, 0, kCount * sizeof(float));
  if (with_bug) cudaFree(other);
  launch(double_kernel, 2, 64, 0, other, kCount);
  if (!with_bug) cudaFree(other);
  launch(double_kernel, 2, 64, 0, device.data(), kCount);
  return all_doubled(device.host(), values);
}
bool count_too_large(bool with_bug) {
  const auto values = small_numbers(kCount);
  Array<float> device(values);
  launch(double_kernel, 2, 64, 0, device.data(), with_bug ? kCount + 1 : kCount);
  return all_doubled(device.host(), values);
}
bool never_initialised(bool with_bug) {
  const auto values = small_numbers(kCount);
  Array<float> device(kCount);
  const std::size_t copied = with_bug ? kCount - 1 : kCount;
  cudaMemcpy(device.data(), values.data(), copied * sizeof(float), cudaMemcpyHostToDevice);
  launch(double_kernel, 2, 64, 0, device.data(), kCount);
  return all_doubled(device.host(), values);
}
bool copied_without_value(bool with_bug) {
  const auto values = small_numbers(kCount);
  Array<float> device(kCount);
  Array<float> again(kCount);
  const std::size_t copied = with_bug ? kCount - 1 : kCount;
  cudaMemcpy(device.data(), values.data(), copied * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemcpy(again.data(), device.data(), kCount * sizeof(float), cudaMemcpyDeviceToDevice);
  return again.host() == values;
}
bool one_byte_without_value(bool with_bug) {
  Array<int> sum(1);
  launch(sum_bytes_kernel, 1, 1, 0, with_bug ? 6 : 7, sum.data());
  return sum.host()[0] == 7;
}
bool one_byte_too_many(bool with_bug) {
  Array<int> sum(1);
  launch(sum_dynamic_bytes_kernel, 1, 1, 7, with_bug ? 8 : 7, sum.data());
  return sum.host()[0] == 7;
}
bool copy_past_the_end(bool with_bug) {
  const auto values = small_numbers(kCount);
  Array<float> device(values);
  std::vector<float> back(kCount + 1);
  cudaMemcpy(back.data(), device.data(), (with_bug ? kCount + 1 : kCount) * sizeof(float),
             cudaMemcpyDeviceToHost);
  back.resize(kCount);
  return back == values;
}
bool wrong_direction(bool with_bug) {
  const auto values = small_numbers(kCount);
  Array<float> device(values);
  std::vector<float> back(kCount);
  cudaMemcpy(back.data(), device.data(), kCount * sizeof(float),
             with_bug ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost);
  return back == values;
}
bool freed_twice(bool with_bug) {
  float* pointer = nullptr;
  cudaMalloc(&pointer, 4);
  cudaFree(pointer);
  return !with_bug || cudaFree(pointer) == cudaSuccess;
}
bool misaligned_quad(bool with_bug) {
  const auto values = small_numbers(kCount);
  Array<float> device(values);
  Array<float> out(16);
  launch(double_quads_kernel, 1, 4, 0, device.data() + (with_bug ? 1 : 0), out.data());
  return all_doubled(out.host(), small_numbers(16));
}
bool destroyed_stream(bool with_bug) {
  cudaStream_t stream = nullptr;
  cudaStreamCreate(&stream);
  if (!with_bug) return cudaStreamDestroy(stream) == cudaSuccess;
  cudaStreamDestroy(stream);
  return cudaStreamSynchronize(stream) == cudaSuccess;
}
bool trapped(bool with_bug) {
  launch(trap_kernel, 1, 8, 0, with_bug ? 7 : 8);
  return cudaDeviceSynchronize() == cudaSuccess;
}

}  // namespace

std::vector<Planted> memory_bugs() {
  return {
      {"HostPointer", "host-memory", host_pointer},
      {"UseAfterFree", "out-of-bounds", use_after_free},
      {"CountTooLarge", "out-of-bounds", count_too_large},
      {"NeverInitialised", "uninitialised", never_initialised},
      {"CopiedWithoutValue", "uninitialised", copied_without_value},
      {"OneByteWithoutValue", "uninitialised", one_byte_without_value},
      {"OneByteTooMany", "out-of-bounds", one_byte_too_many},
      {"CopyPastTheEnd", "bad-copy", copy_past_the_end},
      {"WrongDirection", "bad-copy", wrong_direction},
      {"FreedTwice", "bad-free", freed_twice},
      {"MisalignedQuad", "misaligned", misaligned_quad},
      {"DestroyedStream", "bad-handle", destroyed_stream},
      {"Trapped", "trap", trapped},
  };
}
