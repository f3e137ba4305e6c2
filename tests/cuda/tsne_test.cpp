#include "kernels/cuda/tsne.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "host/random.hpp"
#include "tests/cuda/cuda_test.hpp"

// The steps of t-SNE on a device against their definition in long double.
namespace culatent::tsne {
namespace {

using Real = long double;

constexpr Real kUnit = std::numeric_limits<float>::epsilon() / 2.0L;  // of one rounding
constexpr std::int64_t kMargin = 8;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

double normal(std::uint64_t seed, std::int64_t i) {
  return random::normals(seed, random::Stream::positions, static_cast<std::uint64_t>(i), 0)[0];
}

// N points of q dimensions, [N, q].
struct Points {
  Points(std::int64_t n_points, int n_dimensions, double spread) : n(n_points), q(n_dimensions) {
    for (std::int64_t i = 0; i < n * q; ++i) {
      values.push_back(static_cast<float>(spread * normal(7, i)));
    }
  }
  Real delta(std::int64_t i, std::int64_t j, int k) const {
    return static_cast<Real>(values[at(i * q + k)]) - static_cast<Real>(values[at(j * q + k)]);
  }
  // 1 + |y_i − y_j|²
  Real square(std::int64_t i, std::int64_t j) const {
    Real sum = 1.0L;
    for (int k = 0; k < q; ++k) sum += delta(i, j, k) * delta(i, j, k);
    return sum;
  }

  std::int64_t n;
  int q;
  std::vector<float> values;
};

// A sum, and that of the absolute values of its terms.
struct Sum {
  Real value = 0.0L, size = 0.0L;
  void add(Real term) {
    value += term;
    size += std::abs(term);
  }
};

// Of 1 + |y_i − y_j|², its reciprocal (1 ulp, so 2 roundings), a weight of it and one coordinate.
Real roundings(int q) { return static_cast<Real>(2 * q + 10); }

class TsneSteps : public CudaTest {
 protected:
  void expect_margin(const std::vector<float>& values, std::int64_t n) {
    for (std::size_t i = at(n); i < values.size(); ++i) ASSERT_TRUE(std::isnan(values[i])) << i;
  }

  void expect_repulsion(const Points& points, const RepulsionTiles& tiles) {
    SCOPED_TRACE(testing::Message() << points.n << " points, " << points.q << " dimensions, tiles "
                                    << tiles.tile << ", pieces " << tiles.piece);
    const std::int64_t n = points.n, size = n * points.q;
    const auto input = to_device(points.values);
    const auto forces = blank<float>(size + kMargin);
    const auto force_parts = blank<float>(tiles.n_tiles() * size + kMargin);
    const auto sums = blank<double>(tiles.n_pairs()), partition = blank<double>(1);
    repel(backend(), tiles, input.data(), points.q, {force_parts.data(), sums.data()},
          forces.data(), partition.data());
    const std::vector<float> found = to_host(forces);
    expect_margin(found, size);
    expect_margin(to_host(force_parts), tiles.n_tiles() * size);
    Real z = 0.0L;
    // A force is added up in float over a tile; Z over what a lane meets in 32 turns.
    const Real chain = static_cast<Real>(std::min(n, tiles.tile)) + roundings(points.q);
    for (std::int64_t i = 0; i < n; ++i) {
      Sum force[3];
      for (std::int64_t j = 0; j < n; ++j) {
        if (j == i) continue;
        const Real q = 1.0L / points.square(i, j);
        z += q;
        for (int k = 0; k < points.q; ++k) force[k].add(q * q * points.delta(i, j, k));
      }
      for (int k = 0; k < points.q; ++k) {
        const Real error = static_cast<Real>(found[at(i * points.q + k)]) - force[k].value;
        ASSERT_LE(std::abs(error), chain * kUnit * force[k].size) << i << " " << k;
      }
    }
    const Real terms = 32.0L * tiles.piece / 128.0L + roundings(points.q);
    EXPECT_NEAR(to_host(partition)[0] / static_cast<double>(z), 1.0,
                static_cast<double>(terms * kUnit));
    // Alone, a thread adds up two points' pairs with 128 others in float.
    const auto alone = blank<double>(1), tile_sums = blank<double>(tiles.n_pairs() + kMargin);
    find_partition(backend(), tiles, input.data(), points.q, tile_sums.data(), alone.data());
    EXPECT_NEAR(to_host(alone)[0] / static_cast<double>(z), 1.0,
                static_cast<double>((256.0L + roundings(points.q)) * kUnit));
    const std::vector<double> used = to_host(tile_sums);
    for (std::int64_t i = tiles.n_pairs(); i < tiles.n_pairs() + kMargin; ++i) {
      ASSERT_TRUE(std::isnan(used[at(i)])) << i;
    }
  }
};

RepulsionTiles tiles_of(std::int64_t n, std::int64_t tile, int piece) {
  return {.n_points = n, .tile = tile, .piece = piece};
}

TEST_F(TsneSteps, RepulsionIsTheSumOverPairsAroundSmallTiles) {
  for (const int q : {1, 2, 3}) {
    for (const std::int64_t n : {2, 3, 31, 32, 33, 255, 256, 257, 601}) {
      expect_repulsion(Points(n, q, 3.0), RepulsionTiles::choose(n));
    }
  }
}

TEST_F(TsneSteps, RepulsionIsTheSumOverPairsAroundLargeTiles) {
  for (const int q : {1, 2, 3}) expect_repulsion(Points(1025, q, 3.0), tiles_of(1025, 1024, 1024));
  for (const std::int64_t n : {2, 33, 1023, 1024, 2081}) {
    expect_repulsion(Points(n, 2, 3.0), tiles_of(n, 1024, 1024));
  }
}

TEST_F(TsneSteps, RepulsionIsTheSumOverPairsWhereTilesHaveSeveralPieces) {
  for (const std::int64_t n : {300, 512, 513, 1301}) {
    expect_repulsion(Points(n, 2, 3.0), tiles_of(n, 512, 256));
  }
  expect_repulsion(Points(1301, 3, 3.0), tiles_of(1301, 1024, 256));
}

TEST_F(TsneSteps, RepulsionHoldsForAnySpanAndForEqualPoints) {
  for (const double spread : {0.0, 1e-4, 1e4}) {
    expect_repulsion(Points(300, 2, spread), RepulsionTiles::choose(300));
  }
  Points pairs(290, 3, 5.0);
  for (std::int64_t i = 0; i < pairs.n * pairs.q; ++i) {
    pairs.values[at(i)] = pairs.values[at(i % 30)];
  }
  expect_repulsion(pairs, RepulsionTiles::choose(pairs.n));
}

TEST(TsneRepulsionTiles, AreFewEnoughAndCoverAllPoints) {
  for (const std::int64_t n : {3L, 32'767L, 32'768L, 200'000L, 262'144L, 262'145L, 50'000'000L}) {
    const RepulsionTiles tiles = RepulsionTiles::choose(n);
    EXPECT_LE(tiles.n_tiles(), RepulsionTiles::kMostTiles) << n;
    EXPECT_GE(tiles.n_tiles() * tiles.tile, n) << n;
    EXPECT_LT((tiles.n_tiles() - 1) * tiles.tile, n) << n;
    EXPECT_EQ(tiles.tile % tiles.piece, 0) << n;
  }
  EXPECT_LE(RepulsionTiles::choose(200'000).n_tiles() * 200'000 * 2 * 4, 320'000'000);
}

// Rows of `degree` affinities and a bit; some have none.
struct Affinities {
  Affinities(std::int64_t n, std::int64_t degree) {
    starts.push_back(0);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t count = i % 5 == 2 ? 0 : degree + (i * 7) % 11;
      for (std::int64_t e = 0; e < count; ++e) {
        columns.push_back(static_cast<std::int32_t>((i * 31 + e * 17 + 1) % n));
        values.push_back(static_cast<float>(0.001 * (1.0 + std::abs(normal(9, e + i)))));
      }
      starts.push_back(static_cast<std::int64_t>(values.size()));
    }
  }
  std::vector<std::int64_t> starts;
  std::vector<std::int32_t> columns;
  std::vector<float> values;
};

TEST_F(TsneSteps, AttractionIsTheSumOverTheRow) {
  for (const int q : {1, 2, 3}) {
    for (const std::int64_t degree : {1, 20, 90, 700}) {  // for each width of a row
      for (const std::int64_t n : {2, 70}) {
        SCOPED_TRACE(testing::Message() << q << " " << degree << " " << n);
        const Points points(n, q, 2.0);
        const Affinities p(n, degree);
        const auto starts = to_device(p.starts);
        const auto columns = to_device(p.columns);
        const auto values = to_device(p.values), input = to_device(points.values);
        const auto forces = blank<float>(n * q + kMargin);
        const auto parts = blank<double>(kSumParts + 1);
        const DeviceAffinities device = {starts.data(), columns.data(), values.data(), n,
                                         values.size()};
        attract(backend(), device, input.data(), q, forces.data());
        attraction_energy(backend(), device, input.data(), q, parts.data());
        const std::vector<float> found = to_host(forces);
        expect_margin(found, n * q);
        Real energy = 0.0L;
        for (std::int64_t i = 0; i < n; ++i) {
          Sum force[3];
          const std::int64_t count = p.starts[at(i + 1)] - p.starts[at(i)];
          for (std::int64_t e = p.starts[at(i)]; e < p.starts[at(i + 1)]; ++e) {
            const Real weight = p.values[at(e)];
            const Real square = points.square(i, p.columns[at(e)]);
            energy += weight * std::log(square);
            for (int k = 0; k < q; ++k) {
              force[k].add(weight / square * points.delta(i, p.columns[at(e)], k));
            }
          }
          for (int k = 0; k < q; ++k) {
            const Real error = static_cast<Real>(found[at(i * q + k)]) - force[k].value;
            ASSERT_LE(std::abs(error),
                      (static_cast<Real>(count) + roundings(q)) * kUnit * force[k].size)
                << i << " " << k;
          }
        }
        const std::vector<double> sums = to_host(parts);
        double sum = 0.0;
        for (std::int64_t i = 0; i < kSumParts; ++i) sum += sums[at(i)];
        EXPECT_TRUE(std::isnan(sums[kSumParts]));
        // Terms of one sign, each of a few roundings.
        EXPECT_NEAR(
            sum / static_cast<double>(energy), 1.0,
            static_cast<double>(values.size() + 16) * std::numeric_limits<double>::epsilon());
      }
    }
  }
}

// Two moves by their rules, in long double.
class TsneMove : public TsneSteps {
 protected:
  static constexpr Real kExaggeration = 3.0L, kRate = 20.0L, kMomentum = 0.5L, kPartition = 70.0L;

  static std::vector<float> draw(std::uint64_t seed, std::int64_t size, double scale) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < size; ++i) {
      values.push_back(static_cast<float>(scale * normal(seed, i)));
    }
    return values;
  }

  void expect_moves(std::int64_t n, int q) {
    SCOPED_TRACE(testing::Message() << n << " points, " << q << " dimensions");
    const std::int64_t size = n * q;
    const std::vector<float> attraction = draw(1, size, 0.01), repulsion = draw(2, size, 1.0);
    std::vector<float> y = draw(3, size, 4.0), velocity = draw(4, size, 1.0);
    for (float& value : y) value += 10.0f;  // a mean to take away
    const auto device_attraction = to_device(attraction), device_repulsion = to_device(repulsion);
    const auto points = to_device(y), velocities = to_device(velocity);
    const auto gains = to_device(std::vector<float>(at(size), 0.0121f));
    const auto partition = to_device(std::vector<double>{static_cast<double>(kPartition)});
    const auto parts = blank<double>(move_parts(n, q) + 1), norms = blank<double>(3);
    const auto step = to_device(
        std::vector<DeviceMove>{{static_cast<float>(kExaggeration), static_cast<float>(kRate),
                                 static_cast<float>(kMomentum), 0}});
    for (int i = 0; i < 2; ++i) {
      move(backend(), step.data(), partition.data(), n, q,
           {device_attraction.data(), device_repulsion.data(), points.data(), velocities.data(),
            gains.data()},
           parts.data(), norms.data());
    }
    std::vector<Real> where(y.begin(), y.end()), speed(velocity.begin(), velocity.end());
    std::vector<Real> gain(at(size), Real{0.0121f});
    Real square = 0.0L, most = 0.0L;
    for (int turn = 0; turn < 2; ++turn) {
      square = 0.0L;
      std::vector<Real> mean(at(q));
      for (std::int64_t i = 0; i < size; ++i) {
        const Real pull = 4.0L * kExaggeration * static_cast<Real>(attraction[at(i)]);
        const Real push = 4.0L / kPartition * static_cast<Real>(repulsion[at(i)]);
        const Real gradient = pull - push;
        square += gradient * gradient;
        gain[at(i)] = std::max(
            0.01L, gradient * speed[at(i)] < 0.0L ? gain[at(i)] + 0.2L : gain[at(i)] * 0.8L);
        speed[at(i)] =
            std::clamp(kMomentum * speed[at(i)] - kRate * gain[at(i)] * gradient, -5.0L, 5.0L);
        where[at(i)] += speed[at(i)];
        mean[at(i % q)] += where[at(i)] / static_cast<Real>(n);
        // What one value of the update consists of.
        most = std::max(most, std::abs(where[at(i)]) + std::abs(speed[at(i)]) +
                                  kRate * gain[at(i)] * (std::abs(pull) + std::abs(push)));
      }
      for (std::int64_t i = 0; i < size; ++i) where[at(i)] -= mean[at(i % q)];
    }
    const std::vector<float> found = to_host(points), found_velocity = to_host(velocities);
    const std::vector<float> found_gains = to_host(gains);
    // A dozen roundings of such values a move.
    const Real tolerance = 24.0L * kUnit * most;
    for (std::int64_t i = 0; i < size; ++i) {
      ASSERT_LE(std::abs(static_cast<Real>(found[at(i)]) - where[at(i)]), tolerance) << i;
      ASSERT_LE(std::abs(static_cast<Real>(found_velocity[at(i)]) - speed[at(i)]), tolerance) << i;
      ASSERT_LE(std::abs(static_cast<Real>(found_gains[at(i)]) - gain[at(i)]), 4.0L * kUnit) << i;
    }
    const std::vector<double> norm = to_host(norms);
    // Forces stay as they were, and with them the gradient: two products and a difference.
    EXPECT_EQ(norm[0], norm[1]);
    Real sizes = 0.0L;
    for (std::int64_t i = 0; i < size; ++i) {
      const Real part = 4.0L * kExaggeration * std::abs(static_cast<Real>(attraction[at(i)])) +
                        4.0L / kPartition * std::abs(static_cast<Real>(repulsion[at(i)]));
      sizes += part * part;
    }
    EXPECT_NEAR(norm[0], static_cast<double>(std::sqrt(square)),
                static_cast<double>(4.0L * kUnit * std::sqrt(sizes)));
    EXPECT_TRUE(std::isnan(norm[2]));
    EXPECT_EQ(to_host(step)[0].iteration, 2);
    EXPECT_TRUE(std::isnan(to_host(parts).back()));

    const auto squares = blank<double>(kSumParts + 1);
    squared_gradient(backend(), static_cast<double>(kExaggeration), partition.data(), size,
                     device_attraction.data(), device_repulsion.data(), squares.data());
    const std::vector<double> terms = to_host(squares);
    double sum = 0.0;
    for (std::int64_t i = 0; i < kSumParts; ++i) sum += terms[at(i)];
    EXPECT_TRUE(std::isnan(terms[kSumParts]));
    EXPECT_NEAR(sum, static_cast<double>(square),
                static_cast<double>(sizes * static_cast<Real>(size + 8)) *
                    std::numeric_limits<double>::epsilon());
  }
};

TEST_F(TsneMove, IsByTheRules) {
  for (const int q : {1, 2, 3}) {
    for (const std::int64_t n : {1, 2, 257, 512, 513, 1300}) expect_moves(n, q);
  }
}

TEST_F(TsneMove, TakesNoLongStepAndTellsWhatIsNotANumber) {
  const std::vector<float> attraction = {1e9f, -1e9f, 1e9f, -1e9f}, none(4, 0.0f);
  const auto forces = to_device(attraction), zero = to_device(none);
  const auto partition = to_device(std::vector<double>{1.0, 0.0});
  const auto parts = blank<double>(move_parts(2, 2)), norms = blank<double>(2);
  const auto step = to_device(std::vector<DeviceMove>{{1.0f, 100.0f, 0.5f, 0}});
  const auto points = to_device(none), velocity = to_device(none);
  const auto gains = to_device(std::vector<float>(4, 1.0f));
  const DescentArrays arrays = {forces.data(), zero.data(), points.data(), velocity.data(),
                                gains.data()};
  move(backend(), step.data(), partition.data(), 2, 2, arrays, parts.data(), norms.data());
  EXPECT_EQ(to_host(velocity), (std::vector<float>{-5, 5, -5, 5}));
  // Repulsion / 0 of no repulsion.
  move(backend(), step.data(), partition.data() + 1, 2, 2, arrays, parts.data(), norms.data());
  EXPECT_TRUE(std::isnan(to_host(norms)[1]));
}

}  // namespace
}  // namespace culatent::tsne
