#include "host/tsne_transform.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "culatent/error.hpp"
#include "host/place.hpp"
#include "host/row_method.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/device_flow.hpp"
#include "kernels/cuda/cuda_device.hpp"
#endif

namespace culatent::tsne {
namespace {

constexpr std::int64_t kRows = 256;  // of a task

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

void check_options(const TransformOptions& options) {
  if (!(options.perplexity > 1.0) || !std::isfinite(options.perplexity)) {
    throw invalid_argument("the perplexity is not above 1", "perplexity / --perplexity",
                           "it is a number of neighbours: 5 is common for new rows");
  }
  if (options.max_iter < 0 || !(options.exaggeration > 0.0) || !(options.learning_rate > 0.0) ||
      !(options.momentum >= 0.0 && options.momentum < 1.0)) {
    throw invalid_argument("an iteration, exaggeration, learning rate or momentum out of range",
                           "transform",
                           "give 0 or more iterations, positive numbers, and a "
                           "momentum below 1");
  }
}

// The place that half of the affinity lies on either side of, dimension by dimension: a neighbour
// that is far away in the embedding does not drag a row between clusters.
void start_at_medians(const CpuBackend& backend, const Attractors& attractors,
                      MatrixView<const float> embedding, MatrixView<float> positions) {
  const std::int64_t k = attractors.indices.cols();
  backend.threads.parallel_for(
      (positions.rows + kRows - 1) / kRows, backend.n_workers, [&](std::int64_t task, int) {
        std::vector<std::int64_t> order(index(k));
        for (std::int64_t i = task * kRows; i < std::min(positions.rows, (task + 1) * kRows); ++i) {
          for (std::int64_t d = 0; d < embedding.cols; ++d) {
            std::iota(order.begin(), order.end(), 0);
            const auto at = [&](std::int64_t j) { return embedding(attractors.indices(i, j), d); };
            std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
              return at(a) != at(b) ? at(a) < at(b) : a < b;
            });
            float share = 0.0f;
            for (const std::int64_t j : order) {
              positions(i, d) = at(j);
              share += attractors.affinities(i, j);
              if (share >= 0.5f) break;
            }
          }
        }
      });
}

// The repulsion of all old rows at any place.
class Repeller {
 public:
  Repeller(const CpuBackend& backend, MatrixView<const float> embedding)
      : backend_(backend), embedding_(embedding) {
    if (embedding.cols > 2) return;
    grid_.emplace(embedding.rows, static_cast<int>(embedding.cols),
                  choose_most_nodes(embedding.rows), backend.n_workers);
    const Region region(embedding);
    grid_->set_sources(backend, embedding, region.low, region.high);
  }

  // forces = sum_j q² (y − y_j) and sums = sum_j q of every place.
  void repel(MatrixView<const float> places, MatrixView<float> forces, std::span<float> sums) {
    if (grid_) {
      grid_->read(backend_, places, forces, sums);
      return;
    }
    repel_from(backend_, embedding_, places, forces, sums);
  }

 private:
  CpuBackend backend_;
  MatrixView<const float> embedding_;
  std::optional<GridRepulsion> grid_;
};

// One update of every row: the gradient is that of the row's own divergence.
void move_rows(const CpuBackend& backend, const TransformOptions& options,
               const Attractors& attractors, MatrixView<const float> embedding,
               MatrixView<const float> repulsion, std::span<const float> sums,
               MatrixView<float> positions, MatrixView<float> velocity, MatrixView<float> gains) {
  const auto rate = static_cast<float>(options.learning_rate);
  const auto momentum = static_cast<float>(options.momentum);
  const std::int64_t q = positions.cols;
  backend.threads.parallel_for(
      (positions.rows + kRows - 1) / kRows, backend.n_workers, [&](std::int64_t task, int) {
        for (std::int64_t i = task * kRows; i < std::min(positions.rows, (task + 1) * kRows); ++i) {
          float attraction[3] = {};
          for (std::int64_t j = 0; j < attractors.indices.cols(); ++j) {
            const float* other = embedding.row(attractors.indices(i, j));
            float delta[3] = {}, square = 1.0f;
            for (std::int64_t d = 0; d < q; ++d) {
              delta[d] = positions(i, d) - other[d];
              square += delta[d] * delta[d];
            }
            for (std::int64_t d = 0; d < q; ++d) {
              attraction[d] += attractors.affinities(i, j) / square * delta[d];
            }
          }
          const float share = 1.0f / sums[index(i)];
          for (std::int64_t d = 0; d < q; ++d) {
            const float gradient =
                2.0f * (static_cast<float>(options.exaggeration) * attraction[d] -
                        share * repulsion(i, d));
            take_step(gradient, rate, momentum, gains(i, d), velocity(i, d));
            positions(i, d) += velocity(i, d);
          }
        }
      });
}

void place(const CpuBackend& backend, const TransformOptions& options, const Attractors& attractors,
           MatrixView<const float> embedding, Matrix<float>& positions) {
  const std::int64_t m = positions.rows(), q = positions.cols();
  Repeller repeller(backend, embedding);
  Matrix<float> velocity(m, q), gains(m, q), repulsion(m, q);
  std::fill_n(gains.data(), gains.size(), 1.0f);
  std::vector<float> sums(index(m));
  for (int iteration = 0; iteration < options.max_iter; ++iteration) {
    repeller.repel(positions.view(), repulsion.view(), sums);
    move_rows(backend, options, attractors, embedding, repulsion.view(), sums, positions.view(),
              velocity.view(), gains.view());
  }
}

}  // namespace

Region::Region(MatrixView<const float> embedding) {
  double widest = 0.0;
  for (std::int64_t d = 0; d < std::min<std::int64_t>(2, embedding.cols); ++d) {
    float least = embedding(0, d), greatest = least;
    for (std::int64_t i = 0; i < embedding.rows; ++i) {
      least = std::min(least, embedding(i, d));
      greatest = std::max(greatest, embedding(i, d));
    }
    low[d] = static_cast<double>(least);
    high[d] = static_cast<double>(greatest);
    widest = std::max(widest, high[d] - low[d]);
  }
  for (std::int64_t d = 0; d < std::min<std::int64_t>(2, embedding.cols); ++d) {
    low[d] -= 0.05 * widest + 1.0;
    high[d] += 0.05 * widest + 1.0;
  }
}

Matrix<float> transform(const Context& context, const RowSource<float>& reference,
                        MatrixView<const float> embedding, const RowSource<float>& rows,
                        const TransformOptions& options) {
  check_options(options);
  check_rows(context, reference);
  check_rows(context, rows);
  const Matrix<float> places =
      dense_positions(embedding, reference.rows(), "the reference embedding");
  embedding = places.view();
  Matrix<float> positions(rows.rows(), embedding.cols);
  if (rows.rows() == 0) return positions;
  const std::int64_t k = std::min<std::int64_t>(
      reference.rows(),
      std::max<std::int64_t>(2, static_cast<std::int64_t>(3.0 * options.perplexity)));
  if (options.perplexity >= static_cast<double>(k)) {
    throw data_error("the perplexity is not below the " + std::to_string(reference.rows()) +
                         " rows of the reference",
                     "perplexity / --perplexity", "give less");
  }
  const std::int64_t m = positions.rows(), q = positions.cols();
  Plan plan = plan_of_rows(context, m, rows.cols());
  const std::int64_t most_nodes = choose_most_nodes(reference.rows());
  // Distances go once there are affinities; then every row has five positions or so.
  const std::int64_t held = checked_product(m, 4 * k + 4 * k + std::max(8 * k, 16 * q + 8));
  fit_to_limit(
      context,
      [&](int workers) {
        return held + (q > 2 ? 0
                             : GridRepulsion::bytes(reference.rows(), static_cast<int>(q),
                                                    most_nodes, workers));
      },
      "raise it, or place fewer rows at a time", plan);
  const CpuBackend backend{context.threads(), plan.n_workers};
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    const ActiveDevice active(*context.cuda());
    check_device_bytes(context,
                       placing_bytes({*context.cuda(), backend.threads, backend.n_workers},
                                     reference.rows(), m, static_cast<int>(q), k),
                       "give it more, or place fewer rows at a time");
  }
#endif
  Attractors attractors;
  {
    neighbors::Neighbors found =
        neighbors::search(context, reference, rows, {.n_neighbors = static_cast<int>(k)});
    attractors.affinities = Matrix<float>(rows.rows(), k);
    affinities::conditional(backend, found.squared_distances.view(), {{options.perplexity}, {}},
                            attractors.affinities.view());
    attractors.indices = std::move(found.indices);
  }
  start_at_medians(backend, attractors, embedding, positions.view());
#ifdef CULATENT_HAS_CUDA
  if (context.cuda() != nullptr) {
    const ActiveDevice active(*context.cuda());
    place_on_device({*context.cuda(), backend.threads, backend.n_workers}, options, attractors,
                    embedding, positions);
    return positions;
  }
#endif
  place(backend, options, attractors, embedding, positions);
  return positions;
}

}  // namespace culatent::tsne
