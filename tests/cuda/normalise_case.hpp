#pragma once

#include <algorithm>
#include <cstring>

#include "tests/cuda/estep_case.hpp"

/// normalise() on a device and what it has to give, for the tests of its two parts.
namespace culatent::gaussian_mixture {

inline constexpr std::int64_t kHeads = Layout::kEntropy + 1;

inline std::int64_t n_blocks(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

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

/// The exact results of one row. `q` without the weight.
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

/// Log densities over `span` below a row's own level, and NaN where nothing may be read.
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

/// Every q, head and margin of a call against the formulas. An exponent carries the rounding of
/// l − max, at most `span` u; exp and the sum of K terms a few u each, and the running maximum may
/// move K / 8 times, by `span` in all.
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

}  // namespace culatent::gaussian_mixture
