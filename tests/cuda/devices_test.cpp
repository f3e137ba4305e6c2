#include <cuda_runtime_api.h>

#include <memory>
#include <thread>
#include <vector>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "simt/simt.hpp"
#include "tests/core/planted.hpp"
#include "tests/cuda/cuda_test.hpp"

// A machine with two devices, which only the stand-in can be told to be.
namespace culatent {
namespace {

namespace gm = gaussian_mixture;

constexpr std::int64_t n = 300, d = 2;

int current_device() {
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  return device;
}

// Which device is current whenever the rows are asked for.
class WatchedRows final : public RowSource<float> {
 public:
  explicit WatchedRows(MatrixView<const float> rows) : rows_(rows) {}
  std::int64_t rows() const override { return rows_.rows; }
  std::int64_t cols() const override { return rows_.cols; }
  MatrixView<const float> read(std::int64_t first, MatrixView<float> buffer) const override {
    for (std::int64_t i = 0; i < buffer.rows; ++i) {
      std::copy_n(rows_.row(first + i), rows_.cols, buffer.row(i));
    }
    if (std::this_thread::get_id() == thread_) seen.push_back(current_device());
    return buffer;
  }
  mutable std::vector<int> seen;

 private:
  MatrixView<const float> rows_;
  const std::thread::id thread_ = std::this_thread::get_id();
};

class CudaDevices : public CudaTest {
 protected:
  void SetUp() override {
    simt::set_device_count(2);
    CudaTest::SetUp();
    gm::sample<float>(Context(), model_, 1, 0, rows_.view());
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  }
  void TearDown() override {
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    simt::set_device_count(1);
  }

  const gm::Model model_ = planted::model(gm::Covariance::full, 2, d, 3.0, 1);
  Matrix<float> rows_ = Matrix<float>(n, d);
};

TEST_F(CudaDevices, CallsLeaveTheCallersDeviceAsItWas) {
  auto context = std::make_unique<Context>(Context::Options{.n_threads = 1, .device = "cuda:1"});
  EXPECT_EQ(current_device(), 0);
  const WatchedRows rows(rows_.view());
  gm::plan<float>(*context, rows, {.n_components = 2});
  EXPECT_EQ(current_device(), 0);
  gm::fit<float>(*context, rows, {.n_components = 2, .max_iter = 1, .seed = 1});
  EXPECT_EQ(current_device(), 0);
  std::vector<std::int32_t> labels(n);
  gm::evaluate<float>(*context, model_, rows, {.labels = labels});
  EXPECT_EQ(current_device(), 0);
  // While they ran it was the context's.
  EXPECT_GT(rows.seen.size(), 2u);
  EXPECT_EQ(std::count(rows.seen.begin(), rows.seen.end(), 1), std::ssize(rows.seen));
  const RowSource<float>& bad = GeneratedRows<float>(
      n, d, [](std::int64_t, MatrixView<float>) { throw io_error("lost", "rows", ""); });
  EXPECT_THROW(gm::fit<float>(*context, bad, {.n_components = 2}), io_error);
  EXPECT_EQ(current_device(), 0);
  context.reset();
  EXPECT_EQ(current_device(), 0);
}

TEST_F(CudaDevices, AThreadThatNeverChoseADeviceWorksOnTheContexts) {
  const Context context({.n_threads = 1, .device = "cuda:1"});
  std::thread([&] {
    const WatchedRows rows(rows_.view());
    gm::fit<float>(context, rows, {.n_components = 2, .max_iter = 1, .seed = 1});
    EXPECT_EQ(std::count(rows.seen.begin(), rows.seen.end(), 1), std::ssize(rows.seen));
    EXPECT_EQ(current_device(), 0);
  }).join();
}

TEST_F(CudaDevices, MemoryOfAnotherDeviceIsRefused) {
  const Context first({.device = "cuda:0"}), second({.device = "cuda:1"});
  const auto on_first = to_device(std::vector<float>(rows_.data(), rows_.data() + n * d));
  const MatrixView<const float> rows(on_first.data(), n, d, d, MemorySpace::device);
  EXPECT_LT(gm::score<float>(first, model_, rows), 0.0);
  EXPECT_THROW(gm::score<float>(second, model_, rows), invalid_argument);
  EXPECT_THROW(gm::fit<float>(second, rows, {.n_components = 2}), invalid_argument);
  // Of this view the first row alone is there.
  const MatrixView<const float> longer(on_first.data(), n + 1, d, d, MemorySpace::device);
  EXPECT_THROW(gm::score<float>(first, model_, longer), invalid_argument);
}

}  // namespace
}  // namespace culatent
