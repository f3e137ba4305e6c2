#include "host/row_method.hpp"

#include <numeric>

#include "culatent/error.hpp"
#include "host/kmeans.hpp"
#include "host/row_pass.hpp"

namespace culatent {

void check_iterations(int max_iter, double tol, int n_init, const CheckpointOptions& checkpoint) {
  if (max_iter < 0) throw invalid_argument("max_iter is negative", "--max-iter", "give 0 or more");
  if (!(tol >= 0.0)) {
    throw invalid_argument("tol is negative or NaN", "--tol", "give 0 or more");
  }
  if (n_init < 1) throw invalid_argument("n_init is less than 1", "--n-init", "give at least 1");
  check_checkpoint(checkpoint);
}

void check_checkpoint(const CheckpointOptions& checkpoint) {
  if (checkpoint.every_iterations < 0 || !(checkpoint.every_seconds >= 0.0)) {
    throw invalid_argument("the checkpoint interval is negative", "--checkpoint-every",
                           "give at least 1");
  }
}

void check_size(std::int64_t n_rows, std::int64_t n_features, std::int64_t n_groups,
                const GroupNoun& noun) {
  if (n_rows == 0 || n_features == 0) {
    throw data_error(
        "no data: " + std::to_string(n_rows) + " rows, " + std::to_string(n_features) + " columns",
        "shape", "give at least one row and one column");
  }
  if (n_rows >= n_groups) return;
  throw data_error(
      std::to_string(n_rows) + " rows for " + std::to_string(n_groups) + " " + noun.plural, "shape",
      std::string("use fewer ") + noun.plural + " (" + noun.option + ") or more rows");
}

void check_start_shape(const Matrix<double>& start, const char* what, std::int64_t n_groups,
                       std::int64_t n_features, const GroupNoun& noun) {
  if (start.rows() == n_groups && start.cols() == n_features) return;
  throw data_error(std::string("start ") + what + " are " + std::to_string(start.rows()) + " x " +
                       std::to_string(start.cols()) + ", expected " + std::to_string(n_groups) +
                       " x " + std::to_string(n_features),
                   "start", std::string("match ") + noun.option + " and the columns of the data");
}

void check_counting_rows(std::span<const double> weights, std::int64_t n_rows,
                         std::int64_t n_groups, const GroupNoun& noun) {
  const std::int64_t n_counting = kmeans::counting_rows(weights, n_rows);
  if (n_counting >= n_groups) return;
  throw data_error(std::to_string(n_counting) + " rows of positive weight for " +
                       std::to_string(n_groups) + " " + noun.plural,
                   "weights",
                   std::string("use fewer ") + noun.plural + " (" + noun.option + ") or more rows");
}

void check_width(std::int64_t n_columns, std::int64_t n_features) {
  if (n_columns == n_features) return;
  throw data_error("the data have " + std::to_string(n_columns) + " columns, the model " +
                       std::to_string(n_features) + " features",
                   "columns", "use the columns that the model was fitted on (--columns)");
}

Plan plan_of_rows(const Context& context, std::int64_t n_rows, std::int64_t n_features) {
  Plan plan;
  plan.rows = n_rows;
  plan.columns = n_features;
  plan.chunk_rows = std::min(chunk_rows(context), n_rows);
  plan.n_workers = context.n_threads();
  return plan;
}

void fit_to_limit(const Context& context, const std::function<std::int64_t(int workers)>& total,
                  const char* remedy, Plan& plan) {
  const std::int64_t limit = context.options().memory_limit;
  while (limit > 0 && plan.n_workers > 1 && total(plan.n_workers) > limit) --plan.n_workers;
  plan.host_bytes = total(plan.n_workers);
  if (limit == 0 || plan.host_bytes <= limit) return;
  throw out_of_memory("the fit needs " + std::to_string(plan.host_bytes) +
                          " bytes with one thread, the limit is " + std::to_string(limit),
                      "--memory-limit", remedy);
}

void warn_of_missing(std::int64_t n_missing, std::vector<Warning>& warnings) {
  if (n_missing == 0) return;
  warnings.push_back({"missing", std::to_string(n_missing) + " missing values were marginalised"});
}

std::vector<std::int64_t> largest_first(std::span<const double> values) {
  std::vector<std::int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
  });
  return order;
}

}  // namespace culatent
