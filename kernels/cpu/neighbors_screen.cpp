#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/neighbors_products.hpp"
#include "kernels/neighbors.hpp"

namespace culatent::neighbors {
namespace {

constexpr std::int64_t kSampleRows = 1024;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The nearest floats below and above: one step more than rounding, which covers that of `value`.
float below(double value) {
  return std::nextafter(static_cast<float>(value), -std::numeric_limits<float>::infinity());
}
float above(double value) {
  return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

// The coordinates of row `row`, to column `column` of a panel. Returns the sum of their squares,
// infinity when a value was moved.
double stage_row(const Screen& screen, const Coordinates& coordinates, std::int32_t row,
                 float* panel, int column) {
  const float* x = screen.rows.row(row);
  double square = 0.0;
  bool moved = false;
  for (std::int64_t j = 0; j < screen.n_features(); ++j) {
    const double wanted = (static_cast<double>(x[j]) - coordinates.centre[index(j)]) * screen.scale;
    const double y = std::clamp(wanted, -kReach, kReach);
    moved |= y != wanted;
    const auto value = static_cast<float>(y);
    panel[j * kPanelRows + column] = value;
    square += static_cast<double>(value) * static_cast<double>(value);
  }
  return moved ? -square : square;
}

}  // namespace

Coordinates choose_coordinates(MatrixView<const float> rows) {
  const std::int64_t count = std::min(rows.rows, kSampleRows);
  Coordinates result;
  std::vector<double> values(index(count)), reach(index(count));
  for (std::int64_t j = 0; j < rows.cols; ++j) {
    const auto value = [&](std::int64_t i) {
      return static_cast<double>(rows(i * rows.rows / count, j));
    };
    for (std::int64_t i = 0; i < count; ++i) values[index(i)] = value(i);
    const double centre = median(values);
    result.centre.push_back(centre);
    for (std::int64_t i = 0; i < count; ++i) {
      reach[index(i)] = std::max(reach[index(i)], std::abs(value(i) - centre));
    }
  }
  std::erase(reach, 0.0);
  if (!reach.empty()) result.scale = std::ldexp(1.0, -std::ilogb(median(reach)));
  return result;
}

double screen_slack(std::int64_t n_features) {
  const std::int64_t roundings =
      std::min(n_features, kDepth) + (n_features + kDepth - 1) / kDepth + 8;
  const double share = static_cast<double>(roundings) * 0x1p-24;
  return share / (1.0 - share);
}

Screen::Screen(const CpuBackend& backend, MatrixView<const float> rows_,
               const Coordinates& coordinates, double slack, std::vector<std::int32_t> order_,
               std::vector<Group> groups_)
    : rows(rows_),
      scale(coordinates.scale),
      order(std::move(order_)),
      groups(std::move(groups_)),
      panels(static_cast<std::int64_t>(order.size()) / kPanelRows,
             checked_product(kPanelRows, rows.cols)),
      low(1, static_cast<std::int64_t>(order.size())),
      high(1, static_cast<std::int64_t>(order.size())),
      box(static_cast<std::int64_t>(groups.size()), 2 * rows.cols) {
  const double vanished = static_cast<double>(rows.cols) * kUnderflow;
  backend.threads.parallel_for(n_groups(), backend.n_workers, [&](std::int64_t g, int) {
    const std::int64_t d = n_features();
    float* least = &box(g, 0);
    float* greatest = least + d;
    std::fill_n(least, d, std::numeric_limits<float>::infinity());
    std::fill_n(greatest, d, -std::numeric_limits<float>::infinity());
    groups[index(g)].least_row = std::numeric_limits<std::int32_t>::max();
    for (std::int64_t p = first(g); p < first(g) + size(g); ++p) {
      const std::int32_t row = order[index(p)];
      low(0, p) = high(0, p) = std::numeric_limits<float>::infinity();
      if (row < 0) continue;
      float* to = panels.data() + p / kPanelRows * panels.cols();
      const double square =
          stage_row(*this, coordinates, row, to, static_cast<int>(p % kPanelRows));
      low(0, p) = below(0.5 * std::abs(square) * (1.0 - slack) - vanished);
      if (!std::signbit(square)) high(0, p) = above(0.5 * square * (1.0 + slack) + vanished);
      for (std::int64_t j = 0; j < d; ++j) {
        least[j] = std::min(least[j], rows(row, j));
        greatest[j] = std::max(greatest[j], rows(row, j));
      }
      groups[index(g)].least_row = std::min(groups[index(g)].least_row, row);
    }
  });
}

std::int64_t Screen::bytes(std::int64_t n_panels, std::int64_t n_groups, std::int64_t n_features) {
  constexpr std::int64_t kNumber = sizeof(float);
  return checked_product(checked_product(n_panels, kPanelRows), kNumber * (n_features + 3)) +
         checked_product(n_groups,
                         2 * kNumber * n_features + static_cast<std::int64_t>(sizeof(Group)));
}

void panel_products(const float* a, const float* b, std::int64_t n_features, float* dots) {
  for (std::int64_t begin = 0; begin < n_features; begin += kDepth) {
    const std::int64_t count = std::min(kDepth, n_features - begin);
    for (int j = 0; j < kPanelRows; j += kColumns) {
      add_products(a + begin * kPanelRows, b + begin * kPanelRows + j, count, begin > 0,
                   dots + j * kPanelRows);
    }
  }
}

}  // namespace culatent::neighbors
