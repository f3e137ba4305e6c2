#include "kernels/cuda/kmeans_distances.hpp"

#include "tests/cuda/kmeans_case.hpp"

namespace culatent {
namespace {

class KMeansDistances : public KMeansSteps {
 protected:
  template <class T>
  void expect_distances(const KMeansCase<T>& c) {
    SCOPED_TRACE(c.name());
    const PlacedCase<T> p = place(c);
    const std::int64_t stride = c.k + 2;
    const auto out = blank<T>((c.n + 1) * stride);
    kmeans::all_distances(backend(), p.rows, p.centres, 8.0, out.data(), stride);
    const std::vector<T> found = to_host(out);
    // D squares and additions, a root and a product.
    const Real unit = static_cast<Real>(c.d + 4) * std::numeric_limits<T>::epsilon() / 2;
    for (std::int64_t i = 0; i < c.n; ++i) {
      for (std::int64_t k = 0; k < c.k; ++k) {
        const Real expected = 8 * std::sqrt(c.distance(i, k));
        ASSERT_LE(std::abs(static_cast<Real>(found[at(i * stride + k)]) - expected),
                  unit * expected)
            << i << " " << k;
      }
      for (std::int64_t k = c.k; k < stride; ++k)
        ASSERT_TRUE(std::isnan(found[at(i * stride + k)]));
    }
    for (std::int64_t k = 0; k < stride; ++k) {
      ASSERT_TRUE(std::isnan(found[at(c.n * stride + k)]));
    }
  }
};

TEST_F(KMeansDistances, AreThoseToEveryCentroid) {
  for (const std::int64_t n : {1, 127, 128, 129, 300}) expect_distances(KMeansCase<float>(n, 5, 6));
  for (const std::int64_t d : {1, 15, 16, 17, 40}) {
    expect_distances(KMeansCase<float>(70, d, 3));
    expect_distances(KMeansCase<double>(70, d, 3));
  }
  for (const std::int64_t k : {1, 31, 32, 33, 64, 65, 128, 129, 260}) {
    expect_distances(KMeansCase<float>(130, 4, k));
    expect_distances(KMeansCase<double>(130, 4, k));
  }
}

TEST_F(KMeansDistances, BeginAtTheLargestNumber) {
  for (const std::int64_t n : {1, 255, 256, 257, 5000}) {
    const auto least = blank<float>(n + kMargin);
    kmeans::forget_distances(backend(), n, least.data());
    const std::vector<float> found = to_host(least);
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(found[at(i)], std::numeric_limits<float>::max());
    }
    for (std::int64_t i = n; i < n + kMargin; ++i) ASSERT_TRUE(std::isnan(found[at(i)]));
  }
}

}  // namespace
}  // namespace culatent
