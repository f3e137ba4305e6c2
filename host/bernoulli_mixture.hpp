#pragma once

#include <cstdint>
#include <string>

#include "culatent/bernoulli_mixture.hpp"
#include "culatent/kmeans.hpp"
#include "host/fit_loop.hpp"
#include "kernels/bernoulli_mixture.hpp"

/// What the parts of the Bernoulli mixture share.
namespace culatent::bernoulli_mixture {

/// Throws invalid_argument for options that no data could make right, data_error for those that do
/// not suit n_rows x n_features.
void check_options(const Options& options, std::int64_t n_rows, std::int64_t n_features);
/// Throws data_error for tensors that are no mixture.
void check_model(const Model& model, const std::string& where);
/// Throws data_error for a value that a step refused.
void check_values(const BadValue& bad);

/// Means are kept this far from 0 and 1.
double least_probability(const Options& options);
/// (ones + α) / (rows + 2 α), kept from 0 and 1; `otherwise` where no row tells.
double smoothed_mean(const Options& options, double ones, double rows, double otherwise);
/// The k-means that a fit starts with.
kmeans::Options start_clusters(const Options& options);
/// sum_kj (log μ_kj + log(1 − μ_kj)) times `smoothing`.
double log_prior(const Model& model, double smoothing);

using RunState = culatent::RunState<Model, TraceEntry>;
/// A run in the tensors of a checkpoint.
void put(const RunState& run, const std::string& prefix, io::TensorFile& file);
void take(const io::TensorFile& file, const std::string& prefix, RunState& run);

}  // namespace culatent::bernoulli_mixture
