#include <algorithm>
#include <cmath>
#include <vector>

#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/cuda/cuda_test.hpp"

// Results on their way to the host: pieces of rows, through two buffers in turn.
namespace culatent {
namespace {

namespace gm = gaussian_mixture;

constexpr std::int64_t kRows = 5 * kBlockRows + 77, kComponents = 3, kStride = 5;

struct Results {
  explicit Results(std::int64_t n)
      : log_prob(static_cast<std::size_t>(n), NAN),
        labels(static_cast<std::size_t>(n), -1),
        shares(static_cast<std::size_t>(n * kStride), NAN) {}
  gm::Outputs<float> outputs() {
    const auto n = static_cast<std::int64_t>(labels.size());
    return {.log_prob = log_prob,
            .responsibilities = MatrixView<float>(shares.data(), n, kComponents, kStride),
            .labels = labels};
  }
  const float* share(std::size_t row) const { return shares.data() + row * kStride; }

  std::vector<float> log_prob;
  std::vector<std::int32_t> labels;
  std::vector<float> shares;  // [n, kStride], of which kComponents are written
};

class CudaDownload : public CudaTest {
 protected:
  CudaDownload()
      : model_(planted::model(gm::Covariance::tied, kComponents, 2, 2.0, 1)), rows_(kRows, 2) {
    gm::sample<float>(Context(), model_, 3, 0, rows_.view());
  }

  Results on_device(std::int64_t chunk_rows) {
    Results results(kRows);
    const Context context({.chunk_rows = chunk_rows, .device = "cuda"});
    gm::evaluate<float>(context, model_, MatrixRows<float>(rows_.view()), results.outputs());
    return results;
  }

  const gm::Model model_;
  Matrix<float> rows_;
};

// log p and the shares by the formula, in double: the planted covariance is not diagonal.
TEST_F(CudaDownload, GivesEachRowItsResults) {
  const Results found = on_device(kBlockRows);
  const double a = model_.covariances[0], b = model_.covariances[1], c = model_.covariances[3];
  const double determinant = a * c - b * b;
  for (std::int64_t i = 0; i < kRows; ++i) {
    double joint[kComponents], total = 0.0;
    for (std::int64_t k = 0; k < kComponents; ++k) {
      const double x = static_cast<double>(rows_(i, 0)) - model_.means(k, 0);
      const double y = static_cast<double>(rows_(i, 1)) - model_.means(k, 1);
      const double norm = (c * x * x - 2 * b * x * y + a * y * y) / determinant;
      joint[k] = model_.weights[static_cast<std::size_t>(k)] * std::exp(-0.5 * norm) /
                 (2.0 * std::acos(-1.0) * std::sqrt(determinant));
      total += joint[k];
    }
    const auto row = static_cast<std::size_t>(i);
    // Norms to some 50 are sums of few products of float; a log-density is off by their rounding.
    const double lost = 64.0 * 50.0 * std::numeric_limits<float>::epsilon();
    ASSERT_NEAR(static_cast<double>(found.log_prob[row]), std::log(total), lost) << "row " << i;
    for (std::int64_t k = 0; k < kComponents; ++k) {
      ASSERT_NEAR(static_cast<double>(found.share(row)[k]), joint[k] / total, lost) << "row " << i;
    }
    ASSERT_EQ(
        found.labels[row],
        std::max_element(found.share(row), found.share(row) + kComponents) - found.share(row));
    for (std::int64_t j = kComponents; j < kStride; ++j) {
      ASSERT_TRUE(std::isnan(found.share(row)[j])) << "wrote beside row " << i;
    }
  }
}

TEST_F(CudaDownload, GivesTheSameInAnyPieces) {
  const Results whole = on_device(0);
  for (const std::int64_t chunk_rows : {kBlockRows, 2 * kBlockRows, 4 * kBlockRows}) {
    const Results pieces = on_device(chunk_rows);
    EXPECT_EQ(pieces.log_prob, whole.log_prob) << chunk_rows;
    EXPECT_EQ(pieces.labels, whole.labels) << chunk_rows;
    for (std::size_t i = 0; i < kRows; ++i) {
      ASSERT_TRUE(std::equal(pieces.share(i), pieces.share(i) + kComponents, whole.share(i)))
          << "row " << i << " of pieces of " << chunk_rows;
    }
  }
}

}  // namespace
}  // namespace culatent
