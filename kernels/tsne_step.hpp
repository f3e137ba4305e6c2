#pragma once

#include "host/exact_sum_bins.hpp"

/// How a coordinate moves in t-SNE, whatever its gradient is made of.
namespace culatent::tsne {

/// A point moves by no more than this at a time: a learning rate that is too large must not throw
/// it where nothing attracts it any more.
inline constexpr float kLongestStep = 5.0f;

/// velocity ← momentum velocity − rate gain gradient, at most kLongestStep. The gain grows by 0.2
/// where gradient and velocity differ in sign and shrinks by 0.8 otherwise, not below 0.01
/// (delta-bar-delta, Jacobs 1988). What is not a number stays so: by comparisons.
CULATENT_HOST_DEVICE inline void take_step(float gradient, float rate, float momentum, float& gain,
                                           float& velocity) {
  gain = gradient * velocity < 0.0f ? gain + 0.2f : gain * 0.8f;
  if (gain < 0.01f) gain = 0.01f;
  velocity = momentum * velocity - rate * gain * gradient;
  if (velocity < -kLongestStep) velocity = -kLongestStep;
  if (velocity > kLongestStep) velocity = kLongestStep;
}

}  // namespace culatent::tsne
