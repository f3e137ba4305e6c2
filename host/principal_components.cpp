#include "host/principal_components.hpp"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>

#include "host/exact_sums.hpp"
#include "host/random.hpp"
#include "host/row_pass.hpp"
#include "host/scan.hpp"
#include "kernels/cpu/tile.hpp"

namespace culatent {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using Panel = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr std::int64_t kWhole = 256;      // features whose covariance is formed
constexpr std::int64_t kSpare = 8;        // columns beside those asked for
constexpr std::int64_t kPanelRows = 128;  // rows that stay in the second-level cache
constexpr int kMostPasses = 50;
constexpr double kTolerance = 1e-5;

std::int64_t n_columns(std::int64_t n_features, std::int64_t n_components) {
  if (n_features <= kWhole) return n_features;
  return std::min(n_features, n_components + kSpare);
}

// Rounding of sums over a block's rows and over features, relative to the first eigenvalue.
double rounding(std::int64_t n_features) {
  return static_cast<double>(kBlockRows + n_features) * std::numeric_limits<double>::epsilon();
}

// Rows in double, (x − centre) scale: one power of two for all features brings the widest near 1,
// so that its square is in range.
template <class T>
class CentredRows {
 public:
  CentredRows(const Context& context, const CpuBackend& backend, const RowSource<T>& rows,
              std::int64_t n_sums, std::int64_t n_columns)
      : context_(context), backend_(backend), rows_(rows), sums_(n_sums) {
    for (int worker = 0; worker < backend.n_workers; ++worker) {
      buffers_.emplace_back(rows.in_place() ? 0 : kBlockRows, rows.cols());
      panels_.emplace_back(kPanelRows, rows.cols());
      parts_.emplace_back(rows.cols(), n_columns);
    }
  }

  // Calls visit(panel, first row, worker) for kPanelRows rows at a time, and done(worker) after
  // each block of them.
  template <class Visit, class Done>
  void visit(const VectorXd& centre, double scale, Visit&& visit, Done&& done) {
    const auto buffer = [&](int worker) {
      return buffers_[static_cast<std::size_t>(worker)].view();
    };
    for_each_chunk(context_, FitRows<T>{rows_, {}}, [&](const RowChunk<T>& chunk) {
      cpu::for_each_block(
          backend_, chunk, buffer, [&](MatrixView<const T> block, std::int64_t first, int worker) {
            Panel& panel = panels_[static_cast<std::size_t>(worker)];
            for (std::int64_t begin = 0; begin < block.rows; begin += kPanelRows) {
              const std::int64_t count = std::min(kPanelRows, block.rows - begin);
              for (std::int64_t i = 0; i < count; ++i) {
                const Eigen::Map<const Eigen::Matrix<T, 1, Eigen::Dynamic>> row(
                    block.row(begin + i), block.cols);
                panel.row(i) = (row.template cast<double>() - centre.transpose()) * scale;
              }
              visit(panel.topRows(count), first + begin, worker);
            }
            done(worker);
          });
    });
  }

  // The sum over all rows of what add(panel, part) adds to part [D, columns], for any order of
  // the blocks the same.
  template <class Add>
  MatrixXd sum(const VectorXd& centre, double scale, std::int64_t columns, Add&& add) {
    const std::int64_t size = rows_.cols() * columns;
    sums_.clear();
    for (MatrixXd& part : parts_) part.setZero();
    visit(
        centre, scale,
        [&](const auto& panel, std::int64_t, int worker) {
          add(panel, parts_[static_cast<std::size_t>(worker)].leftCols(columns));
        },
        [&](int worker) {
          MatrixXd& part = parts_[static_cast<std::size_t>(worker)];
          sums_.add({part.data(), static_cast<std::size_t>(size)});
          part.leftCols(columns).setZero();
        });
    MatrixXd total(rows_.cols(), columns);
    for (std::int64_t i = 0; i < size; ++i) total.data()[i] = sums_.value(i);
    return total;
  }

 private:
  const Context& context_;
  const CpuBackend& backend_;
  const RowSource<T>& rows_;
  ExactSums sums_;
  std::vector<Matrix<T>> buffers_;
  std::vector<Panel> panels_;
  std::vector<MatrixXd> parts_;  // [D, columns] of the block at hand
};

MatrixXd orthonormal(const MatrixXd& columns) {
  const Eigen::HouseholderQR<MatrixXd> factors(columns);
  return factors.householderQ() * MatrixXd::Identity(columns.rows(), columns.cols());
}

MatrixXd random_columns(std::int64_t rows, std::int64_t cols) {
  MatrixXd columns(rows, cols);
  random::fill_normals(0, random::Stream::principal_components, columns);
  return columns;
}

struct Spectrum {
  VectorXd values;   // [l] descending
  MatrixXd vectors;  // [D, l]
  int n_passes = 0;
  bool converged = false;
};

// Rayleigh–Ritz on a basis that every product turns towards the first eigenvectors. `multiply`
// gives C times its columns.
template <class Multiply>
Spectrum iterate(MatrixXd basis, std::int64_t wanted, Multiply&& multiply) {
  Spectrum found;
  for (;;) {
    const MatrixXd product = multiply(basis);
    const MatrixXd inner = basis.transpose() * product;
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver((inner + inner.transpose()) / 2.0);
    const MatrixXd turn = solver.eigenvectors().rowwise().reverse();
    found.values = solver.eigenvalues().reverse();
    found.vectors = basis * turn;
    ++found.n_passes;
    const MatrixXd image = product * turn;
    const double floor = rounding(basis.rows()) * std::max(found.values[0], 0.0);
    found.converged = true;
    for (std::int64_t j = 0; j < std::min(wanted, basis.cols()); ++j) {
      const double residual = (image.col(j) - found.values[j] * found.vectors.col(j)).norm();
      found.converged = found.converged && residual <= kTolerance * found.values[j] + floor;
    }
    if (found.converged || found.n_passes == kMostPasses) return found;
    basis = orthonormal(image);
  }
}

}  // namespace

template <class T>
PrincipalComponents find_principal_components(const Context& context, const CpuBackend& backend,
                                              const RowSource<T>& rows, std::int64_t n_components) {
  const std::int64_t n = rows.rows(), d = rows.cols();
  const Frame frame = scan(context, backend, rows, {}, {.can_miss = false}).frame;
  const double scale = *std::min_element(frame.scale.begin(), frame.scale.end());
  const std::int64_t columns = n_columns(d, n_components);
  CentredRows<T> centred(context, backend, rows, d * columns, columns);

  // The frame's centre is the mean rounded to T: what is missing is added in double.
  VectorXd centre = Eigen::Map<const VectorXd>(frame.centre.data(), d);
  const MatrixXd beside = centred.sum(centre, scale, 1, [](const auto& panel, auto part) {
    part += panel.colwise().sum().transpose();
  });
  centre += beside / (scale * static_cast<double>(n));

  const bool whole = columns == d;
  const auto multiply = [&](const MatrixXd& basis) -> MatrixXd {
    if (whole) {  // the basis is the identity: one half of the covariance
      const MatrixXd half = centred.sum(centre, scale, d, [](const auto& panel, auto part) {
        part.template selfadjointView<Eigen::Lower>().rankUpdate(panel.transpose());
      });
      return half.selfadjointView<Eigen::Lower>();
    }
    return centred.sum(centre, scale, columns, [&](const auto& panel, auto part) {
      const MatrixXd scores = panel * basis;
      part.noalias() += panel.transpose() * scores;
    });
  };
  const Spectrum spectrum =
      iterate(whole ? MatrixXd::Identity(d, d) : orthonormal(random_columns(d, columns)),
              n_components, multiply);

  std::int64_t rank = 0;
  const double least = rounding(d) * spectrum.values[0];
  while (rank < std::min(n_components, columns) && spectrum.values[rank] > least) ++rank;
  PrincipalComponents found{std::vector<double>(centre.data(), centre.data() + d),
                            Matrix<double>(rank, d),
                            {},
                            spectrum.n_passes,
                            spectrum.converged};
  for (std::int64_t c = 0; c < rank; ++c) {
    Eigen::Index largest = 0;
    spectrum.vectors.col(c).cwiseAbs().maxCoeff(&largest);
    const double sign = spectrum.vectors(largest, c) < 0.0 ? -1.0 : 1.0;
    for (std::int64_t j = 0; j < d; ++j) found.components(c, j) = sign * spectrum.vectors(j, c);
    found.variances.push_back(spectrum.values[c] / static_cast<double>(n - 1) / (scale * scale));
  }
  return found;
}

template <class T>
void principal_scores(const Context& context, const CpuBackend& backend, const RowSource<T>& rows,
                      const PrincipalComponents& found, double factor, MatrixView<T> scores) {
  const std::int64_t d = rows.cols(), rank = found.components.rows();
  const Eigen::Map<const Panel> components(found.components.data(), rank, d);
  const Eigen::Map<const VectorXd> mean(found.mean.data(), d);
  CentredRows<T>(context, backend, rows, 0, 0)
      .visit(
          mean, 1.0,
          [&](const auto& panel, std::int64_t first, int) {
            const MatrixXd part = panel * components.transpose();
            for (std::int64_t i = 0; i < part.rows(); ++i) {
              for (std::int64_t c = 0; c < rank; ++c) {
                scores(first + i, c) = static_cast<T>(part(i, c) * factor);
              }
            }
          },
          [](int) {});
}

template <class T>
std::int64_t principal_components_bytes(int n_workers, std::int64_t n_features,
                                        std::int64_t n_components, bool in_place) {
  const std::int64_t columns = n_columns(n_features, n_components);
  constexpr std::int64_t kNumber = sizeof(double);
  const std::int64_t small = checked_product(n_features, columns);
  const std::int64_t worker =
      checked_product(in_place ? 0 : kBlockRows, n_features * std::int64_t{sizeof(T)}) +
      // Rows, what Eigen packs of them for a product, and their scores.
      kNumber * (checked_product(kPanelRows, 2 * n_features + columns) + small);
  // Basis, product, vectors, their images and the reflections of a factorisation.
  return checked_product(n_workers, worker) + ExactSums::bytes(small) +
         kNumber * (8 * small + checked_product(n_features, n_components + 8));
}

#define CULATENT_INSTANTIATE(T)                                                              \
  template PrincipalComponents find_principal_components(const Context&, const CpuBackend&,  \
                                                         const RowSource<T>&, std::int64_t); \
  template void principal_scores(const Context&, const CpuBackend&, const RowSource<T>&,     \
                                 const PrincipalComponents&, double, MatrixView<T>);         \
  template std::int64_t principal_components_bytes<T>(int, std::int64_t, std::int64_t, bool);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent
