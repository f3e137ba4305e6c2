#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "host/gaussian_mixture_cuda.hpp"
#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/pattern_rows.hpp"

// What reaches the steps, chunk by chunk and wave by wave, and what comes back to the caller.
// Ordinary fits of a size for tests are one wave.
namespace culatent {
namespace {

namespace gm = gaussian_mixture;

constexpr std::int64_t kRows = 3 * kBlockRows + 3, kFeatures = 3, kStride = 5;

struct Place {
  const char* name;
  bool on_device, resident;
};
constexpr Place kPlaces[] = {
    {"on the device", true, true}, {"kept there", false, true}, {"streamed", false, false}};

class DeviceFeedTest : public CudaTest {};

// The rows of every wave are the source's, with their weights; twice, since the second pass finds
// what the first has kept.
TEST_F(DeviceFeedTest, GivesEveryWaveItsRowsAndWeights) {
  CudaDevice& device = backend().device;
  std::vector<float> values(kRows * kStride, std::nanf(""));
  std::vector<double> weights;
  for (std::int64_t i = 0; i < kRows; ++i) {
    for (std::int64_t j = 0; j < kFeatures; ++j) {
      values[static_cast<std::size_t>(i * kStride + j)] = static_cast<float>(i * kFeatures + j);
    }
    weights.push_back(static_cast<double>(i + 1));
  }
  const DeviceArray<float> copy = to_device(values);
  for (const Place& place : kPlaces) {
    for (const std::int64_t chunk_rows : {1024, 2048, 4096}) {
      for (const std::int64_t wave_rows : {1024, 2048, 4096}) {
        const std::string what = std::string(place.name) + ", chunks of " +
                                 std::to_string(chunk_rows) + ", waves of " +
                                 std::to_string(wave_rows);
        const MatrixRows<float> source({place.on_device ? copy.data() : values.data(), kRows,
                                        kFeatures, kStride,
                                        place.on_device ? MemorySpace::device : MemorySpace::host});
        const FitRows<float> rows{source, weights, 0.5};
        DeviceFlow flow;
        flow.chunk_rows = std::min(chunk_rows, kRows);
        flow.resident = place.resident;
        DeviceFeed<float> feed(backend(), rows, DeviceFeed<float>::shape(source, true, flow));
        for (int pass = 0; pass < 2; ++pass) {
          std::int64_t next = 0;
          for_each_wave(
              feed, wave_rows, [&](const gm::DeviceRows<float>& wave, std::int64_t first) {
                ASSERT_EQ(first, next) << what;
                ASSERT_LE(wave.n_rows, wave_rows) << what;
                next += wave.n_rows;
                const std::int64_t size = (wave.n_rows - 1) * wave.stride + wave.n_features;
                std::vector<float> x(static_cast<std::size_t>(size));
                std::vector<float> w(static_cast<std::size_t>(wave.n_rows));
                device.to_host(x.data(), wave.data, 4 * size);
                device.to_host(w.data(), wave.weights, 4 * wave.n_rows);
                for (std::int64_t i = 0; i < wave.n_rows; ++i) {
                  const auto at = static_cast<std::size_t>(i);
                  const float* row = x.data() + i * wave.stride;
                  const auto expected = static_cast<float>((first + i) * kFeatures);
                  ASSERT_EQ(w[at], 0.5f * static_cast<float>(first + i + 1)) << what;
                  ASSERT_EQ(row[0], expected) << what << ", row " << first + i;
                  ASSERT_EQ(row[2], expected + 2.0f) << what;
                }
              });
          EXPECT_EQ(next, kRows) << what;
        }
      }
    }
  }
}

// Groups 64 sigmas apart: a row's results are its own whatever the chunk.
TEST_F(DeviceFeedTest, BringsTheResultsOfEveryChunkToTheirRows) {
  constexpr std::int64_t n_components = 3, stride = 5;
  const PatternRows rows(kRows, 1, 2);
  gm::Model model;
  model.covariance = gm::Covariance::spherical;
  model.means = Matrix<double>(n_components, 1);
  for (std::int64_t k = 0; k < n_components; ++k) {
    model.weights.push_back(1.0 / 3.0);
    model.means(k, 0) = static_cast<double>(rows.centre(k));
    model.covariances.push_back(4.0);
  }
  const GeneratedRows<float> source(
      kRows, 1, [&](std::int64_t first, MatrixView<float> buffer) { rows.fill(first, buffer); });
  const DeviceArray<float> log_prob = blank<float>(kRows), resp = blank<float>(kRows * stride);
  const DeviceArray<std::int32_t> labels = blank<std::int32_t>(kRows);
  std::vector<float> host_log_prob(kRows), host_resp(kRows * stride, std::nanf(""));
  std::vector<std::int32_t> host_labels(kRows, -1);
  for (const bool on_device : {false, true}) {
    gm::Outputs<float> outputs;
    outputs.space = on_device ? MemorySpace::device : MemorySpace::host;
    outputs.log_prob = {on_device ? log_prob.data() : host_log_prob.data(), kRows};
    outputs.labels = {on_device ? labels.data() : host_labels.data(), kRows};
    outputs.responsibilities = {on_device ? resp.data() : host_resp.data(), kRows, n_components,
                                stride, outputs.space};
    const Context context({.chunk_rows = 1024, .device = "cuda"});
    gm::evaluate<float>(context, model, source, outputs);
    if (on_device) {
      backend().device.synchronize();
      host_log_prob = to_host(log_prob);
      host_resp = to_host(resp);
      host_labels = to_host(labels);
    }
    for (std::int64_t i = 0; i < kRows; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int64_t group = rows.group(i);
      const double y = static_cast<double>(rows.value(i, 0) - rows.centre(group)) / 2.0;
      // y errs by epsilon of a row's distance from the frame's centre, at most 640 / 2.
      ASSERT_NEAR(host_log_prob[at], -std::log(6.0) - 0.5 * std::log(2.0 * M_PI) - 0.5 * y * y,
                  2 * 2.5 * 320 * std::numeric_limits<float>::epsilon())
          << on_device << " " << i;
      ASSERT_EQ(host_labels[at], group) << on_device << " " << i;
      for (std::int64_t k = 0; k < stride; ++k) {
        const float q = host_resp[static_cast<std::size_t>(i * stride + k)];
        if (k < n_components) {
          ASSERT_EQ(q, k == group ? 1.0f : 0.0f) << on_device << " " << i;
        } else {
          ASSERT_TRUE(std::isnan(q)) << on_device << " " << i;
        }
      }
    }
  }
}

// The scan's records are merged 4096 blocks at a time.
TEST_F(DeviceFeedTest, NamesABadValueBeyondTheFirstRecords) {
  constexpr std::int64_t n = 4097 * kBlockRows, bad_row = n - 5;
  DeviceArray<float> rows(backend().device, n, "rows");
  rows.fill_zero();
  const float bad = std::nanf("");
  backend().device.to_device(rows.data() + bad_row, &bad, 4);
  backend().device.synchronize();
  try {
    gm::fit<float>(Context({.device = "cuda"}),
                   MatrixView<const float>(rows.data(), n, 1, 1, MemorySpace::device), {});
    FAIL() << "no error";
  } catch (const data_error& error) {
    const std::string where = "row " + std::to_string(bad_row) + ", column 0";
    EXPECT_NE(std::string(error.what()).find(where), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace culatent
