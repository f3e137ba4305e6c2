#pragma once

#include <Eigen/Core>
#include <vector>

#include "kernels/cpu/gaussian_mixture_tile.hpp"

namespace culatent::gaussian_mixture::cpu {

/// Rows with missing values, marginalised one by one in double over what was observed
/// (Ghahramani & Jordan 1994, "Supervised learning from incomplete data via an EM approach"):
/// with o observed and m missing,
///   p(x_o | k) = N(x_o | mean_o, S_oo),   E[x_m] = mean_m + S_mo S_oo⁻¹ (x_o − mean_o),
///   cov[x_m] = S_mm − S_mo S_oo⁻¹ S_om.
/// Factors are kept while rows have the same pattern; rows of a tile are visited pattern by
/// pattern.
///   flops per row K D², per pattern K D³
template <class T>
class MissingRows {
 public:
  MissingRows(const Parameters<T>& parameters, const Frame& frame);
  static std::int64_t bytes(std::int64_t n_components, std::int64_t n_features);

  /// Fills resp and log_prob of the tile's incomplete rows. With a layout, also adds their row sums
  /// and expected moments to scratch.sums and sets their row_weight to 0.
  void marginalise(MatrixView<const T> rows, const Layout* layout, TileScratch<T>& scratch);

 private:
  using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic>;
  struct Conditional {
    Square lower;       // Cholesky factor of S_oo
    Square gain;        // S_mo S_oo⁻¹
    Square covariance;  // of the missing features given the observed ones
    double log_norm = 0.0;
  };
  void factorise(const std::vector<std::int64_t>& observed,
                 const std::vector<std::int64_t>& missing);
  void fill_row(MatrixView<const T> rows, int row, TileScratch<T>& scratch);
  void add_row(int row, const Layout& layout, TileScratch<T>& scratch);

  const Parameters<T>& parameters_;
  const Frame& frame_;
  std::vector<bool> pattern_;  // of the factors below: true where missing
  std::vector<std::int64_t> observed_, missing_;
  std::vector<Conditional> conditionals_;
  Eigen::MatrixXd completed_;  // [D, K] the row with its missing features expected
  Eigen::VectorXd log_joint_;
};

}  // namespace culatent::gaussian_mixture::cpu
