#include "tests/report/page_cases.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "culatent/dataset.hpp"
#include "host/report/sample_rows.hpp"

namespace culatent::report::cases {
namespace {

using gaussian_mixture::Covariance;

std::vector<std::int64_t> labels(const std::string& name) {
  return read_labels(std::string(CULATENT_TEST_DATA) + "/data/" + name + ".npy");
}

Matrix<double> column(const Matrix<double>& rows, std::int64_t j) {
  Matrix<double> out(rows.rows(), 1);
  for (std::int64_t i = 0; i < rows.rows(); ++i) out(i, 0) = rows(i, j);
  return out;
}

// One component on equal rows, whatever a fit would say to them.
Case constant(const std::string& name, std::int64_t rows, std::int64_t d, double value) {
  Case out;
  out.name = name;
  out.input.sample = Matrix<double>(rows, d);
  std::fill_n(out.input.sample.data(), out.input.sample.size(), value);
  out.input.n_rows = rows;
  out.fit.model.weights = {1.0};
  out.fit.model.means = Matrix<double>(1, d);
  std::fill_n(out.fit.model.means.data(), d, value);
  out.fit.model.covariance = Covariance::diagonal;
  out.fit.model.covariances.assign(static_cast<std::size_t>(d), 1e-6);
  out.fit.trace = {{}};
  out.fit.converged = true;
  return out;
}

}  // namespace

const char* const kEvilName = "<script>alert('\"1\" & 2')</script>\x1B[2J\xFF]]>--></svg>";

Matrix<double> data(const std::string& name) {
  const Dataset file = open_dataset(std::string(CULATENT_TEST_DATA) + "/data/" + name + ".npy");
  return sample_rows(*file.source<double>(), file.rows()).rows;
}

Case fitted(const Context& context, const std::string& name, Matrix<double> rows,
            gaussian_mixture::Options options) {
  options.seed = 1;
  Case out;
  out.name = name;
  const Matrix<double>& view = rows;
  out.fit = gaussian_mixture::fit<double>(context, view.view(), options);
  out.input.source = "data/" + name + ".npy";
  out.input.dtype = "float64";
  out.input.n_rows = rows.rows();
  out.input.sample = std::move(rows);
  return out;
}

std::vector<Case> all(const Context& context) {
  std::vector<Case> out;
  const Matrix<double> faithful = data("old_faithful");

  Case two = fitted(context, "two_features", faithful, {.n_components = 2});
  two.input.column_names = {"eruptions (min)", "waiting (min)"};
  two.input.command = "culatent fit gaussian-mixture old_faithful.npy --components 2";
  two.input.report_json =
      R"({"options": {"tol": 0.001, "init": "kmeans"}, "seed": 1, "seconds": {"fit": 0.01},
          "memory": {"planned_bytes": 123456}})";
  out.push_back(std::move(two));
  out.push_back(fitted(context, "one_feature", column(faithful, 1), {.n_components = 2}));
  out.push_back(fitted(context, "one_component", faithful, {.n_components = 1}));

  Case iris = fitted(context, "iris", data("iris"), {.n_components = 3});
  iris.input.labels = labels("iris_labels");
  out.push_back(std::move(iris));

  Case digits = fitted(
      context, "digits", data("digits"),
      {.n_components = 40, .covariance = Covariance::diagonal, .max_iter = 5, .reg_covar = 1e-2});
  digits.input.labels = labels("digits_labels");
  digits.input.image_height = 8;
  digits.input.image_width = 8;
  out.push_back(std::move(digits));

  Case warned =
      fitted(context, "warnings", faithful, {.n_components = 3, .max_iter = 2, .tol = 1e-12});
  warned.fit.warnings.push_back({kEvilName, kEvilName});
  warned.fit.trace[1].log_likelihood = std::numeric_limits<double>::quiet_NaN();
  warned.fit.trace[1].entropy = std::numeric_limits<double>::infinity();
  warned.input.title = warned.input.source = warned.input.command = kEvilName;
  warned.input.column_names = {kEvilName, kEvilName};
  warned.input.sample(3, 0) = std::numeric_limits<double>::quiet_NaN();
  warned.input.missing = true;
  out.push_back(std::move(warned));

  out.push_back(constant("constant_one", 7, 1, 3.0));
  out.push_back(constant("constant_two", 1, 2, 0.0));
  out.push_back(constant("constant_three", 5, 3, -2.0));
  out.push_back(constant("huge", 4, 2, 1e30));
  out.push_back(constant("no_rows", 0, 2, 1.0));
  return out;
}

}  // namespace culatent::report::cases
