#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/grid_convolution.hpp"
#include "kernels/cpu/tile.hpp"
#include "kernels/tsne.hpp"

namespace culatent::tsne {
namespace {

using S = culatent::cpu::Simd<float>;
using Vec = S::Vec;

constexpr int kLanes = S::kLanes;
// Rows of the grid whose points are spread by one thread: as many as a point reaches, so that every
// second strip can be worked on at the same time.
constexpr std::int64_t kStrip = kOrder;
constexpr std::int64_t kSortBlock = 8192;  // points that one thread looks at
constexpr std::int64_t kReadBlock = 1024;

std::int64_t n_strips(const Grid& grid) { return (grid.nodes[1] + kStrip - 1) / kStrip; }

// Where the coordinates of points lie between the nodes of one dimension.
struct Axis {
  float origin;
  float inverse;
  float most;  // places are below

  Axis(const Grid& grid, int dimension)
      : origin(static_cast<float>(grid.origin[dimension])),
        inverse(static_cast<float>(1.0 / grid.spacing)),
        // The largest number below the last node that a spline may begin at, and one more.
        most(std::nextafter(static_cast<float>(grid.nodes[dimension] - kOrder + 1), 0.0f)) {}

  float place(float coordinate) const {
    return std::clamp((coordinate - origin) * inverse, 0.0f, most);
  }
};

float coordinate(MatrixView<const float> points, std::int64_t i, int dimension) {
  return dimension < points.cols ? points(i, dimension) : 0.0f;
}

// body(block, i) of every point.
template <class Body>
void for_points(const CpuBackend& backend, std::int64_t n, Body&& body) {
  backend.threads.parallel_for((n + kSortBlock - 1) / kSortBlock, backend.n_workers,
                               [&](std::int64_t block, int) {
                                 const std::int64_t end = std::min(n, (block + 1) * kSortBlock);
                                 for (std::int64_t i = block * kSortBlock; i < end; ++i)
                                   body(block, i);
                               });
}

// The splines of eight points: first node, values and derivatives of each.
struct Splines {
  std::int64_t node[2][kLanes];
  alignas(32) float values[2][kLanes][kLanes];
  alignas(32) float derivatives[2][kLanes][kLanes];

  // Point `lane` is index(lane); `count` of them.
  template <class Index>
  void set(MatrixView<const float> points, const Axis (&axes)[2], std::int64_t count,
           Index&& index) {
    for (int k = 0; k < 2; ++k) {
      alignas(32) float u[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        const std::int64_t i = index(std::min<std::int64_t>(lane, count - 1));
        const float place = axes[k].place(coordinate(points, i, k));
        const auto below = static_cast<std::int32_t>(place);
        node[k][lane] = below;
        u[lane] = place - static_cast<float>(below);
      }
      Vec w[kOrder], d[kOrder];
      b_spline(S::load(u), w, d);
      turn(w, values[k]);
      turn(d, derivatives[k]);
    }
  }

 private:
  static void turn(const Vec (&by_node)[kOrder], float (&by_point)[kLanes][kLanes]) {
    static_assert(kOrder == kLanes);
    Vec x[kLanes];
    for (int k = 0; k < kOrder; ++k) x[k] = by_node[k];
    S::transpose(x);
    for (int i = 0; i < kLanes; ++i) S::store(by_point[i], x[i]);
  }
};

}  // namespace

GridRepulsion::GridRepulsion(std::int64_t n_points, int n_dimensions, std::int64_t most_nodes,
                             int n_workers)
    : most_nodes_(most_nodes),
      convolution_(std::make_unique<GridConvolution>(n_workers)),
      order_(static_cast<std::size_t>(n_points)),
      counts_((n_points + kSortBlock - 1) / kSortBlock,
              (n_dimensions == 1 ? kOrder + 1 : most_nodes) / kStrip + 1),
      sums_(1, (n_points + kReadBlock - 1) / kReadBlock),
      extents_(counts_.rows(), 4) {
  starts_.reserve(static_cast<std::size_t>(counts_.cols()) + 1);
}

GridRepulsion::~GridRepulsion() = default;
GridRepulsion::GridRepulsion(GridRepulsion&&) noexcept = default;

std::int64_t GridRepulsion::bytes(std::int64_t n_points, int n_dimensions, std::int64_t most_nodes,
                                  int n_workers) {
  const std::int64_t blocks = (n_points + kSortBlock - 1) / kSortBlock;
  const std::int64_t strips = (n_dimensions == 1 ? kOrder + 1 : most_nodes) / kStrip + 1;
  return n_points * 4 + (blocks + 1) * (strips + 1) * 8 + n_points / kReadBlock * 8 + blocks * 16 +
         GridConvolution::bytes(most_nodes, n_dimensions, n_workers);
}

const Grid& GridRepulsion::grid() const { return convolution_->grid(); }

// A counting sort by strip, stable, so that sums on the grid have a fixed order.
void GridRepulsion::sort(const CpuBackend& backend, MatrixView<const float> points) {
  const Axis axis(grid(), 1);
  const std::int64_t strips = n_strips(grid());
  const auto strip_of = [&](std::int64_t i) {
    return static_cast<std::int64_t>(axis.place(coordinate(points, i, 1))) / kStrip;
  };
  std::fill_n(counts_.data(), counts_.size(), 0);
  for_points(backend, points.rows,
             [&](std::int64_t block, std::int64_t i) { ++counts_(block, strip_of(i)); });
  starts_.assign(1, 0);
  std::int64_t sum = 0;
  for (std::int64_t strip = 0; strip < strips; ++strip) {
    for (std::int64_t block = 0; block < counts_.rows(); ++block) {
      const std::int64_t count = counts_(block, strip);
      counts_(block, strip) = sum;
      sum += count;
    }
    starts_.push_back(sum);
  }
  for_points(backend, points.rows, [&](std::int64_t block, std::int64_t i) {
    order_[static_cast<std::size_t>(counts_(block, strip_of(i))++)] = static_cast<std::int32_t>(i);
  });
}

void GridRepulsion::spread(MatrixView<const float> points, std::int64_t strip) {
  const Axis axes[2] = {Axis(grid(), 0), Axis(grid(), 1)};
  const std::int64_t end = starts_[static_cast<std::size_t>(strip + 1)];
  Splines splines;
  for (std::int64_t at = starts_[static_cast<std::size_t>(strip)]; at < end; at += kLanes) {
    const std::int64_t count = std::min<std::int64_t>(kLanes, end - at);
    splines.set(points, axes, count,
                [&](std::int64_t lane) { return order_[static_cast<std::size_t>(at + lane)]; });
    for (std::int64_t i = 0; i < count; ++i) {
      const Vec along = S::load(splines.values[0][i]);
      for (int k = 0; k < kOrder; ++k) {
        float* const to = convolution_->row(splines.node[1][i] + k) + splines.node[0][i];
        S::store(to, S::load(to) + splines.values[1][i][k] * along);
      }
    }
  }
}

void GridRepulsion::set_sources(const CpuBackend& backend, MatrixView<const float> points,
                                const double (&low)[2], const double (&high)[2]) {
  n_sources_ = points.rows;
  before_ = choose_grid(low, high, most_nodes_, before_);
  convolution_->set_grid(backend, before_);
  sort(backend, points);
  const std::int64_t strips = n_strips(grid());
  for (std::int64_t odd = 0; odd < 2; ++odd) {
    backend.threads.parallel_for((strips + 1 - odd) / 2, backend.n_workers,
                                 [&](std::int64_t pair, int) { spread(points, 2 * pair + odd); });
  }
  convolution_->convolve(backend);
}

double GridRepulsion::read(const CpuBackend& backend, MatrixView<const float> places,
                           MatrixView<float> forces, std::span<float> potentials) {
  const Axis axes[2] = {Axis(grid(), 0), Axis(grid(), 1)};
  const auto level = static_cast<float>(grid().level * static_cast<double>(n_sources_));
  const auto share = static_cast<float>(-0.5 / grid().spacing);
  const std::int64_t n = places.rows;
  // The sources themselves are read in their order on the grid, whose rows stay in the cache.
  const bool ordered = n == n_sources_ && n == static_cast<std::int64_t>(order_.size());
  const std::int64_t n_blocks = (n + kReadBlock - 1) / kReadBlock;
  if (n_blocks > sums_.cols()) sums_ = Matrix<double>(1, n_blocks);  // places that are not sources
  backend.threads.parallel_for(n_blocks, backend.n_workers, [&](std::int64_t block, int) {
    const std::int64_t end = std::min(n, (block + 1) * kReadBlock);
    double sum = 0.0;
    Splines splines;
    for (std::int64_t at = block * kReadBlock; at < end; at += kLanes) {
      const std::int64_t count = std::min<std::int64_t>(kLanes, end - at);
      const auto index = [&](std::int64_t lane) -> std::int64_t {
        return ordered ? order_[static_cast<std::size_t>(at + lane)] : at + lane;
      };
      splines.set(places, axes, count, index);
      for (std::int64_t i = 0; i < count; ++i) {
        Vec value = {}, slope = {};
        for (int k = 0; k < kOrder; ++k) {
          const Vec v = S::load(convolution_->row(splines.node[1][i] + k) + splines.node[0][i]);
          value += splines.values[1][i][k] * v;
          slope += splines.derivatives[1][i][k] * v;
        }
        const Vec along = S::load(splines.values[0][i]);
        const float potential = S::sum(value * along) + level;
        const std::int64_t point = index(i);
        forces(point, 0) = share * S::sum(value * S::load(splines.derivatives[0][i]));
        if (places.cols > 1) forces(point, 1) = share * S::sum(slope * along);
        if (!potentials.empty()) potentials[static_cast<std::size_t>(point)] = potential;
        sum += static_cast<double>(potential);
      }
    }
    sums_(0, block) = sum;
  });
  double total = 0.0;
  for (std::int64_t block = 0; block < n_blocks; ++block) total += sums_(0, block);
  return total;
}

double GridRepulsion::repel(const CpuBackend& backend, MatrixView<const float> points,
                            MatrixView<float> forces) {
  std::fill_n(extents_.data(), extents_.size(), std::numeric_limits<float>::lowest());
  for_points(backend, points.rows, [&](std::int64_t block, std::int64_t i) {
    for (int k = 0; k < points.cols; ++k) {
      float* extent = &extents_(block, 2 * k);  // the least value's negative, and the greatest
      extent[0] = std::max(extent[0], -points(i, k));
      extent[1] = std::max(extent[1], points(i, k));
    }
  });
  double low[2] = {}, high[2] = {};
  for (int k = 0; k < points.cols; ++k) {
    for (std::int64_t block = 1; block < extents_.rows(); ++block) {
      for (int end = 2 * k; end < 2 * k + 2; ++end) {
        extents_(0, end) = std::max(extents_(0, end), extents_(block, end));
      }
    }
    low[k] = -static_cast<double>(extents_(0, 2 * k));
    high[k] = static_cast<double>(extents_(0, 2 * k + 1));
  }
  set_sources(backend, points, low, high);
  // Every potential holds the point's own, which is 1.
  return read(backend, points, forces, {}) - static_cast<double>(points.rows);
}

}  // namespace culatent::tsne
