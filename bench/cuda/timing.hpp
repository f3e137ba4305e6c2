#pragma once

#include <functional>

struct CUstream_st;

namespace culatent::bench {

/// Median of the seconds that `body` takes on the stream, between two events. Runs it once to warm
/// up and then as often as fits `budget` seconds, 3 to 50 times. `body` must not wait.
double median_seconds(CUstream_st* stream, double budget, const std::function<void()>& body);

}  // namespace culatent::bench
