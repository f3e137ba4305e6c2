#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "tests/cuda/large_case.hpp"

namespace culatent {
namespace {

// The statistics of the groups about their centres: integers, exactly. Marked rows without a
// component of their own are the first one's, which is the nearest.
struct Exact {
  Exact(const PatternRows& rows, std::int64_t n_components)
      : d(rows.d),
        counts(static_cast<std::size_t>(n_components)),
        sums(static_cast<std::size_t>(n_components * d)),
        squares(static_cast<std::size_t>(n_components * d * d)) {
    rows.for_each([&](std::int64_t row, std::int64_t times) {
      const std::int64_t group = rows.group(row);
      const std::int64_t k = group < n_components ? group : 0;
      counts[static_cast<std::size_t>(k)] += times;
      for (std::int64_t i = 0; i < d; ++i) {
        const std::int64_t z = rows.value(row, i) - rows.centre(k);
        sums[static_cast<std::size_t>(k * d + i)] += times * z;
        for (std::int64_t j = 0; j < d; ++j) {
          squares[static_cast<std::size_t>((k * d + i) * d + j)] +=
              times * z * (rows.value(row, j) - rows.centre(k));
        }
      }
    });
  }
  double count(std::int64_t k) const {
    return static_cast<double>(counts[static_cast<std::size_t>(k)]);
  }
  double offset(std::int64_t k, std::int64_t i) const {
    return static_cast<double>(sums[static_cast<std::size_t>(k * d + i)]) / count(k);
  }
  double covariance(std::int64_t k, std::int64_t i, std::int64_t j) const {
    return static_cast<double>(squares[static_cast<std::size_t>((k * d + i) * d + j)]) / count(k) -
           offset(k, i) * offset(k, j);
  }

  std::int64_t d;
  std::vector<std::int64_t> counts, sums, squares;
};

// Element (i, j) of component k's covariance as Model keeps it; reg_covar 0.
double expected_covariance(const Exact& exact, const PatternRows& rows, Covariance covariance,
                           std::int64_t n_components, std::int64_t k, std::int64_t i,
                           std::int64_t j) {
  double sum = 0.0;
  switch (covariance) {
    case Covariance::spherical:
      for (std::int64_t l = 0; l < rows.d; ++l) sum += exact.covariance(k, l, l);
      return sum / static_cast<double>(rows.d);
    case Covariance::tied:
      for (std::int64_t l = 0; l < n_components; ++l) {
        sum += exact.count(l) * exact.covariance(l, i, j);
      }
      return sum / static_cast<double>(rows.n);
    default:
      return exact.covariance(k, i, j);
  }
}

class LargeFit : public LargeTest {
 protected:
  // The model has the statistics of the groups. T rounds a row's place about the centre of the
  // data, at most kReach away, and a block's sum of kBlockRows terms.
  template <class T>
  void expect_exact(const gm::Model& model, const PatternRows& rows, double reg_covar) {
    constexpr double kUnit = std::numeric_limits<T>::epsilon();
    const std::int64_t n_components = model.n_components(), d = rows.d;
    const Exact exact(rows, n_components);
    const bool matrix =
        model.covariance == Covariance::full || model.covariance == Covariance::tied;
    constexpr double z_max = PatternRows::kSpread;
    constexpr double mean_error = kUnit * (kReach + kBlockRows * z_max);
    constexpr double square_error = 2 * kUnit * (z_max * kReach + kBlockRows * z_max * z_max);
    for (std::int64_t k = 0; k < n_components; ++k) {
      // One row more or less is 2⁻²⁸ of the weight at most; 4 roundings to double are 2⁻⁵¹.
      EXPECT_DOUBLE_EQ(model.weights[static_cast<std::size_t>(k)],
                       exact.count(k) / static_cast<double>(rows.n))
          << k;
      for (std::int64_t i = 0; i < d; ++i) {
        ASSERT_NEAR(model.means(k, i), static_cast<double>(rows.centre(k)) + exact.offset(k, i),
                    mean_error)
            << k << " " << i;
      }
      const std::int64_t size = model.covariance == Covariance::spherical ? 1 : matrix ? d * d : d;
      const std::int64_t first = model.covariance == Covariance::tied ? 0 : k * size;
      for (std::int64_t at = 0; at < size; ++at) {
        const std::int64_t i = matrix ? at / d : at, j = matrix ? at % d : at;
        ASSERT_NEAR(model.covariances[static_cast<std::size_t>(first + at)],
                    expected_covariance(exact, rows, model.covariance, n_components, k, i, j) +
                        (i == j ? reg_covar : 0.0),
                    square_error)
            << k << " " << i << " " << j;
      }
    }
  }

  // One step of EM from the groups' centres, which are so far apart that every row is one's.
  template <class T>
  void expect_exact_step(const PatternRows& rows, std::int64_t n_groups) {
    const Case& c = GetParam();
    if (!has_memory(rows.n * rows.d * static_cast<std::int64_t>(sizeof(T)))) return;
    const gm::Model start = model_of(rows, n_groups, c.covariance);
    constexpr double kRegCovar = 0.25;
    const gm::Options options{.n_components = static_cast<int>(n_groups),
                              .covariance = c.covariance,
                              .max_iter = 1,
                              .tol = 0.0,
                              .reg_covar = kRegCovar,
                              .seed = 1,
                              .start = {start.weights, start.means, start.covariances}};
    const Context context({.device = "cuda"});
    gm::Fit fit;
    if (c.host) {
      const GeneratedRows<T> source(rows.n, rows.d, [&](std::int64_t first, MatrixView<T> buffer) {
        rows.fill(first, buffer);
      });
      fit = gm::fit<T>(context, source, options);
    } else {
      const DeviceArray<T> data = rows.on_device<T>(backend().device);
      fit = gm::fit<T>(
          context, MatrixView<const T>(data.data(), rows.n, rows.d, rows.d, MemorySpace::device),
          options);
    }
    EXPECT_EQ(fit.n_iter, 1);
    EXPECT_EQ(fit.n_collapsed, 0);
    expect_exact<T>(fit.model, rows, kRegCovar);
  }
};

// ---- elements beyond 2³² ------------------------------------------------------------------------

class ManyElements : public LargeFit {};
constexpr std::int64_t kManyElements = (std::int64_t{1} << 28) + 3;  // times 17

TEST_P(ManyElements, AreAllInTheStatistics) {
  expect_exact_step<float>(PatternRows(GetParam().n_rows, 17, 2), 3);
}

class BadElement : public LargeFit {};

TEST_P(BadElement, IsNamedWhereItIsTheLast) {
  const PatternRows rows(GetParam().n_rows, 17, 2);
  if (!has_memory(rows.n * rows.d * 4)) return;
  const DeviceArray<float> data = rows.on_device<float>(backend().device);
  const float bad = std::nanf("");
  backend().device.to_device(data.data() + (rows.n * rows.d - 1), &bad, 4);
  backend().device.synchronize();
  const Context context({.device = "cuda"});
  try {
    gm::fit<float>(
        context, MatrixView<const float>(data.data(), rows.n, rows.d, rows.d, MemorySpace::device),
        {});
    FAIL() << "no error";
  } catch (const data_error& error) {
    const std::string where = "row " + std::to_string(rows.n - 1) + ", column 16";
    EXPECT_NE(std::string(error.what()).find(where), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Small, ManyElements,
                         testing::Values(Case{kSmall}, Case{kSmall, Covariance::full},
                                         Case{kSmall, Covariance::diagonal, true}));
INSTANTIATE_TEST_SUITE_P(Large, ManyElements,
                         testing::Values(Case{kManyElements}, Case{kManyElements, Covariance::full},
                                         Case{kManyElements, Covariance::diagonal, true}));

INSTANTIATE_TEST_SUITE_P(Small, BadElement, testing::Values(Case{kSmall}));
INSTANTIATE_TEST_SUITE_P(Large, BadElement, testing::Values(Case{kManyElements}));

// ---- rows beyond 2²⁴ in one component -----------------------------------------------------------

class HeavyComponent : public LargeFit {};
constexpr std::int64_t kHeavy = 3 * (std::int64_t{1} << 24) + 5;  // a float would stop at 2²⁴

TEST_P(HeavyComponent, CountsInFloat) {
  expect_exact_step<float>(PatternRows(GetParam().n_rows, 2, 1), 2);
}
TEST_P(HeavyComponent, CountsInDouble) {
  expect_exact_step<double>(PatternRows(GetParam().n_rows, 2, 1), 2);
}

class HeavyCluster : public LargeFit {};

// k-means gives each half of the pattern a component, and the marked rows to the nearer one.
TEST_P(HeavyCluster, Counts) {
  const PatternRows rows(2 * GetParam().n_rows, 2, 2);
  if (!has_memory(rows.n * rows.d * 4)) return;
  const DeviceArray<float> data = rows.on_device<float>(backend().device);
  const Context context({.device = "cuda"});
  gm::Fit fit = gm::fit<float>(
      context, MatrixView<const float>(data.data(), rows.n, rows.d, rows.d, MemorySpace::device),
      {.n_components = 2, .max_iter = 0, .seed = 1});
  ASSERT_EQ(fit.model.n_components(), 2);
  const std::size_t low = fit.model.means(0, 0) < 0.0 ? 0 : 1;
  const Exact exact(rows, 2);
  const auto n = static_cast<double>(rows.n);
  EXPECT_DOUBLE_EQ(fit.model.weights[low], exact.count(0) / n);
  EXPECT_DOUBLE_EQ(fit.model.weights[1 - low], exact.count(1) / n);
  constexpr double kUnit = std::numeric_limits<float>::epsilon();
  for (std::int64_t k = 0; k < 2; ++k) {
    const auto found = static_cast<std::int64_t>(k == 0 ? low : 1 - low);
    // Terms up to the marked rows' distance; a block has few of these.
    ASSERT_NEAR(fit.model.means(found, 0), static_cast<double>(rows.centre(k)) + exact.offset(k, 0),
                kUnit * (640 + kBlockRows * 8));
  }
}

INSTANTIATE_TEST_SUITE_P(Small, HeavyComponent,
                         testing::Values(Case{kSmall, Covariance::full},
                                         Case{kSmall, Covariance::tied}, Case{kSmall},
                                         Case{kSmall, Covariance::spherical}));
INSTANTIATE_TEST_SUITE_P(Large, HeavyComponent,
                         testing::Values(Case{kHeavy, Covariance::full},
                                         Case{kHeavy, Covariance::tied}, Case{kHeavy},
                                         Case{kHeavy, Covariance::spherical}));

INSTANTIATE_TEST_SUITE_P(Small, HeavyCluster, testing::Values(Case{kSmall}));
INSTANTIATE_TEST_SUITE_P(Large, HeavyCluster, testing::Values(Case{kHeavy}));

}  // namespace
}  // namespace culatent
