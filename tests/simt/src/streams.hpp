#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "internal.hpp"

/// What streams, events and graphs are.
namespace simt::detail {

using Clock = std::chrono::steady_clock;

/// One cudaEventRecord: it lives as long as an event or a waiting stream needs it.
struct Record {
  CUstream_st* stream;
  bool done = false;
  Clock::time_point when{};
};

struct Work {
  std::function<void()> run;
  std::shared_ptr<Record> wait;  ///< what must be done before
};

}  // namespace simt::detail

/// What a graph holds: kernels, in the order of the stream that captured them.
struct CUgraph_st {
  std::vector<std::function<void()>> kernels;
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> kernels;
};

struct CUstream_st {
  bool blocking = true;  ///< ordered with the null stream
  std::deque<simt::detail::Work> queue;
  std::unique_ptr<CUgraph_st> capture;  ///< while it captures
  bool spoiled = false;                 ///< by what cannot be captured
};

struct CUevent_st {
  bool timed = true;
  std::shared_ptr<simt::detail::Record> latest;
};

namespace simt::detail {

/// cudaStreamLegacy is 1; a handle that was destroyed or never made gives null, and is reported.
CUstream_st* stream_of(cudaStream_t handle);
/// Graphs that were made and not destroyed, executable ones too.
std::size_t live_graphs();

}  // namespace simt::detail
