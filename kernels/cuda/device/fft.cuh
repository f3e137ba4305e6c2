#pragma once

#include "kernels/cuda/device/launch.cuh"

/// Fourier transforms by a block, in shared memory. A library's transform of a grid would read and
/// write all of it in every dimension, padding included, and could not multiply in between.
namespace culatent::device {

/// Transforms of one length, 2^a 3^b 5^c.
struct FftPlan {
  static constexpr int kMaxPasses = 16;  // lengths below 2^31
  int size = 0;
  int n_passes = 0;
  int radices[kMaxPasses] = {};
  const float2* turns = nullptr;  // [size] exp(−2 π i t / size)
};

__device__ __forceinline__ float2 operator+(float2 a, float2 b) {
  return make_float2(a.x + b.x, a.y + b.y);
}
__device__ __forceinline__ float2 operator-(float2 a, float2 b) {
  return make_float2(a.x - b.x, a.y - b.y);
}
__device__ __forceinline__ float2 operator*(float factor, float2 a) {
  return make_float2(factor * a.x, factor * a.y);
}
__device__ __forceinline__ float2 multiply(float2 a, float2 b) {
  return make_float2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}
/// −i a
__device__ __forceinline__ float2 turned(float2 a) { return make_float2(a.y, -a.x); }
__device__ __forceinline__ float2 swapped(float2 a) { return make_float2(a.y, a.x); }

__device__ __forceinline__ void butterfly(float2 (&x)[2]) {
  const float2 a = x[0];
  x[0] = a + x[1];
  x[1] = a - x[1];
}

__device__ __forceinline__ void butterfly(float2 (&x)[3]) {
  const float2 sum = x[1] + x[2], turn = 0.866025404f * turned(x[1] - x[2]);
  const float2 rest = x[0] - 0.5f * sum;
  x[0] = x[0] + sum;
  x[1] = rest + turn;
  x[2] = rest - turn;
}

__device__ __forceinline__ void butterfly(float2 (&x)[4]) {
  const float2 even = x[0] + x[2], even_less = x[0] - x[2];
  const float2 odd = x[1] + x[3], turn = turned(x[1] - x[3]);
  x[0] = even + odd;
  x[1] = even_less + turn;
  x[2] = even - odd;
  x[3] = even_less - turn;
}

__device__ __forceinline__ void butterfly(float2 (&x)[5]) {
  const float2 near = x[1] + x[4], near_less = x[1] - x[4];
  const float2 far = x[2] + x[3], far_less = x[2] - x[3];
  const float2 a = x[0] + 0.309016994f * near - 0.809016994f * far;
  const float2 b = x[0] - 0.809016994f * near + 0.309016994f * far;
  const float2 u = turned(0.951056516f * near_less + 0.587785252f * far_less);
  const float2 v = turned(0.587785252f * near_less - 0.951056516f * far_less);
  x[0] = x[0] + near + far;
  x[1] = a + u;
  x[2] = b + v;
  x[3] = b - v;
  x[4] = a - u;
}

// One pass over `batch` sequences whose elements alternate; `count` elements are left to transform
// in each of `step` interleaved parts.
template <int kRadix>
__device__ void fft_pass(const FftPlan& plan, int batch, int count, int step, const float2* from,
                         float2* to) {
  const int part = count / kRadix, total = batch * (plan.size / kRadix);
  for (int b = static_cast<int>(threadIdx.x); b < total; b += static_cast<int>(blockDim.x)) {
    const int sequence = b % batch, rest = b / batch;
    const int q = rest % step, p = rest / step;
    float2 x[kRadix];
#pragma unroll
    for (int k = 0; k < kRadix; ++k) x[k] = from[(q + step * (p + part * k)) * batch + sequence];
    butterfly(x);
    float2* const out = to + (q + step * kRadix * p) * batch + sequence;
    out[0] = x[0];
#pragma unroll
    for (int j = 1; j < kRadix; ++j) {
      out[step * j * batch] = multiply(x[j], plan.turns[j * p * step]);
    }
  }
}

/// Transforms `batch` sequences, element t of sequence c at data[t * batch + c]; `space` is as
/// large. All threads of the block take part; there is a barrier before and after. Returns where
/// the transforms are, one of the two.
__device__ inline float2* fft(const FftPlan& plan, int batch, float2* data, float2* space) {
  int count = plan.size, step = 1;
  for (int pass = 0; pass < plan.n_passes; ++pass) {
    const int radix = plan.radices[pass];
    __syncthreads();
    if (radix == 4) {
      fft_pass<4>(plan, batch, count, step, data, space);
    } else if (radix == 2) {
      fft_pass<2>(plan, batch, count, step, data, space);
    } else if (radix == 3) {
      fft_pass<3>(plan, batch, count, step, data, space);
    } else {
      fft_pass<5>(plan, batch, count, step, data, space);
    }
    float2* const other = data;
    data = space;
    space = other;
    count /= radix;
    step *= radix;
  }
  __syncthreads();
  return data;
}

}  // namespace culatent::device
