#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "culatent/gaussian_mixture.hpp"
#include "host/fit_loop.hpp"
#include "host/scan.hpp"
#include "kernels/gaussian_mixture.hpp"

/// What the parts of the Gaussian mixture's loop share.
namespace culatent::gaussian_mixture {

/// Throws invalid_argument for options that no data could make right, data_error for those that do
/// not suit n_rows x n_features.
void check_options(const Options& options, std::int64_t n_rows, std::int64_t n_features);

/// Throws invalid_argument for rows or options that the context's backend cannot take.
template <class T>
void check_place(const Context& context, const RowSource<T>& rows, bool missing,
                 std::optional<Precision> precision = {});

/// Elements of Model::covariances.
std::int64_t covariance_size(Covariance covariance, std::int64_t n_components,
                             std::int64_t n_features);

/// Throws invalid_argument or data_error for tensors whose shapes, weights or variances make no
/// mixture.
void check_model(const Model& model, const std::string& where);

/// Covariance of component k of any type, [D, D] row-major.
Matrix<double> dense_covariance(const Model& model, std::int64_t k);

/// Factors the covariances (Cholesky in float64, in the frame) and moves the means into the frame.
/// Components whose covariance is not positive definite to working precision go to `failed`; their
/// parameters are unusable. O(K D³).
template <class T>
Parameters<T> prepare(const CpuBackend& backend, const Model& model, const Frame& frame,
                      bool missing, std::vector<std::int64_t>& failed);

/// The frame for rows that are known only through the model that describes them.
template <class T>
Frame model_frame(const Model& model);

/// Sums over all rows, and the points that they were taken about.
struct Moments {
  const Layout& layout;
  std::span<const double> sums;
  Covariance covariance;
  const Frame& frame;
  const Matrix<double>& shifts;  ///< [K, D] in the frame

  double count(std::int64_t k) const { return sums[static_cast<std::size_t>(layout.counts + k)]; }
  double mean(std::int64_t k, std::int64_t j) const;  ///< in the frame
  /// Element (i, j) of component k's covariance (tied: of all) in the frame; diagonal: i = j.
  double covariance_at(std::int64_t k, std::int64_t i, std::int64_t j) const;
  /// Element (i, j) of the covariance of all rows together in the frame.
  double pooled_at(std::int64_t i, std::int64_t j) const;
};

/// What a pass tells, from the sums of Layout.
TraceEntry trace_entry(std::span<const double> sums);

/// The M-step (METHODS: Gaussian mixture), reg_covar included. Components that lost their rows or
/// fell on one point go to `collapsed`, for resolve_collapse().
Model maximise(const Moments& moments, double reg_covar, std::vector<std::int64_t>& collapsed);

/// Applies the policy to the collapsed components. Throws data_error for Collapse::error, and when
/// nothing is left.
void resolve_collapse(const Moments& moments, Collapse policy, int iteration,
                      std::span<const std::int64_t> collapsed, Model& model);

/// The M-step with the collapse policy applied and the result factored. A covariance that cannot be
/// factored counts as collapsed; throws data_error when the policy does not help.
template <class T>
Parameters<T> maximise_and_factor(const CpuBackend& backend, const Moments& moments,
                                  const Options& options, int iteration, Model& model,
                                  std::int64_t& n_collapsed);

/// One line for people about where and why.
[[noreturn]] void throw_singular(const Model& model, std::span<const std::int64_t> failed,
                                 const std::string& where);

using RunState = culatent::RunState<Model, TraceEntry>;
/// A run in the tensors of a checkpoint.
void put(const RunState& run, const std::string& prefix, io::TensorFile& file);
void take(const io::TensorFile& file, const std::string& prefix, RunState& run);

}  // namespace culatent::gaussian_mixture
