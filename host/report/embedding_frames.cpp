#include "host/report/embedding_frames.hpp"

#include <algorithm>
#include <cmath>

#include "host/report/axis.hpp"

namespace culatent::report {
namespace {

constexpr double kSteps = 65535.0;
constexpr std::int64_t kMostBytes = 15'000'000;  // 20 MB in base64

}  // namespace

EmbeddingFrame quantise(const Matrix<double>& positions, int iteration, double kl) {
  const std::int64_t m = positions.rows(), q = positions.cols();
  EmbeddingFrame frame{iteration, kl, {}, {}, std::vector<std::uint16_t>(positions.size())};
  for (std::int64_t j = 0; j < q; ++j) {
    Range range;
    for (std::int64_t i = 0; i < m; ++i) range.include(positions(i, j));
    if (range.empty()) range = {0.0, 0.0};
    frame.low.push_back(range.low);
    frame.high.push_back(range.high);
    const double steps = range.span() > 0.0 ? kSteps / range.span() : 0.0;
    for (std::int64_t i = 0; i < m; ++i) {
      const double step = std::round((positions(i, j) - range.low) * steps);
      frame.at[static_cast<std::size_t>(i * q + j)] = static_cast<std::uint16_t>(step);
    }
  }
  return frame;
}

std::int64_t rows_shown(std::int64_t n_rows, std::int64_t n_dimensions, std::int64_t n_frames) {
  const std::int64_t row_bytes = 2 * n_dimensions * std::max<std::int64_t>(n_frames, 1);
  return std::min({n_rows, kMostRowsShown, std::max<std::int64_t>(kMostBytes / row_bytes, 1)});
}

}  // namespace culatent::report
