#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/cuda/cuda_device.hpp"
#include "kernels/cuda/tsne_grid.cuh"
#include "kernels/cuda/tsne_grid.hpp"
#include "kernels/cuda/tsne_grid_steps.hpp"

namespace culatent::tsne {
namespace {

constexpr int kMostRowPairs = 4;  // of a block: short rows share one

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

std::int64_t n_columns(std::int64_t size) { return round_up(size / 2 + 1, kColumnBatch); }

// Nodes whose transforms fit a block's shared memory: two buffers of 8 bytes an element.
std::int64_t nodes_within(const CudaBackend& backend, std::int64_t most_nodes) {
  // The length is at most 5/4 of twice the nodes with a margin, or the next smooth number; 2^a 3^b
  // 5^c are within 1/15 of any number beyond 256.
  const std::int64_t longest = backend.device.shared_bytes() / 16 * 15 / 16;
  return std::min(most_nodes, longest * 4 / 5 / 2 - kMargin);
}

device::FftPlan plan_of(std::int64_t size, const float2* turns) {
  device::FftPlan plan;
  plan.size = static_cast<int>(size);
  plan.turns = turns;
  int rest = plan.size;
  for (const int radix : {4, 2, 3, 5}) {
    for (; rest % radix == 0; rest /= radix) plan.radices[plan.n_passes++] = radix;
  }
  return plan;
}

std::vector<float2> turns_of(std::int64_t size) {
  std::vector<float2> turns;
  for (std::int64_t t = 0; t < size; ++t) {
    const double angle =
        -2.0 * std::numbers::pi * static_cast<double>(t) / static_cast<double>(size);
    turns.push_back(
        make_float2(static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))));
  }
  return turns;
}

// The largest power of two, `most` at most, of sequences whose buffers a block can have.
int batch_of(const CudaBackend& backend, std::int64_t size, int most) {
  int batch = most;
  while (batch > 1 && 16 * size * batch > backend.device.shared_bytes()) batch /= 2;
  return batch;
}

}  // namespace

struct DeviceGridRepulsion::Arrays {
  std::int64_t n = 0;
  int q = 0;
  std::int64_t most_nodes = 0;
  Grid grid;
  DeviceGrid view;
  int batch_rows = 1;
  int batch_columns = 1;
  DeviceArray<Density> densities;
  DeviceArray<float> potentials, influence, partial_extents;
  DeviceArray<float2> spectrum, turns;
  DeviceArray<double> partials;
  DeviceArray<DeviceExtent> extent;
};

DeviceGridRepulsion::DeviceGridRepulsion(const CudaBackend& backend, std::int64_t n_points,
                                         int n_dimensions, std::int64_t most_nodes)
    : arrays_(std::make_unique<Arrays>()) {
  Arrays& a = *arrays_;
  a.n = n_points;
  a.q = n_dimensions;
  a.most_nodes = nodes_within(backend, most_nodes);
  a.partial_extents = {backend.device, 4 * kExtentPartials, "extents of points"};
  a.partials = {backend.device, point_partials(n_points), "sums of potentials"};
  a.extent = {backend.device, 1, "extent of points"};
}

DeviceGridRepulsion::~DeviceGridRepulsion() = default;
DeviceGridRepulsion::DeviceGridRepulsion(DeviceGridRepulsion&&) noexcept = default;

std::int64_t DeviceGridRepulsion::bytes(const CudaBackend& backend, std::int64_t n_points,
                                        int n_dimensions, std::int64_t most_nodes) {
  const std::int64_t nodes0 = nodes_within(backend, most_nodes);
  const std::int64_t nodes1 = n_dimensions == 1 ? kOrder + 1 : nodes0;
  const auto size = [](std::int64_t nodes) { return (nodes + kMargin) * 5 / 2 * 16 / 15 + 32; };
  const std::int64_t capacity0 = size(nodes0) / 2, capacity1 = size(nodes1) / 2;
  return capacity0 * capacity1 * 12 + (capacity1 + 1) * n_columns(size(nodes0)) * 8 +
         (size(nodes1) / 2 + 1) * n_columns(size(nodes0)) * 4 + (size(nodes0) + size(nodes1)) * 8 +
         point_partials(n_points) * 8 + 16 * kExtentPartials +
         8 * 256;  // arrays begin at multiples of 256 bytes
}

const Grid& DeviceGridRepulsion::grid() const { return arrays_->grid; }

void DeviceGridRepulsion::go_on_from(const GridSize& size) { arrays_->grid = grid_of(size); }

bool DeviceGridRepulsion::set_grid(const CudaBackend& backend, const double (&low)[2],
                                   const double (&high)[2]) {
  Arrays& a = *arrays_;
  CudaDevice& device = backend.device;
  const Grid before = a.grid;
  a.grid = choose_grid(low, high, a.most_nodes, before);
  DeviceGrid& view = a.view;
  const bool same = a.grid.size[0] == view.size[0] && a.grid.size[1] == view.size[1];
  if (!same) {
    for (int k = 0; k < 2; ++k) {
      view.size[k] = static_cast<int>(a.grid.size[k]);
      view.nodes[k] = view.size[k] / 2 - static_cast<int>(kMargin);  // all that the size allows
    }
    view.columns = static_cast<int>(n_columns(a.grid.size[0]));
    const std::int64_t n_nodes = std::int64_t{view.nodes[0]} * view.nodes[1];
    const std::int64_t n_rows = round_up(view.nodes[1], 2);
    a.densities = {};
    a.potentials = {};
    a.influence = {};
    a.spectrum = {};
    a.turns = {};
    a.densities = {device, n_nodes, "densities of the grid"};
    a.potentials = {device, n_nodes, "potentials of the grid"};
    a.spectrum = {device, n_rows * view.columns, "spectrum of the grid"};
    a.influence = {device, (a.grid.size[1] / 2 + 1) * view.columns, "influence function"};
    a.turns = {device, a.grid.size[0] + a.grid.size[1], "roots of unity"};
    std::vector<float2> turns = turns_of(a.grid.size[0]);
    const std::vector<float2> down = turns_of(a.grid.size[1]);
    turns.insert(turns.end(), down.begin(), down.end());
    a.turns.upload(turns.data(), a.turns.size());
    a.densities.fill_zero();  // convolve() leaves them so
    view.densities = a.densities.data();
    view.potentials = a.potentials.data();
    view.spectrum = a.spectrum.data();
    view.influence = a.influence.data();
    view.along = plan_of(a.grid.size[0], a.turns.data());
    view.down = plan_of(a.grid.size[1], a.turns.data() + a.grid.size[0]);
    a.batch_rows = batch_of(backend, a.grid.size[0], kMostRowPairs);
    a.batch_columns = batch_of(backend, a.grid.size[1], kColumnBatch);
    const int bits = 62 - static_cast<int>(std::ceil(std::log2(static_cast<double>(a.n))));
    view.unit = std::ldexp(1.0f, bits);
  }
  const bool other = !same || a.grid.spacing != before.spacing;
  if (other) {
    std::vector<float> influence(static_cast<std::size_t>(a.influence.size()));
    fill_influence({backend.threads, backend.n_workers}, a.grid, view.columns, influence.data());
    a.influence.upload(influence.data(), a.influence.size());
    view.inverse = static_cast<float>(1.0 / a.grid.spacing);
  }
  a.extent.fill_zero();
  return other;
}

void DeviceGridRepulsion::repel(const CudaBackend& backend, const float* points, float* forces,
                                double* partition) {
  Arrays& a = *arrays_;
  find_extent(backend, a.n, a.q, points, a.view, a.partial_extents.data(), a.extent.data());
  spread(backend, a.n, a.q, points, a.view, a.extent.data());
  convolve(backend, a.view, a.batch_rows, a.batch_columns);
  read(backend, a.n, a.q, points, a.view, a.extent.data(), a.grid.level, forces, a.partials.data(),
       partition);
}

void DeviceGridRepulsion::set_sources(const CudaBackend& backend, const float* points,
                                      const double (&low)[2]) {
  Arrays& a = *arrays_;
  const DeviceExtent extent = {{static_cast<float>(low[0]), static_cast<float>(low[1])}, {}, 0};
  a.extent.upload(&extent, 1);
  spread(backend, a.n, a.q, points, a.view, a.extent.data());
  convolve(backend, a.view, a.batch_rows, a.batch_columns);
}

void DeviceGridRepulsion::read_at(const CudaBackend& backend, std::int64_t n_places,
                                  const float* places, float* forces, float* sums) {
  const Arrays& a = *arrays_;
  tsne::read_at(backend, n_places, a.q, places, a.view, a.extent.data(),
                a.grid.level * static_cast<double>(a.n), forces, sums);
}

GridUse DeviceGridRepulsion::use(const CudaBackend&) const {
  DeviceExtent extent;
  arrays_->extent.download(&extent, 1);
  GridUse use;
  for (int k = 0; k < 2; ++k) {
    use.low[k] = extent.low[k];
    use.high[k] = extent.high[k];
  }
  use.overflow = extent.overflow;
  return use;
}

}  // namespace culatent::tsne
