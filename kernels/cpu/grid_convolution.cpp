#include "kernels/cpu/grid_convolution.hpp"

#include <algorithm>

#include "kernels/cpu/tile.hpp"

namespace culatent::tsne {
namespace {

using culatent::cpu::round_up;
using S = culatent::cpu::Simd<float>;
using Vec = S::Vec;

constexpr int kLanes = S::kLanes;
// Rows that are transformed together: one as the real part and one as the imaginary part of a lane.
constexpr std::int64_t kRows = 2 * kLanes;

std::int64_t frequencies(std::int64_t size) { return round_up(size / 2 + 1, kLanes); }

// Eight rows, eight elements each, from or to lanes.
void gather_lanes(const float* rows, std::int64_t stride, Vec* out) {
  Vec x[kLanes];
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; ++i) x[i] = S::load(rows + i * stride);
  S::transpose(x);
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; ++i) out[i] = x[i];
}

void scatter_lanes(const Vec* in, float* rows, std::int64_t stride) {
  Vec x[kLanes];
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; ++i) x[i] = in[i];
  S::transpose(x);
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; ++i) S::store(rows + i * stride, x[i]);
}

// Vectors of a worker: two parts and two of scratch of the longer transform, and what rows read
// beyond its half.
std::int64_t space_size(std::int64_t size0, std::int64_t size1) {
  return (4 * std::max(size0, size1) + 4 * kLanes) * kLanes;
}

}  // namespace

std::int64_t GridConvolution::bytes(std::int64_t most_nodes, int n_dimensions, int n_workers) {
  const std::int64_t other = n_dimensions == 1 ? kOrder + 1 : most_nodes;
  // The transforms are at most 5/4 of twice the nodes with a margin, or the next smooth number.
  const auto size = [](std::int64_t nodes) { return culatent::cpu::fft_size(nodes * 5 / 2 + 32); };
  const std::int64_t rows = round_up(other, kRows), columns = frequencies(size(most_nodes));
  const std::int64_t elements = rows * round_up(most_nodes, kLanes) + 2 * rows * columns +
                                (size(other) / 2 + 1) * columns +
                                n_workers * space_size(size(most_nodes), size(other));
  // The influence function is made in double, before it is kept in float.
  return elements * 4 + influence_bytes(size(most_nodes), size(other), n_workers);
}

void GridConvolution::set_grid(const CpuBackend& backend, const Grid& grid) {
  const bool same = grid.size[0] == grid_.size[0] && grid.size[1] == grid_.size[1];
  const std::int64_t rows = round_up(grid.nodes[1], kRows);
  const std::int64_t columns = frequencies(grid.size[0]);
  const std::int64_t stride = round_up(grid.nodes[0], kLanes);
  if (!same) {
    along_.emplace(grid.size[0]);
    down_.emplace(grid.size[1]);
    influence_ = {};
    influence_ = Matrix<float>(grid.size[1] / 2 + 1, columns);
    space_ = Matrix<float>(n_workers_, space_size(grid.size[0], grid.size[1]));
  }
  if (!same || grid.spacing != grid_.spacing) {
    fill_influence({backend.threads, n_workers_}, grid, columns, influence_.data());
  }
  if (!same || re_.rows() != rows) {
    re_ = im_ = {};
    re_ = Matrix<float>(rows, columns);
    im_ = Matrix<float>(rows, columns);
  }
  if (values_.rows() != rows || values_.cols() != stride) {
    values_ = {};
    values_ = Matrix<float>(rows, stride);
  } else {
    backend.threads.parallel_for(rows / kRows, n_workers_, [&](std::int64_t group, int) {
      std::fill_n(row(group * kRows), kRows * stride, 0.0f);
    });
  }
  grid_ = grid;
}

// re + i im of lane l are rows l and l + 8; their transforms are the even and the odd part.
void GridConvolution::transform_rows(std::int64_t first, float* space) {
  const std::int64_t n = grid_.size[0], columns = re_.cols(), stride = values_.cols();
  auto* re = reinterpret_cast<Vec*>(space);
  Vec* const im = re + n + kLanes;
  const std::int64_t filled = round_up(grid_.nodes[0], kLanes);
  for (std::int64_t t = 0; t < filled; t += kLanes) {
    gather_lanes(row(first) + t, stride, re + t);
    gather_lanes(row(first + kLanes) + t, stride, im + t);
  }
  for (std::int64_t t = filled; t < n; ++t) re[t] = im[t] = Vec{};
  along_->transform(re, im, im + n + kLanes);
  for (std::int64_t k = 0; k < columns; k += kLanes) {
    Vec a_re[kLanes], a_im[kLanes], b_re[kLanes], b_im[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const std::int64_t at = std::min(k + i, n / 2), other = at == 0 ? 0 : n - at;
      a_re[i] = 0.5f * (re[at] + re[other]);
      a_im[i] = 0.5f * (im[at] - im[other]);
      b_re[i] = 0.5f * (im[at] + im[other]);
      b_im[i] = 0.5f * (re[other] - re[at]);
    }
    scatter_lanes(a_re, re_.data() + first * columns + k, columns);
    scatter_lanes(a_im, im_.data() + first * columns + k, columns);
    scatter_lanes(b_re, re_.data() + (first + kLanes) * columns + k, columns);
    scatter_lanes(b_im, im_.data() + (first + kLanes) * columns + k, columns);
  }
}

// Eight columns from `first` on.
void GridConvolution::multiply_columns(std::int64_t first, float* space) {
  const std::int64_t n = grid_.size[1], columns = re_.cols(), rows = grid_.nodes[1];
  auto* re = reinterpret_cast<Vec*>(space);
  Vec* const im = re + n;
  Vec* const scratch = im + n;
  for (std::int64_t t = 0; t < rows; ++t) {
    re[t] = S::load(re_.data() + t * columns + first);
    im[t] = S::load(im_.data() + t * columns + first);
  }
  for (std::int64_t t = rows; t < n; ++t) re[t] = im[t] = Vec{};
  down_->transform(re, im, scratch);
  for (std::int64_t k = 0; k < n; ++k) {
    const Vec factor = S::load(influence_.data() + std::min(k, n - k) * columns + first);
    re[k] *= factor;
    im[k] *= factor;
  }
  down_->transform(im, re, scratch);
  for (std::int64_t t = 0; t < rows; ++t) {
    S::store(re_.data() + t * columns + first, re[t]);
    S::store(im_.data() + t * columns + first, im[t]);
  }
}

void GridConvolution::transform_rows_back(std::int64_t first, float* space) {
  const std::int64_t n = grid_.size[0], columns = re_.cols(), stride = values_.cols();
  auto* re = reinterpret_cast<Vec*>(space);
  Vec* const im = re + n + kLanes;
  for (std::int64_t k = 0; k <= n / 2; k += kLanes) {
    Vec a_re[kLanes], a_im[kLanes], b_re[kLanes], b_im[kLanes];
    gather_lanes(re_.data() + first * columns + k, columns, a_re);
    gather_lanes(im_.data() + first * columns + k, columns, a_im);
    gather_lanes(re_.data() + (first + kLanes) * columns + k, columns, b_re);
    gather_lanes(im_.data() + (first + kLanes) * columns + k, columns, b_im);
    for (int i = 0; i < kLanes && k + i <= n / 2; ++i) {
      const std::int64_t at = k + i;
      re[at] = a_re[i] - b_im[i];
      im[at] = a_im[i] + b_re[i];
      if (at == 0 || at == n / 2) continue;
      re[n - at] = a_re[i] + b_im[i];
      im[n - at] = b_re[i] - a_im[i];
    }
  }
  along_->transform(im, re, im + n + kLanes);
  const std::int64_t filled = round_up(grid_.nodes[0], kLanes);
  for (std::int64_t t = 0; t < filled; t += kLanes) {
    scatter_lanes(re + t, row(first) + t, stride);
    scatter_lanes(im + t, row(first + kLanes) + t, stride);
  }
}

void GridConvolution::convolve(const CpuBackend& backend) {
  const auto space = [&](int worker) { return space_.data() + worker * space_.cols(); };
  const std::int64_t row_groups = values_.rows() / kRows, column_groups = re_.cols() / kLanes;
  backend.threads.parallel_for(row_groups, n_workers_, [&](std::int64_t group, int worker) {
    transform_rows(group * kRows, space(worker));
  });
  backend.threads.parallel_for(column_groups, n_workers_, [&](std::int64_t group, int worker) {
    multiply_columns(group * kLanes, space(worker));
  });
  backend.threads.parallel_for(row_groups, n_workers_, [&](std::int64_t group, int worker) {
    transform_rows_back(group * kRows, space(worker));
  });
}

}  // namespace culatent::tsne
