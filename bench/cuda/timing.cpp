#include "bench/cuda/timing.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <vector>

#include "culatent/error.hpp"

namespace culatent::bench {
namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw device_error(cudaGetErrorString(status), what, "see `culatent devices`");
}

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

double seconds_of(cudaStream_t stream, const std::function<void()>& body) {
  Event start, end;
  start.record(stream);
  body();
  end.record(stream);
  check(cudaEventSynchronize(end.get()), "benchmark");
  float milliseconds = 0.0f;
  check(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "cudaEventElapsedTime");
  return 1e-3 * static_cast<double>(milliseconds);
}

}  // namespace

double median_seconds(CUstream_st* stream, double budget, const std::function<void()>& body) {
  constexpr int kLeast = 3, kMost = 50;
  seconds_of(stream, body);
  const double once = std::max(seconds_of(stream, body), 1e-7);
  const int repeats = static_cast<int>(std::clamp(budget / once, double{kLeast}, double{kMost}));
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) seconds.push_back(seconds_of(stream, body));
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<std::size_t>(repeats / 2)];
}

}  // namespace culatent::bench
