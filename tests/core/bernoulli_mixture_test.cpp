#include "culatent/bernoulli_mixture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "culatent/error.hpp"
#include "tests/core/golden.hpp"
#include "tests/core/oracle.hpp"
#include "tests/device.hpp"
#include "tests/errors.hpp"
#include "tests/io/files.hpp"

namespace culatent {
namespace {

namespace bm = bernoulli_mixture;
using errors::error_of;
using errors::expect_contains;
using io::testing::Folder;
using oracle::at;
using oracle::Draws;

template <class T>
Matrix<T> cast(const Matrix<double>& m) {
  Matrix<T> result(m.rows(), m.cols());
  for (std::int64_t i = 0; i < m.size(); ++i) result.data()[i] = static_cast<T>(m.data()[i]);
  return result;
}

bm::Model planted(std::int64_t k, std::int64_t d, std::uint64_t seed) {
  Draws draws(seed);
  bm::Model model;
  model.means = Matrix<double>(k, d);
  for (std::int64_t c = 0; c < k; ++c) {
    model.weights.push_back(1.0 / static_cast<double>(k));
    for (std::int64_t j = 0; j < d; ++j) model.means(c, j) = draws.uniform() < 0.5 ? 0.1 : 0.85;
  }
  return model;
}

Matrix<double> rows_of(const bm::Model& model, std::int64_t n, std::uint64_t seed) {
  Matrix<double> rows(n, model.n_features());
  bm::sample<double>(Context(), model, seed, 0, rows.view());
  return rows;
}

// log p(x) and responsibilities by the definition, NaN left out.
std::vector<long double> log_joint(const bm::Model& model, const Matrix<double>& rows,
                                   std::int64_t i) {
  std::vector<long double> result;
  for (std::int64_t k = 0; k < model.n_components(); ++k) {
    long double sum = std::log(static_cast<long double>(model.weights[at(k)]));
    for (std::int64_t j = 0; j < model.n_features(); ++j) {
      const long double x = rows(i, j), p = model.means(k, j);
      if (std::isnan(rows(i, j))) continue;
      sum += x * std::log(p) + (1 - x) * std::log1p(-p);
    }
    result.push_back(sum);
  }
  return result;
}

long double log_sum(const std::vector<long double>& logs) {
  const long double most = *std::max_element(logs.begin(), logs.end());
  long double sum = 0;
  for (const long double v : logs) sum += std::exp(v - most);
  return most + std::log(sum);
}

bool same_bits(const bm::Fit& a, const bm::Fit& b) {
  if (a.trace.size() != b.trace.size() || a.model.weights != b.model.weights) return false;
  for (std::size_t t = 0; t < a.trace.size(); ++t) {
    if (a.trace[t].objective != b.trace[t].objective) return false;
  }
  return std::memcmp(a.model.means.data(), b.model.means.data(),
                     at(a.model.means.size()) * sizeof(double)) == 0;
}

template <class T>
class BernoulliMixture : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(BernoulliMixture, Types);

// digits_map and digits_clip: EM by numpy from a given start.
TYPED_TEST(BernoulliMixture, AgreesWithFrozenResults) {
  using T = TypeParam;
  for (const char* name : {"digits_map", "digits_clip"}) {
    SCOPED_TRACE(name);
    const golden::Case c(std::string("bernoulli_mixture/") + name);
    const Matrix<double> wide = c.input("X");
    bm::Options o{.n_components = 10, .max_iter = 40, .tol = 0.0};
    o.smoothing = std::string(name) == "digits_map" ? 1.0 : 0.0;
    o.start = {c.input_values("w0"), c.input("p0")};
    const Context context(on_device({.n_threads = 2}));
    const bm::Fit fit = bm::fit<T>(context, cast<T>(wide).view(), o);
    const auto n = static_cast<double>(wide.rows());
    const bool is_float = sizeof(T) == 4;
    std::vector<double> likelihood, objective;
    for (const bm::TraceEntry& entry : fit.trace) {
      likelihood.push_back(n * entry.log_likelihood);
      objective.push_back(n * entry.objective);
    }
    expect_near(c, "loglik", likelihood, is_float);
    if (o.smoothing > 0.0) expect_near(c, "objective", objective, is_float);
    expect_near(c, "w_T", fit.model.weights, is_float);
    expect_near(c, "p_T", {fit.model.means.data(), fit.model.means.data() + fit.model.means.size()},
                is_float);
    const double total = n * bm::score<T>(context, fit.model, cast<T>(wide).view());
    expect_near(c, "loglik_T", {total}, is_float);
    expect_near(c, "bic_T", {bm::bic(fit.model, total, n)}, is_float);
    Matrix<T> resp(wide.rows(), 10);
    bm::responsibilities<T>(context, fit.model, cast<T>(wide).view(), resp.view());
    std::vector<double> some;
    for (const double i : c.input_values("resp_idx")) {
      for (std::int64_t k = 0; k < 10; ++k) {
        some.push_back(static_cast<double>(resp(static_cast<std::int64_t>(i), k)));
      }
    }
    expect_near(c, "resp_T", some, is_float);
  }
}

TYPED_TEST(BernoulliMixture, DensitiesAreThoseOfTheDefinition) {
  using T = TypeParam;
  const bm::Model model = planted(7, 21, 1);
  Matrix<double> rows = rows_of(model, 1300, 2);
  Draws draws(3);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    if (draws.uniform() < 0.2) rows.data()[i] = static_cast<float>(draws.uniform());  // soft
    if (draws.uniform() < 0.1) rows.data()[i] = std::numeric_limits<double>::quiet_NaN();
  }
  for (std::int64_t j = 0; j < 21; ++j) rows(5, j) = std::numeric_limits<double>::quiet_NaN();
  std::vector<T> log_prob(1300);
  std::vector<std::int32_t> labels(1300);
  Matrix<T> resp(1300, 7);
  const Context context(on_device({.n_threads = 2}));
  bm::evaluate<T>(
      context, model, MatrixRows<T>(cast<T>(rows).view()),
      {.log_prob = log_prob, .responsibilities = resp.view(), .labels = labels, .missing = true});
  // D + 1 products of logits up to 3.9, each rounded.
  const double error = 22 * 22 * 4 * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (std::int64_t i = 0; i < 1300; ++i) {
    const auto joint = log_joint(model, rows, i);
    const long double total = log_sum(joint);
    EXPECT_NEAR(static_cast<double>(log_prob[at(i)]), static_cast<double>(total), error);
    for (std::int64_t k = 0; k < 7; ++k) {
      EXPECT_NEAR(static_cast<double>(resp(i, k)),
                  static_cast<double>(std::exp(joint[at(k)] - total)), error);
    }
    EXPECT_NEAR(static_cast<double>(joint[at(labels[at(i)])]),
                static_cast<double>(*std::max_element(joint.begin(), joint.end())), error);
  }
}

TYPED_TEST(BernoulliMixture, ObjectiveNeverFallsAndPlantedGroupsAreFound) {
  using T = TypeParam;
  const bm::Model truth = planted(4, 40, 4);
  const Matrix<double> rows = rows_of(truth, 4000, 5);
  for (const auto init : {bm::Init::kmeans, bm::Init::random, bm::Init::random_rows}) {
    const bm::Fit fit = bm::fit<T>(
        Context(on_device({.n_threads = 2})), cast<T>(rows).view(),
        {.n_components = 4, .max_iter = 200, .tol = 1e-7, .init = init, .n_init = 4, .seed = 6});
    EXPECT_TRUE(fit.converged);
    for (std::size_t t = 1; t < fit.trace.size(); ++t) {
      EXPECT_GE(fit.trace[t].objective,
                fit.trace[t - 1].objective - 64 * std::numeric_limits<T>::epsilon());
    }
    for (std::int64_t k = 0; k < 4; ++k) {
      double nearest = HUGE_VAL;
      for (std::int64_t c = 0; c < 4; ++c) {
        double most = 0;
        for (std::int64_t j = 0; j < 40; ++j) {
          most = std::max(most, std::abs(fit.model.means(c, j) - truth.means(k, j)));
        }
        nearest = std::min(nearest, most);
      }
      EXPECT_LT(nearest, 5 * 0.5 / std::sqrt(1000.0)) << bm::name(init);  // five standard errors
    }
  }
}

TYPED_TEST(BernoulliMixture, MissingValuesAreLeftOut) {
  using T = TypeParam;
  const bm::Model truth = planted(3, 30, 7);
  Matrix<double> rows = rows_of(truth, 3000, 8);
  Draws draws(9);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    if (draws.uniform() < 0.3) rows.data()[i] = std::numeric_limits<double>::quiet_NaN();
  }
  bm::Options o{.n_components = 3, .max_iter = 1, .tol = 0.0, .missing = true};
  o.start = {truth.weights, truth.means};
  const bm::Fit fit = bm::fit<T>(Context(on_device({.n_threads = 2})), cast<T>(rows).view(), o);
  // One step of EM by the book.
  for (std::int64_t k = 0; k < 3; ++k) {
    std::vector<long double> ones(30), seen(30);
    long double count = 0;
    for (std::int64_t i = 0; i < 3000; ++i) {
      const auto joint = log_joint(truth, rows, i);
      const long double r = std::exp(joint[at(k)] - log_sum(joint));
      count += r;
      for (std::int64_t j = 0; j < 30; ++j) {
        if (std::isnan(rows(i, j))) continue;
        ones[at(j)] += r * rows(i, j);
        seen[at(j)] += r;
      }
    }
    const double error = 300 * static_cast<double>(std::numeric_limits<T>::epsilon());
    EXPECT_NEAR(fit.model.weights[at(k)], static_cast<double>(count / 3000), error);
    for (std::int64_t j = 0; j < 30; ++j) {
      EXPECT_NEAR(fit.model.means(k, j),
                  static_cast<double>((ones[at(j)] + 0.01L) / (seen[at(j)] + 0.02L)), error);
    }
  }
  o.start = {};
  o.max_iter = 30;
  o.seed = 1;
  EXPECT_EQ(bm::fit<T>(Context(on_device()), cast<T>(rows).view(), o).warnings.back().code,
            "missing");
}

TYPED_TEST(BernoulliMixture, WeightsCountAsRepetitions) {
  using T = TypeParam;
  const bm::Model truth = planted(3, 12, 10);
  const Matrix<double> rows = rows_of(truth, 500, 11);
  std::vector<double> weights;
  Matrix<double> copies(500 / 4 * 6, 12);  // weights 0 1 2 3, again and again
  std::int64_t n = 0;
  for (std::int64_t i = 0; i < 500; ++i) {
    weights.push_back(static_cast<double>(i % 4));
    for (std::int64_t w = 0; w < i % 4; ++w, ++n) std::copy_n(&rows(i, 0), 12, &copies(n, 0));
  }
  ASSERT_EQ(n, copies.rows());
  bm::Options o{.n_components = 3, .max_iter = 5, .tol = 0.0};
  o.start = {truth.weights, truth.means};
  const bm::Fit twice = bm::fit<T>(Context(on_device()), cast<T>(copies).view(), o);
  o.weights = weights;
  const bm::Fit weighted = bm::fit<T>(Context(on_device()), cast<T>(rows).view(), o);
  const double error = 1000 * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (std::int64_t i = 0; i < 36; ++i) {
    EXPECT_NEAR(weighted.model.means.data()[i], twice.model.means.data()[i], error);
  }
  EXPECT_NEAR(weighted.trace.back().objective, twice.trace.back().objective, 10 * error);
}

TYPED_TEST(BernoulliMixture, SameBitsForThreadsChunksAndAfterAKill) {
  using T = TypeParam;
  const Folder folder;
  const Matrix<T> rows = cast<T>(rows_of(planted(4, 9, 12), 5000, 13));
  bm::Options o{.n_components = 4, .max_iter = 3, .tol = 0.0, .n_init = 2, .seed = 14};
  const bm::Fit expected = bm::fit<T>(Context(on_device({.n_threads = 1})), rows.view(), o);
  for (const int threads : {2, 3, 7}) {
    for (const std::int64_t chunk : {1024, 2048}) {
      const Context context(on_device({.n_threads = threads, .chunk_rows = chunk}));
      EXPECT_TRUE(same_bits(bm::fit<T>(context, rows.view(), o), expected));
    }
  }
  o.checkpoint = {.path = folder.path("state"), .every_iterations = 1};
  for (int last = 1;; last += 3) {
    std::filesystem::remove(o.checkpoint.path);
    int calls = 0;
    o.checkpoint.resume = false;
    const Context killing(on_device({.n_threads = 2, .observer = [&](const Progress&) -> bool {
                                       if (++calls == last) throw last;
                                       return true;
                                     }}));
    try {
      bm::fit<T>(killing, rows.view(), o);
      EXPECT_GT(last, 8);
      break;
    } catch (int) {
      o.checkpoint.resume = true;
      EXPECT_TRUE(
          same_bits(bm::fit<T>(Context(on_device({.n_threads = 2})), rows.view(), o), expected));
    }
  }
}

TEST(BernoulliMixtureModel, MomentsAreThoseOfSamples) {
  const bm::Model model = planted(3, 5, 15);
  const Matrix<double> rows = rows_of(model, 200000, 16);
  const std::vector<double> mean = bm::mean(model);
  const Matrix<double> covariance = bm::covariance(model);
  const double error = 5 * 0.5 / std::sqrt(200000.0);  // five standard errors at most
  for (std::int64_t i = 0; i < 5; ++i) {
    double sum = 0;
    for (std::int64_t r = 0; r < rows.rows(); ++r) sum += rows(r, i);
    EXPECT_NEAR(mean[at(i)], sum / 200000, error);
    for (std::int64_t j = 0; j < 5; ++j) {
      double product = 0;
      for (std::int64_t r = 0; r < rows.rows(); ++r) {
        product += (rows(r, i) - mean[at(i)]) * (rows(r, j) - mean[at(j)]);
      }
      EXPECT_NEAR(covariance(i, j), product / 200000, error);
    }
  }
}

TEST(BernoulliMixtureModel, LogarithmsStayFinite) {
  bm::Model model{{0.0, 1.0}, Matrix<double>(2, 2)};
  model.means(1, 0) = 1.0;  // means of exactly 0 and 1, and a weight of 0
  Matrix<float> rows(2, 2);
  rows(0, 1) = 1.0f;
  std::vector<float> log_prob(2);
  bm::log_prob<float>(Context(on_device()), model, rows.view(), log_prob);
  for (const float value : log_prob) EXPECT_TRUE(std::isfinite(value));
  // What is impossible is so on both sides: the second row wants a one where there are none, the
  // first a zero where there are only ones.
  bm::Model sides{{0.5, 0.5}, Matrix<double>(2, 2)};
  sides.means(0, 0) = sides.means(1, 1) = 1.0;
  Matrix<double> impossible(2, 2);
  impossible(1, 0) = impossible(1, 1) = 1.0;
  std::vector<double> both(2);
  bm::log_prob<double>(Context(on_device()), sides, impossible.view(), both);
  EXPECT_NEAR(both[0], both[1], 1e-9);
}

TEST(BernoulliMixtureInput, StartsOfExactlyZeroAndOneAreSmoothed) {
  const Matrix<double> rows = rows_of(planted(2, 6, 20), 200, 21);
  bm::Options o{.n_components = 2, .max_iter = 20};
  o.start.means = Matrix<double>(2, 6);
  for (std::int64_t j = 0; j < 6; ++j) o.start.means(0, j) = 1.0;
  const bm::Fit fit = bm::fit<double>(Context(on_device()), rows.view(), o);
  EXPECT_TRUE(std::isfinite(fit.trace.back().objective));
}

TEST(BernoulliMixtureModel, ComesBackFromAFile) {
  const Folder folder;
  bm::Model model = planted(3, 4, 17);
  bm::save(model, folder.path("m.safetensors"));
  const bm::Model loaded = bm::load(folder.path("m.safetensors"));
  EXPECT_EQ(loaded.weights, model.weights);
  for (std::int64_t i = 0; i < 12; ++i) EXPECT_EQ(loaded.means.data()[i], model.means.data()[i]);
  EXPECT_EQ(bm::n_parameters(model), 2 + 12);
  model.means(0, 0) = 1.5;
  EXPECT_THROW(bm::save(model, folder.path("m.safetensors")), data_error);
}

TEST(BernoulliMixtureInput, RefusesWhatCannotBeFitted) {
  Matrix<double> rows = rows_of(planted(2, 3, 18), 2000, 19);
  const auto fit = [&](bm::Options o) { bm::fit<double>(Context(on_device()), rows.view(), o); };
  const auto refused = [&](bm::Options o, const char* option) {
    expect_contains(error_of<invalid_argument>([&] { fit(o); }), option);
  };
  refused({.n_components = 0}, "--components");
  refused({.n_components = 2, .smoothing = -1}, "--smoothing");
  refused({.n_components = 2, .min_probability = 0.5}, "--min-probability");
  refused({.n_components = 2, .n_init = 0}, "--n-init");
  expect_contains(error_of<data_error>([&] { fit({.n_components = 2001}); }), "2000 rows for 2001");
  rows(1500, 2) = 1.5;
  expect_contains(error_of<data_error>([&] { fit({.n_components = 2, .seed = 1}); }),
                  "row 1500, column 2");
  rows(1500, 2) = std::numeric_limits<double>::quiet_NaN();
  expect_contains(error_of<data_error>([&] { fit({.n_components = 2, .seed = 1}); }),
                  "row 1500, column 2");
  rows(1500, 2) = 1.0;
  bm::Options o{.n_components = 2};
  o.start.means = Matrix<double>(2, 2);
  expect_contains(error_of<data_error>([&] { fit(o); }), "2 x 2");
  o.start.means = Matrix<double>(2, 3);
  o.start.means(1, 1) = -0.1;
  expect_contains(error_of<data_error>([&] { fit(o); }), "outside [0, 1]");
}

TEST(BernoulliMixtureInput, ConstantAndEqualRows) {
  Matrix<double> rows(50, 3);
  for (std::int64_t i = 0; i < 50; ++i) rows(i, 1) = 1.0;
  for (const double smoothing : {0.0, 0.01}) {
    const bm::Fit fit = bm::fit<double>(Context(on_device()), rows.view(),
                                        {.n_components = 2, .smoothing = smoothing, .seed = 1});
    EXPECT_TRUE(std::isfinite(fit.trace.back().log_likelihood));
    EXPECT_TRUE(fit.converged);
  }
}

}  // namespace
}  // namespace culatent
