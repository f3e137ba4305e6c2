#include "kernels/bernoulli_mixture.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "kernels/cpu/nearest.hpp"
#include "kernels/cpu/tile.hpp"

namespace culatent::bernoulli_mixture {
namespace {

using culatent::cpu::group_scores;
using culatent::cpu::kCentreGroup;
using culatent::cpu::kTileRows;
using culatent::cpu::kTileStride;
using culatent::cpu::Simd;

template <class T>
using Row = Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>>;

// Responsibilities below exp of this are zero: they would be subnormal.
template <class T>
constexpr T kLeastLog = sizeof(T) == sizeof(float) ? T{-87} : T{-708};

std::int64_t groups(std::int64_t n_components) {
  return (n_components + kCentreGroup - 1) / kCentreGroup;
}

// Values, and marks where the layout has them. False when a value lies outside [0, 1].
template <class T>
bool stage_rows(MatrixView<const T> rows, const Frame& plain, bool marks, CpuScratch<T>& w) {
  const std::int64_t d = rows.cols;
  culatent::cpu::stage(rows, plain, w.x.data());
  T low = T{0}, high = T{0};
  for (std::int64_t j = 0; j < d; ++j) {
    const Row<T> x(&w.x(j, 0), kTileRows);
    low = std::min(low, x.minCoeff());
    high = std::max(high, x.maxCoeff());
  }
  if (!marks) return low >= T{0} && high <= T{1};
  for (std::int64_t j = 0; j < d; ++j) {
    T* mark = &w.x(d + j, 0);
    for (std::int64_t i = 0; i < kTileRows; ++i) {
      mark[i] = i < rows.rows && !std::isnan(rows(i, j)) ? T{1} : T{0};
    }
  }
  return low >= T{0} && high <= T{1};
}

template <class T>
BadValue find_bad(MatrixView<const T> rows, std::int64_t first) {
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    for (std::int64_t j = 0; j < rows.cols; ++j) {
      const T value = rows(i, j);
      if (value < T{0} || value > T{1}) return {first + i, j, static_cast<double>(value)};
    }
  }
  return {};
}

// resp[k] = log p(x, k).
template <class T>
void log_joint(const Parameters<T>& p, int active, CpuScratch<T>& w) {
  using S = Simd<T>;
  alignas(32) T scores[2 * kCentreGroup * S::kLanes];
  for (int row = 0; row < active; row += 2 * S::kLanes) {
    for (std::int64_t group = 0; group < groups(p.n_components); ++group) {
      const std::int64_t first = group * kCentreGroup;
      group_scores(w.x.data() + row, p.n_inputs, p.factors.data() + first * p.n_inputs,
                   p.constants.data() + first, scores);
      const std::int64_t count = std::min<std::int64_t>(kCentreGroup, p.n_components - first);
      for (std::int64_t k = 0; k < count; ++k) {
        std::copy_n(scores + 2 * k * S::kLanes, 2 * S::kLanes, &w.resp(first + k, row));
      }
    }
  }
}

// Log-densities to responsibilities, log_prob and entropy. Sums over components in double.
template <class T>
void normalise(std::int64_t n_components, int active, CpuScratch<T>& w) {
  Row<T> greatest(w.greatest.data(), active);
  Row<double> log_prob(w.log_prob.data(), active), entropy(w.entropy.data(), active);
  greatest = Row<T>(&w.resp(0, 0), active);
  for (std::int64_t k = 1; k < n_components; ++k) {
    greatest = greatest.max(Row<T>(&w.resp(k, 0), active));
  }
  log_prob.setZero();
  entropy.setZero();
  for (std::int64_t k = 0; k < n_components; ++k) {
    Row<T> r(&w.resp(k, 0), active);
    const auto below = (r - greatest).eval();
    r = below.max(kLeastLog<T>).exp();
    r = (below < kLeastLog<T>).select(T{0}, r);
    log_prob += r.template cast<double>();
    // −sum r log r = log sum − sum e below / sum
    entropy += r.template cast<double>() * below.max(kLeastLog<T>).template cast<double>();
  }
  const auto total = log_prob.eval();
  for (std::int64_t k = 0; k < n_components; ++k) {
    Row<T> r(&w.resp(k, 0), active);
    r = (r.template cast<double>() / total).template cast<T>();
  }
  entropy = total.log() - entropy / total;
  log_prob = total.log() + greatest.template cast<double>();
}

// sums[k, f] += sum_row weighted[k] x[f], 2 x 4 at a time. In double: a mean near 1 is told from 1
// by the difference of such a sum and a count.
template <class T>
void add_products(const Layout& layout, std::int64_t n_components, int active, CpuScratch<T>& w) {
  using S = Simd<double>;
  using Vec = S::Vec;
  typedef T Quad __attribute__((vector_size(4 * sizeof(T))));
  const std::int64_t inputs = layout.inputs;
  for (std::int64_t k = 0; k < n_components; k += 2) {
    const double* r0 = &w.weighted(k, 0);
    const double* r1 = &w.weighted(std::min(k + 1, n_components - 1), 0);
    for (std::int64_t f = 0; f < inputs; f += 4) {
      Vec sum[2][4] = {};
      const T* x[4];
      for (std::int64_t i = 0; i < 4; ++i) x[i] = &w.x(std::min(f + i, inputs - 1), 0);
      for (int row = 0; row < active; row += S::kLanes) {
        const Vec a = S::load(r0 + row), b = S::load(r1 + row);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          Quad four;
          std::memcpy(&four, x[i] + row, sizeof(four));
          const Vec value = __builtin_convertvector(four, Vec);
          sum[0][i] += a * value;
          sum[1][i] += b * value;
        }
      }
      for (std::int64_t m = 0; m < 2 && k + m < n_components; ++m) {
        double* out = w.sums.data() + layout.sums + (k + m) * inputs;
        for (std::int64_t i = 0; i < 4 && f + i < inputs; ++i) out[f + i] += S::sum(sum[m][i]);
      }
    }
  }
}

// Adds the tile's statistics.
template <class T>
void add_tile(const RowChunk<T>& chunk, std::int64_t first, std::int64_t n_rows,
              const Layout* moments, std::int64_t n_components, int active, CpuScratch<T>& w) {
  for (std::int64_t i = 0; i < n_rows; ++i) {
    const double weight = chunk.weight(first + i);
    w.sums[Layout::kWeight] += weight;
    if (weight == 0.0) continue;
    w.sums[Layout::kLogLikelihood] += weight * w.log_prob[static_cast<std::size_t>(i)];
    w.sums[Layout::kEntropy] += weight * w.entropy[static_cast<std::size_t>(i)];
  }
  if (moments == nullptr) return;
  for (std::int64_t k = 0; k < n_components; ++k) {
    double count = 0.0;
    for (std::int64_t i = 0; i < active; ++i) {
      const double weight = i < n_rows ? chunk.weight(first + i) : 0.0;
      w.weighted(k, i) = weight * static_cast<double>(w.resp(k, i));
      count += w.weighted(k, i);
    }
    w.sums[static_cast<std::size_t>(Layout::counts + k)] += count;
  }
  add_products(*moments, n_components, active, w);
}

template <class T>
void write_outputs(const Outputs<T>& outputs, std::int64_t first, std::int64_t n_rows,
                   std::int64_t n_components, const CpuScratch<T>& w) {
  for (std::int64_t i = 0; i < n_rows; ++i) {
    const auto row = static_cast<std::size_t>(first + i);
    if (!outputs.log_prob.empty()) {
      outputs.log_prob[row] = static_cast<T>(w.log_prob[static_cast<std::size_t>(i)]);
    }
    std::int64_t best = 0;
    for (std::int64_t k = 0; k < n_components; ++k) {
      if (w.resp(k, i) > w.resp(best, i)) best = k;
      if (outputs.responsibilities.data != nullptr) {
        outputs.responsibilities(first + i, k) = w.resp(k, i);
      }
    }
    if (!outputs.labels.empty()) outputs.labels[row] = static_cast<std::int32_t>(best);
  }
}

// Runs the E-step and then(rows, first row, active, worker) over the tiles of every block.
template <class T, class Then>
void for_each_tile(const CpuBackend& backend, CpuWorkspace<T>& workspace, const RowChunk<T>& chunk,
                   const Parameters<T>& parameters, ExactSums& sums, BadValue& bad, Then&& then) {
  const auto d = static_cast<std::size_t>(chunk.source.cols());
  const Frame plain{std::vector<double>(d, 0.0), std::vector<double>(d, 1.0)};
  const bool marks = parameters.n_inputs > chunk.source.cols();
  std::mutex mutex;
  culatent::cpu::for_each_block(
      backend, chunk,
      [&](int worker) { return workspace.workers[static_cast<std::size_t>(worker)]->block.view(); },
      [&](MatrixView<const T> rows, std::int64_t first, int worker) {
        CpuScratch<T>& w = *workspace.workers[static_cast<std::size_t>(worker)];
        std::fill(w.sums.begin(), w.sums.end(), 0.0);
        for (std::int64_t row = 0; row < rows.rows; row += kTileRows) {
          const MatrixView<const T> tile =
              rows.slice(row, std::min<std::int64_t>(kTileRows, rows.rows - row));
          if (!stage_rows(tile, plain, marks, w)) {
            const BadValue found = find_bad(tile, first + row);
            const std::lock_guard lock(mutex);
            if (bad.row < 0 || found.row < bad.row) bad = found;
            return;
          }
          const auto active = static_cast<int>(culatent::cpu::round_up(tile.rows, 32));
          log_joint(parameters, active, w);
          normalise(parameters.n_components, active, w);
          then(tile, first + row, active, w);
        }
        sums.add(std::span(w.sums).first(static_cast<std::size_t>(sums.size())));
      });
}

}  // namespace

template <class T>
Parameters<T>::Parameters(const Model& model, bool missing)
    : n_components(model.n_components()),
      n_inputs(missing ? 2 * model.n_features() : model.n_features()) {
  const std::int64_t d = model.n_features();
  const std::int64_t padded = groups(n_components) * kCentreGroup;
  factors.assign(static_cast<std::size_t>(padded * n_inputs), T{0});
  constants.assign(static_cast<std::size_t>(padded), std::numeric_limits<T>::lowest());
  for (std::int64_t k = 0; k < n_components; ++k) {
    T* group = factors.data() + k / kCentreGroup * n_inputs * kCentreGroup + k % kCentreGroup;
    const double weight = model.weights[static_cast<std::size_t>(k)];
    // A component without weight takes no row; its log stays finite.
    double constant = weight > 0.0 ? std::log(weight) : -1e30;
    for (std::int64_t j = 0; j < d; ++j) {
      const LogPair logs = log_pair(model.means(k, j));
      group[j * kCentreGroup] = static_cast<T>(logs.one - logs.zero);
      if (missing) {
        group[(d + j) * kCentreGroup] = static_cast<T>(logs.zero);
      } else {
        constant += logs.zero;
      }
    }
    constants[static_cast<std::size_t>(k)] = static_cast<T>(constant);
  }
}

template <class T>
CpuWorkspace<T>::CpuWorkspace(const CpuBackend& backend, const Layout& l, std::int64_t n_components,
                              std::int64_t n_features, bool in_place)
    : layout(l) {
  for (int worker = 0; worker < backend.n_workers; ++worker) {
    auto w = std::make_unique<CpuScratch<T>>();
    if (!in_place) w->block = Matrix<T>(kBlockRows, n_features);
    w->x = Matrix<T>(layout.inputs, kTileStride);
    w->resp = Matrix<T>(n_components, kTileStride);
    w->weighted = Matrix<double>(n_components, kTileStride);
    w->greatest.resize(kTileStride);
    w->log_prob.resize(kTileStride);
    w->entropy.resize(kTileStride);
    w->sums.resize(static_cast<std::size_t>(layout.size));
    workers.push_back(std::move(w));
  }
}

template <class T>
std::int64_t CpuWorkspace<T>::bytes_per_worker(const Layout& layout, std::int64_t n_components,
                                               std::int64_t n_features, bool in_place) {
  const auto size = static_cast<std::int64_t>(sizeof(T));
  return checked_product(size * (in_place ? 0 : kBlockRows), n_features) +
         checked_product(size * kTileStride, layout.inputs + n_components + 1) +
         8 * kTileStride * (n_components + 2) + 8 * layout.size;
}

template <class T>
void expectation_maximisation(const CpuBackend& backend, CpuWorkspace<T>& workspace,
                              const RowChunk<T>& chunk, const Parameters<T>& parameters,
                              ExactSums& sums, BadValue& bad) {
  for_each_tile(backend, workspace, chunk, parameters, sums, bad,
                [&](MatrixView<const T> rows, std::int64_t first, int active, CpuScratch<T>& w) {
                  add_tile(chunk, first, rows.rows, &workspace.layout, parameters.n_components,
                           active, w);
                });
}

template <class T>
void expectation(const CpuBackend& backend, CpuWorkspace<T>& workspace, const RowChunk<T>& chunk,
                 const Parameters<T>& parameters, const Outputs<T>& outputs, ExactSums& sums,
                 BadValue& bad) {
  for_each_tile(backend, workspace, chunk, parameters, sums, bad,
                [&](MatrixView<const T> rows, std::int64_t first, int active, CpuScratch<T>& w) {
                  add_tile(chunk, first, rows.rows, nullptr, parameters.n_components, active, w);
                  write_outputs(outputs, first, rows.rows, parameters.n_components, w);
                });
}

#define CULATENT_INSTANTIATE(T)                                                                   \
  template struct Parameters<T>;                                                                  \
  template struct CpuWorkspace<T>;                                                                \
  template void expectation_maximisation(const CpuBackend&, CpuWorkspace<T>&, const RowChunk<T>&, \
                                         const Parameters<T>&, ExactSums&, BadValue&);            \
  template void expectation(const CpuBackend&, CpuWorkspace<T>&, const RowChunk<T>&,              \
                            const Parameters<T>&, const Outputs<T>&, ExactSums&, BadValue&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::bernoulli_mixture
