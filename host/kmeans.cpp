#include "host/kmeans.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "host/random.hpp"

namespace culatent::kmeans {
namespace {

constexpr std::int64_t kSeedBlock = 1024;  // rows whose distances are summed together

template <class T>
double squared_distance(const T* a, const T* b, std::span<const T> metric) {
  T sum{};
  for (std::size_t j = 0; j < metric.size(); ++j) {
    const T delta = (a[j] - b[j]) * metric[j];
    sum += delta * delta;
  }
  return static_cast<double>(sum);
}

// The first index whose running sum of shares passes `target`; the last one with a share otherwise.
std::int64_t pick(const std::vector<double>& share, double target) {
  double running = 0.0;
  std::int64_t last = 0;
  for (std::size_t i = 0; i < share.size(); ++i) {
    if (share[i] <= 0.0) continue;
    running += share[i];
    last = static_cast<std::int64_t>(i);
    if (running > target) break;
  }
  return last;
}

double total(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return sum;
}

// least[i] = min(current[i], distance of row i to row `candidate`), for all rows.
template <class T>
void distances_with(const CpuBackend& backend, const RowSample<T>& sample,
                    std::span<const T> metric, std::int64_t candidate,
                    const std::vector<double>& current, std::vector<double>& least) {
  const std::int64_t n = sample.rows.rows();
  const std::int64_t d = sample.rows.cols();
  backend.threads.parallel_for(
      (n + kSeedBlock - 1) / kSeedBlock, backend.n_workers, [&](std::int64_t block, int) {
        const std::int64_t end = std::min(n, (block + 1) * kSeedBlock);
        for (std::int64_t i = block * kSeedBlock; i < end; ++i) {
          const auto index = static_cast<std::size_t>(i);
          least[index] = std::min(current[index],
                                  squared_distance(sample.rows.data() + i * d,
                                                   sample.rows.data() + candidate * d, metric));
        }
      });
}

}  // namespace

template <class T>
void copy_to_frame(MatrixView<const T> source, std::int64_t i, const Frame& frame, Matrix<T>& out,
                   std::int64_t row) {
  for (std::int64_t j = 0; j < source.cols; ++j) {
    const auto c = static_cast<std::size_t>(j);
    const T scale = static_cast<T>(frame.scale[c]);
    const T value = source(i, j) * scale - static_cast<T>(frame.centre[c]) * scale;
    out(row, j) = std::isnan(value) ? T{0} : value;
  }
}

// Ascending: one of each of `count` equal stretches of the rows that count.
std::vector<std::int64_t> choose_rows(std::span<const double> weights, std::int64_t n_rows,
                                      std::uint64_t seed, std::int64_t count) {
  const std::int64_t n = counting_rows(weights, n_rows);
  count = std::min(count, n);
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(count));
  std::int64_t row = 0, rank = 0;  // the rows before `row` have the ranks below `rank`
  for (std::int64_t i = 0; i < count; ++i) {
    // Stretch i is [i n / count, (i + 1) n / count), in 128 bits because i n may pass 2^63.
    const auto first = static_cast<std::int64_t>(static_cast<__int128>(i) * n / count);
    const auto end = static_cast<std::int64_t>(static_cast<__int128>(i + 1) * n / count);
    const double u =
        random::uniform(seed, random::Stream::seed_rows, static_cast<std::uint64_t>(i), 0);
    const std::int64_t wanted =
        std::min(end - 1, first + static_cast<std::int64_t>(u * static_cast<double>(end - first)));
    if (n == n_rows) {
      chosen[static_cast<std::size_t>(i)] = wanted;
      continue;
    }
    while (rank <= wanted) rank += weights[static_cast<std::size_t>(row++)] > 0.0 ? 1 : 0;
    chosen[static_cast<std::size_t>(i)] = row - 1;
  }
  return chosen;
}

std::int64_t seeding_rows(std::int64_t n_rows, std::int64_t n_clusters, std::int64_t n_features) {
  constexpr std::int64_t kBytes = std::int64_t{64} << 20;
  const std::int64_t affordable = std::max<std::int64_t>(kBytes / (8 * n_features), 1024);
  const std::int64_t wanted =
      std::clamp<std::int64_t>(256 * n_clusters, std::int64_t{1} << 13, std::int64_t{1} << 16);
  return std::min(n_rows, std::max(std::min(wanted, affordable), n_clusters));
}

std::int64_t counting_rows(std::span<const double> weights, std::int64_t n_rows) {
  if (weights.empty()) return n_rows;
  return std::count_if(weights.begin(), weights.end(), [](double w) { return w > 0.0; });
}

template <class T>
RowSample<T> sample_rows(const CpuBackend& backend, const FitRows<T>& rows, const Frame& frame,
                         std::uint64_t seed, std::int64_t count) {
  const std::int64_t n = rows.source.rows();
  const std::int64_t d = rows.source.cols();
  const std::vector<std::int64_t> chosen = choose_rows(rows.weights, n, seed, count);
  count = static_cast<std::int64_t>(chosen.size());
  RowSample<T> sample{Matrix<T>(count, d), std::vector<double>(static_cast<std::size_t>(count))};
  std::vector<Matrix<T>> buffers;
  for (int worker = 0; worker < backend.n_workers; ++worker) {
    buffers.emplace_back(rows.source.in_place() ? 0 : kBlockRows, d);
  }
  const RowChunk<T> all{rows.source, 0, n, rows.weights, rows.weight_scale};
  const std::int64_t n_blocks = (n + kBlockRows - 1) / kBlockRows;
  backend.threads.parallel_for(n_blocks, backend.n_workers, [&](std::int64_t block, int worker) {
    const std::int64_t first = block * kBlockRows;
    const std::int64_t end = std::min(n, first + kBlockRows);
    auto next = std::lower_bound(chosen.begin(), chosen.end(), first);
    if (next == chosen.end() || *next >= end) return;
    MatrixView<T> buffer = buffers[static_cast<std::size_t>(worker)].view();
    buffer.rows = end - first;
    const MatrixView<const T> view = rows.source.read(first, buffer);
    for (; next != chosen.end() && *next < end; ++next) {
      const std::int64_t row = next - chosen.begin();
      copy_to_frame(view, *next - first, frame, sample.rows, row);
      sample.weights[static_cast<std::size_t>(row)] = all.weight(*next);
    }
  });
  return sample;
}

template <class T>
Matrix<T> choose_seeds(const CpuBackend& backend, const RowSample<T>& sample,
                       std::span<const T> metric, std::uint64_t seed, std::int64_t n_clusters) {
  const std::int64_t n = sample.rows.rows();
  const std::int64_t d = sample.rows.cols();
  const int n_trials = 2 + static_cast<int>(std::log(static_cast<double>(n_clusters)));
  const auto size = static_cast<std::size_t>(n);
  std::vector<double> least(size, std::numeric_limits<double>::infinity());
  std::vector<double> share = sample.weights;
  std::vector<double> trial(size), best(size), best_share(size), trial_share(size);
  Matrix<T> seeds(n_clusters, d);
  for (std::int64_t k = 0; k < n_clusters; ++k) {
    double potential = total(share);
    if (potential <= 0.0) {  // every row lies on a centre already
      share = sample.weights;
      potential = total(share);
    }
    double best_potential = std::numeric_limits<double>::infinity();
    std::int64_t chosen = 0;
    for (int t = 0; t < (k == 0 ? 1 : n_trials); ++t) {
      const double u =
          random::uniform(seed, random::Stream::seed_choice, static_cast<std::uint64_t>(k),
                          static_cast<std::uint32_t>(t));
      const std::int64_t candidate = pick(share, u * potential);
      distances_with(backend, sample, metric, candidate, least, trial);
      for (std::size_t i = 0; i < size; ++i) trial_share[i] = sample.weights[i] * trial[i];
      const double reached = total(trial_share);
      if (reached < best_potential) {
        best_potential = reached;
        chosen = candidate;
        best.swap(trial);
        best_share.swap(trial_share);
      }
    }
    least = best;
    share = best_share;
    std::copy_n(sample.rows.data() + chosen * d, d, seeds.data() + k * d);
  }
  return seeds;
}

template <class T>
LloydRows<T> cpu_lloyd_rows(const Context& context, const CpuBackend& backend,
                            const FitRows<T>& rows, const Frame& frame, std::span<const T> metric,
                            std::int64_t n_clusters) {
  const std::int64_t d = rows.source.cols();
  struct State {
    std::vector<CpuScratch<T>> workspace;
    ExactSums sums;
  };
  const auto state = std::make_shared<State>(State{{}, ExactSums(Layout(n_clusters, d).size)});
  for (int worker = 0; worker < backend.n_workers; ++worker) {
    state->workspace.emplace_back(n_clusters, d, rows.source.in_place());
  }
  LloydRows<T> result;
  result.assign = [=, &context, &rows, &frame](const Matrix<T>& centroids, std::span<double> sums,
                                               Farthest& farthest) {
    row_pass(context, Communicator(), rows, state->sums, [&](const RowChunk<T>& chunk) {
      assign(backend, state->workspace, chunk, frame, metric, centroids, state->sums, farthest);
    });
    state->sums.round(sums);
  };
  result.fetch = [&rows, &frame](std::int64_t row, Matrix<T>& centroids, std::int64_t k) {
    Matrix<T> buffer(1, centroids.cols());
    copy_to_frame(rows.source.read(row, buffer.view()), 0, frame, centroids, k);
  };
  return result;
}

template <class T>
LloydResult lloyd(const LloydRows<T>& rows, const LloydOptions& options, Matrix<T>& centroids,
                  const std::function<bool(double)>& proceed) {
  const std::int64_t n_clusters = centroids.rows();
  const std::int64_t d = centroids.cols();
  const Layout layout(n_clusters, d);
  std::vector<double> sums(static_cast<std::size_t>(layout.size));
  const auto value = [&](std::int64_t i) { return sums[static_cast<std::size_t>(i)]; };
  LloydResult result;
  double last = std::numeric_limits<double>::infinity();
  while (result.n_iter < options.max_iter) {
    Farthest farthest;
    rows.assign(centroids, sums, farthest);
    ++result.n_iter;
    bool relocated = false;
    for (std::int64_t k = 0; k < n_clusters; ++k) {
      const double count = value(Layout::counts + k);
      if (count > 0.0) {
        for (std::int64_t j = 0; j < d; ++j) {
          centroids(k, j) = static_cast<T>(value(layout.sums + k * d + j) / count);
        }
      } else if (!relocated && farthest.distance > 0.0) {
        // One a pass: the next farthest row is known only after this one has its own centroid.
        rows.fetch(farthest.row, centroids, k);
        relocated = true;
        ++result.n_relocated;
      }
    }
    result.inertia = value(Layout::kInertia);
    const bool settled = last - result.inertia <= options.tol * result.inertia;
    last = result.inertia;
    if (!proceed(result.inertia) || (settled && !relocated)) break;
  }
  return result;
}

#define CULATENT_INSTANTIATE(T)                                                               \
  template void copy_to_frame(MatrixView<const T>, std::int64_t, const Frame&, Matrix<T>&,    \
                              std::int64_t);                                                  \
  template RowSample<T> sample_rows(const CpuBackend&, const FitRows<T>&, const Frame&,       \
                                    std::uint64_t, std::int64_t);                             \
  template Matrix<T> choose_seeds(const CpuBackend&, const RowSample<T>&, std::span<const T>, \
                                  std::uint64_t, std::int64_t);                               \
  template LloydRows<T> cpu_lloyd_rows(const Context&, const CpuBackend&, const FitRows<T>&,  \
                                       const Frame&, std::span<const T>, std::int64_t);       \
  template LloydResult lloyd(const LloydRows<T>&, const LloydOptions&, Matrix<T>&,            \
                             const std::function<bool(double)>&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
