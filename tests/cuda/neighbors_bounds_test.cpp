#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/cuda/neighbors.hpp"
#include "kernels/neighbors.hpp"
#include "tests/core/oracle.hpp"
#include "tests/cuda/cuda_test.hpp"

// What collect() makes of products: that the distance in long double lies between the bounds.
namespace culatent::neighbors {
namespace {

using oracle::at;
using oracle::Real;

struct Bounds {
  std::vector<float> low, high;
  std::vector<std::vector<Candidate>> candidates;  // of each row, all others
};

class NeighborBounds : public CudaTest {
 protected:
  // All pairs: no list is ever full.
  Bounds bounds_of(const Matrix<float>& rows, const Coordinates& coordinates, Products products) {
    const std::int64_t n = rows.rows(), d = rows.cols();
    const std::int64_t n_tiles = (n + kTileRows - 1) / kTileRows;
    const Capacity capacity(static_cast<int>(n));
    const auto values = to_device(std::vector<float>(rows.data(), rows.data() + rows.size()));
    const auto centre = to_device(coordinates.centre);
    const auto low = blank<float>(n_tiles * kTileRows), high = blank<float>(n_tiles * kTileRows);
    const auto operands = blank<std::uint32_t>(operand_bytes(products, n_tiles, d) / 4);
    DeviceScreen screen;
    screen.rows = {values.data(), n, d, d};
    screen.n_tiles = n_tiles;
    screen.products = products;
    screen.scale = coordinates.scale;
    screen.operands = operands.data();
    screen.low = low.data();
    screen.high = high.data();
    prepare_screen(backend(), centre.data(), product_slack(products, d), screen);
    const auto ranges = to_device(std::vector<TileRange>{{0, static_cast<std::int32_t>(n_tiles)}});
    const auto begins = to_device(std::vector<std::int32_t>{0, 1});
    const std::int64_t n_slots = n_tiles * kTileRows;
    const auto candidates =
        to_device(std::vector<Candidate>(at(n_slots * capacity.total), Candidate{0.0f, -1}));
    const auto counts = blank<std::int32_t>(n_slots);
    const auto reaches = blank<float>(n_slots);
    const auto squares = blank<double>(n_tiles * kTileWarps * capacity.total);
    const auto counters = to_device(std::vector<SearchCounters>(1));
    SearchWave wave;
    wave.queries = wave.rows = screen;
    wave.same = true;
    wave.lists = {ranges.data(), begins.data(), nullptr};
    wave.capacity = capacity;
    wave.buffers = {candidates.data(), counts.data(), reaches.data(), squares.data()};
    wave.counters = counters.data();
    wave.n_tiles = n_tiles;
    collect(backend(), wave);
    Bounds found{to_host(low), to_host(high), {}};
    const std::vector<Candidate> all = to_host(candidates);
    const std::vector<std::int32_t> sizes = to_host(counts);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto first = all.begin() + i * capacity.total;
      found.candidates.emplace_back(first, first + sizes[at(i)]);
    }
    return found;
  }

  void expect_bounds(const Matrix<float>& rows, const Coordinates& coordinates) {
    for (const Products products : {Products::fp32, Products::bf16}) {
      if (products == Products::bf16 && !can_multiply_bf16(backend(), rows.cols())) continue;
      SCOPED_TRACE(testing::Message() << (products == Products::fp32 ? "fp32 " : "bf16 ")
                                      << rows.cols() << " columns");
      const Bounds found = bounds_of(rows, coordinates, products);
      for (std::int64_t i = 0; i < rows.rows(); ++i) {
        ASSERT_EQ(found.candidates[at(i)].size(), at(rows.rows() - 1)) << i;
        for (const Candidate& candidate : found.candidates[at(i)]) {
          const std::int64_t j = candidate.position;
          ASSERT_NE(j, i);
          Real square = 0;
          for (std::int64_t f = 0; f < rows.cols(); ++f) {
            const Real delta = (static_cast<Real>(rows(i, f)) - static_cast<Real>(rows(j, f))) *
                               static_cast<Real>(coordinates.scale);
            square += delta * delta;
          }
          const Real score = static_cast<Real>(candidate.score), half = 0.5L * square;
          ASSERT_LE(static_cast<Real>(found.low[at(i)]) - score, half) << i << " " << j;
          const Real high_i = static_cast<Real>(found.high[at(i)]);
          const Real high_j = static_cast<Real>(found.high[at(j)]);
          ASSERT_GE(high_i + (high_j - static_cast<Real>(found.low[at(j)]) - score), half)
              << i << " " << j;
        }
      }
      // They are of use: no wider than a few times what bf16 rounds.
      for (std::int64_t i = 0; i < rows.rows(); ++i) {
        const float high = found.high[at(i)];
        if (!std::isfinite(high) || !(high > 1e-20f)) continue;
        const float width = products == Products::fp32
                                ? 8.0f * static_cast<float>(rows.cols() + 8) * 0x1p-24f
                                : 0x1p-5f + static_cast<float>(rows.cols()) * 0x1p-20f;
        ASSERT_LE(high - found.low[at(i)], width * high) << i;
      }
    }
  }

  static Matrix<float> made(std::int64_t n, std::int64_t d,
                            const std::function<double(std::int64_t, std::int64_t)>& value) {
    Matrix<float> rows(n, d);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < d; ++j) rows(i, j) = static_cast<float>(value(i, j));
    }
    return rows;
  }
  static Coordinates plain(std::int64_t d, double scale = 1.0) {
    return {std::vector<double>(at(d), 0.0), scale};
  }
};

TEST_F(NeighborBounds, HoldForNormalRows) {
  for (const std::int64_t d : {1, 7, 16, 33, 100}) {
    oracle::Draws draws(static_cast<std::uint64_t>(d));
    const Matrix<float> rows =
        made(150, d, [&](std::int64_t, std::int64_t) { return draws.normal(); });
    expect_bounds(rows, choose_coordinates(rows.view()));
  }
}

// All of it is lost, and in the same direction for all features.
TEST_F(NeighborBounds, HoldWhereEveryRoundingIsTheGreatest) {
  for (const std::int64_t d : {16, 130}) {
    // Halfway between two of bf16, up to the last bit, below or above.
    expect_bounds(made(140, d,
                       [](std::int64_t i, std::int64_t) {
                         return (1.0 + 0x1p-8 * static_cast<double>(2 * (i % 9) + 1)) *
                                (1.0 + (i % 2 == 0 ? 0x1p-22 : -0x1p-22));
                       }),
                  plain(d));
    // Of either sign, so that products cancel and their roundings do not.
    expect_bounds(made(140, d,
                       [](std::int64_t i, std::int64_t j) {
                         const double size = 1.0 + 0x1p-8 + static_cast<double>(i % 5) * 0x1p-23;
                         return (i * 7 + j * 3) % 2 == 0 ? size : -size;
                       }),
                  plain(d));
    // A part of three quarters of the last place: cut off at every step.
    expect_bounds(made(140, d,
                       [](std::int64_t i, std::int64_t j) {
                         return j == 0 ? 64.0 : 0x1p-9 * (1.0 + static_cast<double>(i % 7) / 8.0);
                       }),
                  plain(d));
  }
}

TEST_F(NeighborBounds, HoldForAnySize) {
  oracle::Draws draws(5);
  // Of all sizes side by side: what vanishes, what rounds, what is moved to the reach.
  const Matrix<float> rows = made(140, 24, [&](std::int64_t i, std::int64_t) {
    return std::ldexp(draws.normal(), static_cast<int>(i % 67) * 4 - 145);
  });
  expect_bounds(rows, plain(24));
  expect_bounds(rows, plain(24, 0x1p40));
  expect_bounds(rows, choose_coordinates(rows.view()));
}

TEST_F(NeighborBounds, HoldFarFromTheCentre) {
  oracle::Draws draws(6);
  const Matrix<float> rows = made(140, 40, [&](std::int64_t i, std::int64_t) {
    return (i % 2 == 0 ? 1000.0 : -1000.0) + 1e-3 * draws.normal();
  });
  expect_bounds(rows, plain(40, 0x1p-10));
}

}  // namespace
}  // namespace culatent::neighbors
