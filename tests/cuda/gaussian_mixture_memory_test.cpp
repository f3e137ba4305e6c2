#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/cuda/cuda_test.hpp"

// Fits and evaluations within less and less memory: what they hold shrinks, their bits stay.
namespace culatent {
namespace {

namespace gm = gaussian_mixture;
using gm::Covariance;

constexpr Covariance kAll[] = {Covariance::full, Covariance::tied, Covariance::diagonal,
                               Covariance::spherical};
constexpr std::int64_t n = 5 * kBlockRows + 5, d = 2;
constexpr int kComponents = 32;  // so that the device holds more than the host

class GaussianMixtureMemory : public CudaTest {
 protected:
  GaussianMixtureMemory() {
    gm::sample<float>(Context(), planted::model(Covariance::full, 3, d, 3.0, 11), 5, 0,
                      rows_.view());
  }
  static gm::Options options(Covariance covariance) {
    return {.n_components = kComponents,
            .covariance = covariance,
            .max_iter = 1,
            .tol = 0.0,
            .init = gm::Init::random,
            .seed = 1};
  }
  static Context::Options place(std::int64_t limit) {
    return {.n_threads = 1, .memory_limit = limit, .device = "cuda"};
  }
  // The least limit under which a fit has a plan, within 256 bytes.
  std::int64_t least_limit(const RowSource<float>& rows, const gm::Options& options) const {
    std::int64_t refused = 0, taken = std::int64_t{1} << 30;
    while (taken - refused > 256) {
      const std::int64_t middle = (taken + refused) / 2;
      try {
        gm::plan<float>(Context(place(middle)), rows, options);
        taken = middle;
      } catch (const out_of_memory&) {
        refused = middle;
      }
    }
    return taken;
  }

  Matrix<float> rows_ = Matrix<float>(n, d);
};

TEST_F(GaussianMixtureMemory, FitsShrinkToTheLimitAndKeepTheirBits) {
  const auto copy = to_device(std::vector<float>(rows_.data(), rows_.data() + rows_.size()));
  for (const Covariance covariance : kAll) {
    for (const bool on_device : {false, true}) {
      const MatrixRows<float> rows({on_device ? copy.data() : rows_.data(), n, d, d,
                                    on_device ? MemorySpace::device : MemorySpace::host});
      const gm::Options fit_options = options(covariance);
      const std::string what =
          std::string(gm::name(covariance)) + (on_device ? " on the device" : "");
      const Context whole_context(place(0));
      const gm::Fit whole = gm::fit<float>(whole_context, rows, fit_options);
      EXPECT_LE(whole_context.peak_device_bytes(), whole.plan.device_bytes) << what;
      const std::int64_t least = least_limit(rows, fit_options);
      EXPECT_LT(least, whole.plan.device_bytes * 3 / 4) << what;
      std::int64_t last_bytes = whole.plan.device_bytes;
      for (const std::int64_t limit : {(least + last_bytes) / 2, least}) {
        const Context context(place(limit));
        const gm::Fit fit = gm::fit<float>(context, rows, fit_options);
        EXPECT_LE(fit.plan.device_bytes, std::min(limit, last_bytes)) << what;
        EXPECT_LE(fit.plan.host_bytes, limit) << what;
        EXPECT_LE(context.peak_device_bytes(), fit.plan.device_bytes) << what;
        EXPECT_TRUE(planted::same_bits(fit, whole)) << what << " within " << limit;
        last_bytes = fit.plan.device_bytes;
      }
      EXPECT_LT(last_bytes, whole.plan.device_bytes * 3 / 4) << what;
    }
  }
}

TEST_F(GaussianMixtureMemory, KMeansShrinksToTheLimitAndKeepsItsBits) {
  const MatrixRows<float> rows(rows_.view());
  gm::Options fit_options = options(Covariance::diagonal);
  fit_options.n_components = 5;
  fit_options.init = gm::Init::kmeans;
  fit_options.max_iter = 0;
  const gm::Fit whole = gm::fit<float>(Context(place(0)), rows, fit_options);
  const Context context(place(least_limit(rows, fit_options)));
  const gm::Fit fit = gm::fit<float>(context, rows, fit_options);
  EXPECT_LT(fit.plan.chunk_rows, whole.plan.chunk_rows);
  EXPECT_LE(context.peak_device_bytes(), fit.plan.device_bytes);
  EXPECT_TRUE(planted::same_bits(fit, whole));
}

// The command on its own: a device whose memory is short must take what the CPU takes, or nearly.
TEST_F(GaussianMixtureMemory, AFewMegabytesAreEnoughForManyRows) {
  const GeneratedRows<float> rows(std::int64_t{1} << 33, 16, [](std::int64_t, MatrixView<float>) {
    FAIL() << "the rows were read";
  });
  const gm::Options options{.n_components = 32, .covariance = Covariance::diagonal};
  const Plan cpu = gm::plan<float>(Context({.n_threads = 1}), rows, options);
  const Plan cuda = gm::plan<float>(Context(place(4 << 20)), rows, options);
  EXPECT_LE(cuda.device_bytes, 4 << 20);
  EXPECT_LE(cuda.host_bytes, 4 << 20);
  EXPECT_LT(cpu.host_bytes, 4 << 20);
  EXPECT_GE(cuda.chunk_rows, kBlockRows);
}

TEST_F(GaussianMixtureMemory, EvaluationsShrinkToTheLimitAndKeepTheirBits) {
  const gm::Model model = planted::model(Covariance::full, 3, d, 3.0, 11);
  const auto copy = to_device(std::vector<float>(rows_.data(), rows_.data() + rows_.size()));
  struct Results {
    std::vector<float> log_prob = std::vector<float>(n);
    Matrix<float> responsibilities{n, 5};
    std::vector<std::int32_t> labels = std::vector<std::int32_t>(n);
    double log_likelihood = 0.0;
  };
  const auto evaluate = [&](const Context& context, const RowSource<float>& rows) {
    Results results;
    const MatrixView<float> wide = results.responsibilities.view();
    const gm::Outputs<float> outputs{.log_prob = results.log_prob,
                                     .responsibilities = {wide.data, n, 3, 5},
                                     .labels = results.labels};
    results.log_likelihood = gm::evaluate<float>(context, model, rows, outputs).log_likelihood;
    return results;
  };
  for (const bool on_device : {false, true}) {
    const MatrixRows<float> rows({on_device ? copy.data() : rows_.data(), n, d, d,
                                  on_device ? MemorySpace::device : MemorySpace::host});
    const Context whole_context(place(0));
    const Results whole = evaluate(whole_context, rows);
    int n_taken = 0;
    for (std::int64_t limit = whole_context.peak_device_bytes() - 1;; limit = limit * 2 / 3) {
      const Context context(place(limit));
      Results results;
      try {
        results = evaluate(context, rows);
      } catch (const out_of_memory&) {
        EXPECT_EQ(context.peak_device_bytes(), 0) << "work began";
        break;
      }
      ++n_taken;
      EXPECT_LE(context.peak_device_bytes(), limit);
      EXPECT_EQ(results.log_likelihood, whole.log_likelihood) << limit;
      EXPECT_EQ(results.log_prob, whole.log_prob) << limit;
      EXPECT_EQ(results.labels, whole.labels) << limit;
      EXPECT_EQ(std::memcmp(results.responsibilities.data(), whole.responsibilities.data(),
                            sizeof(float) * static_cast<std::size_t>(n * 5)),
                0)
          << limit;
    }
    EXPECT_GE(n_taken, 3);
  }
}

}  // namespace
}  // namespace culatent
