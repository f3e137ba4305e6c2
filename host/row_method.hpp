#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/matrix.hpp"
#include "host/fit_loop.hpp"

/// What every method that is fitted by passes over rows checks, plans and tells alike.
namespace culatent {

/// What a method's groups are called: "components", and the option that sets how many.
struct GroupNoun {
  const char* plural;
  const char* option;
};
inline constexpr GroupNoun kComponents = {"components", "--components"};
inline constexpr GroupNoun kClusters = {"clusters", "--clusters"};

/// Throws invalid_argument for limits of the iterations that no data could make right.
void check_iterations(int max_iter, double tol, int n_init, const CheckpointOptions& checkpoint);

/// Throws invalid_argument for a negative interval.
void check_checkpoint(const CheckpointOptions& checkpoint);

/// Throws data_error for data of no size, or fewer rows than groups.
void check_size(std::int64_t n_rows, std::int64_t n_features, std::int64_t n_groups,
                const GroupNoun& noun);

/// Throws data_error for start values of another shape than n_groups x n_features.
void check_start_shape(const Matrix<double>& start, const char* what, std::int64_t n_groups,
                       std::int64_t n_features, const GroupNoun& noun);

/// Throws data_error when fewer rows than groups have a positive weight.
void check_counting_rows(std::span<const double> weights, std::int64_t n_rows,
                         std::int64_t n_groups, const GroupNoun& noun);

/// Throws data_error for rows of another width than the model's.
void check_width(std::int64_t n_columns, std::int64_t n_features);

/// The rows of a plan; chunks and threads as the context has them.
Plan plan_of_rows(const Context& context, std::int64_t n_rows, std::int64_t n_features);

/// Takes threads away until total(threads) bytes fit the memory limit, and notes what is left.
/// Throws out_of_memory, with `remedy`, when one thread is too many.
void fit_to_limit(const Context& context, const std::function<std::int64_t(int workers)>& total,
                  const char* remedy, Plan& plan);

/// What every Fit tells of the loop. The model is the method's to take.
template <class Fit, class Run>
void take_result(LoopResult<Run>& result, const Plan& plan, Fit& fit) {
  fit.trace = std::move(result.run.trace);
  fit.n_iter = result.run.iteration;
  fit.converged = result.run.converged;
  fit.interrupted = result.interrupted;
  fit.seed = result.seed;
  fit.restart = result.run.restart;
  fit.seconds = result.seconds;
  fit.plan = plan;
  if (fit.converged) return;
  const char* words = fit.interrupted ? "the fit was stopped after "
                                      : "max_iter came first: the fit has not converged in ";
  fit.warnings.push_back({fit.interrupted ? "interrupted" : "not_converged",
                          words + std::to_string(fit.n_iter) + " iterations"});
}

/// Adds the warning that missing values were left out, when there are any.
void warn_of_missing(std::int64_t n_missing, std::vector<Warning>& warnings);

/// The indices of `values`, largest value first; equal ones keep their order.
std::vector<std::int64_t> largest_first(std::span<const double> values);

}  // namespace culatent
