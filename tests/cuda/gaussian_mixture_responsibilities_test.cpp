#include <algorithm>
#include <cstring>

#include "tests/cuda/estep_case.hpp"

namespace culatent::gaussian_mixture {
namespace {

constexpr std::int64_t kHeads = Layout::kEntropy + 1;

std::int64_t n_blocks(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

/// What normalise() left behind.
template <class T>
struct Normalised {
  std::vector<T> q;
  std::vector<double> log_prob;
  std::vector<double> heads;
};

template <class T>
class GaussianMixtureNormalise : public CudaTest {
 protected:
  // normalise() of given log p(x, k), component-major [K, stride]; rows of the case only where they
  // are needed. `weights` empty: none.
  Normalised<T> compute(const EStepCase<T>& c, const std::vector<T>& logs,
                        const std::vector<T>& weights) {
    EStepOnDevice<T> on_device(c, [&](const std::vector<T>& v) { return to_device(v); });
    const auto device_weights = to_device(weights.empty() ? std::vector<T>{T{0}} : weights);
    if (!weights.empty()) on_device.device_rows.weights = device_weights.data();
    auto q = to_device(logs);
    auto log_prob = blank<double>(c.shape.n_rows + 1);
    auto heads = blank<double>(n_blocks(c.shape.n_rows) * (kHeads + c.shape.n_components) + 1);
    DevicePartials<T> partials;
    partials.heads = heads.data();
    normalise(backend(), on_device.device_rows, on_device.frame, on_device.parameters,
              DeviceResponsibilities<T>{q.data(), c.out_stride}, log_prob.data(), partials);
    return {to_host(q), to_host(log_prob), to_host(heads)};
  }
};

// The exact results of one row. `q` without the weight.
struct Row {
  std::vector<long double> q;
  long double log_prob = 0.0L;
  long double entropy = 0.0L;
};

template <class T>
Row exact_row(const std::vector<T>& logs, std::int64_t stride, std::int64_t n_components,
              std::int64_t row) {
  long double greatest = -std::numeric_limits<long double>::infinity(), total = 0.0L;
  for (std::int64_t k = 0; k < n_components; ++k) {
    greatest = std::max(greatest, static_cast<long double>(logs[at(k * stride + row)]));
  }
  Row result;
  for (std::int64_t k = 0; k < n_components; ++k) {
    result.q.push_back(std::exp(static_cast<long double>(logs[at(k * stride + row)]) - greatest));
    total += result.q.back();
  }
  result.log_prob = greatest + std::log(total);
  for (long double& q : result.q) {
    q /= total;
    if (q > 0.0L) result.entropy -= q * std::log(q);
  }
  return result;
}

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GaussianMixtureNormalise, Types);

// Log densities over `span` below a row's own level, and NaN where nothing may be read.
template <class T>
std::vector<T> draw_logs(const EStepCase<T>& c, double span) {
  std::mt19937 engine(7);
  std::uniform_real_distribution<double> unit(0.0, 1.0);
  std::vector<T> logs(at(c.shape.n_components * c.out_stride), kNaN<T>);
  for (std::int64_t k = 0; k < c.shape.n_components; ++k) {
    for (std::int64_t row = 0; row < c.shape.n_rows; ++row) {
      logs[at(k * c.out_stride + row)] =
          static_cast<T>(-span * unit(engine) * unit(engine) - static_cast<double>(row % 50));
    }
  }
  return logs;
}

// Every q, head and margin of a call against the formulas. An exponent carries the rounding of
// l − max, at most `span` u; exp and the sum of K terms a few u each, and the running maximum may
// move K / 8 times, by `span` in all.
template <class T>
void expect_exact(const EStepCase<T>& c, const std::vector<T>& logs, const std::vector<T>& weights,
                  const Normalised<T>& got, double span) {
  const std::int64_t n = c.shape.n_rows, n_components = c.shape.n_components;
  SCOPED_TRACE(testing::Message() << c.shape << " span " << span);
  const double eps = std::numeric_limits<T>::epsilon();
  const double k_terms = static_cast<double>(n_components);
  const double relative = eps * (2.0 * std::min(span, 800.0) + k_terms + 8.0);
  const double smallest = static_cast<double>(std::numeric_limits<T>::min()) * 4.0;
  for (std::int64_t block = 0; block < n_blocks(n); ++block) {
    std::vector<long double> heads(at(kHeads + n_components), 0.0L), stored(at(n_components), 0.0L);
    for (std::int64_t row = block * kBlockRows; row < (block + 1) * kBlockRows; ++row) {
      if (row >= n) {
        for (std::int64_t k = 0; k < n_components; ++k) {
          ASSERT_EQ(got.q[at(k * c.out_stride + row)], T{0}) << "row " << row;
        }
        continue;
      }
      const Row exact = exact_row(logs, c.out_stride, n_components, row);
      const long double w = weights.empty() ? 1.0L : static_cast<long double>(weights[at(row)]);
      for (std::int64_t k = 0; k < n_components; ++k) {
        const long double q = static_cast<long double>(got.q[at(k * c.out_stride + row)]);
        const long double wanted = w * exact.q[at(k)];
        ASSERT_NEAR(static_cast<double>(q), static_cast<double>(wanted),
                    static_cast<double>(wanted) * relative + smallest)
            << "row " << row << " component " << k;
        stored[at(k)] += q;
      }
      const double size = std::abs(static_cast<double>(exact.log_prob)) + 1.0;
      ASSERT_NEAR(got.log_prob[at(row)], static_cast<double>(exact.log_prob), relative * size);
      heads[Layout::kWeight] += w;
      if (w == 0.0L) continue;
      heads[Layout::kLogLikelihood] += w * exact.log_prob;
      heads[Layout::kJoint] += w * (exact.log_prob - exact.entropy);
      heads[Layout::kEntropy] += w * exact.entropy;
    }
    const double* record = got.heads.data() + block * (kHeads + n_components);
    const double rows = static_cast<double>(kBlockRows);
    EXPECT_NEAR(record[Layout::kWeight], static_cast<double>(heads[Layout::kWeight]), 1e-12 * rows);
    for (const auto i : {Layout::kLogLikelihood, Layout::kJoint, Layout::kEntropy}) {
      const double scale = std::abs(static_cast<double>(heads[Layout::kLogLikelihood])) + rows;
      EXPECT_NEAR(record[i], static_cast<double>(heads[at(i)]), relative * scale) << "head " << i;
    }
    for (std::int64_t k = 0; k < n_components; ++k) {
      // Of the very values stored: 1024 additions in double.
      const double count = static_cast<double>(stored[at(k)]);
      EXPECT_NEAR(record[kHeads + k], count, rows * 0x1p-53 * count);
    }
  }
  for (std::int64_t k = 0; k < n_components; ++k) {
    for (std::int64_t row = n_blocks(n) * kBlockRows; row < c.out_stride; ++row) {
      ASSERT_TRUE(std::isnan(got.q[at(k * c.out_stride + row)])) << "wrote row " << row;
    }
  }
  EXPECT_TRUE(std::isnan(got.log_prob.back()));
  EXPECT_TRUE(std::isnan(got.heads.back()));
}

TYPED_TEST(GaussianMixtureNormalise, IsTheSoftmaxOverComponents) {
  for (const std::int64_t n : {1, 31, 33, 256, 1023, 1024, 1025}) {
    for (const std::int64_t k : {1, 2, 7, 8, 9, 63, 64, 65}) {
      if (n > 256 && k > 9) continue;
      const EStepCase<TypeParam> c({Covariance::diagonal, n, 1, k});
      const auto logs = draw_logs(c, 10.0);
      expect_exact(c, logs, {}, this->compute(c, logs, {}), 10.0);
    }
  }
}

TYPED_TEST(GaussianMixtureNormalise, IsTheSoftmaxWhereDensitiesLieFarApart) {
  const EStepCase<TypeParam> c({Covariance::diagonal, 300, 1, 40});
  for (const double span : {100.0, 1000.0, 1e5}) {
    const auto logs = draw_logs(c, span);
    expect_exact(c, logs, {}, this->compute(c, logs, {}), span);
  }
}

// Each component greater than those before: the running maximum moves with every chunk.
TYPED_TEST(GaussianMixtureNormalise, IsTheSoftmaxOfRisingDensities) {
  const EStepCase<TypeParam> c({Covariance::diagonal, 70, 1, 67});
  auto logs = draw_logs(c, 1.0);
  for (std::int64_t k = 0; k < 67; ++k) {
    for (std::int64_t row = 0; row < 70; ++row) {
      logs[at(k * c.out_stride + row)] += static_cast<TypeParam>(k * (row % 4));
    }
  }
  expect_exact(c, logs, {}, this->compute(c, logs, {}), 201.0);
}

TYPED_TEST(GaussianMixtureNormalise, CarriesTheWeights) {
  for (const std::int64_t n : {5, 1030}) {
    const EStepCase<TypeParam> c({Covariance::diagonal, n, 1, 5});
    const auto logs = draw_logs(c, 6.0);
    std::vector<TypeParam> weights(at(n));
    for (std::int64_t i = 0; i < n; ++i) weights[at(i)] = static_cast<TypeParam>(i % 7) / 4;
    expect_exact(c, logs, weights, this->compute(c, logs, weights), 6.0);
  }
}

TYPED_TEST(GaussianMixtureNormalise, GivesEverythingToTheOnlyComponent) {
  const EStepCase<TypeParam> c({Covariance::diagonal, 40, 1, 1});
  const auto logs = draw_logs(c, 50.0);
  const Normalised<TypeParam> got = this->compute(c, logs, {});
  for (std::int64_t row = 0; row < 40; ++row) EXPECT_EQ(got.q[at(row)], TypeParam{1});
  EXPECT_EQ(got.heads[Layout::kEntropy], 0.0);
  EXPECT_EQ(got.heads[Layout::kJoint], got.heads[Layout::kLogLikelihood]);
  EXPECT_EQ(got.heads[kHeads], 40.0);
}

// A NaN beside finite densities (∞ − ∞ within a distance) and −∞ (a weight of 0) are no density.
TYPED_TEST(GaussianMixtureNormalise, TakesWhatIsNoDensityForNothing) {
  const EStepCase<TypeParam> c({Covariance::diagonal, 3, 1, 10});
  auto logs = draw_logs(c, 3.0);
  for (std::int64_t row = 0; row < 3; ++row) {
    logs[at(2 * c.out_stride + row)] = kNaN<TypeParam>;
    logs[at(9 * c.out_stride + row)] = -std::numeric_limits<TypeParam>::infinity();
  }
  auto known = logs;
  for (std::int64_t row = 0; row < 3; ++row) {
    known[at(2 * c.out_stride + row)] = -std::numeric_limits<TypeParam>::infinity();
  }
  expect_exact(c, known, {}, this->compute(c, logs, {}), 3.0);
}

TYPED_TEST(GaussianMixtureNormalise, GivesABlockTheSameBitsInAnyWave) {
  const EStepCase<TypeParam> all({Covariance::diagonal, kBlockRows + 100, 1, 11});
  const auto logs = draw_logs(all, 9.0);
  const auto first = this->compute(all, logs, {});
  const auto again = this->compute(all, logs, {});
  EXPECT_EQ(std::memcmp(first.heads.data(), again.heads.data(), 8 * first.heads.size() - 8), 0);
  EStepCase<TypeParam> last({Covariance::diagonal, 100, 1, 11});
  std::vector<TypeParam> tail(at(11 * last.out_stride), kNaN<TypeParam>);
  for (std::int64_t k = 0; k < 11; ++k) {
    for (std::int64_t row = 0; row < 100; ++row) {
      tail[at(k * last.out_stride + row)] = logs[at(k * all.out_stride + kBlockRows + row)];
    }
  }
  const auto alone = this->compute(last, tail, {});
  EXPECT_EQ(std::memcmp(alone.heads.data(), first.heads.data() + kHeads + 11, 8 * (kHeads + 11)),
            0);
}

// ---- rows whose densities leave T ---------------------------------------------------------------

// The exact log p(x, k) of the case, by the formula.
template <class T>
std::vector<long double> exact_logs(const EStepCase<T>& c, std::int64_t row) {
  std::vector<long double> logs;
  for (std::int64_t k = 0; k < c.shape.n_components; ++k) {
    logs.push_back(exact_log_joint(c, row, k).value);
  }
  return logs;
}

// Some rows are thrown `far` away, where |y|² overflows T. The rest must not notice.
TYPED_TEST(GaussianMixtureNormalise, TakesFarRowsInDouble) {
  using T = TypeParam;
  const double far = sizeof(T) == 4 ? 1e21 : 1e160;
  for (const Covariance covariance :
       {Covariance::full, Covariance::tied, Covariance::diagonal, Covariance::spherical}) {
    for (const std::int64_t d : {1, 3, 35}) {
      EStepCase<T> c({covariance, 70, d, 5}, 4, 0.0);
      SCOPED_TRACE(testing::Message() << c.shape);
      const std::vector<std::int64_t> moved = {0, 3, 31, 32, 69};
      for (const std::int64_t row : moved) {
        for (std::int64_t j = 0; j < d; ++j) c.rows[at(row * c.row_stride + j)] *= T(far);
      }
      c.log_constants[1] = -std::numeric_limits<T>::infinity();
      std::vector<T> logs(at(5 * c.out_stride), kNaN<T>);
      for (std::int64_t row = 0; row < 70; ++row) {
        const auto exact = exact_logs(c, row);
        for (std::int64_t k = 0; k < 5; ++k) {
          logs[at(k * c.out_stride + row)] = static_cast<T>(exact[at(k)]);  // far: −∞
        }
      }
      const Normalised<T> got = this->compute(c, logs, {});
      for (std::int64_t row = 0; row < 70; ++row) {
        const auto exact = exact_logs(c, row);
        const auto best = std::max_element(exact.begin(), exact.end()) - exact.begin();
        T total = 0;
        for (std::int64_t k = 0; k < 5; ++k) total += got.q[at(k * c.out_stride + row)];
        EXPECT_NEAR(static_cast<double>(total), 1.0,
                    8 * static_cast<double>(std::numeric_limits<T>::epsilon()));
        EXPECT_EQ(got.q[at(c.out_stride + row)], T{0}) << "no weight, row " << row;
        if (std::find(moved.begin(), moved.end(), row) == moved.end()) continue;
        // So far out double tells components apart by W, by means (all that tied ones differ in)
        // only where |y|² leaves them digits.
        const long double resolved =
            std::abs(exact[at(best)]) * static_cast<long double>(d + 4) * 0x1p-50L;
        for (std::int64_t k = 0; k < 5; ++k) {
          if (exact[at(best)] - exact[at(k)] <= resolved) continue;
          EXPECT_EQ(got.q[at(k * c.out_stride + row)], T{0}) << "row " << row;
        }
        const auto log_prob = static_cast<double>(exact[at(best)]);  // −∞ beyond double
        if (std::isinf(log_prob)) {
          EXPECT_EQ(got.log_prob[at(row)], log_prob);
        } else {
          EXPECT_NEAR(got.log_prob[at(row)], log_prob,
                      static_cast<double>(d + 4) * 0x1p-50 * std::abs(log_prob));
        }
      }
      EXPECT_EQ(got.heads[Layout::kWeight], 70.0);
      for (std::int64_t k = 0; k < 5; ++k) EXPECT_TRUE(std::isfinite(got.heads[at(kHeads + k)]));
      EXPECT_FALSE(std::isnan(got.heads[Layout::kLogLikelihood]));
      EXPECT_FALSE(std::isnan(got.heads[Layout::kJoint]));
      EXPECT_TRUE(std::isfinite(got.heads[Layout::kEntropy]));
    }
  }
}

TYPED_TEST(GaussianMixtureNormalise, NeverGivesNaNWhateverTheRowHolds) {
  using T = TypeParam;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  constexpr T kMost = std::numeric_limits<T>::max();
  for (const Covariance covariance : {Covariance::full, Covariance::diagonal}) {
    EStepCase<T> c({covariance, 5, 2, 3});
    const T values[5][2] = {
        {kInfinity, 0}, {kInfinity, -kInfinity}, {kNaN<T>, 1}, {kNaN<T>, kNaN<T>}, {kMost, -kMost}};
    for (std::int64_t row = 0; row < 5; ++row) {
      c.rows[at(row * c.row_stride)] = values[row][0];
      c.rows[at(row * c.row_stride + 1)] = values[row][1];
    }
    const std::vector<T> logs(at(3 * c.out_stride), kNaN<T>);
    const Normalised<T> got = this->compute(c, logs, {});
    for (std::int64_t row = 0; row < 5; ++row) {
      T total = 0;
      for (std::int64_t k = 0; k < 3; ++k) total += got.q[at(k * c.out_stride + row)];
      EXPECT_NEAR(static_cast<double>(total), 1.0, 1e-6) << "row " << row;
      EXPECT_FALSE(std::isnan(got.log_prob[at(row)])) << "row " << row;
    }
    for (std::int64_t i = 0; i < kHeads + 3; ++i) EXPECT_FALSE(std::isnan(got.heads[at(i)])) << i;
  }
}

TYPED_TEST(GaussianMixtureNormalise, LeavesARowWithoutWeightOutOfTheSums) {
  using T = TypeParam;
  EStepCase<T> c({Covariance::diagonal, 2, 1, 2}, 1, 0.0);
  c.rows[0] = std::numeric_limits<T>::infinity();  // log p = −∞, but its weight is 0
  std::vector<T> logs(at(2 * c.out_stride), T{-1});
  logs[0] = logs[at(c.out_stride)] = -std::numeric_limits<T>::infinity();
  const Normalised<T> got = this->compute(c, logs, {T{0}, T{2}});
  EXPECT_EQ(got.q[0], T{0});
  EXPECT_EQ(got.heads[Layout::kWeight], 2.0);
  EXPECT_NEAR(got.heads[Layout::kLogLikelihood], 2.0 * (std::log(2.0) - 1.0), 1e-6);
  EXPECT_NEAR(got.heads[Layout::kEntropy], 2.0 * std::log(2.0), 1e-6);
  EXPECT_EQ(got.heads[kHeads], 1.0);
}

// ---- write_outputs ------------------------------------------------------------------------------

template <class T>
class GaussianMixtureOutputs : public CudaTest {};
TYPED_TEST_SUITE(GaussianMixtureOutputs, Types);

TYPED_TEST(GaussianMixtureOutputs, AreTheResultsRowByRow) {
  using T = TypeParam;
  for (const std::int64_t n : {0, 1, 31, 32, 33, 255, 257}) {
    for (const std::int64_t k : {1, 31, 32, 33, 70}) {
      SCOPED_TRACE(testing::Message() << "N " << n << " K " << k);
      const std::int64_t stride = n + 3, out_stride = k + 2;
      std::mt19937 engine(5);
      std::vector<T> q(at(k * stride), kNaN<T>);
      std::vector<double> log_prob;
      for (std::int64_t row = 0; row < n; ++row) {
        for (std::int64_t c = 0; c < k; ++c) {
          q[at(c * stride + row)] = static_cast<T>(engine() % 8) / 8;  // with ties
        }
        log_prob.push_back(-static_cast<double>(row) / 3.0);
      }
      log_prob.push_back(0.0);
      const auto device_q = this->to_device(q);
      const auto device_log_prob = this->to_device(log_prob);
      auto out = this->template blank<T>((n + 1) * out_stride);
      auto log_prob_out = this->template blank<T>(n + 1);
      auto labels = this->template blank<std::int32_t>(n + 1);
      DeviceOutputs<T> outputs{log_prob_out.data(), out.data(), out_stride, labels.data()};
      write_outputs(this->backend(), n, k, DeviceResponsibilities<T>{device_q.data(), stride},
                    device_log_prob.data(), outputs);
      const auto got = this->to_host(out);
      const auto got_log_prob = this->to_host(log_prob_out);
      const auto got_labels = this->to_host(labels);
      for (std::int64_t row = 0; row < n; ++row) {
        std::int32_t best = 0;
        for (std::int64_t c = 0; c < k; ++c) {
          ASSERT_EQ(got[at(row * out_stride + c)], q[at(c * stride + row)]);
          if (q[at(c * stride + row)] > q[at(best * stride + row)]) {
            best = static_cast<std::int32_t>(c);
          }
        }
        ASSERT_EQ(got_labels[at(row)], best);
        ASSERT_EQ(got_log_prob[at(row)], static_cast<T>(log_prob[at(row)]));
      }
      for (std::int64_t row = 0; row <= n; ++row) {
        for (std::int64_t c = row < n ? k : 0; c < out_stride; ++c) {
          ASSERT_TRUE(std::isnan(got[at(row * out_stride + c)])) << "wrote a margin";
        }
      }
      EXPECT_TRUE(std::isnan(got_log_prob.back()));
      EXPECT_EQ(got_labels.back(), -1);
    }
  }
}

TYPED_TEST(GaussianMixtureOutputs, AreOnlyThoseAskedFor) {
  using T = TypeParam;
  const auto q = this->to_device(std::vector<T>{T{1}, T{0}});
  const auto log_prob = this->to_device(std::vector<double>{-2.5});
  auto labels = this->template blank<std::int32_t>(1);
  DeviceOutputs<T> outputs;
  write_outputs(this->backend(), 1, 2, DeviceResponsibilities<T>{q.data(), 1}, log_prob.data(),
                outputs);
  outputs.labels = labels.data();
  write_outputs(this->backend(), 1, 2, DeviceResponsibilities<T>{q.data(), 1}, nullptr, outputs);
  EXPECT_EQ(this->to_host(labels)[0], 0);
}

}  // namespace
}  // namespace culatent::gaussian_mixture
