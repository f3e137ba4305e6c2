#include "kernels/cuda/tsne_grid.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/core/tsne_case.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent::tsne {
namespace {

class TsneGridSteps : public CudaTest {
 protected:
  // The grid of the points' extent.
  void set_grid(DeviceGridRepulsion& grid, const Matrix<float>& points) {
    double low[2] = {}, high[2] = {};
    for (std::int64_t k = 0; k < points.cols(); ++k) {
      low[k] = high[k] = static_cast<double>(points(0, k));
      for (std::int64_t i = 0; i < points.rows(); ++i) {
        low[k] = std::min(low[k], static_cast<double>(points(i, k)));
        high[k] = std::max(high[k], static_cast<double>(points(i, k)));
      }
    }
    grid.set_grid(backend(), low, high);
  }
  DeviceGridRepulsion grid_of(const Matrix<float>& points) {
    DeviceGridRepulsion grid(backend(), points.rows(), static_cast<int>(points.cols()), 1200);
    set_grid(grid, points);
    return grid;
  }

  struct Found {
    Matrix<float> forces;
    double partition = 0.0;
    GridUse use;
  };
  Found repel(DeviceGridRepulsion& grid, const Matrix<float>& points) {
    const auto device_points =
        to_device(std::vector<float>(points.data(), points.data() + points.size()));
    const auto forces = blank<float>(points.size() + 8);
    const auto partition = blank<double>(1);
    grid.repel(backend(), device_points.data(), forces.data(), partition.data());
    const std::vector<float> values = to_host(forces);
    Found found{Matrix<float>(points.rows(), points.cols()), to_host(partition)[0],
                grid.use(backend())};
    std::copy_n(values.begin(), points.size(), found.forces.data());
    for (std::size_t at = values.size() - 8; at < values.size(); ++at) {
      EXPECT_TRUE(std::isnan(values[at]));
    }
    return found;
  }

  void expect_as_all_pairs(std::int64_t n, int q, double span) {
    SCOPED_TRACE(testing::Message() << n << " points, q " << q << ", span " << span);
    const Matrix<float> points = points_of_span(n, q, span, false);
    DeviceGridRepulsion grid = grid_of(points);
    const Found found = repel(grid, points);
    EXPECT_EQ(found.use.overflow, 0);
    const Sums expected = brute_force(points);
    EXPECT_LT(relative_error(found.forces, expected.forces), 1e-3);
    EXPECT_NEAR(found.partition / expected.partition, 1.0, 1e-4);
  }
};

TEST_F(TsneGridSteps, RepelAsAllPairsDo) {
  for (const std::int64_t n : {31, 32, 33, 500}) expect_as_all_pairs(n, 2, 6.0);
  expect_as_all_pairs(300, 2, 0.1);
  expect_as_all_pairs(300, 2, 40.0);
  expect_as_all_pairs(300, 1, 0.5);
  expect_as_all_pairs(300, 1, 90.0);
}

TEST_F(TsneGridSteps, MoveTheGridWithThePoints) {
  Matrix<float> points = points_of_span(200, 2, 10.0, false);
  DeviceGridRepulsion grid = grid_of(points);
  const Found before = repel(grid, points);
  for (std::int64_t at = 0; at < points.size(); ++at) points.data()[at] += 512.0f;
  const Found after = repel(grid, points);
  EXPECT_EQ(after.use.overflow, 0);
  for (int k = 0; k < 2; ++k) {
    EXPECT_NEAR(after.use.low[k], before.use.low[k] + 512.0f, 1e-4);
    EXPECT_NEAR(after.use.high[k], before.use.high[k] + 512.0f, 1e-4);
  }
  EXPECT_NEAR(after.partition / before.partition, 1.0, 1e-4);
}

TEST_F(TsneGridSteps, SayWhenPointsLeaveTheGrid) {
  Matrix<float> points = points_of_span(100, 2, 10.0, false);
  DeviceGridRepulsion grid = grid_of(points);
  EXPECT_EQ(repel(grid, points).use.overflow, 0);
  points(8, 1) = 60.0f;
  EXPECT_EQ(repel(grid, points).use.overflow, 1);
  points(8, 1) = 0.0f;
  EXPECT_EQ(repel(grid, points).use.overflow, 1) << "until a grid is set";
  points(8, 1) = 60.0f;
  set_grid(grid, points);
  EXPECT_EQ(repel(grid, points).use.overflow, 0);
}

TEST_F(TsneGridSteps, HaveTheSameBitsAgain) {
  const Matrix<float> points = points_of_span(700, 2, 12.0, false);
  DeviceGridRepulsion grid = grid_of(points);
  const Found first = repel(grid, points);
  const Found second = repel(grid, points);
  EXPECT_TRUE(same_bits(first.forces, second.forces));
  EXPECT_EQ(first.partition, second.partition);
}

}  // namespace
}  // namespace culatent::tsne
