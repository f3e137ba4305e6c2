#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/cuda/cuda_test.hpp"

// Whole fits on a device: what only a device can get wrong. That fits are right is for the tests of
// every backend (tests/core with CULATENT_TEST_DEVICE).
namespace culatent {
namespace {

namespace gm = gaussian_mixture;
using gm::Covariance;

const Covariance kAll[] = {Covariance::full, Covariance::tied, Covariance::diagonal,
                           Covariance::spherical};

template <class T>
Matrix<T> planted_rows(std::int64_t n, std::int64_t d, Covariance covariance = Covariance::full) {
  const gm::Model model = planted::model(covariance, 3, d, 3.0, 11);
  const Context context;
  Matrix<T> rows(n, d);
  gm::sample<T>(context, model, 5, 0, rows.view());
  return rows;
}

template <class T>
gm::Fit fit_on(const Context::Options& options, MatrixView<const T> rows, Covariance covariance,
               gm::Init init = gm::Init::random) {
  const Context context(options);
  gm::Options fit;
  fit.init = init;
  fit.n_components = 3;
  fit.covariance = covariance;
  fit.max_iter = 2;
  fit.tol = 0.0;
  fit.seed = 1;
  return gm::fit<T>(context, rows, fit);
}

std::vector<double> all_numbers(const gm::Fit& fit) {
  std::vector<double> numbers = fit.model.weights;
  numbers.insert(numbers.end(), fit.model.means.data(),
                 fit.model.means.data() + fit.model.means.size());
  numbers.insert(numbers.end(), fit.model.covariances.begin(), fit.model.covariances.end());
  for (const gm::TraceEntry& entry : fit.trace) {
    numbers.insert(numbers.end(), {entry.log_likelihood, entry.elbo, entry.entropy});
  }
  return numbers;
}

void expect_same_bits(const gm::Fit& a, const gm::Fit& b, const std::string& what) {
  const std::vector<double> x = all_numbers(a), y = all_numbers(b);
  ASSERT_EQ(x.size(), y.size()) << what;
  EXPECT_EQ(std::memcmp(x.data(), y.data(), 8 * x.size()), 0) << what;
}

class GaussianMixtureOnDevice : public CudaTest {};

TEST_F(GaussianMixtureOnDevice, GivesTheSameBitsForAnyChunkAndTwice) {
  const Matrix<float> rows = planted_rows<float>(2100, 5);
  for (const Covariance covariance : kAll) {
    const gm::Fit whole = fit_on<float>({.device = "cuda"}, rows.view(), covariance);
    for (const std::int64_t chunk_rows : {1024, 2048}) {
      const gm::Fit again = fit_on<float>(
          {.n_threads = 2, .chunk_rows = chunk_rows, .device = "cuda"}, rows.view(), covariance);
      expect_same_bits(whole, again,
                       std::string(name(covariance)) + " by " + std::to_string(chunk_rows));
    }
  }
}

// With less memory than the rows take, they stream in every pass.
TEST_F(GaussianMixtureOnDevice, StreamsRowsThatDoNotFitToTheSameBits) {
  const Matrix<float> rows = planted_rows<float>(50000, 12, Covariance::diagonal);
  const std::int64_t row_bytes = rows.size() * 4;
  const gm::Fit resident =
      fit_on<float>({.chunk_rows = 2048, .device = "cuda"}, rows.view(), Covariance::diagonal);
  ASSERT_GT(resident.plan.device_bytes, row_bytes);
  const std::int64_t limit = resident.plan.device_bytes - row_bytes / 2;
  const Context context({.memory_limit = limit, .chunk_rows = 2048, .device = "cuda"});
  const gm::Fit streamed = gm::fit<float>(context, rows.view(),
                                          {.n_components = 3,
                                           .covariance = Covariance::diagonal,
                                           .max_iter = 2,
                                           .tol = 0.0,
                                           .init = gm::Init::random,
                                           .seed = 1});
  EXPECT_LT(streamed.plan.device_bytes, resident.plan.device_bytes);
  EXPECT_LE(context.peak_device_bytes(), streamed.plan.device_bytes);
  expect_same_bits(resident, streamed, "streamed");
}

TEST_F(GaussianMixtureOnDevice, UsesRowsOnTheDeviceInPlace) {
  constexpr std::int64_t n = 2100, d = 3, stride = 5;
  const Matrix<float> rows = planted_rows<float>(n, d);
  std::vector<float> wide(n * stride, std::nanf(""));
  for (std::int64_t i = 0; i < n; ++i) {
    std::copy_n(&rows(i, 0), d, wide.data() + i * stride);
  }
  const auto device_rows = to_device(wide);
  const MatrixView<const float> view(device_rows.data(), n, d, stride, MemorySpace::device);
  for (const Covariance covariance : kAll) {
    const gm::Fit host = fit_on<float>({.device = "cuda"}, rows.view(), covariance);
    const gm::Fit device = fit_on<float>({.device = "cuda"}, view, covariance);
    expect_same_bits(host, device, name(covariance));
    EXPECT_LT(device.plan.device_bytes, host.plan.device_bytes);
  }
  // The sample for k-means comes from the device as well.
  expect_same_bits(
      fit_on<float>({.device = "cuda"}, rows.view(), Covariance::full, gm::Init::kmeans),
      fit_on<float>({.device = "cuda"}, view, Covariance::full, gm::Init::kmeans), "k-means");
}

TEST_F(GaussianMixtureOnDevice, NamesTheFirstBadValueOfRowsOnTheDevice) {
  Matrix<double> rows = planted_rows<double>(3000, 4);
  rows(1500, 2) = std::numeric_limits<double>::infinity();
  rows(2500, 1) = std::nan("");
  const auto device_rows = to_device(std::vector<double>(rows.data(), rows.data() + rows.size()));
  const MatrixView<const double> view(device_rows.data(), 3000, 4, 4, MemorySpace::device);
  try {
    fit_on<double>({.device = "cuda"}, view, Covariance::full);
    FAIL() << "no error";
  } catch (const data_error& error) {
    EXPECT_NE(std::string(error.what()).find("row 1500, column 2"), std::string::npos)
        << error.what();
  }
}

TEST_F(GaussianMixtureOnDevice, TakesTheCallersStreamAndOutputsOnTheDevice) {
  constexpr std::int64_t n = 1500, d = 4;
  const Matrix<float> rows = planted_rows<float>(n, d);
  const gm::Model model = fit_on<float>({}, rows.view(), Covariance::full).model;
  const Context context({.device = "cuda", .stream = backend().device.stream()});
  const auto device_rows = to_device(std::vector<float>(rows.data(), rows.data() + rows.size()));
  const auto log_prob = blank<float>(n);
  const auto resp = blank<float>(n * 3);
  const auto labels = blank<std::int32_t>(n);
  gm::Outputs<float> outputs;
  outputs.log_prob = {log_prob.data(), n};
  outputs.responsibilities = {resp.data(), n, 3, 3, MemorySpace::device};
  outputs.labels = {labels.data(), n};
  outputs.space = MemorySpace::device;
  const MatrixRows<float> source({device_rows.data(), n, d, d, MemorySpace::device});
  const auto summary = gm::evaluate<float>(context, model, source, outputs);

  std::vector<float> expected(n);
  const auto reference =
      gm::evaluate<float>(Context(), model, MatrixRows<float>(rows.view()), {.log_prob = expected});
  EXPECT_NEAR(summary.log_likelihood, reference.log_likelihood,
              1e-6 * std::abs(reference.log_likelihood));
  const std::vector<float> found = to_host(log_prob);
  const std::vector<float> shares = to_host(resp);
  const std::vector<std::int32_t> label = to_host(labels);
  for (std::size_t i = 0; i < n; ++i) {
    // A density's exponent is a sum of d squares near its own size.
    ASSERT_NEAR(found[i], expected[i], 32.0f * 1.2e-7f * (std::abs(expected[i]) + d)) << i;
    const float* share = shares.data() + 3 * i;
    ASSERT_NEAR(share[0] + share[1] + share[2], 1.0f, 1e-6f);
    ASSERT_EQ(label[i], std::max_element(share, share + 3) - share);
  }
}

TEST_F(GaussianMixtureOnDevice, HoldsNoMoreThanThePlan) {
  const Matrix<float> rows = planted_rows<float>(1100, 10);
  for (const Covariance covariance : kAll) {
    for (const gm::Init init : {gm::Init::kmeans, gm::Init::random}) {
      const Context context({.device = "cuda"});
      const gm::Options options{.n_components = 3,
                                .covariance = covariance,
                                .max_iter = 2,
                                .tol = 0.0,
                                .init = init,
                                .seed = 1};
      const gm::Fit fit = gm::fit<float>(context, rows.view(), options);
      EXPECT_LE(context.peak_device_bytes(), fit.plan.device_bytes) << name(covariance);
      if (init == gm::Init::kmeans) {
        EXPECT_GE(context.peak_device_bytes(), fit.plan.device_bytes * 7 / 10) << name(covariance);
      }
    }
  }
}

TEST_F(GaussianMixtureOnDevice, RefusesAPlanAboveTheLimitBeforeReading) {
  const GeneratedRows<float> rows(
      100000, 50, [](std::int64_t, MatrixView<float>) { FAIL() << "the rows were read"; });
  const Context context({.memory_limit = 1 << 20, .device = "cuda"});
  EXPECT_THROW(gm::fit<float>(context, rows, {.n_components = 64}), out_of_memory);
}

TEST_F(GaussianMixtureOnDevice, KeepsDigitsFarFromTheOrigin) {
  constexpr std::int64_t n = 1500, d = 4;
  const gm::Model planted = planted::model(Covariance::full, 3, d, 3.0, 11);
  Matrix<float> rows(n, d);
  gm::sample<float>(Context(), planted, 5, 0, rows.view());
  Matrix<double> same(n, d);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    rows.data()[i] += 1e4f;
    same.data()[i] = static_cast<double>(rows.data()[i]);
  }
  for (const Covariance covariance : kAll) {
    const gm::Fit single = fit_on<float>({.device = "cuda"}, rows.view(), covariance);
    const gm::Fit twice = fit_on<double>({}, same.view(), covariance);
    // Both see the same numbers; float32 about the centre errs by a few of its units.
    EXPECT_NEAR(single.trace.back().log_likelihood, twice.trace.back().log_likelihood, 1e-5)
        << name(covariance);
    for (std::size_t i = 0; i < twice.model.covariances.size(); ++i) {
      ASSERT_NEAR(single.model.covariances[i], twice.model.covariances[i],
                  1e-4 * (1.0 + std::abs(twice.model.covariances[i])))
          << name(covariance) << " " << i;
    }
  }
}

TEST_F(GaussianMixtureOnDevice, GoesOnFromACheckpointToTheSameBits) {
  const Matrix<float> rows = planted_rows<float>(1500, 3);
  const std::string path =
      testing::TempDir() + "culatent_cuda_checkpoint_" + std::to_string(getpid()) + ".state";
  for (const Covariance covariance : kAll) {
    std::filesystem::remove(path);
    gm::Options options{.n_components = 3,
                        .covariance = covariance,
                        .max_iter = 5,
                        .tol = 0.0,
                        .init = gm::Init::random,
                        .seed = 1};
    const gm::Fit whole = gm::fit<float>(Context({.device = "cuda"}), rows.view(), options);
    options.checkpoint = {.path = path, .every_iterations = 1, .resume = true};
    const Context stopping(
        {.observer = [](const Progress& p) { return p.iteration < 2; }, .device = "cuda"});
    EXPECT_TRUE(gm::fit<float>(stopping, rows.view(), options).interrupted);
    const gm::Fit resumed = gm::fit<float>(Context({.device = "cuda"}), rows.view(), options);
    expect_same_bits(whole, resumed, name(covariance));
  }
  std::filesystem::remove(path);
}

// Their bits are not those of the fit that would go on.
TEST_F(GaussianMixtureOnDevice, RefusesACheckpointOfOtherArithmetic) {
  const Matrix<float> rows = planted_rows<float>(300, 3);
  const std::string path =
      testing::TempDir() + "culatent_cuda_arithmetic_" + std::to_string(getpid()) + ".state";
  gm::Options options{.n_components = 3,
                      .max_iter = 3,
                      .tol = 0.0,
                      .init = gm::Init::random,
                      .seed = 1,
                      .checkpoint = {.path = path, .every_iterations = 1, .resume = true}};
  const auto fit = [&](const char* device, std::optional<Precision> precision) {
    options.precision = precision;
    return gm::fit<float>(Context({.device = device}), rows.view(), options);
  };
  fit("cuda", {});
  EXPECT_THROW(fit("cuda", Precision::fast), data_error);
  EXPECT_THROW(fit("cpu", {}), data_error);
  // What was asked for in other words is the same.
  EXPECT_EQ(fit("cuda", Precision::fp32).n_iter, 3);
  std::filesystem::remove(path);
  fit("cpu", Precision::fast);
  EXPECT_THROW(fit("cuda", Precision::fast), data_error);
  EXPECT_EQ(fit("cpu", {}).n_iter, 3);
  std::filesystem::remove(path);
}

// 26 features: wide enough for the tensor cores.
TEST_F(GaussianMixtureOnDevice, KeepsToTheBoundOfItsPrecision) {
  const Matrix<float> rows = planted_rows<float>(300, 26);
  Matrix<double> same(rows.rows(), rows.cols());
  std::copy(rows.data(), rows.data() + rows.size(), same.data());
  gm::Options options{.n_components = 3,
                      .max_iter = 2,
                      .tol = 0.0,
                      .reg_covar = 1e-2,
                      .init = gm::Init::random,
                      .seed = 1};
  const double exact = gm::fit<double>(Context(), same.view(), options).trace.back().log_likelihood;
  double error[2];
  for (const Precision precision : {Precision::fp32, Precision::fast}) {
    options.precision = precision;
    const gm::Fit fit = gm::fit<float>(Context({.device = "cuda"}), rows.view(), options);
    error[precision == Precision::fast] = std::abs(fit.trace.back().log_likelihood - exact);
  }
  // log_joint() states the split's share of an element of y; a log-density sums 18 of their
  // squares, and (|W| |x|) is below 100 for these rows.
  EXPECT_LE(error[0], 26 * 2 * 100 * 5 * 0x1p-22);
  EXPECT_LE(error[1], 26 * 2 * 100 * 3 * 0x1p-16);
  EXPECT_GT(error[1], 0.0);
}

TEST_F(GaussianMixtureOnDevice, RefusesWhatItCannotDo) {
  const Matrix<float> rows = planted_rows<float>(100, 2);
  const Context context({.device = "cuda"});
  EXPECT_THROW(gm::fit<float>(context, rows.view(), {.missing = true}), invalid_argument);
  EXPECT_THROW(gm::fit<float>(context, rows.view(), {.precision = Precision::fp64}),
               invalid_argument);
  EXPECT_THROW(Context({.device = "cuda:99"}), device_error);
  EXPECT_THROW(Context({.device = "tpu"}), invalid_argument);
  EXPECT_EQ(context.device(), "cuda:0");
}

}  // namespace
}  // namespace culatent
