#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>

#include "culatent/clustering_quality.hpp"
#include "culatent/error.hpp"
#include "culatent/matrix.hpp"
#include "host/clustering_quality.hpp"
#include "kernels/clustering_quality.hpp"

namespace culatent::clustering_quality {
namespace {

// Numbers of pairs reach n².
using Pairs = __int128;

Pairs square(std::int64_t count) { return static_cast<Pairs>(count) * count; }

// sum (count / n) log(n / count)
long double entropy(const std::vector<std::int64_t>& counts, std::int64_t n) {
  long double sum = 0.0L;
  for (const std::int64_t count : counts) {
    const auto c = static_cast<long double>(count);
    sum += c * std::log(static_cast<long double>(n) / c);
  }
  return sum / static_cast<long double>(n);
}

}  // namespace

Contingency Contingency::of(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  if (a.size() != b.size()) {
    throw data_error(std::to_string(a.size()) + " labels against " + std::to_string(b.size()),
                     "labels", "give two labels for every row");
  }
  if (a.empty()) throw data_error("there are no labels", "labels", "give at least one row");
  const ClusterIds ids_a(a), ids_b(b);
  checked_product(ids_a.n_clusters(), ids_b.n_clusters());  // the keys below
  Contingency table{
      .n = static_cast<std::int64_t>(a.size()), .a = ids_a.counts(), .b = ids_b.counts()};
  std::unordered_map<std::int64_t, std::size_t> where;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::int64_t row = ids_a(a[i]), column = ids_b(b[i]);
    const auto [entry, is_new] =
        where.try_emplace(row * ids_b.n_clusters() + column, table.cells.size());
    if (is_new) table.cells.push_back({row, column, 0});
    ++table.cells[entry->second].count;
  }
  return table;
}

double adjusted_rand(const Contingency& table) {
  // Ordered pairs of different rows by whether a and b put them together.
  Pairs together_a = -table.n, together_b = -table.n, together = -table.n;
  for (const std::int64_t count : table.a) together_a += square(count);
  for (const std::int64_t count : table.b) together_b += square(count);
  for (const Contingency::Cell& cell : table.cells) together += square(cell.count);
  if (together_a == together && together_b == together) return 1.0;
  const auto both = static_cast<long double>(together);
  const auto only_a = static_cast<long double>(together_a - together);
  const auto only_b = static_cast<long double>(together_b - together);
  const auto neither =
      static_cast<long double>(square(table.n) - table.n - together_a - together_b + together);
  // The index over its maximum, both less what chance gives, in pairs (Steinley 2004).
  return static_cast<double>(
      2.0L * (both * neither - only_a * only_b) /
      ((both + only_a) * (only_a + neither) + (both + only_b) * (only_b + neither)));
}

double normalized_mutual_information(const Contingency& table) {
  if (table.a.size() == 1 && table.b.size() == 1) return 1.0;
  const auto n = static_cast<long double>(table.n);
  long double information = 0.0L;
  for (const Contingency::Cell& cell : table.cells) {
    const auto count = static_cast<long double>(cell.count);
    const long double expected =
        static_cast<long double>(table.a[static_cast<std::size_t>(cell.a)]) *
        static_cast<long double>(table.b[static_cast<std::size_t>(cell.b)]);
    information += count * std::log(n * count / expected);
  }
  information /= n;
  const long double mean = (entropy(table.a, table.n) + entropy(table.b, table.n)) / 2.0L;
  return static_cast<double>(std::clamp(information / mean, 0.0L, 1.0L));
}

double adjusted_rand(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  return adjusted_rand(Contingency::of(a, b));
}

double normalized_mutual_information(std::span<const std::int64_t> a,
                                     std::span<const std::int64_t> b) {
  return normalized_mutual_information(Contingency::of(a, b));
}

}  // namespace culatent::clustering_quality
