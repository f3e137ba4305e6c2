#include "culatent/density.hpp"

#include <cmath>

#include "culatent/error.hpp"

namespace culatent::density {
namespace {

double coordinate(const Axis& axis, std::int64_t i) {
  if (axis.n == 1) return axis.low;
  const double share = static_cast<double>(i) / static_cast<double>(axis.n - 1);
  return axis.low + share * (axis.high - axis.low);
}

void check_axis(const Axis& axis) {
  if (axis.n < 1 || !(axis.low <= axis.high) || !std::isfinite(axis.high - axis.low)) {
    throw invalid_argument("a grid axis has no points, runs backwards or has no end",
                           "density::grid", "give n of at least 1 and finite low <= high");
  }
}

void check_features(std::int64_t actual, std::int64_t expected) {
  if (actual == expected) return;
  throw invalid_argument("the model has " + std::to_string(actual) + " features, the grid " +
                             std::to_string(expected) + " axes",
                         "density::grid", "take the marginal of the features to be drawn");
}

GeneratedRows<double> points(Axis x) {
  return {x.n, 1, [x](std::int64_t first, MatrixView<double> rows) {
            for (std::int64_t i = 0; i < rows.rows; ++i) rows(i, 0) = coordinate(x, first + i);
          }};
}

GeneratedRows<double> points(Axis x, Axis y) {
  return {checked_product(x.n, y.n), 2, [x, y](std::int64_t first, MatrixView<double> rows) {
            for (std::int64_t i = 0; i < rows.rows; ++i) {
              rows(i, 0) = coordinate(x, (first + i) % x.n);
              rows(i, 1) = coordinate(y, (first + i) / x.n);
            }
          }};
}

Matrix<double> evaluate(const Context& context, const gaussian_mixture::Model& model,
                        const RowSource<double>& rows, Matrix<double> result) {
  gaussian_mixture::evaluate<double>(
      context, model, rows,
      {.log_prob = std::span(result.data(), static_cast<std::size_t>(result.size()))});
  return result;
}

Matrix<double> evaluate(const Context& context, const kde::Model& model,
                        const RowSource<double>& rows, Matrix<double> result) {
  kde::log_prob<double>(context, model, rows,
                        std::span(result.data(), static_cast<std::size_t>(result.size())));
  return result;
}

}  // namespace

Matrix<double> grid(const Context& context, const gaussian_mixture::Model& model, Axis x) {
  check_features(model.n_features(), 1);
  check_axis(x);
  return evaluate(context, model, points(x), Matrix<double>(1, x.n));
}

Matrix<double> grid(const Context& context, const kde::Model& model, Axis x) {
  check_features(model.rows.cols(), 1);
  check_axis(x);
  return evaluate(context, model, points(x), Matrix<double>(1, x.n));
}

Matrix<double> grid(const Context& context, const gaussian_mixture::Model& model, Axis x, Axis y) {
  check_features(model.n_features(), 2);
  check_axis(x);
  check_axis(y);
  return evaluate(context, model, points(x, y), Matrix<double>(y.n, x.n));
}

Matrix<double> grid(const Context& context, const kde::Model& model, Axis x, Axis y) {
  check_features(model.rows.cols(), 2);
  check_axis(x);
  check_axis(y);
  return evaluate(context, model, points(x, y), Matrix<double>(y.n, x.n));
}

}  // namespace culatent::density
