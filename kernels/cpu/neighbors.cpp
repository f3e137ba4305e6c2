#include "kernels/neighbors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/neighbors_distance.hpp"
#include "kernels/cpu/neighbors_products.hpp"

namespace culatent::neighbors {
namespace {

using S = cpu::Simd<float>;

constexpr float kNever = std::numeric_limits<float>::infinity();  // no dot is as large
constexpr float kAlways = std::numeric_limits<float>::lowest();   // finite: less an infinity
constexpr double kFar = std::numeric_limits<double>::infinity();

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// What sums in double may be off, relatively, taken twice.
double wide(std::int64_t n_features) {
  return 1.0 + static_cast<double>(n_features + 16) * 0x1p-51;
}

float below(double value) {
  if (!(value >= static_cast<double>(kAlways))) return kAlways;
  return std::nextafter(static_cast<float>(value), kAlways);
}

bool nearer(const SearchWorker::Exact& a, const SearchWorker::Exact& b) {
  return a.squared != b.squared ? a.squared < b.squared : a.row < b.row;
}

// Whether a row of either side may be a neighbour of one of the other.
struct Limits {
  const float* low_a;
  const float* limit_a;
  const float* low_b;
  const float* limit_b;

  S::Index near(const float* dots, int i, int j) const {
    const S::Vec for_a = S::load(limit_a + i) + S::fill(low_b[j]);
    const S::Vec for_b = S::load(low_a + i) + S::fill(limit_b[j]);
    return S::load(dots) >= (for_a < for_b ? for_a : for_b);
  }
  // kColumns rows of b from j on with a panel of a from i on.
  bool any_near(const float* dots, int i, int j) const {
    S::Index found{};
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
      for (int v = 0; v < kPanelRows; v += S::kLanes) {
        found |= near(dots + c * kPanelRows + v, i + v, j + c);
      }
    }
    typedef std::int64_t Words __attribute__((vector_size(32)));
    const auto words = reinterpret_cast<Words>(found);
    return (words[0] | words[1] | words[2] | words[3]) != 0;
  }
  void append(const float* dots, int i, int j, std::vector<SearchWorker::Survivor>& out) const {
    for (int c = 0; c < kColumns; ++c) {
      for (int v = 0; v < kPanelRows; v += S::kLanes) {
        const float* from = dots + c * kPanelRows + v;
        const S::Index found = near(from, i + v, j + c);
        for (int lane = 0; lane < S::kLanes; ++lane) {
          if (found[lane] != 0) out.push_back({i + v + lane, j + c, from[lane]});
        }
      }
    }
  }
};

// Leaves in w.survivors the pairs of two groups that the limits let through.
void screen_groups(const Screen& queries, std::int64_t a, const Screen& rows, std::int64_t b,
                   SearchWorker& w) {
  const Limits limits{&queries.low(0, queries.first(a)), w.limit_a, &rows.low(0, rows.first(b)),
                      w.limit_b};
  const std::int64_t d = queries.n_features();
  const Group& group_a = queries.groups[index(a)];
  const Group& group_b = rows.groups[index(b)];
  w.survivors.clear();
  for (std::int64_t begin = 0; begin < d; begin += kDepth) {
    const std::int64_t count = std::min(kDepth, d - begin);
    const bool last = begin + count == d;
    float* dots = w.dots.data();
    for (int pa = 0; pa < group_a.n_panels; ++pa) {
      const float* x = queries.panel(group_a.first_panel + pa) + begin * kPanelRows;
      for (int pb = 0; pb < group_b.n_panels; ++pb) {
        const float* y = rows.panel(group_b.first_panel + pb) + begin * kPanelRows;
        for (int c = 0; c < kPanelRows; c += kColumns) {
          add_products(x, y + c, count, begin > 0, dots);
          const int i = pa * kPanelRows, j = pb * kPanelRows + c;
          if (last && limits.any_near(dots, i, j)) limits.append(dots, i, j, w.survivors);
          // Sums that are not needed again stay in the first-level cache.
          if (d > kDepth) dots += kColumns * kPanelRows;
        }
      }
    }
  }
}

}  // namespace

double group_separation(const Screen& queries, std::int64_t a, const Screen& rows, std::int64_t b) {
  const std::int64_t d = queries.n_features();
  const float* low_a = &queries.box(a, 0);
  const float* low_b = &rows.box(b, 0);
  double sum = 0.0;
  for (std::int64_t j = 0; j < d; ++j) {
    const float from = std::max(low_a[j], low_b[j]);
    const float to = std::min(low_a[d + j], low_b[d + j]);
    const double gap = std::max(0.0, static_cast<double>(from) - static_cast<double>(to));
    sum += gap * gap;
  }
  return 0.5 * sum * queries.scale * queries.scale / wide(d);
}

SearchWorker::SearchWorker(std::int64_t n_features, std::int64_t capacity)
    : dots(n_features > kDepth ? kGroupRows : kColumns, kGroupRows) {
  survivors.reserve(kGroupRows * kGroupRows);
  upper.reserve(index(capacity));
  exact.reserve(index(capacity));
}

std::int64_t SearchWorker::bytes(std::int64_t n_features, std::int64_t capacity) {
  const std::int64_t sums = n_features > kDepth ? kGroupRows : kColumns;
  return sums * kGroupRows * static_cast<std::int64_t>(sizeof(float)) +
         kGroupRows * kGroupRows * static_cast<std::int64_t>(sizeof(Survivor)) +
         checked_product(capacity, sizeof(double) + sizeof(Exact)) +
         static_cast<std::int64_t>(sizeof(SearchWorker));
}

Candidates::Candidates(const Screen& queries, const Screen& rows, std::span<const std::int32_t> own,
                       std::int64_t k)
    : queries_(queries),
      rows_(rows),
      own_(own),
      k_(k),
      capacity_(capacity(k)),
      dots_(static_cast<std::int64_t>(queries.order.size()), capacity_),
      positions_(dots_.rows(), capacity_),
      counts_(1, dots_.rows()),
      limits_(1, dots_.rows()),
      reaches_(1, dots_.rows()),
      worst_(1, dots_.rows()),
      states_(std::make_unique<GroupState[]>(queries.groups.size())) {
  std::fill_n(worst_.data(), worst_.size(), std::numeric_limits<std::int32_t>::max());
  for (std::int64_t p = 0; p < dots_.rows(); ++p) {
    const bool real = queries.order[index(p)] >= 0;
    limits_(0, p) = real ? kAlways : kNever;
    reaches_(0, p) = real ? kFar : 0.0;
    if (!real) worst_(0, p) = -1;
  }
  for (std::int64_t g = 0; g < queries.n_groups(); ++g) {
    states_[index(g)].reach = kFar;
    states_[index(g)].worst_row = std::numeric_limits<std::int32_t>::max();
  }
}

// As many more: lists are cut back to the nearest k when they are full, and what the bounds leave
// in doubt then should fit.
std::int64_t Candidates::capacity(std::int64_t k) { return k + std::max<std::int64_t>(k, 32); }

std::int64_t Candidates::bytes(std::int64_t n_positions, std::int64_t n_groups, std::int64_t k) {
  constexpr std::int64_t kNumber = sizeof(float);
  return checked_product(n_positions, 2 * kNumber * capacity(k) + 5 * kNumber) +
         checked_product(n_groups, sizeof(GroupState));
}

std::int32_t Candidates::own_row(std::int64_t query) const {
  const std::int32_t number = queries_.order[index(query)];
  if (&queries_ == &rows_) return number;
  return own_.empty() || number < 0 ? -1 : own_[index(number)];
}

// False when no row at that distance, numbered from `least_row` on, is a neighbour of the group.
bool Candidates::take_limits(std::int64_t group, double apart, std::int32_t least_row,
                             float* limits) {
  GroupState& state = states_[index(group)];
  const std::lock_guard lock(state.mutex);
  if (apart > state.reach || (state.reach == 0.0 && least_row > state.worst_row)) {
    std::fill_n(limits, kGroupRows, kNever);
    return false;
  }
  std::copy_n(&limits_(0, queries_.first(group)), queries_.size(group), limits);
  return true;
}

void Candidates::join(std::int64_t a, std::int64_t b, SearchWorker& w) {
  const double apart = group_separation(queries_, a, rows_, b);
  const bool mutual = &queries_ == &rows_ && a != b;  // a group with itself has every pair twice
  const bool for_a = take_limits(a, apart, rows_.groups[index(b)].least_row, w.limit_a);
  bool for_b = false;
  if (mutual) {
    for_b = take_limits(b, apart, queries_.groups[index(a)].least_row, w.limit_b);
  } else {
    std::fill_n(w.limit_b, kGroupRows, kNever);
  }
  if (!for_a && !for_b) return;
  screen_groups(queries_, a, rows_, b, w);
  if (for_a) offer(a, b, false, w);
  if (for_b) offer(b, a, true, w);
}

void Candidates::offer(std::int64_t a, std::int64_t b, bool swapped, SearchWorker& w) {
  const std::int64_t first_a = queries_.first(a), first_b = rows_.first(b);
  GroupState& state = states_[index(a)];
  const std::lock_guard lock(state.mutex);
  for (const SearchWorker::Survivor& pair : w.survivors) {
    const std::int64_t query = first_a + (swapped ? pair.j : pair.i);
    const std::int64_t position = first_b + (swapped ? pair.i : pair.j);
    if (pair.dot < limits_(0, query) + rows_.low(0, position)) continue;
    const std::int32_t row = rows_.order[index(position)];
    if (row == own_row(query)) continue;
    if (reaches_(0, query) == 0.0 && row > worst_(0, query)) continue;  // k equal ones are before
    std::int32_t& count = counts_(0, query);
    dots_(query, count) = pair.dot;
    positions_(query, count) = static_cast<std::int32_t>(position);
    if (++count == capacity_) shrink(query, w);
  }
  double reach = 0.0;
  std::int32_t worst = -1;
  for (std::int64_t query = first_a; query < first_a + queries_.size(a); ++query) {
    if (reaches_(0, query) == kFar && counts_(0, query) >= k_) shrink(query, w);
    reach = std::max(reach, reaches_(0, query));
    worst = std::max(worst, worst_(0, query));
  }
  state.reach = reach;
  state.worst_row = worst;
}

// Leaves out what is farther than k others by the bounds, and when that is not enough measures.
void Candidates::shrink(std::int64_t query, SearchWorker& w) {
  std::int32_t& count = counts_(0, query);
  if (count < k_) return;
  const double high = static_cast<double>(queries_.high(0, query));
  const double low = static_cast<double>(queries_.low(0, query));
  float* dots = &dots_(query, 0);
  std::int32_t* positions = &positions_(query, 0);
  w.upper.clear();
  for (std::int32_t m = 0; m < count; ++m) {
    w.upper.push_back(high + static_cast<double>(rows_.high(0, positions[m])) -
                      static_cast<double>(dots[m]));
  }
  std::nth_element(w.upper.begin(), w.upper.begin() + (k_ - 1), w.upper.end());
  double& reach = reaches_(0, query);
  reach = std::min(reach, std::max(0.0, w.upper[index(k_ - 1)]) * wide(queries_.n_features()));
  std::int32_t kept = 0;
  for (std::int32_t m = 0; m < count; ++m) {
    const double least =
        low + static_cast<double>(rows_.low(0, positions[m])) - static_cast<double>(dots[m]);
    if (least > reach) continue;
    dots[kept] = dots[m];
    positions[kept++] = positions[m];
  }
  count = kept;
  if (kept > capacity_ - (capacity_ - k_) / 4) settle(query, w);
  limits_(0, query) = below(low - reach);
}

// The true distances of all candidates of a query, the nearest k first, in w.exact.
void Candidates::measure(std::int64_t query, SearchWorker& w) const {
  const float* x = queries_.rows.row(queries_.order[index(query)]);
  const std::int64_t d = rows_.n_features();
  const std::int32_t count = counts_(0, query);
  const auto row_of = [&](std::int32_t m) { return rows_.order[index(positions_(query, m))]; };
  w.exact.clear();
  for (std::int32_t m = 0; m < count; ++m) {
    if (m + 1 < count) {
      // Rows lie anywhere: the next one is on its way while this one is measured.
      constexpr std::int64_t kLine = 64 / sizeof(float);
      const float* next = rows_.rows.row(row_of(m + 1));
      for (std::int64_t j = 0; j < d; j += kLine) __builtin_prefetch(next + j);
    }
    const std::int32_t row = row_of(m);
    w.exact.push_back({cpu_distance::squared_distance(x, rows_.rows.row(row), d), row, m});
  }
  std::nth_element(w.exact.begin(), w.exact.begin() + (k_ - 1), w.exact.end(), nearer);
}

// Keeps the k nearest, truly.
void Candidates::settle(std::int64_t query, SearchWorker& w) {
  measure(query, w);
  w.exact.resize(index(k_));
  const SearchWorker::Exact kth = w.exact.back();
  const auto by_slot = [](const auto& a, const auto& b) { return a.slot < b.slot; };
  std::sort(w.exact.begin(), w.exact.end(), by_slot);
  for (std::size_t m = 0; m < w.exact.size(); ++m) {
    const auto to = static_cast<std::int64_t>(m);
    dots_(query, to) = dots_(query, w.exact[m].slot);
    positions_(query, to) = positions_(query, w.exact[m].slot);
  }
  counts_(0, query) = static_cast<std::int32_t>(k_);
  const double half = 0.5 * kth.squared * queries_.scale * queries_.scale;
  reaches_(0, query) = std::min(reaches_(0, query), half * wide(queries_.n_features()));
  if (kth.squared == 0.0) worst_(0, query) = kth.row;
}

void Candidates::finish(std::int64_t a, SearchWorker& w, MatrixView<std::int32_t> indices,
                        MatrixView<double> squared_distances) {
  for (std::int64_t p = queries_.first(a); p < queries_.first(a) + queries_.size(a); ++p) {
    const std::int32_t query = queries_.order[index(p)];
    if (query < 0) continue;
    shrink(p, w);
    measure(p, w);
    std::sort(w.exact.begin(), w.exact.begin() + k_, nearer);
    for (std::int64_t m = 0; m < k_; ++m) {
      indices(query, m) = w.exact[index(m)].row;
      squared_distances(query, m) = w.exact[index(m)].squared;
    }
  }
}

}  // namespace culatent::neighbors
