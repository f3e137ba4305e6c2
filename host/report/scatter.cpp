#include "host/report/scatter.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/report/text.hpp"

namespace culatent::report {

LabelGroups label_groups(std::span<const std::int64_t> labels) {
  LabelGroups out;
  out.values.assign(labels.begin(), labels.end());
  std::sort(out.values.begin(), out.values.end());
  out.values.erase(std::unique(out.values.begin(), out.values.end()), out.values.end());
  for (const std::int64_t label : labels) {
    out.group.push_back(std::lower_bound(out.values.begin(), out.values.end(), label) -
                        out.values.begin());
  }
  return out;
}

std::string point_class(std::int64_t group) {
  return fmt::format("{} {}", marker_class(series_marker(group)), series_class(group));
}

std::vector<LegendItem> label_legend(const LabelGroups& labels) {
  std::vector<LegendItem> items;
  if (static_cast<std::int64_t>(labels.values.size()) > kMaxLegend) return items;
  for (const std::int64_t value : labels.values) {
    const auto group = static_cast<std::int64_t>(items.size());
    items.push_back({point_class(group), fmt::format("label {}", value)});
  }
  return items;
}

std::string sample_text(std::int64_t sampled, std::int64_t n_rows) {
  if (sampled >= n_rows) return "all " + plural(sampled, "row");
  return fmt::format("{} of {} rows, spread evenly", format_count(sampled), format_count(n_rows));
}

void draw_points(Svg& svg, const Plot& plot, const Matrix<double>& rows, std::int64_t x,
                 std::int64_t y, std::span<const std::int64_t> group, std::int64_t n_groups,
                 bool small) {
  std::vector<double> xs, ys;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    xs.push_back(rows(i, x));
    ys.push_back(rows(i, y));
  }
  // A few hundred points fill a small panel only when they are drawn a little larger.
  constexpr std::int64_t kFew = 600;
  const char* size = !small ? "" : rows.rows() <= kFew ? " medium" : " small";
  for (std::int64_t g = 0; g < std::max<std::int64_t>(1, n_groups); ++g) {
    svg.path(marks(plot, xs, ys, series_marker(g), small ? 1.6 : 2.6, group, g),
             point_class(g) + size);
  }
}

PairGrid::PairGrid(std::vector<Range> ranges) : ranges_(std::move(ranges)) {
  for (std::size_t j = 1; j < ranges_.size(); ++j) {
    left_ = std::max(left_, tick_room(linear_ticks(ranges_[j], 4)));
  }
  const auto across = static_cast<double>(n_axes() - 1);
  panel_width_ = (kWidth - left_ - kGap * across) / across;
  panel_height_ = (across < 3.0 ? 0.66 : 0.84) * panel_width_;
}

double PairGrid::height() const {
  return kTop + (panel_height_ + kGap) * static_cast<double>(n_axes() - 1) + 32.0;
}

Plot PairGrid::panel(std::int64_t row, std::int64_t column) const {
  return {
      {left_ + (panel_width_ + kGap) * static_cast<double>(column),
       kTop + (panel_height_ + kGap) * static_cast<double>(row - 1), panel_width_, panel_height_},
      ranges_[static_cast<std::size_t>(column)],
      ranges_[static_cast<std::size_t>(row)]};
}

void PairGrid::draw_frame(Svg& svg, std::int64_t row, std::int64_t column,
                          std::span<const std::string> names) const {
  const Plot plot = panel(row, column);
  std::vector<Tick> x_ticks, y_ticks;
  AxisTexts texts;
  if (row == n_axes() - 1) {
    x_ticks = linear_ticks(plot.x, 4);
    texts.x = names[static_cast<std::size_t>(column)];
  }
  if (column == 0) {
    y_ticks = linear_ticks(plot.y, 4);
    texts.y = names[static_cast<std::size_t>(row)];
  }
  draw_axes(svg, plot, x_ticks, y_ticks, texts);
  svg.rect(plot.box, "frame");
}

}  // namespace culatent::report
