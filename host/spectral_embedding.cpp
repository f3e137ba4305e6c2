#include "host/spectral_embedding.hpp"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "host/random.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/tile.hpp"

namespace culatent {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using Block = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using S = cpu::Simd<double>;

constexpr std::int64_t kDenseRows = 64;
constexpr std::int64_t kSpare = 4;              // columns beside those asked for, at least
constexpr std::int64_t kGroup = 2 * S::kLanes;  // columns whose sums are in registers
constexpr int kLeastDegree = 8;                 // of a polynomial
constexpr int kMostProducts = 300;
constexpr double kGrowth = 10.0;      // log of what a polynomial makes of the eigenvalue 1
constexpr double kMargin = 0.1;       // from 1 to what the first polynomials keep small, at least
constexpr double kSlow = 1.0 / 30.0;  // ratio of residuals that calls for a smaller margin
constexpr double kTolerance = 1e-4;
constexpr double kShare = 1e-2;     // of 1 − eigenvalue
constexpr double kSmallest = 1e-7;  // residual that is asked for

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int64_t n_columns(std::int64_t n_components) {
  return cpu::round_up(n_components + kSpare, kGroup);
}

bool is_small(std::int64_t n, std::int64_t n_components) {
  return n <= std::max(kDenseRows, 2 * n_columns(n_components));
}

// D^-1/2 P D^-1/2 and its trivial eigenvector.
class Walk {
 public:
  Walk(const CpuBackend& backend, const SparseRows& graph)
      : backend_(backend), graph_(graph), scale_(graph.rows()), constant_(graph.rows()) {
    for (std::int64_t i = 0; i < graph.rows(); ++i) {
      double degree = 0.0;
      for (std::int64_t e = graph.starts[index(i)]; e < graph.starts[index(i + 1)]; ++e) {
        degree += static_cast<double>(graph.values[index(e)]);
      }
      scale_[i] = degree > 0.0 ? 1.0 / std::sqrt(degree) : 0.0;
      constant_[i] = std::sqrt(degree);
    }
    const double norm = constant_.norm();
    if (norm > 0.0) constant_ /= norm;
  }

  const VectorXd& scale() const { return scale_; }

  // block −= its part along the trivial eigenvector.
  void project(Block& block) const {
    const Eigen::RowVectorXd along = constant_.transpose() * block;
    block.noalias() -= constant_ * along;
  }

  // out = factor (A x − shift x) − share out, row by row.
  void multiply(const Block& x, double factor, double shift, double share, Block& out) const {
    const std::int64_t n = graph_.rows();
    backend_.threads.parallel_for(
        (n + kBlockRows - 1) / kBlockRows, backend_.n_workers, [&](std::int64_t block, int) {
          const std::int64_t end = std::min(n, (block + 1) * kBlockRows);
          for (std::int64_t i = block * kBlockRows; i < end; ++i) {
            for (std::int64_t group = 0; group < x.cols(); group += kGroup) {
              multiply_row(x.data() + group, x.cols(), i, factor, shift, share,
                           out.data() + i * x.cols() + group);
            }
          }
        });
  }

  // A − 3 (trivial vector)²: the eigenvalue 1 so becomes −2, below all others.
  MatrixXd dense() const {
    MatrixXd a = -3.0 * constant_ * constant_.transpose();
    for (std::int64_t i = 0; i < graph_.rows(); ++i) {
      for (std::int64_t e = graph_.starts[index(i)]; e < graph_.starts[index(i + 1)]; ++e) {
        const std::int64_t j = graph_.columns[index(e)];
        a(i, j) += static_cast<double>(graph_.values[index(e)]) * scale_[i] * scale_[j];
      }
    }
    return a;
  }

 private:
  void multiply_row(const double* x, std::int64_t stride, std::int64_t i, double factor,
                    double shift, double share, double* out) const {
    S::Vec sum[2] = {};
    for (std::int64_t e = graph_.starts[index(i)]; e < graph_.starts[index(i + 1)]; ++e) {
      const std::int64_t j = graph_.columns[index(e)];
      const S::Vec weight = S::fill(static_cast<double>(graph_.values[index(e)]) * scale_[j]);
      sum[0] += weight * S::load(x + j * stride);
      sum[1] += weight * S::load(x + j * stride + S::kLanes);
    }
    for (int v = 0; v < 2; ++v) {
      const S::Vec own = S::load(x + i * stride + v * S::kLanes);
      const S::Vec before = S::load(out + v * S::kLanes);
      S::store(out + v * S::kLanes, (sum[v] * scale_[i] - own * shift) * factor - before * share);
    }
  }

  const CpuBackend& backend_;
  const SparseRows& graph_;
  VectorXd scale_;     // D^-1/2, 0 where D is
  VectorXd constant_;  // D^1/2 1, of length 1
};

Block random_block(std::int64_t n, std::int64_t columns) {
  Block block(n, columns);
  random::fill_normals(0, random::Stream::spectral_embedding, block);
  return block;
}

// An orthonormal basis of the columns, without the trivial eigenvector. Columns are brought to
// length 1 first: the polynomial leaves them of lengths e^kGrowth apart.
void orthonormalise(const Walk& walk, Block& block) {
  walk.project(block);
  for (Eigen::Index j = 0; j < block.cols(); ++j) {
    const double norm = block.col(j).norm();
    if (norm > 0.0) block.col(j) /= norm;
  }
  const Eigen::HouseholderQR<Block> factors(block);
  block.setIdentity();
  block.applyOnTheLeft(factors.householderQ());
  walk.project(block);
}

// The Chebyshev polynomial of some degree that is within ±1 on the eigenvalues below a bound.
struct Filter {
  // Not below 0: where all eigenvalues are near −1 the growth has no bound. One polynomial of high
  // degree does more than several whose degrees add up to it, as long as the bound is good.
  Filter(double bound, int n_left) : half((std::max(bound, 0.0) + 1.0) / 2.0), middle(half - 1.0) {
    const double growth = std::acosh(std::max((1.0 - middle) / half, 1.0));
    degree = static_cast<int>(
        std::clamp(kGrowth / growth, double{kLeastDegree}, static_cast<double>(n_left)));
  }

  // block = the polynomial of A times the block; `image`, A block, is used up.
  void apply(const Walk& walk, Block& block, Block& image) const {
    image = (image - middle * block) / half;
    for (int k = 1; k < degree; ++k) {
      walk.multiply(image, 2.0 / half, middle, 1.0, block);
      std::swap(block, image);
    }
    std::swap(block, image);
  }

  double half, middle;  // of what it keeps small, −1 to the bound
  int degree;
};

struct Spectrum {
  VectorXd values;  // descending
  Block vectors;    // [N, at least as many]
  int n_products = 0;
  bool converged = false;
};

Spectrum solve_densely(const Walk& walk) {
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(walk.dense());
  return {solver.eigenvalues().reverse(), solver.eigenvectors().rowwise().reverse(), 0, true};
}

Spectrum iterate(const Walk& walk, std::int64_t n, std::int64_t wanted) {
  Spectrum found;
  Block& block = found.vectors;
  block = random_block(n, n_columns(wanted));
  // Where more eigenvalues are close to 1 than there are columns, the last Ritz value is no bound:
  // a polynomial would keep nothing small. So the bound goes as near to 1 only as residuals ask.
  double margin = kMargin, before = std::numeric_limits<double>::infinity();
  Block image = Block::Zero(n, block.cols());
  for (;;) {
    orthonormalise(walk, block);
    walk.multiply(block, 1.0, 0.0, 0.0, image);
    ++found.n_products;
    const MatrixXd inner = block.transpose() * image;
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver((inner + inner.transpose()) / 2.0);
    const MatrixXd turn = solver.eigenvectors().rowwise().reverse();
    found.values = solver.eigenvalues().reverse();
    block *= turn;
    image *= turn;
    double worst = 0.0;
    for (std::int64_t j = 0; j < wanted; ++j) {
      const double residual = (image.col(j) - found.values[j] * block.col(j)).norm();
      const double asked =
          std::max(std::min(kTolerance, kShare * (1.0 - found.values[j])), kSmallest);
      worst = std::max(worst, residual / asked);
    }
    found.converged = worst <= 1.0;
    const int n_left = kMostProducts - found.n_products;
    if (found.converged || n_left < kLeastDegree) return found;
    if (worst > kSlow * before) margin /= 4.0;
    before = worst;
    const Filter filter(std::min(found.values[block.cols() - 1], 1.0 - margin), n_left);
    filter.apply(walk, block, image);
    found.n_products += filter.degree - 1;
  }
}

}  // namespace

SpectralEmbedding spectral_embedding(const CpuBackend& backend, const SparseRows& graph,
                                     std::int64_t n_components) {
  const std::int64_t n = graph.rows();
  const std::int64_t rank = std::max<std::int64_t>(std::min(n_components, n - 1), 0);
  if (rank == 0) return {Matrix<double>(n, 0), {}, 0, true};
  const Walk walk(backend, graph);
  const Spectrum spectrum =
      is_small(n, n_components) ? solve_densely(walk) : iterate(walk, n, n_components);

  SpectralEmbedding found{Matrix<double>(n, rank), {}, spectrum.n_products, spectrum.converged};
  for (std::int64_t c = 0; c < rank; ++c) {
    found.eigenvalues.push_back(std::min(spectrum.values[c], 1.0));
    const VectorXd vector = walk.scale().cwiseProduct(spectrum.vectors.col(c));
    Eigen::Index largest = 0;
    vector.cwiseAbs().maxCoeff(&largest);
    const double sign = vector[largest] < 0.0 ? -1.0 : 1.0;
    for (std::int64_t i = 0; i < n; ++i) found.vectors(i, c) = sign * vector[i];
  }
  return found;
}

std::int64_t spectral_embedding_bytes(std::int64_t n_rows, std::int64_t n_components) {
  constexpr std::int64_t kNumber = sizeof(double);
  if (is_small(n_rows, n_components)) {
    return kNumber * checked_product(n_rows, 5 * n_rows + n_components + 8);
  }
  // Block, image, reflections or what a turn of them needs; the walk's vectors; the result.
  return kNumber * checked_product(n_rows, 3 * n_columns(n_components) + n_components + 4);
}

}  // namespace culatent
