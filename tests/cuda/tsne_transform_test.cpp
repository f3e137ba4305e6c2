#include "kernels/cuda/tsne_transform.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "culatent/error.hpp"
#include "culatent/tsne.hpp"
#include "kernels/cuda/tsne_grid.hpp"
#include "tests/core/tsne_case.hpp"
#include "tests/cuda/cuda_test.hpp"

// New rows beside a fixed embedding, on a device, by definition in long double.
namespace culatent::tsne {
namespace {

using Real = long double;

constexpr Real kUnit = std::numeric_limits<float>::epsilon() / 2.0L;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::vector<float> values_of(const Matrix<float>& m) { return {m.data(), m.data() + m.size()}; }

// What points do to a place: forces, their sizes, and the sum of q.
struct Field {
  Real force[3] = {}, size[3] = {}, sum = 0.0L;
};

Field field_of(const Matrix<float>& points, const float* place) {
  Field field;
  for (std::int64_t j = 0; j < points.rows(); ++j) {
    Real delta[3] = {}, square = 1.0L;
    for (std::int64_t k = 0; k < points.cols(); ++k) {
      delta[k] = static_cast<Real>(place[k]) - static_cast<Real>(points(j, k));
      square += delta[k] * delta[k];
    }
    field.sum += 1.0L / square;
    for (std::int64_t k = 0; k < points.cols(); ++k) {
      field.force[k] += delta[k] / (square * square);
      field.size[k] += std::abs(delta[k]) / (square * square);
    }
  }
  return field;
}

class TsneTransformSteps : public CudaTest {
 protected:
  struct Found {
    std::vector<float> forces, sums;
  };

  // `repel` finds forces and sums of device places; what is beyond them stays.
  template <class Repel>
  Found find(const Matrix<float>& places, Repel&& repel) {
    const auto device_places = to_device(values_of(places));
    const auto forces = blank<float>(places.size() + 8), sums = blank<float>(places.rows() + 8);
    repel(device_places.data(), forces.data(), sums.data());
    Found found{to_host(forces), to_host(sums)};
    for (int i = 0; i < 8; ++i) {
      EXPECT_TRUE(std::isnan(found.forces.back()) && std::isnan(found.sums.back()));
      found.forces.pop_back();
      found.sums.pop_back();
    }
    return found;
  }
};

TEST_F(TsneTransformSteps, RepulsionIsTheSumOverPoints) {
  for (const int q : {1, 2, 3}) {
    for (const std::int64_t n : {1, 127, 128, 129, 300}) {
      for (const std::int64_t m : {1, 128, 130}) {
        SCOPED_TRACE(testing::Message() << n << " points, " << m << " places, q " << q);
        const Matrix<float> points = scattered(n, q, 3.0), places = scattered(m, q, 5.0);
        const auto device_points = to_device(values_of(points));
        const Found found = find(places, [&](const float* at_places, float* forces, float* sums) {
          repel_from(backend(), n, device_points.data(), m, at_places, q, forces, sums);
        });
        // A tile's 128 terms are added up in float; each is of some roundings itself.
        const Real chain = 128.0L + static_cast<Real>(2 * q + 10);
        for (std::int64_t i = 0; i < m; ++i) {
          const Field field = field_of(points, &places(i, 0));
          ASSERT_LE(std::abs(static_cast<Real>(found.sums[at(i)]) - field.sum),
                    chain * kUnit * field.sum);
          for (int k = 0; k < q; ++k) {
            ASSERT_LE(std::abs(static_cast<Real>(found.forces[at(i * q + k)]) - field.force[k]),
                      chain * kUnit * field.size[k]);
          }
        }
      }
    }
  }
}

TEST_F(TsneTransformSteps, TheGridHasThePotentialBesideThePoints) {
  for (const int q : {1, 2}) {
    const std::int64_t n = 400, m = 65;
    const Matrix<float> points = points_of_span(n, q, 30.0, false);
    const Matrix<float> places = scattered(m, q, 6.0);
    const auto device_points = to_device(values_of(points));
    DeviceGridRepulsion grid(backend(), n, q, 600);
    const double low[2] = {-35.0, q == 1 ? 0.0 : -36.0}, high[2] = {35.0, q == 1 ? 0.0 : 37.0};
    grid.set_grid(backend(), low, high);
    for (int again = 0; again < 2; ++again) {  // densities are 0 again
      grid.set_sources(backend(), device_points.data(), low);
      const Found found = find(places, [&](const float* at_places, float* forces, float* sums) {
        grid.read_at(backend(), m, at_places, forces, sums);
      });
      double error = 0.0, size = 0.0;
      for (std::int64_t i = 0; i < m; ++i) {
        const Field field = field_of(points, &places(i, 0));
        EXPECT_NEAR(found.sums[at(i)] / static_cast<double>(field.sum), 1.0, 1e-3);
        for (int k = 0; k < q; ++k) {
          const auto expected = static_cast<double>(field.force[k]);
          error += std::pow(static_cast<double>(found.forces[at(i * q + k)]) - expected, 2);
          size += expected * expected;
        }
      }
      EXPECT_LT(std::sqrt(error / size), 1e-3);
    }
  }
}

TEST_F(TsneTransformSteps, ARowMovesDownTheSlopeOfItsOwnDivergence) {
  for (const int q : {1, 2, 3}) {
    const std::int64_t n = 50, m = 130, k = 7;
    const Matrix<float> points = scattered(n, q, 3.0), places = scattered(m, q, 5.0);
    std::vector<std::int32_t> indices;
    std::vector<float> affinities, repulsion, sums;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < k; ++j) {
        indices.push_back(static_cast<std::int32_t>((11 * i + 5 * j) % n));
        affinities.push_back(static_cast<float>(j + 1) / 28.0f);
      }
      const Field field = field_of(points, &places(i, 0));
      sums.push_back(static_cast<float>(field.sum));
      for (int d = 0; d < q; ++d) repulsion.push_back(static_cast<float>(field.force[d]));
    }
    // −sum_j p_j log(q_j / Σ q), of which the attraction is exaggerated by 1.5.
    const auto divergence = [&](std::int64_t i, const double* y) {
      double value = 0.0, total = 0.0;
      const auto square = [&](std::int64_t j) {
        double sum = 1.0;
        for (int d = 0; d < q; ++d) sum += std::pow(y[d] - static_cast<double>(points(j, d)), 2);
        return sum;
      };
      for (std::int64_t j = 0; j < n; ++j) total += 1.0 / square(j);
      for (std::int64_t j = 0; j < k; ++j) {
        value += 1.5 * static_cast<double>(affinities[at(i * k + j)]) *
                 std::log(square(indices[at(i * k + j)]));
      }
      return value + std::log(total);
    };
    const auto device_points = to_device(values_of(points)), to = to_device(values_of(places));
    const auto device_indices = to_device(indices);
    const auto device_affinities = to_device(affinities), device_repulsion = to_device(repulsion),
               device_sums = to_device(sums);
    const auto velocity = to_device(std::vector<float>(at(m * q), 0.0f)),
               gains = to_device(std::vector<float>(at(m * q), 1.0f));
    move_rows(
        backend(), m, q, {device_points.data(), device_indices.data(), device_affinities.data(), k},
        {1.5f, 0.1f, 0.8f},
        {device_repulsion.data(), device_sums.data(), to.data(), velocity.data(), gains.data()});
    const std::vector<float> moved = to_host(to);
    for (std::int64_t i = 0; i < m; ++i) {
      double y[3] = {};
      for (int d = 0; d < q; ++d) y[d] = static_cast<double>(places(i, d));
      for (int d = 0; d < q; ++d) {
        constexpr double kStep = 1e-4;
        const double here = y[d];
        y[d] = here + kStep;
        double slope = divergence(i, y);
        y[d] = here - kStep;
        slope = (slope - divergence(i, y)) / (2.0 * kStep);
        y[d] = here;
        // The first step's gain is 0.8. Slopes are of order 1, places of order 10.
        EXPECT_NEAR(moved[at(i * q + d)], here - 0.1 * 0.8 * slope,
                    1e-7 + 32 * std::numeric_limits<float>::epsilon() * (1.0 + std::abs(here)));
      }
    }
  }
}

TEST_F(TsneTransformSteps, NewRowsGoToTheirLike) {
  const Matrix<float> rows = planted(130, 8, 3, 4.0);
  const MatrixView<const float> old = rows.view().slice(0, 100), fresh = rows.view().slice(100, 30);
  const Context context({.n_threads = 2, .device = "cuda"});
  TransformOptions options;
  options.max_iter = 20;
  for (const int q : {1, 2, 3}) {
    Matrix<float> embedding(100, q);  // three groups, far apart
    for (std::int64_t i = 0; i < 100; ++i) {
      for (int k = 0; k < q; ++k) {
        embedding(i, k) = static_cast<float>(40.0 * static_cast<double>(i % 3) + normal(6, i, k));
      }
    }
    const Matrix<float> placed = transform(context, MatrixRows<float>(old), embedding.view(),
                                           MatrixRows<float>(fresh), options);
    ASSERT_EQ(placed.rows(), 30);
    for (std::int64_t i = 0; i < 30; ++i) {
      std::int64_t nearest = 0;
      double least = std::numeric_limits<double>::infinity();
      for (std::int64_t j = 0; j < 100; ++j) {
        double square = 0.0;
        for (int k = 0; k < q; ++k) square += std::pow(placed(i, k) - embedding(j, k), 2);
        if (square >= least) continue;
        least = square;
        nearest = j;
      }
      EXPECT_EQ(nearest % 3, (100 + i) % 3) << i << " " << q;
    }
    // A row's place is its own affair.
    const Matrix<float> alone = transform(context, MatrixRows<float>(old), embedding.view(),
                                          MatrixRows<float>(fresh.slice(17, 1)), options);
    for (int k = 0; k < q; ++k) EXPECT_EQ(alone(0, k), placed(17, k));
  }
  const Context small({.n_threads = 2, .memory_limit = 1000, .device = "cuda"});
  EXPECT_THROW(transform(small, MatrixRows<float>(old), Matrix<float>(100, 2).view(),
                         MatrixRows<float>(fresh)),
               out_of_memory);
}

}  // namespace
}  // namespace culatent::tsne
