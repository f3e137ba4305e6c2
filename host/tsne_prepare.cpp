#include <algorithm>
#include <cmath>

#include "culatent/error.hpp"
#include "host/host_rows.hpp"
#include "host/principal_components.hpp"
#include "host/random.hpp"
#include "host/row_method.hpp"
#include "host/spectral_embedding.hpp"
#include "host/tsne.hpp"

namespace culatent::tsne {
namespace {

constexpr double kStartDeviation = 1e-4;

double noise(std::uint64_t seed, std::int64_t row, std::int64_t dimension) {
  return random::normals(seed, random::Stream::positions, static_cast<std::uint64_t>(row),
                         static_cast<std::uint32_t>(dimension))[0];
}

// Scales positions so that the first dimension has the standard deviation of a start. A dimension
// that has none is filled with little of it: points on a line would never leave it.
void scale_start(Matrix<float>& positions, std::uint64_t seed) {
  const std::int64_t n = positions.rows();
  const auto deviation = [&](std::int64_t k) {
    double mean = 0.0, square = 0.0;
    for (std::int64_t i = 0; i < n; ++i) mean += static_cast<double>(positions(i, k));
    mean /= static_cast<double>(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const double delta = static_cast<double>(positions(i, k)) - mean;
      square += delta * delta;
    }
    return std::sqrt(square / static_cast<double>(n));
  };
  const double first = deviation(0);
  for (std::int64_t k = 0; k < positions.cols(); ++k) {
    const bool flat = !(deviation(k) > 1e-6 * first);
    for (std::int64_t i = 0; i < n; ++i) {
      const double value =
          flat ? 0.01 * noise(seed, i, k) : static_cast<double>(positions(i, k)) / first;
      positions(i, k) = static_cast<float>(kStartDeviation * value);
    }
  }
}

}  // namespace

neighbors::Options neighbor_options(const Options& options, std::int64_t n_neighbors,
                                    std::uint64_t seed) {
  return {.n_neighbors = static_cast<int>(n_neighbors), .method = options.neighbors, .seed = seed};
}

void check_apart(std::int64_t n_equal, std::int64_t n_rows, std::int64_t n_neighbors) {
  if (n_equal < n_rows) return;
  throw data_error("every row equals its " + std::to_string(n_neighbors) + " nearest neighbours",
                   "data", "there is nothing to tell rows apart by: remove duplicates");
}

void tell_unreached(std::int64_t n_unreached, Prepared& prepared) {
  prepared.n_unreached = n_unreached;
  if (n_unreached == 0) return;
  prepared.warnings.push_back(
      {"perplexity", std::to_string(n_unreached) +
                         " rows have more equal nearest neighbours than the perplexity: these "
                         "share evenly"});
}

Plan plan_affinities(const Context& context, const RowSource<float>& rows, const Options& options,
                     std::int64_t n_neighbors) {
  Plan plan = neighbors::plan(context, rows, neighbor_options(options, n_neighbors));
  const std::int64_t bytes =
      std::max(plan.host_bytes, affinities::making_bytes(rows.rows(), n_neighbors));
  fit_to_limit(
      context, [&](int) { return bytes; }, "raise it, or use a lower perplexity or fewer rows",
      plan);
  return plan;
}

Prepared prepare(const Context& context, const CpuBackend& backend, const RowSource<float>& rows,
                 const Options& options, std::int64_t n_neighbors, std::uint64_t seed) {
  Prepared prepared;
  neighbors::Neighbors found =
      neighbors::search(context, rows, neighbor_options(options, n_neighbors, seed));
  prepared.warnings = std::move(found.warnings);
  prepared.recall = found.recall;
  if (found.interrupted) {
    prepared.interrupted = true;
    return prepared;
  }
  std::int64_t n_equal = 0;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    n_equal += found.squared_distances(i, n_neighbors - 1) == 0.0 ? 1 : 0;
  }
  check_apart(n_equal, rows.rows(), n_neighbors);
  Matrix<float> conditional(rows.rows(), n_neighbors);
  const std::int64_t n_unreached =
      affinities::conditional(backend, found.squared_distances.view(),
                              {options.perplexity, options.sigma}, conditional.view());
  found.squared_distances = {};
  prepared.graph = affinities::symmetric(backend, found.indices.view(), conditional.view());
  prepared.n_affinities = prepared.graph.size();
  tell_unreached(n_unreached, prepared);
  for (const float value : prepared.graph.values) {
    const auto p = static_cast<double>(value);
    prepared.total += p;
    if (p > 0.0) prepared.entropy += p * std::log(p);
  }
  return prepared;
}

Matrix<float> start_positions(const Context& context, const CpuBackend& backend,
                              const RowSource<float>& rows, const Prepared& prepared,
                              const Options& options, std::uint64_t seed) {
  if (options.start.size() > 0) return options.start;
  Matrix<float> positions(rows.rows(), options.n_dimensions);
  if (options.init == Init::random) {
    for (std::int64_t i = 0; i < positions.rows(); ++i) {
      for (std::int64_t k = 0; k < positions.cols(); ++k) {
        positions(i, k) = static_cast<float>(kStartDeviation * noise(seed, i, k));
      }
    }
    return positions;
  }
  // The affinities that a spectral start needs are not there when the search was stopped.
  if (options.init == Init::pca || prepared.interrupted) {
    const HostRows<float> host_rows(context, rows);
    const PrincipalComponents found =
        find_principal_components(context, backend, host_rows, options.n_dimensions);
    MatrixView<float> scores = positions.view();
    scores.cols = found.components.rows();
    // Brought near 1 in double: variances may be beyond float.
    principal_scores(context, backend, host_rows, found, 1.0 / std::sqrt(found.variances.front()),
                     scores);
  } else {
    const affinities::Graph& graph = prepared.graph;
    const Matrix<double> vectors =
        spectral_embedding(backend, {graph.starts, graph.columns, graph.values},
                           options.n_dimensions)
            .vectors;
    for (std::int64_t i = 0; i < positions.rows(); ++i) {
      for (std::int64_t k = 0; k < vectors.cols(); ++k) {
        positions(i, k) = static_cast<float>(vectors(i, k));
      }
    }
  }
  scale_start(positions, seed);
  return positions;
}

}  // namespace culatent::tsne
