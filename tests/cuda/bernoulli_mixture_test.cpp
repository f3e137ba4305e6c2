#include <algorithm>
#include <cstring>

#include "tests/cuda/bernoulli_case.hpp"

namespace culatent::bernoulli_mixture {
namespace {

using Types = testing::Types<float, double>;

template <class T>
class BernoulliMixtureSteps : public CudaTest {
 protected:
  std::vector<T> log_joint_of(const Case<T>& c) {
    const auto rows = to_device(c.rows);
    const Prepared<T> mixture(backend(), c.model, c.missing);
    auto out = blank<T>(c.shape.n_components * out_stride(c));
    log_joint(backend(), c.on_device(rows), mixture.parameters,
              DeviceResponsibilities<T>{out.data(), out_stride(c)});
    return to_host(out);
  }

  // Every density, and that nothing lies beyond the rows' blocks.
  void expect_exact(const Case<T>& c) {
    SCOPED_TRACE(testing::Message() << c.shape << (c.missing ? " missing" : ""));
    const std::vector<T> got = log_joint_of(c);
    // F + 1 additions; the factors and the constant are rounded once each.
    const double eps = std::numeric_limits<T>::epsilon();
    const double relative =
        eps * (static_cast<double>(c.shape.n_features) * (c.missing ? 2.0 : 1.0) + 3.0);
    for (std::int64_t k = 0; k < c.shape.n_components; ++k) {
      for (std::int64_t row = 0; row < c.shape.n_rows; ++row) {
        const LogJoint exact = exact_log_joint(c, row, k);
        ASSERT_NEAR(static_cast<double>(got[at(k * out_stride(c) + row)]),
                    static_cast<double>(exact.value),
                    relative * static_cast<double>(exact.magnitude))
            << "row " << row << " component " << k;
      }
      for (std::int64_t row = whole_blocks(c.shape.n_rows); row < out_stride(c); ++row) {
        ASSERT_TRUE(std::isnan(got[at(k * out_stride(c) + row)])) << "wrote row " << row;
      }
    }
  }

  static std::int64_t out_stride(const Case<T>& c) {
    return whole_blocks(c.shape.n_rows) + kBlockRows;
  }
};
TYPED_TEST_SUITE(BernoulliMixtureSteps, Types);

TYPED_TEST(BernoulliMixtureSteps, LogJointIsThatOfTheDefinition) {
  for (const std::int64_t n : {0, 1, 127, 128, 129}) {
    for (const std::int64_t d : {1, 7, 8, 9, 16, 17, 33}) {
      for (const bool missing : {false, true}) {
        this->expect_exact(Case<TypeParam>({n, d, 5}, missing, d % 4));
      }
    }
  }
  for (const std::int64_t k : {1, 15, 16, 17, 32, 33, 64, 65, 128, 129, 201}) {
    for (const bool missing : {false, true}) {
      this->expect_exact(Case<TypeParam>({130, 19, k}, missing, 1));
    }
  }
  this->expect_exact(Case<TypeParam>({1025, 784, 3}, false, 0));
  this->expect_exact(Case<TypeParam>({300, 101, 20}, true, 5));
}

// Means of exactly 0 and 1, and a weight of 0: finite, and as far from possible on either side.
TYPED_TEST(BernoulliMixtureSteps, WhatIsImpossibleStaysFinite) {
  using T = TypeParam;
  Case<T> c({40, 6, 3}, false, 0);
  c.model.weights = {0.5, 0.5, 0.0};
  for (std::int64_t j = 0; j < 6; ++j) {
    c.model.means(0, j) = 0.0;
    c.model.means(1, j) = 1.0;
  }
  for (std::int64_t row = 0; row < 40; ++row) {
    for (std::int64_t j = 0; j < 6; ++j) c.rows[at(row * 6 + j)] = static_cast<T>(row % 2);
  }
  const std::vector<T> got = this->log_joint_of(c);
  const auto value = [&](std::int64_t k, std::int64_t row) {
    return static_cast<double>(got[at(k * this->out_stride(c) + row)]);
  };
  const double error = 6 * 7 * 710 * static_cast<double>(std::numeric_limits<T>::epsilon());
  EXPECT_NEAR(value(0, 0), std::log(0.5), error);
  EXPECT_NEAR(value(1, 1), std::log(0.5), error);
  EXPECT_NEAR(value(0, 1), value(1, 0), error);
  EXPECT_LT(value(0, 1), -4000.0);
  EXPECT_LT(value(2, 0), -1e29);
  for (std::int64_t row = 0; row < 40; ++row) {
    for (std::int64_t k = 0; k < 3; ++k) EXPECT_TRUE(std::isfinite(value(k, row)));
  }
}

TYPED_TEST(BernoulliMixtureSteps, ResponsibilitiesAreSharesOfTheWeight) {
  using T = TypeParam;
  const Case<T> c({1100, 12, 9}, false, 0);
  const std::int64_t n = 1100, stride = this->out_stride(c);
  const auto rows = this->to_device(c.rows);
  std::vector<T> weights;
  for (std::int64_t i = 0; i < n; ++i) weights.push_back(static_cast<T>(i % 5) / 4);
  const auto device_weights = this->to_device(weights);
  const Prepared<T> mixture(this->backend(), c.model, false);
  auto resp = this->template blank<T>(9 * stride);
  auto log_prob = this->template blank<double>(n + 1);
  auto heads = this->template blank<double>(2 * (kHeads + 9) + 1);
  DeviceRows<T> device_rows = c.on_device(rows);
  device_rows.weights = device_weights.data();
  const DeviceResponsibilities<T> q{resp.data(), stride};
  log_joint(this->backend(), device_rows, mixture.parameters, q);
  normalise(this->backend(), device_rows, 9, q, log_prob.data(), heads.data());
  const std::vector<T> got = this->to_host(resp);
  const std::vector<double> densities = this->to_host(log_prob), records = this->to_host(heads);
  // What log p(x, k) is wrong by, and the sum of nine.
  const double error = 16.0 * 13.0 * 8.0 * static_cast<double>(std::numeric_limits<T>::epsilon());
  std::vector<long double> sums(2 * (kHeads + 9));
  for (std::int64_t row = 0; row < 2 * kBlockRows; ++row) {
    long double* record = sums.data() + row / kBlockRows * (kHeads + 9);
    std::vector<long double> logs;
    for (std::int64_t k = 0; k < 9 && row < n; ++k)
      logs.push_back(exact_log_joint(c, row, k).value);
    long double total = 0.0L, entropy = 0.0L;
    for (const long double l : logs) total += std::exp(l);
    for (std::int64_t k = 0; k < 9; ++k) {
      const auto value = static_cast<double>(got[at(k * stride + row)]);
      if (row >= n) {
        ASSERT_EQ(value, 0.0) << "row " << row;
        continue;
      }
      const long double p = std::exp(logs[at(k)]) / total;
      entropy -= p * std::log(p);
      ASSERT_NEAR(value, static_cast<double>(p) * static_cast<double>(weights[at(row)]), error);
      record[kHeads + k] += static_cast<long double>(got[at(k * stride + row)]);
    }
    if (row >= n) continue;
    const long double w = weights[at(row)];
    EXPECT_NEAR(densities[at(row)], static_cast<double>(std::log(total)), error);
    record[0] += w;
    record[1] += w * std::log(total);
    record[2] += w * (std::log(total) - entropy);
    record[3] += w * entropy;
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    // Counts are of the very values: 1024 additions in double.
    const bool exact = static_cast<std::int64_t>(i) % (kHeads + 9) >= kHeads;
    EXPECT_NEAR(records[i], static_cast<double>(sums[i]),
                exact ? 0x1p-43 * static_cast<double>(sums[i]) : 1024.0 * error)
        << i;
  }
  EXPECT_TRUE(std::isnan(densities.back()));
  EXPECT_TRUE(std::isnan(records.back()));
}

template <class T>
class BernoulliMixtureProducts : public CudaTest {
 protected:
  // Shares as normalise() leaves them: 0 in the blocks' rows beyond the last.
  static std::vector<T> shares(const Case<T>& c, std::int64_t stride) {
    std::mt19937 engine(3);
    std::vector<T> q(at(c.shape.n_components * stride), kNaN<T>);
    for (std::int64_t k = 0; k < c.shape.n_components; ++k) {
      for (std::int64_t row = 0; row < whole_blocks(c.shape.n_rows); ++row) {
        const auto draw = static_cast<double>(engine() % 1024) / 1024.0;
        const bool weighted = row < c.shape.n_rows && row % 5 != 0;
        q[at(k * stride + row)] = static_cast<T>(weighted ? draw * draw * draw : 0.0);
      }
    }
    return q;
  }

  std::vector<T> products(const Case<T>& c, const std::vector<T>& q, std::int64_t stride) {
    const auto rows = to_device(c.rows);
    auto device_q = to_device(q);
    auto tails = blank<T>(n_records(c) + 1);
    add_products(backend(), c.on_device(rows), c.shape.n_components, c.missing,
                 DeviceResponsibilities<T>{device_q.data(), stride}, tails.data());
    return to_host(tails);
  }

  static std::int64_t n_records(const Case<T>& c) {
    return whole_blocks(c.shape.n_rows) / kBlockRows * c.shape.n_components *
           n_products<T>(c.shape.n_features, c.missing);
  }

  void expect_exact(const Case<T>& c) {
    SCOPED_TRACE(testing::Message() << c.shape << (c.missing ? " missing" : ""));
    const std::int64_t stride = whole_blocks(c.shape.n_rows) + kBlockRows, d = c.shape.n_features;
    const std::vector<T> q = shares(c, stride);
    const std::vector<T> got = products(c, q, stride);
    const std::int64_t width = n_products<T>(d, c.missing);
    for (std::int64_t at_record = 0; at_record < n_records(c); ++at_record) {
      const std::int64_t j = at_record % width % d, k = at_record / width % c.shape.n_components;
      const std::int64_t first = at_record / width / c.shape.n_components * kBlockRows;
      const bool zeros = at_record % width >= d;
      long double sum = 0.0L;
      for (std::int64_t row = first; row < std::min(first + kBlockRows, c.shape.n_rows); ++row) {
        const T x = c.value(row, j);
        if (std::isnan(x)) continue;
        const long double value = static_cast<long double>(x);
        sum += static_cast<long double>(q[at(k * stride + row)]) * (zeros ? 1.0L - value : value);
      }
      // A block's FMA, and 1 − x.
      const double error = (static_cast<double>(kBlockRows) + 2.0) *
                           static_cast<double>(std::numeric_limits<T>::epsilon()) *
                           static_cast<double>(sum);
      ASSERT_NEAR(static_cast<double>(got[at(at_record)]), static_cast<double>(sum), error)
          << "component " << k << " feature " << j << (zeros ? " zeros" : " ones");
    }
    EXPECT_TRUE(std::isnan(got.back()));
  }
};
TYPED_TEST_SUITE(BernoulliMixtureProducts, Types);

TYPED_TEST(BernoulliMixtureProducts, AreSumsOfOnesAndZeros) {
  for (const std::int64_t n : {0, 1, 15, 16, 17, 1023, 1024, 1025}) {
    for (const bool missing : {false, true}) {
      this->expect_exact(Case<TypeParam>({n, 9, 3}, missing, 2));
    }
  }
  for (const std::int64_t d : {1, 3, 4, 63, 64, 65, 130}) {
    for (const bool missing : {false, true}) {
      this->expect_exact(Case<TypeParam>({50, d, 4}, missing, 0));
      this->expect_exact(Case<TypeParam>({50, d, 4}, missing, 4));
    }
  }
  for (const std::int64_t k : {15, 16, 17, 32, 33, 64, 65, 128, 129}) {
    for (const bool missing : {false, true}) {
      this->expect_exact(Case<TypeParam>({70, 12, k}, missing, 0));
    }
  }
  this->expect_exact(Case<TypeParam>({2100, 20, 7}, false, 0));
}

// A feature that every row has, or none: nothing is left of the other side by rounding.
TYPED_TEST(BernoulliMixtureProducts, ConstantFeaturesLeaveExactZeros) {
  using T = TypeParam;
  Case<T> c({1500, 2, 3}, true, 0);
  for (std::int64_t i = 0; i < 1500; ++i) c.rows[at(2 * i)] = T{1}, c.rows[at(2 * i + 1)] = T{0};
  const std::int64_t stride = whole_blocks(1500);
  const std::vector<T> got = this->products(c, this->shares(c, stride), stride);
  for (std::int64_t record = 0; record < 2 * 3; ++record) {
    const T* sums = got.data() + record * 4;
    EXPECT_EQ(sums[1], T{0});
    EXPECT_EQ(sums[2], T{0});
    EXPECT_EQ(sums[0], sums[3]);  // the same additions
    EXPECT_GT(sums[0], T{0});
  }
}

TYPED_TEST(BernoulliMixtureProducts, ABlockHasTheSameBitsInAnyWave) {
  using T = TypeParam;
  const Case<T> all({kBlockRows + 300, 11, 5}, false, 0);
  const std::int64_t stride = whole_blocks(all.shape.n_rows);
  const std::vector<T> q = this->shares(all, stride);
  const std::vector<T> both = this->products(all, q, stride);
  Case<T> last({300, 11, 5}, false, 0);
  std::copy(all.rows.begin() + kBlockRows * 11, all.rows.end(), last.rows.begin());
  std::vector<T> last_q(at(5 * kBlockRows));
  for (std::int64_t k = 0; k < 5; ++k) {
    for (std::int64_t row = 0; row < kBlockRows; ++row) {
      last_q[at(k * kBlockRows + row)] = q[at(k * stride + kBlockRows + row)];
    }
  }
  const std::vector<T> alone = this->products(last, last_q, kBlockRows);
  const std::int64_t n = 5 * n_products<T>(11, false);
  EXPECT_EQ(std::memcmp(alone.data(), both.data() + n, at(n) * sizeof(T)), 0);
}

TYPED_TEST(BernoulliMixtureSteps, TheFirstValueOutsideIsFound) {
  using T = TypeParam;
  const auto found = [&](const Case<T>& c, std::int64_t first_row) {
    const auto rows = this->to_device(c.rows);
    auto cell = this->to_device(std::vector<std::int64_t>{-1});
    find_outside(this->backend(), c.on_device(rows), first_row, c.missing, cell.data());
    return this->to_host(cell).front();
  };
  for (const bool missing : {false, true}) {
    Case<T> c({2500, 33, 1}, missing, 3);
    EXPECT_EQ(found(c, 0), -1);
    c.rows[at(2499 * c.stride + 32)] = T{2};
    EXPECT_EQ(found(c, 0), 2499 * 33 + 32);
    c.rows[at(1700 * c.stride + 31)] = static_cast<T>(-0.001);
    c.rows[at(1700 * c.stride + 32)] = std::numeric_limits<T>::infinity();
    EXPECT_EQ(found(c, 0), 1700 * 33 + 31);
    EXPECT_EQ(found(c, 4096), (4096 + 1700) * 33 + 31);
    c.rows[at(5 * c.stride)] = std::nextafter(T{1}, T{2});
    EXPECT_EQ(found(c, 0), 5 * 33);
    c.rows[at(4 * c.stride)] = kNaN<T>;
    EXPECT_EQ(found(c, 0), (missing ? 5 : 4) * 33);
  }
  EXPECT_EQ(found(Case<T>({0, 3, 1}, false, 0), 0), -1);
}

}  // namespace
}  // namespace culatent::bernoulli_mixture
