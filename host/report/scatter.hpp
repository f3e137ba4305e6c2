#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "culatent/matrix.hpp"
#include "host/report/page.hpp"
#include "host/report/plot.hpp"

/// Rows as points in the colours of their groups, on one chart or in pairs.
namespace culatent::report {

/// The caller's labels as groups 0, 1, …: `values` ascending, `group` one a row.
struct LabelGroups {
  std::vector<std::int64_t> values;
  std::vector<std::int64_t> group;
};
LabelGroups label_groups(std::span<const std::int64_t> labels);

/// Class of a group's points: its mark and its colour.
std::string point_class(std::int64_t group);

/// "label 3" and so on; empty for more than a legend can tell apart.
std::vector<LegendItem> label_legend(const LabelGroups& labels);
constexpr std::int64_t kMaxLegend = 16;

/// "all 272 rows" or "5,000 of 20,000 rows, spread evenly".
std::string sample_text(std::int64_t sampled, std::int64_t n_rows);

/// Columns x and y of `rows` as points of their groups, group 0 first; `group` empty: all of one.
void draw_points(Svg& svg, const Plot& plot, const Matrix<double>& rows, std::int64_t x,
                 std::int64_t y, std::span<const std::int64_t> group, std::int64_t n_groups,
                 bool small);

/// Panels for the pairs of q axes, the lower triangle: panel (row, column) has axis `row` upwards
/// and axis `column` to the right, 0 ≤ column < row < q.
class PairGrid {
 public:
  explicit PairGrid(std::vector<Range> ranges);

  double width() const { return kWidth; }
  double height() const;
  std::int64_t n_axes() const { return static_cast<std::int64_t>(ranges_.size()); }
  Plot panel(std::int64_t row, std::int64_t column) const;
  /// Ticks and names on the outer sides only.
  void draw_frame(Svg& svg, std::int64_t row, std::int64_t column,
                  std::span<const std::string> names) const;

 private:
  static constexpr double kWidth = 976, kGap = 16, kTop = 12;
  std::vector<Range> ranges_;
  double left_ = 0.0;
  double panel_width_ = 0.0;
  double panel_height_ = 0.0;
};

}  // namespace culatent::report
