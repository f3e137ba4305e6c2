#pragma once

#include "kernels/cuda/device/launch.cuh"

namespace culatent::device {

/// 1 / x to within 1 ulp, by one instruction where the division takes eight. Subnormal x and
/// subnormal results are zero.
__device__ __forceinline__ float fast_reciprocal(float x) {
#if defined(SIMT_EMULATION)
  constexpr float kLeastNormal = 1.17549435e-38f;
  const float result = 1.0f / (fabsf(x) < kLeastNormal ? copysignf(0.0f, x) : x);
  return fabsf(result) < kLeastNormal ? copysignf(0.0f, result) : result;
#else
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

}  // namespace culatent::device
