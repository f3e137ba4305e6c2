#include "kernels/cuda/tsne_grid.hpp"

#include <cmath>
#include <vector>

#include "host/random.hpp"
#include "tests/cuda/cuda_test.hpp"

namespace culatent::tsne {
namespace {

class TsneGridSteps : public CudaTest {
 protected:
  static std::vector<float> points_of(std::int64_t n, int q, double span) {
    std::vector<double> wide;
    double low = 1e30, high = -1e30;
    for (std::int64_t at = 0; at < n * q; ++at) {
      wide.push_back(
          random::normals(5, random::Stream::positions, static_cast<std::uint64_t>(at), 0)[0]);
      low = std::min(low, wide.back());
      high = std::max(high, wide.back());
    }
    std::vector<float> points;
    for (const double value : wide) {
      points.push_back(static_cast<float>(value * span / (high - low)));
    }
    return points;
  }

  struct Sums {
    std::vector<double> forces;
    double partition = 0.0;
  };
  static Sums brute_force(const std::vector<float>& points, int q) {
    Sums sums{std::vector<double>(points.size()), 0.0};
    const std::size_t width = static_cast<std::size_t>(q);
    for (std::size_t i = 0; i < points.size(); i += width) {
      for (std::size_t j = 0; j < points.size(); j += width) {
        if (i == j) continue;
        double square = 1.0;
        for (std::size_t k = 0; k < width; ++k) {
          square +=
              std::pow(static_cast<double>(points[i + k]) - static_cast<double>(points[j + k]), 2);
        }
        sums.partition += 1.0 / square;
        for (std::size_t k = 0; k < width; ++k) {
          sums.forces[i + k] +=
              (static_cast<double>(points[i + k]) - static_cast<double>(points[j + k])) /
              (square * square);
        }
      }
    }
    return sums;
  }

  static void extent_of(const std::vector<float>& points, int q, double (&low)[2],
                        double (&high)[2]) {
    for (int k = 0; k < 2; ++k) low[k] = high[k] = 0.0;
    for (int k = 0; k < q; ++k) {
      low[k] = 1e30;
      high[k] = -1e30;
      for (std::size_t at = static_cast<std::size_t>(k); at < points.size();
           at += static_cast<std::size_t>(q)) {
        low[k] = std::min(low[k], static_cast<double>(points[at]));
        high[k] = std::max(high[k], static_cast<double>(points[at]));
      }
    }
  }

  struct Found {
    std::vector<float> forces;
    double partition = 0.0;
    GridUse use;
  };
  Found repel(DeviceGridRepulsion& grid, const std::vector<float>& points) {
    const auto device_points = to_device(points);
    const auto forces = blank<float>(static_cast<std::int64_t>(points.size()) + 8);
    const auto partition = blank<double>(1);
    grid.repel(backend(), device_points.data(), forces.data(), partition.data());
    Found found{to_host(forces), to_host(partition)[0], grid.use(backend())};
    for (std::size_t at = points.size(); at < found.forces.size(); ++at) {
      EXPECT_TRUE(std::isnan(found.forces[at]));
    }
    found.forces.resize(points.size());
    return found;
  }

  void expect_as_all_pairs(std::int64_t n, int q, double span) {
    SCOPED_TRACE(testing::Message() << n << " points, q " << q << ", span " << span);
    const std::vector<float> points = points_of(n, q, span);
    double low[2], high[2];
    extent_of(points, q, low, high);
    DeviceGridRepulsion grid(backend(), n, q, 1200);
    grid.set_grid(backend(), low, high);
    const Found found = repel(grid, points);
    EXPECT_EQ(found.use.overflow, 0);
    const Sums expected = brute_force(points, q);
    double error = 0.0, norm = 0.0;
    for (std::size_t at = 0; at < points.size(); ++at) {
      error += std::pow(static_cast<double>(found.forces[at]) - expected.forces[at], 2);
      norm += expected.forces[at] * expected.forces[at];
    }
    EXPECT_LT(std::sqrt(error / norm), 1e-3);
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
  std::vector<float> points = points_of(200, 2, 10.0);
  double low[2], high[2];
  extent_of(points, 2, low, high);
  DeviceGridRepulsion grid(backend(), 200, 2, 600);
  grid.set_grid(backend(), low, high);
  const Found before = repel(grid, points);
  for (float& value : points) value += 512.0f;
  const Found after = repel(grid, points);
  EXPECT_EQ(after.use.overflow, 0);
  EXPECT_NEAR(after.use.low[0], low[0] + 512.0, 1e-4);
  EXPECT_NEAR(after.use.high[1], high[1] + 512.0, 1e-4);
  EXPECT_NEAR(after.partition / before.partition, 1.0, 1e-4);
}

TEST_F(TsneGridSteps, SayWhenPointsLeaveTheGrid) {
  std::vector<float> points = points_of(100, 2, 10.0);
  double low[2], high[2];
  extent_of(points, 2, low, high);
  DeviceGridRepulsion grid(backend(), 100, 2, 600);
  grid.set_grid(backend(), low, high);
  EXPECT_EQ(repel(grid, points).use.overflow, 0);
  points[17] = 60.0f;
  EXPECT_EQ(repel(grid, points).use.overflow, 1);
  points[17] = 0.0f;
  EXPECT_EQ(repel(grid, points).use.overflow, 1) << "until a grid is set";
  points[17] = 60.0f;
  extent_of(points, 2, low, high);
  grid.set_grid(backend(), low, high);
  EXPECT_EQ(repel(grid, points).use.overflow, 0);
}

TEST_F(TsneGridSteps, HaveTheSameBitsAgain) {
  const std::vector<float> points = points_of(700, 2, 12.0);
  double low[2], high[2];
  extent_of(points, 2, low, high);
  DeviceGridRepulsion grid(backend(), 700, 2, 600);
  grid.set_grid(backend(), low, high);
  const Found first = repel(grid, points);
  const Found second = repel(grid, points);
  EXPECT_EQ(first.forces, second.forces);
  EXPECT_EQ(first.partition, second.partition);
}

}  // namespace
}  // namespace culatent::tsne
