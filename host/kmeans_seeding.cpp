#include "host/kmeans_seeding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "host/kmeans.hpp"
#include "host/random.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/kmeans_cuda.hpp"
#endif

namespace culatent::kmeans {
namespace {

constexpr int kRounds = 5;  // of k-means||

// Of greedy k-means++ for a seed.
int n_trials(std::int64_t n_clusters) {
  return 2 + static_cast<int>(std::log(static_cast<double>(n_clusters)));
}

double total(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Rows drawn in proportion to what they are from the centroids chosen so far.
template <class T, class Engine>
class Distances {
 public:
  Distances(Engine& engine, std::int64_t n_rows) : engine_(engine), n_rows_(n_rows) {
    engine_.begin_seeding();
  }
  ~Distances() { engine_.end_seeding(); }
  Distances(const Distances&) = delete;
  Distances& operator=(const Distances&) = delete;

  // Returns the potential: the sum of all shares.
  double lower(const Matrix<T>& candidates) {
    potentials_ = engine_.lower(candidates);
    return total(potentials_);
  }

  // The row where the running sum of shares passes `target`; otherwise the last one with a share.
  std::int64_t row_at(double target) const {
    std::int64_t last = -1;
    double running = 0.0;
    for (std::size_t block = 0; block < potentials_.size(); ++block) {
      if (potentials_[block] <= 0.0) continue;
      last = static_cast<std::int64_t>(block);
      if (running + potentials_[block] > target) return row_in(last, target - running);
      running += potentials_[block];
    }
    return row_in(last, std::numeric_limits<double>::infinity());
  }

 private:
  std::int64_t row_in(std::int64_t block, double target) const {
    const std::int64_t first = block * kBlockRows;
    const std::vector<double> shares = engine_.shares(first, std::min(kBlockRows, n_rows_ - first));
    std::int64_t last = first;
    double running = 0.0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      if (shares[i] <= 0.0) continue;
      running += shares[i];
      last = first + static_cast<std::int64_t>(i);
      if (running > target) break;
    }
    return last;
  }

  Engine& engine_;
  const std::int64_t n_rows_;
  std::vector<double> potentials_;
};

// One row of each of K equal stretches, in order.
template <class T>
std::vector<std::int64_t> random_rows(const FitRows<T>& rows, std::uint64_t seed, std::int64_t k) {
  return choose_rows(rows.weights, rows.source.rows(), seed, k);
}

// One row, in proportion to its weight.
template <class T>
std::vector<std::int64_t> first_row(const FitRows<T>& rows, std::uint64_t seed) {
  if (rows.weights.empty()) return random_rows(rows, seed, 1);
  const double target =
      random::uniform(seed, random::Stream::seed_rows, 0, 0) * total(rows.weights);
  double running = 0.0;
  std::int64_t last = 0;
  for (std::size_t i = 0; i < rows.weights.size() && running <= target; ++i) {
    if (rows.weights[i] > 0.0) last = static_cast<std::int64_t>(i);
    running += rows.weights[i];
  }
  return {last};
}

template <class T, class Engine>
Matrix<T> seed_greedily(Engine& engine, const FitRows<T>& rows, std::uint64_t seed, std::int64_t k,
                        const std::function<bool(double)>& proceed) {
  using random::Stream;
  Distances<T, Engine> distances(engine, rows.source.rows());
  Matrix<T> centroids(k, rows.source.cols());
  std::vector<std::int64_t> chosen = first_row(rows, seed);
  for (std::int64_t c = 0; c < k; ++c) {
    const Matrix<T> centroid = engine.fetch(chosen);
    std::copy_n(centroid.data(), centroid.size(), centroids.data() + c * centroids.cols());
    if (c + 1 == k) break;
    const double potential = distances.lower(centroid);
    if (potential <= 0.0 || !proceed(potential)) {  // all rows are taken, or nobody will use it
      const Matrix<T> others = engine.fetch(random_rows(rows, seed, k));
      std::copy(others.data() + (c + 1) * others.cols(), others.data() + others.size(),
                centroids.data() + (c + 1) * centroids.cols());
      break;
    }
    std::vector<std::int64_t> trials;
    for (int t = 0; t < n_trials(k); ++t) {
      const double u = random::uniform(seed, Stream::seed_choice, static_cast<std::uint64_t>(c + 1),
                                       static_cast<std::uint32_t>(t));
      trials.push_back(distances.row_at(u * potential));
    }
    const std::vector<double> left = engine.try_out(engine.fetch(trials));
    const auto best = std::min_element(left.begin(), left.end()) - left.begin();
    chosen = {trials[static_cast<std::size_t>(best)]};
  }
  return centroids;
}

// k-means++ of rows that are in the coordinates already.
template <class T>
Matrix<T> seed_among(const Context& context, const Matrix<T>& candidates,
                     const std::vector<double>& weights, const CpuBackend& host, std::uint64_t seed,
                     std::int64_t k) {
  const auto d = static_cast<std::size_t>(candidates.cols());
  Coordinates as_they_are;
  as_they_are.frame = {std::vector<double>(d, 0.0), std::vector<double>(d, 1.0)};
  as_they_are.reach.assign(d, 1.0);
  const FixedPoint fixed = fixed_point<T>(as_they_are, candidates.rows(), true);
  const MatrixRows<T> source(candidates.view());
  const FitRows<T> rows{source, weights};
  // Its labels are not asked for: as with mini-batches, there are none.
  const Options options{.n_clusters = static_cast<int>(k), .mini_batch = 1};
  Plan plan;
  plan.n_workers = host.n_workers;
  CpuEngine<T> engine(context, plan, rows, as_they_are, fixed, options);
  return seed_greedily(engine, rows, seed, k, [](double) { return true; });
}

// Every row by itself, with the chance factor · share.
template <class Engine>
std::vector<std::int64_t> draw_round(const Engine& engine, const CpuBackend& host,
                                     std::int64_t n_rows, std::uint64_t seed, int round,
                                     double factor) {
  constexpr std::int64_t kStep = 64 * kBlockRows;
  std::vector<std::int64_t> drawn;
  std::vector<std::vector<std::int64_t>> of_blocks(static_cast<std::size_t>(kStep / kBlockRows));
  for (std::int64_t first = 0; first < n_rows; first += kStep) {
    const std::int64_t count = std::min(kStep, n_rows - first);
    const std::vector<double> shares = engine.shares(first, count);
    const std::int64_t n_blocks = (count + kBlockRows - 1) / kBlockRows;
    host.threads.parallel_for(n_blocks, host.n_workers, [&](std::int64_t block, int) {
      std::vector<std::int64_t>& chosen = of_blocks[static_cast<std::size_t>(block)];
      chosen.clear();
      const std::int64_t end = std::min(count, (block + 1) * kBlockRows);
      for (std::int64_t i = block * kBlockRows; i < end; ++i) {
        const double chance = factor * shares[static_cast<std::size_t>(i)];
        if (chance > 0.0 &&
            random::uniform(seed, random::Stream::seed_round, static_cast<std::uint64_t>(first + i),
                            static_cast<std::uint32_t>(round)) < chance) {
          chosen.push_back(first + i);
        }
      }
    });
    for (std::int64_t block = 0; block < n_blocks; ++block) {
      const auto& chosen = of_blocks[static_cast<std::size_t>(block)];
      drawn.insert(drawn.end(), chosen.begin(), chosen.end());
    }
  }
  return drawn;
}

template <class T, class Engine>
Matrix<T> seed_in_parallel(Engine& engine, const Context& context, const FitRows<T>& rows,
                           const CpuBackend& host, std::uint64_t seed, std::int64_t k,
                           const std::function<bool(double)>& proceed) {
  const std::int64_t n = rows.source.rows();
  Distances<T, Engine> distances(engine, n);
  std::vector<std::int64_t> candidates = first_row(rows, seed);
  std::vector<std::int64_t> fresh = candidates;
  for (int round = 0; round < kRounds; ++round) {
    const double potential = distances.lower(engine.fetch(fresh));
    if (potential <= 0.0 || !proceed(potential)) break;
    const double factor = 2.0 * static_cast<double>(k) / potential;
    fresh = draw_round(engine, host, n, seed, round, factor);
    candidates.insert(candidates.end(), fresh.begin(), fresh.end());
    if (fresh.empty()) break;
  }
  // Too few: any rows beside them, as k-means++ would take where nothing is left to gain.
  if (static_cast<std::int64_t>(candidates.size()) < k) {
    const std::unordered_set<std::int64_t> known(candidates.begin(), candidates.end());
    for (const std::int64_t row :
         random_rows(rows, seed, k + static_cast<std::int64_t>(known.size()))) {
      if (static_cast<std::int64_t>(candidates.size()) == k) break;
      if (!known.contains(row)) candidates.push_back(row);
    }
  }
  const Matrix<T> placed = engine.fetch(candidates);
  return seed_among(context, placed, engine.weights_near(placed), host, seed, k);
}

}  // namespace

template <class T, class Engine>
Matrix<T> choose_centroids(Engine& engine, const Context& context, const FitRows<T>& rows,
                           const Options& options, const CpuBackend& host, std::uint64_t seed,
                           const std::function<bool(double)>& proceed) {
  const std::int64_t k = options.n_clusters;
  switch (options.init) {
    case Init::kmeans_plus:
      return seed_greedily(engine, rows, seed, k, proceed);
    case Init::kmeans_parallel:
      return seed_in_parallel(engine, context, rows, host, seed, k, proceed);
    case Init::random:
      break;
  }
  return engine.fetch(random_rows(rows, seed, k));
}

std::int64_t seeding_candidates(const Options& options, std::int64_t n_rows) {
  if (options.start.rows() > 0 || options.init == Init::random) return 0;
  if (options.init == Init::kmeans_plus) return n_trials(options.n_clusters);
  return std::min(n_rows, std::int64_t{3} * kRounds * options.n_clusters);  // about 2 K a round
}

template <class T>
std::int64_t seeding_bytes(const Options& options, std::int64_t n_rows, std::int64_t n_features,
                           bool in_place, int n_workers, bool on_cpu) {
  const auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t candidates = seeding_candidates(options, n_rows);
  if (candidates == 0) return 0;
  const std::int64_t distances = (on_cpu ? size * n_rows : 0) + 8 * (n_rows / kBlockRows + 1);
  if (options.init == Init::kmeans_plus) return distances;
  // With their distances, and the engine that chooses among them.
  const std::int64_t chosen =
      checked_product(candidates, 2 * size * n_features + 8 * 8) +
      CpuAssignment<T>::bytes(options.n_clusters, n_features, true, n_workers, 2);
  if (!on_cpu) return distances + chosen;
  return distances + chosen + 4 * 64 * kBlockRows +
         CpuAssignment<T>::bytes(candidates, n_features, in_place, n_workers, 0);
}

#define CULATENT_INSTANTIATE(Engine, T)                                                 \
  template Matrix<T> choose_centroids(Engine<T>&, const Context&, const FitRows<T>&,    \
                                      const Options&, const CpuBackend&, std::uint64_t, \
                                      const std::function<bool(double)>&);
CULATENT_INSTANTIATE(CpuEngine, float)
CULATENT_INSTANTIATE(CpuEngine, double)
#ifdef CULATENT_HAS_CUDA
CULATENT_INSTANTIATE(CudaEngine, float)
CULATENT_INSTANTIATE(CudaEngine, double)
#endif
#undef CULATENT_INSTANTIATE
template std::int64_t seeding_bytes<float>(const Options&, std::int64_t, std::int64_t, bool, int,
                                           bool);
template std::int64_t seeding_bytes<double>(const Options&, std::int64_t, std::int64_t, bool, int,
                                            bool);

}  // namespace culatent::kmeans
