#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "culatent/kmeans.hpp"
#include "host/fit_loop.hpp"
#include "host/scan.hpp"
#include "kernels/kmeans.hpp"

/// What the parts of k-means as a method share.
namespace culatent::kmeans {

/// Rows whose results are on the host at a time.
inline constexpr std::int64_t kStepRows = 64 * kBlockRows;

/// Throws invalid_argument for options that no data could make right, data_error for those that do
/// not suit n_rows x n_features.
void check_options(const Options& options, std::int64_t n_rows, std::int64_t n_features);
/// Throws data_error for tensors that are no clustering.
void check_model(const Model& model, const std::string& where);

/// Updates at most: Options::max_iter, or what its absence means.
int most_updates(const Options& options, std::int64_t n_rows);

/// Coordinates that a fit to such rows computes in.
Coordinates fit_coordinates(const DataSummary& data, Metric metric);
/// Coordinates for rows that are known through the model; `rows` keeps the farthest in range.
template <class T>
Coordinates model_coordinates(const Model& model, const DataSummary& rows);
/// What is added up of a fit's rows; one limb for unweighted float.
template <class T>
FixedPoint fixed_point(const Coordinates& coordinates, std::int64_t n_rows, bool weighted);

/// How many rows of positive weight FixedPoint cannot tell from rows of weight 0.
std::int64_t count_light_rows(std::span<const double> weights, double weight_scale);

template <class T>
Matrix<T> to_coordinates(const Matrix<double>& centroids, const Coordinates& coordinates);
/// The value of feature j in the data's units.
inline double from_coordinates(double value, const Coordinates& coordinates, std::int64_t j) {
  const auto i = static_cast<std::size_t>(j);
  return coordinates.frame.centre[i] + value * (1.0 / coordinates.frame.scale[i]);
}
/// [K, D] rows of length 1 (cosine). Throws data_error for one that has no direction.
void normalise_rows(Matrix<double>& centroids, const std::string& where);

/// What a run goes on from. The centroids of the pass before give the labels that moves are
/// counted against.
struct State {
  Model model;
  Matrix<double> previous = {};  ///< empty: there was no pass
};
using RunState = culatent::RunState<State, TraceEntry>;
/// A run in the tensors of a checkpoint.
void put(const RunState& run, const std::string& prefix, io::TensorFile& file);
void take(const io::TensorFile& file, const std::string& prefix, RunState& run);

}  // namespace culatent::kmeans
