#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "culatent/bernoulli_mixture.hpp"
#include "culatent/error.hpp"
#include "tests/cuda/cuda_test.hpp"

// Fits and evaluations of Bernoulli mixtures wherever rows and results lie, in as much memory as
// there is.
namespace culatent {
namespace {

namespace bm = bernoulli_mixture;

constexpr std::int64_t n = 5 * kBlockRows + 5, d = 10;
constexpr int kComponents = 3;
constexpr auto kNaN = std::numeric_limits<float>::quiet_NaN();

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class BernoulliMixtureFit : public CudaTest {
 protected:
  BernoulliMixtureFit() {
    model_.weights = {0.5, 0.3, 0.2};
    model_.means = Matrix<double>(kComponents, d);
    for (std::int64_t i = 0; i < model_.means.size(); ++i) {
      model_.means.data()[i] = i % 4 < 2 ? 0.9 : 0.2;
    }
    bm::sample<float>(Context(), model_, 5, 0, rows_.view());
    holes_ = Matrix<float>(n, d);
    for (std::int64_t i = 0; i < rows_.size(); ++i) {
      holes_.data()[i] = i % 7 == 3 ? kNaN : rows_.data()[i];
    }
  }

  static bm::Options options() { return {.n_components = kComponents, .max_iter = 3, .seed = 1}; }
  static Context::Options place(std::int64_t limit) {
    return {.n_threads = 1, .memory_limit = limit, .device = "cuda"};
  }
  static bool same_bits(const bm::Fit& a, const bm::Fit& b) {
    return a.model.weights == b.model.weights &&
           a.trace.back().objective == b.trace.back().objective &&
           std::memcmp(a.model.means.data(), b.model.means.data(), 8 * at(a.model.means.size())) ==
               0;
  }
  // The rows on the device, `margin` values of 1e30 between them.
  DeviceArray<float> on_device(const Matrix<float>& rows, std::int64_t margin) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < n; ++i) {
      values.insert(values.end(), &rows(i, 0), &rows(i, 0) + d);
      values.insert(values.end(), at(margin), 1e30f);
    }
    return to_device(values);
  }
  static MatrixView<const float> view(const DeviceArray<float>& rows, std::int64_t margin) {
    return {rows.data(), n, d, d + margin, MemorySpace::device};
  }

  bm::Model model_;
  Matrix<float> rows_ = Matrix<float>(n, d);
  Matrix<float> holes_;
};

TEST_F(BernoulliMixtureFit, RowsHaveTheSameBitsWhereverTheyLie) {
  std::vector<double> weights;
  for (std::int64_t i = 0; i < n; ++i) weights.push_back(static_cast<double>(i % 3));
  for (const bool missing : {false, true}) {
    const Matrix<float>& rows = missing ? holes_ : rows_;
    for (const auto init : {bm::Init::kmeans, bm::Init::random_rows}) {
      bm::Options o = options();
      o.missing = missing;
      o.init = init;
      if (init == bm::Init::random_rows) o.weights = weights;
      const bm::Fit expected = bm::fit<float>(Context({.device = "cuda"}), rows.view(), o);
      const Context chunked({.chunk_rows = 1024, .device = "cuda"});
      EXPECT_TRUE(same_bits(bm::fit<float>(chunked, rows.view(), o), expected));
      for (const std::int64_t margin : {0, 3}) {
        const auto copy = on_device(rows, margin);
        const Context context({.device = "cuda"});
        const bm::Fit fit = bm::fit<float>(context, view(copy, margin), o);
        EXPECT_TRUE(same_bits(fit, expected)) << "missing " << missing << " margin " << margin;
        EXPECT_LE(context.peak_device_bytes(), fit.plan.device_bytes);
        EXPECT_EQ(fit.warnings.size(), expected.warnings.size());
        for (std::size_t i = 0; i < fit.warnings.size(); ++i) {  // how many are missing
          EXPECT_EQ(fit.warnings[i].text, expected.warnings[i].text);
        }
      }
    }
  }
}

// Two restarts: a start takes the memory that the fit before it has given back.
TEST_F(BernoulliMixtureFit, ShrinksToTheLimitAndKeepsItsBits) {
  const auto copy = on_device(rows_, 0);
  for (const bool in_place : {false, true}) {
    for (const auto init : {bm::Init::kmeans, bm::Init::random}) {
      if (in_place && init == bm::Init::kmeans) continue;  // k-means has tests of its own
      const MatrixRows<float> rows(in_place ? view(copy, 0) : rows_.view());
      bm::Options o = options();
      o.n_components = 32;  // so that the device holds more than the host
      o.init = init;
      o.n_init = 2;
      o.max_iter = 1;
      const Context whole_context(place(0));
      const bm::Fit whole = bm::fit<float>(whole_context, rows, o);
      EXPECT_LE(whole_context.peak_device_bytes(), whole.plan.device_bytes);
      int n_taken = 0;
      for (std::int64_t limit = whole.plan.device_bytes - 1;; limit = limit * 2 / 3) {
        const Context context(place(limit));
        bm::Fit fit;
        try {
          fit = bm::fit<float>(context, rows, o);
        } catch (const out_of_memory& error) {
          EXPECT_EQ(context.peak_device_bytes(), 0) << "work began";
          EXPECT_NE(std::string(error.what()).find("--memory-limit"), std::string::npos);
          break;
        }
        ++n_taken;
        EXPECT_LE(fit.plan.device_bytes, limit);
        EXPECT_LE(fit.plan.host_bytes, limit);
        EXPECT_LE(context.peak_device_bytes(), fit.plan.device_bytes);
        EXPECT_TRUE(same_bits(fit, whole)) << "within " << limit;
      }
      EXPECT_GE(n_taken, 2) << bm::name(init) << (in_place ? " on the device" : "");
    }
  }
}

TEST_F(BernoulliMixtureFit, AFewMegabytesAreEnoughForManyRows) {
  const GeneratedRows<float> rows(std::int64_t{1} << 33, 16, [](std::int64_t, MatrixView<float>) {
    FAIL() << "the rows were read";
  });
  const bm::Options options{.n_components = 32, .init = bm::Init::random};
  const Plan plan = bm::plan<float>(Context(place(4 << 20)), rows, options);
  EXPECT_LE(plan.device_bytes, 4 << 20);
  EXPECT_LE(plan.host_bytes, 4 << 20);
  EXPECT_GE(plan.chunk_rows, kBlockRows);
}

// All rows but one in 2 000 have the feature: 1 − μ has as many digits as μ.
TEST_F(BernoulliMixtureFit, AMeanNearOneIsAsExactAsOneNearZero) {
  Matrix<float> rows(40000, 2);
  std::int64_t ones = 0;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const bool one = i % 1999 == 5;
    rows(i, 0) = one ? 1.0f : 0.0f;
    rows(i, 1) = one ? 0.0f : 1.0f;
    ones += one ? 1 : 0;
  }
  bm::Options o{.n_components = 2, .max_iter = 1, .tol = 0.0, .smoothing = 0.0};
  o.min_probability = 0.0;
  o.start = {{0.3, 0.7}, Matrix<double>(2, 2)};
  for (std::int64_t i = 0; i < 4; ++i) o.start.means.data()[i] = 0.5;  // shares are the weights
  const bm::Fit fit = bm::fit<float>(Context({.device = "cuda"}), rows.view(), o);
  const double share = static_cast<double>(ones) / static_cast<double>(rows.rows());
  // kBlockRows additions in float.
  const double error =
      share * kBlockRows * static_cast<double>(std::numeric_limits<float>::epsilon());
  for (std::int64_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(fit.model.means(k, 0), share, error);
    EXPECT_NEAR(1.0 - fit.model.means(k, 1), share, error);
  }
}

TEST_F(BernoulliMixtureFit, BadValuesAreNamedWhereverTheyLie) {
  const auto words = [&](MatrixView<const float> rows, bool evaluate, bool missing) {
    const Context context({.chunk_rows = 1024, .device = "cuda"});
    try {
      bm::Options o = options();
      o.missing = missing;
      o.init = bm::Init::random;
      if (evaluate) {
        std::vector<float> log_prob(at(n));
        bm::evaluate<float>(context, model_, MatrixRows<float>(rows),
                            {.log_prob = log_prob, .missing = missing});
      } else {
        bm::fit<float>(context, rows, o);
      }
    } catch (const data_error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  for (const float value : {1.5f, -0.25f, kNaN, HUGE_VALF}) {
    Matrix<float> rows(n, d);
    std::copy(rows_.data(), rows_.data() + rows_.size(), rows.data());
    rows(4000, 7) = rows(4000, 9) = rows(5000, 1) = value;
    const auto copy = on_device(rows, 0);
    for (const bool evaluate : {false, true}) {
      for (const auto& place : {MatrixView<const float>(rows.view()), view(copy, 0)}) {
        EXPECT_NE(words(place, evaluate, false).find("row 4000, column 7"), std::string::npos)
            << value << ": " << words(place, evaluate, false);
        const bool is_missing = std::isnan(value);
        EXPECT_EQ(words(place, evaluate, true) == "no error", is_missing) << value;
      }
    }
  }
}

TEST_F(BernoulliMixtureFit, ResultsGoToTheMemoryThatTheyLieIn) {
  const Context context({.device = "cuda"}), chunked({.chunk_rows = 1024, .device = "cuda"});
  const auto copy = on_device(holes_, 2);
  const auto log_prob = blank<float>(n);
  const auto resp = blank<float>(n * 5);
  const auto labels = blank<std::int32_t>(n);
  bm::Outputs<float> outputs;
  outputs.log_prob = {log_prob.data(), at(n)};
  outputs.responsibilities = {resp.data(), n, kComponents, 5, MemorySpace::device};
  outputs.labels = {labels.data(), at(n)};
  outputs.missing = true;
  outputs.space = MemorySpace::device;
  const bm::Summary summary =
      bm::evaluate<float>(context, model_, MatrixRows<float>(view(copy, 2)), outputs);

  std::vector<float> host_log_prob(at(n)), cpu_log_prob(at(n));
  std::vector<std::int32_t> host_labels(at(n)), cpu_labels(at(n));
  Matrix<float> host_resp(n, kComponents);
  const bm::Summary same = bm::evaluate<float>(chunked, model_, MatrixRows<float>(holes_.view()),
                                               {.log_prob = host_log_prob,
                                                .responsibilities = host_resp.view(),
                                                .labels = host_labels,
                                                .missing = true});
  EXPECT_EQ(summary.log_likelihood, same.log_likelihood);
  EXPECT_EQ(summary.entropy, same.entropy);
  EXPECT_EQ(to_host(log_prob), host_log_prob);
  EXPECT_EQ(to_host(labels), host_labels);
  const std::vector<float> shares = to_host(resp);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < kComponents; ++k)
      ASSERT_EQ(shares[at(5 * i + k)], host_resp(i, k));
    ASSERT_TRUE(std::isnan(shares[at(5 * i + 3)]));
  }
  const bm::Summary cpu =
      bm::evaluate<float>(Context(), model_, MatrixRows<float>(holes_.view()),
                          {.log_prob = cpu_log_prob, .labels = cpu_labels, .missing = true});
  // 2 D + 1 products of logits up to 2.2, in float on both sides.
  const double error =
      2.0 * 21.0 * 21.0 * 2.2 * static_cast<double>(std::numeric_limits<float>::epsilon());
  EXPECT_NEAR(summary.log_likelihood, cpu.log_likelihood, error);
  EXPECT_NEAR(summary.entropy, cpu.entropy, error);
  for (std::int64_t i = 0; i < n; ++i)
    ASSERT_NEAR(host_log_prob[at(i)], cpu_log_prob[at(i)], error);

  outputs.space = MemorySpace::host;
  EXPECT_THROW(bm::evaluate<float>(context, model_, MatrixRows<float>(holes_.view()), outputs),
               invalid_argument);
  EXPECT_THROW(bm::score<float>(Context(), model_, view(copy, 2)), invalid_argument);
  EXPECT_THROW(bm::fit<float>(Context(), view(copy, 2), options()), invalid_argument);
  const MatrixView<const float> wrong(rows_.data(), n, d, d, MemorySpace::device);
  EXPECT_THROW(bm::score<float>(context, model_, wrong), invalid_argument);
  EXPECT_THROW(bm::fit<float>(context, wrong, options()), invalid_argument);
}

}  // namespace
}  // namespace culatent
