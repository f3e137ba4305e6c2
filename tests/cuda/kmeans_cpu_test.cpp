#include "host/fixed_sums.hpp"
#include "kernels/kmeans.hpp"
#include "tests/cuda/kmeans_case.hpp"

namespace culatent {
namespace {

// The steps on a device and on the CPU, which share no code but have the same labels and integers.
class KMeansLikeTheCpu : public KMeansSteps {
 protected:
  template <class T>
  void expect_same(KMeansCase<T> c, bool unit_length) {
    SCOPED_TRACE(c.name() + (unit_length ? ", unit length" : ""));
    double largest = 16.0;
    for (std::int64_t i = 0; i < c.n * c.d; ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(c.framed(i / c.d, i % c.d))));
    }
    kmeans::Coordinates coordinates;
    coordinates.unit_length = unit_length;
    for (std::int64_t j = 0; j < c.d; ++j) {
      coordinates.frame.scale.push_back(static_cast<double>(c.scale));
      coordinates.frame.centre.push_back(-static_cast<double>(c.offset[at(j)] / c.scale));
      coordinates.reach.push_back(unit_length ? 1.0 : std::exp2(std::ceil(std::log2(largest))));
    }
    std::vector<double> reach = coordinates.reach;
    reach.push_back(2.0);
    const FixedPoint fixed(reach, 4 * c.n, sizeof(T) == 4 && c.weights.empty() ? 1 : 2);

    const CpuBackend cpu = {backend().threads, 1};
    Matrix<T> rows(c.n, c.d), centroids(c.k, c.d);
    for (std::int64_t i = 0; i < c.n; ++i) {
      for (std::int64_t j = 0; j < c.d; ++j) rows(i, j) = c.values[at(i * c.stride + j)];
    }
    std::copy(c.centroids.begin(), c.centroids.end(), centroids.data());
    const MatrixRows<T> source(rows.view());
    const RowChunk<T> chunk{source, 0, c.n, c.weights, 1.0};
    kmeans::CpuAssignment<T> assignment(cpu, c.k, c.d, true, &fixed);
    assignment.set_centroids(coordinates, centroids);
    kmeans::Statistics statistics(fixed, c.k);
    kmeans::Labels before(c.n, c.k);
    kmeans::assign(cpu, assignment, chunk, coordinates, fixed, &before, statistics);
    std::vector<std::int32_t> labels(at(c.n));
    ExactSums inertia(1);
    kmeans::Nearest<T> out;
    out.labels = labels.data();
    kmeans::find_nearest(cpu, assignment, chunk, coordinates, out, inertia);

    c.beyond = assignment.beyond;
    PlacedCase<T> p = place(c);
    const auto counters = to_device(std::vector<kmeans::PassCounters>(1));
    const auto factors = blank<T>(c.n);
    if (unit_length) {
      kmeans::unit_factors(backend(), p.rows, 0, factors.data(), counters.data());
      p.rows.factors = factors.data();
    }
    const auto doubts = blank<std::uint32_t>(c.n), count = blank<std::uint32_t>(1);
    const auto found = to_device(std::vector<std::int32_t>(at(c.n), 0));
    kmeans::nearest(backend(), p.rows, p.centres, {doubts.data(), count.data()}, found.data(),
                    counters.data());
    EXPECT_EQ(to_host(found), labels);
    const kmeans::PassCounters counted = to_host(counters).front();
    EXPECT_EQ(static_cast<std::int64_t>(counted.n_moved), statistics.n_moved);
    EXPECT_EQ(static_cast<std::int64_t>(counted.n_refined), statistics.n_refined);
    EXPECT_EQ(static_cast<std::int64_t>(counted.zero_row), statistics.zero_row);

    const auto units = to_device(fixed.units);
    const auto sums = to_device(std::vector<std::int64_t>(statistics.sums.size(), 0));
    kmeans::add_members(backend(), p.rows, found.data(), {units.data(), fixed.fine, fixed.n_limbs},
                        c.k, sums.data());
    EXPECT_EQ(to_host(sums), statistics.sums);

    std::vector<T> least(at(c.n), T{20});
    const auto lowered = to_device(least);
    const std::int64_t n_blocks = (c.n + kBlockRows - 1) / kBlockRows;
    std::vector<double> potentials(at(n_blocks));
    kmeans::lower_distances<T>(cpu, assignment, chunk, coordinates, centroids, least, potentials);
    const auto of_blocks = blank<double>(n_blocks);
    kmeans::lower_distances(backend(), p.rows, p.centres, lowered.data(), of_blocks.data());
    EXPECT_EQ(to_host(lowered), least);
    // With weights it is up to the CPU's compiler where it fuses.
    if (c.weights.empty()) {
      EXPECT_EQ(to_host(of_blocks), potentials);
    }
  }
};

TEST_F(KMeansLikeTheCpu, HasItsLabelsAndSums) {
  for (const std::int64_t d : {1, 2, 8, 9, 33}) {
    expect_same(KMeansCase<float>(1100, d, 7), false);
    expect_same(KMeansCase<double>(300, d, 7), false);
  }
  expect_same(KMeansCase<float>(500, 5, 130).weigh(), false);
}

TEST_F(KMeansLikeTheCpu, HasItsDoubtsAboutFarCentroids) {
  const auto far_out = [](auto c, double length) {
    using T = typename decltype(c.values)::value_type;
    for (std::int64_t j = 0; j < c.d; ++j) {
      c.centroids[at(3 * c.d + j)] = static_cast<T>(length);
      for (std::int64_t i = 0; i < 40; ++i) {
        c.put(i, j, length * static_cast<double>(i - 10) / 20.0);
      }
    }
    return c;
  };
  for (const std::int64_t d : {1, 5, 33}) {
    expect_same(far_out(KMeansCase<float>(1100, d, 7), 6.0), false);  // not left out
    expect_same(far_out(KMeansCase<float>(1100, d, 7), 2000.0), false);
    expect_same(far_out(KMeansCase<double>(300, d, 7), 1e8), false);
  }
}

TEST_F(KMeansLikeTheCpu, HasItsLabelsOfShortRowsOfLengthOne) {
  const auto short_rows = [](auto c, double shortest) {
    using T = typename decltype(c.values)::value_type;
    c.scale = T{1};
    std::fill(c.offset.begin(), c.offset.end(), T{0});
    for (std::int64_t i = 0; i < c.n; ++i) {
      const double length = std::pow(shortest, static_cast<double>(i % 97) / 96.0);
      for (std::int64_t j = 0; j < c.d; ++j) {
        T& value = c.values[at(i * c.stride + j)];
        value = static_cast<T>(static_cast<double>(value) * 0.01 * length);
      }
    }
    return c;
  };
  for (const std::int64_t d : {2, 9}) {
    expect_same(short_rows(KMeansCase<float>(600, d, 7), 1e-34), true);
    expect_same(short_rows(KMeansCase<double>(300, d, 7), 1e-300), true);
  }
}

TEST_F(KMeansLikeTheCpu, HasItsSumsWithAnyWeights) {
  for (const std::int64_t d : {1, 3, 4, 5, 7, 32}) {
    KMeansCase<float> narrow(1100, d, 7);
    KMeansCase<double> wide(300, d, 7);
    Draws draws(3);
    for (std::int64_t i = 0; i < narrow.n; ++i) narrow.weights.push_back(draws.uniform());
    for (std::int64_t i = 0; i < wide.n; ++i) wide.weights.push_back(draws.uniform());
    expect_same(narrow, false);
    expect_same(wide, false);
  }
}

TEST_F(KMeansLikeTheCpu, HasItsLabelsAndSumsOfRowsOfLengthOne) {
  const auto with_zero = [](auto c) {
    for (std::int64_t j = 0; j < c.d; ++j) {
      c.values[at(71 * c.stride + j)] = -c.offset[at(j)] / c.scale;
    }
    return c;
  };
  for (const std::int64_t d : {1, 2, 8, 9, 33}) {
    expect_same(with_zero(KMeansCase<float>(600, d, 7)), true);
    expect_same(with_zero(KMeansCase<double>(300, d, 7)), true);
  }
}

}  // namespace
}  // namespace culatent
