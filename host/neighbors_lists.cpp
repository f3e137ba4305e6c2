#include "host/neighbors_lists.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace culatent::neighbors {
namespace {

constexpr std::int64_t kListRows = 40;    // in a list, on average, at least
constexpr std::int64_t kSampleRows = 40;  // for each centroid that is fitted
constexpr int kUpdates = 10;              // lists need not be the best ones
constexpr double kWantedRecall = 0.95;
constexpr double kLowRecall = 0.9;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

double recall_of(const Neighbors& truth, const Matrix<std::int32_t>& found) {
  const std::int64_t k = truth.n_neighbors();
  std::int64_t count = 0;
  std::vector<std::int32_t> expected(index(k));
  for (std::int64_t i = 0; i < found.rows(); ++i) {
    std::copy_n(&truth.indices(i, 0), k, expected.begin());
    std::sort(expected.begin(), expected.end());
    for (std::int64_t m = 0; m < k; ++m) {
      count += std::binary_search(expected.begin(), expected.end(), found(i, m)) ? 1 : 0;
    }
  }
  return static_cast<double>(count) / static_cast<double>(found.size());
}

}  // namespace

ListSizes list_sizes(const Options& options, std::int64_t n_rows) {
  const double root = std::sqrt(static_cast<double>(n_rows));
  std::int64_t n_lists = options.n_lists;
  if (n_lists == 0) {
    n_lists = std::clamp<std::int64_t>(static_cast<std::int64_t>(4.0 * root), 1,
                                       std::max<std::int64_t>(1, n_rows / kListRows));
  }
  std::int64_t most_probes = options.n_probes;
  if (most_probes == 0) {
    most_probes = static_cast<std::int64_t>(2.0 * std::sqrt(static_cast<double>(n_lists))) + 1;
  }
  return {n_lists, std::min(most_probes, n_lists), std::min(n_rows, kSampleRows * n_lists)};
}

kmeans::Options list_options(const ListSizes& sizes, std::uint64_t seed) {
  return {.n_clusters = static_cast<int>(sizes.n_lists),
          .init = kmeans::Init::random,
          .max_iter = kUpdates,
          .tol = 1e-3,
          .seed = seed};
}

std::vector<std::int64_t> spread_rows(std::int64_t n_rows, std::int64_t count) {
  std::vector<std::int64_t> chosen(index(std::min(count, n_rows)));
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    chosen[i] = static_cast<std::int64_t>(i) * n_rows / static_cast<std::int64_t>(chosen.size());
  }
  return chosen;
}

Matrix<std::int32_t> order_lists(const Context& context, const kmeans::Model& model,
                                 std::int64_t most_probes) {
  const std::int64_t n_lists = model.n_clusters();
  Matrix<std::int32_t> probes(n_lists, most_probes);
  for (std::int64_t a = 0; a < n_lists; ++a) probes(a, 0) = static_cast<std::int32_t>(a);
  if (most_probes == 1) return probes;
  Matrix<float> centroids(n_lists, model.n_features());
  std::copy_n(model.centroids.data(), centroids.size(), centroids.data());
  const Neighbors near =
      search(context, centroids.view(), {.n_neighbors = static_cast<int>(most_probes - 1)});
  for (std::int64_t a = 0; a < n_lists; ++a) {
    std::copy_n(&near.indices(a, 0), most_probes - 1, &probes(a, 1));
  }
  return probes;
}

Probes::Probes(const Matrix<std::int32_t>& order, std::int64_t n_probes,
               std::span<const std::int64_t> sizes, std::int64_t wanted)
    : order_(order), counts_(index(order.rows()), n_probes) {
  for (std::int64_t a = 0; a < order.rows(); ++a) {
    std::int64_t n_rows = 0, p = 0;
    while (p < order.cols() && (p < n_probes || n_rows < wanted)) {
      n_rows += sizes[index(order(a, p++))];
    }
    counts_[index(a)] = n_rows < wanted ? order.rows() : p;
  }
}

std::int64_t Probes::list(std::int64_t a, std::int64_t p) const {
  if (p >= counts_[index(a)]) return -1;
  return all(a) ? p : order_(a, p);
}

bool Probes::all(std::int64_t a) const { return counts_[index(a)] > order_.cols(); }

bool Probes::has(std::int64_t a, std::int64_t b) const {
  if (all(a)) return true;
  const std::int32_t* first = &order_(a, 0);
  const std::int32_t* last = first + counts_[index(a)];
  return std::find(first, last, static_cast<std::int32_t>(b)) != last;
}

std::int64_t Probes::most() const { return *std::max_element(counts_.begin(), counts_.end()); }

std::int64_t choose_probes(const Matrix<std::int32_t>& order, bool both, const Neighbors& truth,
                           std::span<const std::int32_t> query_lists,
                           std::span<const std::int32_t> row_lists) {
  std::vector<std::int64_t> found(index(order.cols() + 1));  // by the probe that finds them
  const auto rank = [&](std::int32_t a, std::int32_t b) {
    const std::int32_t* first = &order(a, 0);
    return std::find(first, first + order.cols(), b) - first;
  };
  for (std::int64_t i = 0; i < truth.indices.rows(); ++i) {
    const std::int32_t a = query_lists[index(i)];
    for (std::int64_t m = 0; m < truth.n_neighbors(); ++m) {
      const std::int32_t b = row_lists[index(truth.indices(i, m))];
      ++found[index(both ? std::min(rank(a, b), rank(b, a)) : rank(a, b))];
    }
  }
  const double wanted = kWantedRecall * static_cast<double>(truth.indices.size());
  std::int64_t n_probes = 0, sum = 0;
  while (n_probes < order.cols() && static_cast<double>(sum) < wanted) {
    sum += found[index(n_probes++)];
  }
  return n_probes;
}

void take_recall(const Neighbors& truth, const Matrix<std::int32_t>& found, Neighbors& result) {
  result.recall = recall_of(truth, found);
  if (result.recall >= kLowRecall) return;
  char text[160];
  std::snprintf(text, sizeof(text),
                "%.1f %% of the neighbours of a sample were found: use more probes (n_probes), or "
                "the method exact",
                100.0 * result.recall);
  result.warnings.push_back({"low_recall", text});
}

}  // namespace culatent::neighbors
