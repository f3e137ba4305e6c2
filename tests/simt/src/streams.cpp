#include "streams.hpp"

#include <algorithm>
#include <memory>

namespace simt {
namespace detail {
namespace {

CUstream_st null_stream;
[[gnu::init_priority(200)]] std::vector<CUstream_st*> streams{&null_stream};
[[gnu::init_priority(200)]] std::vector<CUevent_st*> events;
[[gnu::init_priority(200)]] std::mt19937_64 interleaving{7};  // of streams that nothing orders

bool is_event(cudaEvent_t handle) {
  if (std::find(events.begin(), events.end(), handle) != events.end()) return true;
  report("bad-handle", "%p is no event, or one that was destroyed", static_cast<void*>(handle));
  return false;
}

void run_next(CUstream_st* stream);

void complete(const std::shared_ptr<Record>& record) {
  while (!record->done) run_next(record->stream);
}
// In the order of the program an event is recorded before it is waited for, so this comes to an
// end.
void run_next(CUstream_st* stream) {
  const std::shared_ptr<Record> wait = stream->queue.front().wait;
  if (wait) complete(wait);
  const Work work = std::move(stream->queue.front());
  stream->queue.pop_front();
  if (work.run) work.run();
}
void drain(CUstream_st* stream) {
  while (!stream->queue.empty()) run_next(stream);
}
// Runs all that the chosen streams hold, in a random order among streams.
template <class Chosen>
void drain_where(Chosen chosen) {
  for (;;) {
    std::vector<CUstream_st*> busy;
    for (CUstream_st* stream : streams) {
      if (!stream->queue.empty() && chosen(*stream)) busy.push_back(stream);
    }
    if (busy.empty()) return;
    run_next(busy[interleaving() % busy.size()]);
  }
}

// What may not be asked for while a stream captures.
cudaError_t capture_status(CUstream_st* stream) {
  if (stream->capture) {
    stream->spoiled = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  if (stream != &null_stream) return cudaSuccess;
  for (CUstream_st* other : streams) {
    if (!other->capture || !other->blocking) continue;
    other->spoiled = true;
    return cudaErrorStreamCaptureImplicit;
  }
  return cudaSuccess;
}

cudaError_t push(CUstream_st* stream, Work work) {
  const cudaError_t status = capture_status(stream);
  if (status != cudaSuccess) return status;
  // The null stream and the blocking streams wait for each other.
  if (stream == &null_stream) {
    drain_where([](const CUstream_st& other) { return other.blocking; });
  } else if (stream->blocking) {
    drain(&null_stream);
  }
  stream->queue.push_back(std::move(work));
  if (!options().deferred) synchronize_device();
  return cudaSuccess;
}

cudaError_t create(cudaStream_t* stream, unsigned flags) {
  if (stream == nullptr || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
  *stream = new CUstream_st;
  (*stream)->blocking = flags != cudaStreamNonBlocking;
  streams.push_back(*stream);
  return cudaSuccess;
}

}  // namespace

CUstream_st* stream_of(cudaStream_t handle) {
  if (handle == nullptr || reinterpret_cast<std::uintptr_t>(handle) == 1) return &null_stream;
  if (std::find(streams.begin(), streams.end(), handle) != streams.end()) return handle;
  report("bad-handle", "%p is no stream, or one that was destroyed", static_cast<void*>(handle));
  return nullptr;
}

cudaError_t push(cudaStream_t handle, std::function<void()> work) {
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  return push(stream, Work{std::move(work), nullptr});
}

cudaError_t push_kernel(cudaStream_t handle, std::function<void()> work) {
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->capture) {
    stream->capture->kernels.push_back(std::move(work));
    return cudaSuccess;
  }
  if (planned_launch_failure()) return cudaErrorLaunchOutOfResources;
  return push(stream, Work{std::move(work), nullptr});
}

cudaError_t synchronize(cudaStream_t handle) {
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  const cudaError_t status = capture_status(stream);
  if (status != cudaSuccess) return status;
  if (stream == &null_stream) {
    drain_where([](const CUstream_st& other) { return other.blocking; });
  } else {
    drain(stream);
  }
  return device_status();
}

void synchronize_device() {
  drain_where([](const CUstream_st&) { return true; });
}

void drop_pending_work() {
  for (CUstream_st* stream : streams) {
    for (Work& work : stream->queue) {
      if (work.wait) work.wait->done = true;
    }
    stream->queue.clear();
    stream->capture.reset();
    stream->spoiled = false;
  }
  for (CUevent_st* event : events) {
    if (event->latest) event->latest->done = true;
  }
}

}  // namespace detail

void enqueue(cudaStream_t stream, std::function<void()> operation) {
  const auto held = detail::lock();
  detail::push(stream, [operation = std::move(operation)] {
    const detail::DeviceAccess access;
    operation();
  });
}

std::uint64_t live_handles() {
  return detail::streams.size() - 1 + detail::events.size() + detail::live_graphs();
}

}  // namespace simt

using namespace simt::detail;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const auto held = lock();
  const cudaError_t status = device_status();
  return finish(status != cudaSuccess ? status : create(stream, flags));
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const auto held = lock();
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr || stream == &null_stream) return finish(cudaErrorInvalidResourceHandle);
  drain(stream);  // CUDA lets the work end and returns at once: no one can tell
  std::erase(streams, stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const auto held = lock();
  return finish(synchronize(stream));
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const auto held = lock();
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr) return finish(cudaErrorInvalidResourceHandle);
  if (!stream->queue.empty()) return cudaErrorNotReady;
  return finish(device_status());
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const auto held = lock();
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr || !is_event(event)) return finish(cudaErrorInvalidResourceHandle);
  if (!event->latest) return cudaSuccess;  // never recorded: nothing to wait for
  return finish(push(stream, Work{nullptr, event->latest}));
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  const auto held = lock();
  return finish(push(stream, [=] { function(argument); }));
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const auto held = lock();
  const cudaError_t status = device_status();
  if (status != cudaSuccess) return finish(status);
  if (event == nullptr) return finish(cudaErrorInvalidValue);
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  events.push_back(*event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const auto held = lock();
  if (!is_event(event)) return finish(cudaErrorInvalidResourceHandle);
  std::erase(events, event);
  delete event;  // who waits for its record holds that
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const auto held = lock();
  CUstream_st* stream = stream_of(handle);
  if (stream == nullptr || !is_event(event)) return finish(cudaErrorInvalidResourceHandle);
  const auto record = std::make_shared<Record>(Record{stream});
  event->latest = record;
  return finish(push(stream, Work{[record] {
                                    record->when = Clock::now();
                                    record->done = true;
                                  },
                                  nullptr}));
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const auto held = lock();
  if (!is_event(event)) return finish(cudaErrorInvalidResourceHandle);
  if (event->latest) complete(event->latest);
  return finish(device_status());
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const auto held = lock();
  if (!is_event(event)) return finish(cudaErrorInvalidResourceHandle);
  return event->latest && !event->latest->done ? cudaErrorNotReady : finish(device_status());
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const auto held = lock();
  if (!is_event(begin) || !is_event(end) || !begin->timed || !end->timed || !begin->latest ||
      !end->latest) {
    return finish(cudaErrorInvalidResourceHandle);
  }
  if (!begin->latest->done || !end->latest->done) return cudaErrorNotReady;
  const auto elapsed = end->latest->when - begin->latest->when;
  *milliseconds = std::chrono::duration<float, std::milli>(elapsed).count();
  return cudaSuccess;
}
