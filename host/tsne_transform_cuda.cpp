#include <algorithm>
#include <optional>
#include <vector>

#include "host/tsne_transform.hpp"
#include "kernels/cuda/launch_graph.hpp"
#include "kernels/cuda/tsne_grid.hpp"
#include "kernels/cuda/tsne_transform.hpp"

namespace culatent::tsne {

void place_on_device(const CudaBackend& backend, const TransformOptions& options,
                     const Attractors& attractors, MatrixView<const float> embedding,
                     Matrix<float>& positions) {
  CudaDevice& device = backend.device;
  const std::int64_t m = positions.rows(), k = attractors.indices.cols();
  const int q = static_cast<int>(positions.cols());
  DeviceArray<float> points(device, embedding.rows * q, "positions");
  DeviceArray<std::int32_t> indices(device, m * k, "neighbours");
  DeviceArray<float> affinities(device, m * k, "affinities");
  DeviceArray<float> places(device, m * q, "positions"), velocity(device, m * q, "velocities");
  DeviceArray<float> gains(device, m * q, "gains"), repulsion(device, m * q, "forces");
  const DeviceArray<float> sums(device, m, "sums");
  points.upload(embedding.data, points.size());
  indices.upload(attractors.indices.data(), indices.size());
  affinities.upload(attractors.affinities.data(), affinities.size());
  places.upload(positions.data(), places.size());
  velocity.fill_zero();
  gains.upload(std::vector<float>(static_cast<std::size_t>(m * q), 1.0f).data(), gains.size());

  std::optional<DeviceGridRepulsion> grid;
  if (q <= 2) {
    const Region region(embedding);
    grid.emplace(backend, embedding.rows, q, choose_most_nodes(embedding.rows));
    grid->set_grid(backend, region.low, region.high);
    grid->set_sources(backend, points.data(), region.low);
  }
  const RowStep step = {static_cast<float>(options.exaggeration),
                        static_cast<float>(options.learning_rate),
                        static_cast<float>(options.momentum)};
  LaunchGraph iteration(device);
  for (int i = 0; i < options.max_iter; ++i) {
    iteration.run([&] {
      if (grid) {
        grid->read_at(backend, m, places.data(), repulsion.data(), sums.data());
      } else {
        repel_from(backend, embedding.rows, points.data(), m, places.data(), q, repulsion.data(),
                   sums.data());
      }
      move_rows(backend, m, q, {points.data(), indices.data(), affinities.data(), k}, step,
                {repulsion.data(), sums.data(), places.data(), velocity.data(), gains.data()});
    });
  }
  places.download(positions.data(), positions.size());
}

std::int64_t placing_bytes(const CudaBackend& backend, std::int64_t n_points, std::int64_t n_rows,
                           int n_dimensions, std::int64_t n_neighbors) {
  const std::int64_t rows =
      checked_product(n_rows, 8 * n_neighbors + 16 * n_dimensions + 4) + 8 * 256;
  const std::int64_t points = checked_product(n_points, 4 * n_dimensions);
  if (n_dimensions > 2) return rows + points;
  return rows + points +
         DeviceGridRepulsion::bytes(backend, n_points, n_dimensions, choose_most_nodes(n_points));
}

}  // namespace culatent::tsne
