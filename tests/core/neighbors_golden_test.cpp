#include <gtest/gtest.h>

#include <string>

#include "culatent/neighbors.hpp"
#include "tests/core/golden.hpp"

namespace culatent {
namespace {

TEST(NeighborsGolden, OfDigitsAreThoseOfScikitLearn) {
  const std::string data = CULATENT_TEST_DATA;
  const Matrix<double> wide = golden::read_matrix(data + "/data/digits.npy");
  Matrix<float> rows(wide.rows(), wide.cols());
  std::copy(wide.data(), wide.data() + wide.size(), rows.data());
  const Matrix<double> indices = golden::read_matrix(data + "/golden/neighbors/digits/indices.npy");
  const Matrix<double> squared =
      golden::read_matrix(data + "/golden/neighbors/digits/squared_distances.npy");
  const Context context({.n_threads = 2});
  const auto found = neighbors::search(context, rows.view(), {.n_neighbors = 10});
  ASSERT_EQ(found.indices.size(), indices.size());
  for (std::int64_t i = 0; i < indices.rows(); ++i) {
    for (std::int64_t m = 0; m < 10; ++m) {
      ASSERT_EQ(found.indices(i, m), indices(i, m)) << "row " << i << ", neighbour " << m;
      ASSERT_EQ(found.squared_distances(i, m), squared(i, m));  // whole numbers
    }
  }
}

}  // namespace
}  // namespace culatent
