#include "host/neighbors_order.hpp"

#include <algorithm>
#include <numeric>

namespace culatent::neighbors {
namespace {

constexpr std::int64_t kSampleRows = 128;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Range {
  std::int64_t begin, end;
  std::int64_t count() const { return end - begin; }
};

struct Entry {
  float value;
  std::int32_t row;
  bool operator<(const Entry& other) const {
    return value != other.value ? value < other.value : row < other.row;
  }
};

// The feature of the largest variance among some rows of the range.
std::int64_t widest_feature(MatrixView<const float> rows, const std::vector<Entry>& entries,
                            Range range, std::vector<double>& sums) {
  const std::int64_t d = rows.cols;
  const std::int64_t count = std::min(range.count(), kSampleRows);
  std::fill(sums.begin(), sums.end(), 0.0);
  const float* origin = rows.row(entries[index(range.begin)].row);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = range.begin + i * range.count() / count;
    const float* x = rows.row(entries[index(at)].row);
    for (std::int64_t j = 0; j < d; ++j) {
      const double delta = static_cast<double>(x[j]) - static_cast<double>(origin[j]);
      sums[index(j)] += delta;
      sums[index(d + j)] += delta * delta;
    }
  }
  std::int64_t widest = 0;
  double most = -1.0;
  for (std::int64_t j = 0; j < d; ++j) {
    const double mean = sums[index(j)] / static_cast<double>(count);
    const double variance = sums[index(d + j)] / static_cast<double>(count) - mean * mean;
    if (variance > most) {
      most = variance;
      widest = j;
    }
  }
  return widest;
}

// Parts the range at a multiple of kGroupRows near its middle; returns where.
std::int64_t part(MatrixView<const float> rows, std::vector<Entry>& entries, Range range,
                  std::vector<double>& sums) {
  const std::int64_t feature = widest_feature(rows, entries, range, sums);
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    entries[index(i)].value = rows(entries[index(i)].row, feature);
  }
  const std::int64_t n_groups = (range.count() + kGroupRows - 1) / kGroupRows;
  const std::int64_t middle = range.begin + n_groups / 2 * kGroupRows;
  std::nth_element(entries.begin() + range.begin, entries.begin() + middle,
                   entries.begin() + range.end);
  return middle;
}

}  // namespace

void Layout::append(std::span<const std::int32_t> rows) {
  for (std::size_t begin = 0; begin < rows.size(); begin += kGroupRows) {
    const std::size_t count = std::min<std::size_t>(kGroupRows, rows.size() - begin);
    const std::size_t n_panels = (count + kPanelRows - 1) / kPanelRows;
    groups.push_back(
        {static_cast<std::int64_t>(order.size()) / kPanelRows, static_cast<int>(n_panels), 0});
    order.insert(order.end(), rows.begin() + static_cast<std::ptrdiff_t>(begin),
                 rows.begin() + static_cast<std::ptrdiff_t>(begin + count));
    order.resize(order.size() + n_panels * kPanelRows - count, -1);
  }
}

Layout spatial_layout(const CpuBackend& backend, MatrixView<const float> rows) {
  std::vector<Entry> entries(index(rows.rows));
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    entries[index(i)] = {0.0f, static_cast<std::int32_t>(i)};
  }
  std::vector<std::vector<double>> sums(index(backend.n_workers));
  for (auto& s : sums) s.resize(index(2 * rows.cols));
  std::vector<Range> ranges = {{0, rows.rows}};
  while (
      std::any_of(ranges.begin(), ranges.end(), [](Range r) { return r.count() > kGroupRows; })) {
    std::vector<Range> halves(2 * ranges.size());
    backend.threads.parallel_for(static_cast<std::int64_t>(ranges.size()), backend.n_workers,
                                 [&](std::int64_t i, int worker) {
                                   const Range range = ranges[index(i)];
                                   const std::int64_t middle =
                                       range.count() > kGroupRows
                                           ? part(rows, entries, range, sums[index(worker)])
                                           : range.end;
                                   halves[index(2 * i)] = {range.begin, middle};
                                   halves[index(2 * i + 1)] = {middle, range.end};
                                 });
    std::erase_if(halves, [](Range r) { return r.count() == 0; });
    ranges = std::move(halves);
  }
  Layout layout;
  layout.order.reserve(index(rows.rows + kPanelRows));
  layout.groups.reserve(ranges.size());
  std::vector<std::int32_t> group;
  for (const Range range : ranges) {
    group.clear();
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      group.push_back(entries[index(i)].row);
    }
    std::sort(group.begin(), group.end());
    layout.append(group);
  }
  return layout;
}

std::int64_t spatial_layout_bytes(std::int64_t n_rows, std::int64_t n_features, int n_workers) {
  const std::int64_t n_groups = n_rows / kGroupRows + 1;
  return checked_product(n_rows + kPanelRows, sizeof(Entry) + sizeof(std::int32_t)) +
         n_groups * static_cast<std::int64_t>(4 * sizeof(Range) + 2 * sizeof(Group)) +
         checked_product(2 * n_workers * static_cast<std::int64_t>(sizeof(double)), n_features);
}

}  // namespace culatent::neighbors
