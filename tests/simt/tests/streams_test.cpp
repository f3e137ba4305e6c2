#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

#include "array.hpp"
#include "simt/simt.hpp"

// Deferred streams: work runs as late as the program's own synchronisation lets it, so a program
// that forgot some sees what is not there yet.

namespace {

class Streams : public testing::Test {
 protected:
  Streams() {
    simt::options().deferred = true;
    cudaStreamCreateWithFlags(&first_, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&second_, cudaStreamNonBlocking);
    cudaEventCreate(&event_);
    cudaMallocHost(&pinned_, sizeof(float));
    *pinned_ = -1.0f;
  }
  ~Streams() override {
    cudaStreamDestroy(first_);
    cudaStreamDestroy(second_);
    cudaEventDestroy(event_);
    cudaFreeHost(pinned_);
    simt::options() = before_;
  }
  void set_on(cudaStream_t stream, float value) {
    simt::enqueue(stream, [this, value] { *device_.data() = value; });
  }
  void copy_back_on(cudaStream_t stream) {
    cudaMemcpyAsync(pinned_, device_.data(), sizeof(float), cudaMemcpyDeviceToHost, stream);
  }

  simt::Options before_ = simt::options();
  Array<float> device_{std::vector<float>{1.0f}};
  cudaStream_t first_ = nullptr;
  cudaStream_t second_ = nullptr;
  cudaEvent_t event_ = nullptr;
  float* pinned_ = nullptr;
};

TEST_F(Streams, AResultIsThereAfterSynchronisingOnly) {
  set_on(first_, 2.0f);
  copy_back_on(first_);
  EXPECT_EQ(*pinned_, -1.0f);
  EXPECT_EQ(cudaStreamQuery(first_), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamSynchronize(first_), cudaSuccess);
  EXPECT_EQ(*pinned_, 2.0f);
  EXPECT_EQ(cudaStreamQuery(first_), cudaSuccess);
}

TEST_F(Streams, AForgottenEventIsSeen) {
  set_on(first_, 2.0f);
  copy_back_on(second_);
  cudaStreamSynchronize(second_);
  EXPECT_EQ(*pinned_, 1.0f);
}

TEST_F(Streams, AnEventOrdersTwoStreams) {
  set_on(first_, 2.0f);
  cudaEventRecord(event_, first_);
  set_on(first_, 3.0f);  // after the event: not waited for
  cudaStreamWaitEvent(second_, event_);
  copy_back_on(second_);
  cudaStreamSynchronize(second_);
  EXPECT_EQ(*pinned_, 2.0f);
}

TEST_F(Streams, AnEventMayBeDestroyedWhileAStreamWaitsForIt) {
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  set_on(first_, 2.0f);
  cudaEventRecord(event, first_);
  cudaStreamWaitEvent(second_, event);
  cudaEventDestroy(event);
  copy_back_on(second_);
  cudaStreamSynchronize(second_);
  EXPECT_EQ(*pinned_, 2.0f);
}

TEST_F(Streams, AnEventNeverRecordedIsDone) {
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(first_, event_), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event_), cudaSuccess);
}

TEST_F(Streams, EventsTakeTheTimeBetweenThem) {
  cudaEvent_t end = nullptr;
  cudaEventCreate(&end);
  float milliseconds = -1.0f;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, event_, end), cudaErrorInvalidResourceHandle);
  cudaEventRecord(event_, first_);
  cudaEventRecord(end, first_);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, event_, end), cudaErrorNotReady);
  cudaEventSynchronize(end);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, event_, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0.0f);
  cudaEventDestroy(end);
}

TEST_F(Streams, PinnedMemoryIsReadLatePageableAtOnce) {
  float pageable = 5.0f;
  cudaMemcpyAsync(device_.data(), &pageable, sizeof(float), cudaMemcpyHostToDevice, first_);
  pageable = 6.0f;
  EXPECT_EQ(device_.host()[0], 1.0f);  // the null stream does not wait for a non-blocking one
  cudaStreamSynchronize(first_);
  EXPECT_EQ(device_.host()[0], 5.0f);

  *pinned_ = 7.0f;
  cudaMemcpyAsync(device_.data(), pinned_, sizeof(float), cudaMemcpyHostToDevice, first_);
  *pinned_ = 8.0f;  // too early: what a program that reuses its buffer does
  cudaStreamSynchronize(first_);
  EXPECT_EQ(device_.host()[0], 8.0f);
}

TEST_F(Streams, CopiesToPageableMemoryWait) {
  set_on(first_, 2.0f);
  float pageable = 0.0f;
  cudaMemcpyAsync(&pageable, device_.data(), sizeof(float), cudaMemcpyDeviceToHost, first_);
  EXPECT_EQ(pageable, 2.0f);
}

TEST_F(Streams, BlockingStreamsAndTheNullStreamWaitForEachOther) {
  cudaStream_t blocking = nullptr;
  cudaStreamCreate(&blocking);
  set_on(blocking, 2.0f);
  copy_back_on(nullptr);
  set_on(blocking, 3.0f);
  cudaStreamSynchronize(nullptr);
  EXPECT_EQ(*pinned_, 2.0f);
  cudaStreamDestroy(blocking);
}

TEST_F(Streams, FreedInStreamOrder) {
  float* temporary = nullptr;
  cudaMallocAsync(&temporary, sizeof(float), first_);
  cudaMemcpyAsync(temporary, device_.data(), sizeof(float), cudaMemcpyDeviceToDevice, first_);
  cudaMemcpyAsync(pinned_, temporary, sizeof(float), cudaMemcpyDeviceToHost, first_);
  cudaFreeAsync(temporary, first_);
  cudaStreamSynchronize(first_);
  EXPECT_EQ(*pinned_, 1.0f);
}

void add_one(void* number) { ++*static_cast<int*>(number); }

TEST_F(Streams, HostFunctionsRunInTheirTurn) {
  int calls = 0;
  cudaLaunchHostFunc(first_, add_one, &calls);
  EXPECT_EQ(calls, 0);
  cudaStreamSynchronize(first_);
  EXPECT_EQ(calls, 1);
}

}  // namespace
