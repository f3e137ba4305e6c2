#include "kernels/cpu/gaussian_mixture.hpp"

#include <algorithm>
#include <optional>

#include "host/random.hpp"
#include "kernels/cpu/gaussian_mixture_missing.hpp"

namespace culatent::gaussian_mixture {
namespace {

using cpu::kTileRows;
using cpu::TileScratch;

int active_rows(std::int64_t n_rows) {
  return static_cast<int>(culatent::cpu::round_up(n_rows, 32));  // four vectors of float
}

template <class T>
MatrixView<T> block_buffer(CpuWorkspace<T>& workspace, int worker) {
  return workspace.workers[static_cast<std::size_t>(worker)]->block.view();
}

// Stages one tile and its weights.
template <class T>
void stage_tile(const RowChunk<T>& chunk, const Frame& frame, MatrixView<const T> rows,
                std::int64_t first, TileScratch<T>& s) {
  culatent::cpu::stage(rows, frame, s.x.data());
  for (std::int64_t i = 0; i < kTileRows; ++i) {
    s.row_weight(0, i) = i < rows.rows ? chunk.weight(first + i) : 0.0;
  }
}

// Random responsibilities, the same for a row wherever it is drawn.
template <class T>
void draw_responsibilities(std::uint64_t seed, std::int64_t first, std::int64_t n_rows,
                           std::int64_t n_components, TileScratch<T>& s) {
  for (std::int64_t i = 0; i < n_rows; ++i) {
    double total = 0.0;
    for (std::int64_t k = 0; k < n_components; ++k) {
      const double value =
          random::uniform(seed, random::Stream::responsibilities,
                          static_cast<std::uint64_t>(first + i), static_cast<std::uint32_t>(k));
      s.resp(k, i) = static_cast<T>(value);
      total += value;
    }
    for (std::int64_t k = 0; k < n_components; ++k) s.resp(k, i) /= static_cast<T>(total);
  }
}

template <class T>
void write_outputs(const Outputs<T>& outputs, std::int64_t first, int n_rows,
                   std::int64_t n_components, const TileScratch<T>& s) {
  for (int row = 0; row < n_rows; ++row) {
    const auto index = static_cast<std::size_t>(first + row);
    if (!outputs.log_prob.empty()) outputs.log_prob[index] = static_cast<T>(s.log_prob(0, row));
    if (outputs.responsibilities.data != nullptr) {
      for (std::int64_t k = 0; k < n_components; ++k) {
        outputs.responsibilities(first + row, k) = s.resp(k, row);
      }
    }
    if (!outputs.labels.empty()) {
      std::int64_t best = 0;
      for (std::int64_t k = 1; k < n_components; ++k) {
        if (s.resp(k, row) > s.resp(best, row)) best = k;
      }
      outputs.labels[index] = static_cast<std::int32_t>(best);
    }
  }
}

// Runs tile(rows, first row, scratch) over the tiles of every block of the chunk and adds each
// block's statistics to `sums`.
template <class T, class Tile>
void for_each_tile(const CpuBackend& backend, CpuWorkspace<T>& workspace, const RowChunk<T>& chunk,
                   ExactSums& sums, Tile&& tile) {
  culatent::cpu::for_each_block(
      backend, chunk, [&](int worker) { return block_buffer(workspace, worker); },
      [&](MatrixView<const T> rows, std::int64_t first, int worker) {
        TileScratch<T>& scratch = *workspace.workers[static_cast<std::size_t>(worker)];
        std::fill(scratch.sums.begin(), scratch.sums.end(), 0.0);
        for (std::int64_t row = 0; row < rows.rows; row += kTileRows) {
          const std::int64_t count = std::min<std::int64_t>(kTileRows, rows.rows - row);
          tile(rows.slice(row, count), first + row, worker, scratch);
        }
        sums.add(std::span(scratch.sums).first(static_cast<std::size_t>(sums.size())));
      });
}

// Stages a tile and takes its E-step; without a layout the moments of incomplete rows are not
// wanted.
template <class T>
void expectation_tile(const RowChunk<T>& chunk, const Frame& frame, const Parameters<T>& parameters,
                      MatrixView<const T> rows, std::int64_t first, const Layout* layout,
                      cpu::MissingRows<T>* missing, TileScratch<T>& s) {
  const int n_rows = static_cast<int>(rows.rows);
  const int active = active_rows(n_rows);
  stage_tile(chunk, frame, rows, first, s);
  cpu::log_joint(parameters, active, s);
  cpu::normalise(parameters, n_rows, active, s);
  if (missing != nullptr) missing->marginalise(rows, layout, s);
  cpu::add_row_sums(n_rows, s);
}

// One object a worker when rows may have missing values, none otherwise.
template <class T>
std::vector<cpu::MissingRows<T>> missing_rows(const CpuBackend& backend, const Frame& frame,
                                              const Parameters<T>& parameters) {
  std::vector<cpu::MissingRows<T>> missing;
  if (parameters.covariances.empty()) return missing;
  for (int worker = 0; worker < backend.n_workers; ++worker)
    missing.emplace_back(parameters, frame);
  return missing;
}

}  // namespace

Layout::Layout(Covariance covariance, std::int64_t n_components, std::int64_t n_features) {
  const std::int64_t triangle = checked_product(n_features, n_features + 1) / 2;
  sums = counts + n_components;
  squares = sums + checked_product(n_components, n_features);
  size = squares + (covariance == Covariance::tied
                        ? triangle
                        : checked_product(n_components,
                                          covariance == Covariance::full ? triangle : n_features));
}

template <class T>
CpuWorkspace<T>::CpuWorkspace(const CpuBackend& backend, Covariance covariance,
                              std::int64_t n_components, std::int64_t n_features, bool in_place)
    : layout(covariance, n_components, n_features) {
  for (int worker = 0; worker < backend.n_workers; ++worker) {
    workers.push_back(
        std::make_unique<TileScratch<T>>(layout, covariance, n_components, n_features, in_place));
  }
}

template <class T>
std::int64_t CpuWorkspace<T>::bytes_per_worker(Covariance covariance, std::int64_t n_components,
                                               std::int64_t n_features, bool in_place,
                                               bool missing) {
  const Layout layout(covariance, n_components, n_features);
  return TileScratch<T>::bytes(layout, covariance, n_components, n_features, in_place) +
         (missing ? cpu::MissingRows<T>::bytes(n_components, n_features) : 0);
}

template <class T>
void expectation_maximisation(const CpuBackend& backend, CpuWorkspace<T>& workspace,
                              const RowChunk<T>& chunk, const Frame& frame,
                              const Parameters<T>& parameters, bool scatter, ExactSums& sums) {
  auto missing = missing_rows(backend, frame, parameters);
  for_each_tile(
      backend, workspace, chunk, sums,
      [&](MatrixView<const T> rows, std::int64_t first, int worker, TileScratch<T>& s) {
        auto* incomplete = missing.empty() ? nullptr : &missing[static_cast<std::size_t>(worker)];
        expectation_tile(chunk, frame, parameters, rows, first, &workspace.layout, incomplete, s);
        cpu::add_moments(workspace.layout, parameters, active_rows(rows.rows), scatter, s);
      });
}

template <class T>
void initial_maximisation(const CpuBackend& backend, CpuWorkspace<T>& workspace,
                          const RowChunk<T>& chunk, const Frame& frame,
                          const Parameters<T>& parameters,
                          const InitialResponsibilities<T>& initial, ExactSums& sums) {
  for_each_tile(backend, workspace, chunk, sums,
                [&](MatrixView<const T> rows, std::int64_t first, int, TileScratch<T>& s) {
                  const int active = active_rows(rows.rows);
                  stage_tile(chunk, frame, rows, first, s);
                  if (initial.centroids != nullptr) {
                    cpu::nearest(initial, active, s);
                  } else {
                    draw_responsibilities(initial.seed, first, rows.rows, parameters.n_components,
                                          s);
                  }
                  for (std::int64_t i = 0; i < rows.rows; ++i) {
                    s.sums[Layout::kWeight] += s.row_weight(0, i);
                  }
                  cpu::add_moments(workspace.layout, parameters, active, true, s);
                });
}

template <class T>
void expectation(const CpuBackend& backend, CpuWorkspace<T>& workspace, const RowChunk<T>& chunk,
                 const Frame& frame, const Parameters<T>& parameters, const Outputs<T>& outputs,
                 ExactSums& sums) {
  auto missing = missing_rows(backend, frame, parameters);
  for_each_tile(
      backend, workspace, chunk, sums,
      [&](MatrixView<const T> rows, std::int64_t first, int worker, TileScratch<T>& s) {
        auto* incomplete = missing.empty() ? nullptr : &missing[static_cast<std::size_t>(worker)];
        expectation_tile<T>(chunk, frame, parameters, rows, first, nullptr, incomplete, s);
        write_outputs(outputs, first, static_cast<int>(rows.rows), parameters.n_components, s);
      });
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template class CpuWorkspace<T>;                                                                  \
  template void expectation_maximisation(const CpuBackend&, CpuWorkspace<T>&, const RowChunk<T>&,  \
                                         const Frame&, const Parameters<T>&, bool, ExactSums&);    \
  template void initial_maximisation(const CpuBackend&, CpuWorkspace<T>&, const RowChunk<T>&,      \
                                     const Frame&, const Parameters<T>&,                           \
                                     const InitialResponsibilities<T>&, ExactSums&);               \
  template void expectation(const CpuBackend&, CpuWorkspace<T>&, const RowChunk<T>&, const Frame&, \
                            const Parameters<T>&, const Outputs<T>&, ExactSums&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::gaussian_mixture
