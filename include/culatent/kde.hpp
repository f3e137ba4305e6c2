#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/matrix.hpp"
#include "culatent/rows.hpp"

/// Gaussian kernel density estimate: f(y) = 1/n sum_i prod_j N(y_j | x_ij, h_j²).
namespace culatent::kde {

enum class Rule {
  scott,      ///< h_j = n^(−1/(D+4)) std_j
  silverman,  ///< h_j = (n (D+2) / 4)^(−1/(D+4)) std_j
};

struct Options {
  std::variant<Rule, double> bandwidth = Rule::scott;  ///< a number: h_j = that number for all j
};

struct Model {
  Matrix<double> rows;            ///< [n, D]
  std::vector<double> bandwidth;  ///< [D]
};

/// Keeps the rows; O(n D). Throws data_error (no rows, NaN, a constant feature under a rule).
template <class T>
Model fit(const Context& context, const RowSource<T>& rows, const Options& options = {});

/// out[m] = log f(y_m), by an exact log-sum-exp over all kept rows in double: O(n m D).
/// With leave_one_out, row m of `rows` must be row m of the model and does not count for itself.
template <class T>
void log_prob(const Context& context, const Model& model, const RowSource<T>& rows,
              std::span<double> out, bool leave_one_out = false);

void save(const Model& model, const std::string& path, const std::string& options_json = "{}");
Model load(const std::string& path);

}  // namespace culatent::kde
