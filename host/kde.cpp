#include "culatent/kde.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "culatent/error.hpp"
#include "host/model_file.hpp"
#include "kernels/kde.hpp"

namespace culatent::kde {
namespace {

constexpr const char* kMethod = "kde";
constexpr std::int64_t kQueryRows = 4096;  // rows converted at a time

// Copies rows [first, first + count) into `out` as double, divided by the bandwidth where there is
// one.
template <class T>
void copy_rows(const RowSource<T>& rows, std::int64_t first, std::int64_t count, Matrix<T>& buffer,
               const std::vector<double>& bandwidth, MatrixView<double> out) {
  MatrixView<T> space = buffer.view();
  space.rows = count;
  const MatrixView<const T> view = rows.read(first, space);
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t j = 0; j < rows.cols(); ++j) {
      const double value = static_cast<double>(view(i, j));
      if (!std::isfinite(value)) {
        throw data_error(std::isnan(value) ? "NaN in the data" : "infinite value in the data",
                         "row " + std::to_string(first + i) + ", column " + std::to_string(j),
                         "remove or fill it");
      }
      const auto c = static_cast<std::size_t>(j);
      out(i, j) = bandwidth.empty() ? value : value / bandwidth[c];
    }
  }
}

// Two passes about the first row, so that an offset does not cost digits and a constant gives
// exactly 0. Divides by n − 1.
double standard_deviation(const Matrix<double>& rows, std::int64_t j) {
  const auto n = static_cast<double>(rows.rows());
  double mean = 0.0, square = 0.0;
  for (std::int64_t i = 0; i < rows.rows(); ++i) mean += (rows(i, j) - rows(0, j)) / n;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const double delta = rows(i, j) - rows(0, j) - mean;
    square += delta * delta;
  }
  return std::sqrt(square / (n - 1.0));
}

double rule_factor(Rule rule, double n, double d) {
  const double base = rule == Rule::scott ? n : n * (d + 2.0) / 4.0;
  return std::pow(base, -1.0 / (d + 4.0));
}

std::vector<double> choose_bandwidth(const Matrix<double>& rows,
                                     const std::variant<Rule, double>& option) {
  const std::int64_t d = rows.cols();
  if (const double* given = std::get_if<double>(&option)) {
    if (!(*given > 0.0) || !std::isfinite(*given)) {
      throw invalid_argument("the bandwidth is not a positive number", "--bandwidth",
                             "give scott, silverman or a number above 0");
    }
    return std::vector<double>(static_cast<std::size_t>(d), *given);
  }
  if (rows.rows() < 2) {
    throw data_error("one row has no spread to take a bandwidth from", "--bandwidth",
                     "give a number");
  }
  const double factor =
      rule_factor(std::get<Rule>(option), static_cast<double>(rows.rows()), static_cast<double>(d));
  std::vector<double> bandwidth;
  for (std::int64_t j = 0; j < d; ++j) {
    const double h = factor * standard_deviation(rows, j);
    if (!(h > 0.0) || !std::isfinite(h)) {
      throw data_error(h > 0.0 ? "the spread of the feature leaves float64"
                               : "the feature is constant: no bandwidth follows from it",
                       "column " + std::to_string(j),
                       "leave it out (--columns), rescale it, or give --bandwidth a number");
    }
    bandwidth.push_back(h);
  }
  return bandwidth;
}

void check_model(const Model& model, const std::string& where) {
  if (model.rows.rows() < 1 || model.rows.cols() < 1 ||
      static_cast<std::int64_t>(model.bandwidth.size()) != model.rows.cols()) {
    throw data_error("no density estimate: rows and bandwidth do not match", where,
                     "rows must be [n, features] and bandwidth [features]");
  }
  for (const double h : model.bandwidth) {
    if (!(h > 0.0) || !std::isfinite(h)) {
      throw data_error("a bandwidth is not a positive number", where, "fix the bandwidth");
    }
  }
  for (std::int64_t i = 0; i < model.rows.size(); ++i) {
    if (!std::isfinite(model.rows.data()[i])) {
      throw data_error("a stored row is not finite", where, "fix the rows");
    }
  }
}

}  // namespace

template <class T>
Model fit(const Context&, const RowSource<T>& rows, const Options& options) {
  if (rows.rows() == 0 || rows.cols() == 0) {
    throw data_error("no data: " + std::to_string(rows.rows()) + " rows, " +
                         std::to_string(rows.cols()) + " columns",
                     "shape", "give at least one row and one column");
  }
  Model model;
  model.rows = Matrix<double>(rows.rows(), rows.cols());
  Matrix<T> buffer(kQueryRows, rows.cols());
  for (std::int64_t first = 0; first < rows.rows(); first += kQueryRows) {
    const std::int64_t count = std::min(kQueryRows, rows.rows() - first);
    copy_rows(rows, first, count, buffer, {}, model.rows.view().slice(first, count));
  }
  model.bandwidth = choose_bandwidth(model.rows, options.bandwidth);
  return model;
}

template <class T>
void log_prob(const Context& context, const Model& model, const RowSource<T>& rows,
              std::span<double> out, bool leave_one_out) {
  check_model(model, "log_prob");
  const std::int64_t n = model.rows.rows();
  const std::int64_t d = model.rows.cols();
  if (rows.cols() != d) {
    throw data_error("the data have " + std::to_string(rows.cols()) + " columns, the model " +
                         std::to_string(d) + " features",
                     "columns", "use the columns that the model was fitted on (--columns)");
  }
  if (static_cast<std::int64_t>(out.size()) != rows.rows()) {
    throw invalid_argument("the output does not have the rows of the input", "log_prob",
                           "give one element a row");
  }
  if (leave_one_out && (rows.rows() != n || n < 2)) {
    throw data_error("leave-one-out of " + std::to_string(rows.rows()) + " rows under a model of " +
                         std::to_string(n),
                     "--leave-one-out", "score the very rows that were fitted, at least two");
  }
  Matrix<double> stored(n, d);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      stored(i, j) = model.rows(i, j) / model.bandwidth[static_cast<std::size_t>(j)];
    }
  }
  double log_norm = -std::log(static_cast<double>(leave_one_out ? n - 1 : n)) -
                    0.5 * static_cast<double>(d) * std::log(2.0 * std::numbers::pi);
  for (const double h : model.bandwidth) log_norm -= std::log(h);
  const CpuBackend backend{context.threads(), context.n_threads()};
  Matrix<T> buffer(kQueryRows, d);
  Matrix<double> queries(kQueryRows, d);
  for (std::int64_t first = 0; first < rows.rows(); first += kQueryRows) {
    const std::int64_t count = std::min(kQueryRows, rows.rows() - first);
    const MatrixView<double> block = queries.view().slice(0, count);
    copy_rows(rows, first, count, buffer, model.bandwidth, block);
    const auto part = out.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    log_kernel_sums(backend, block, first, stored, leave_one_out, part);
    for (double& value : part) value += log_norm;
  }
}

void save(const Model& model, const std::string& path, const std::string& options_json) {
  check_model(model, path);
  io::TensorFile file = model_file(kMethod, model.rows.cols(), options_json);
  file.tensors["rows"] = tensor_of(model.rows);
  file.tensors["bandwidth"] = {{model.rows.cols()}, model.bandwidth};
  io::write_tensors(path, file);
}

Model load(const std::string& path) {
  const io::TensorFile file = read_model_file(path, kMethod);
  const auto rows = file.tensors.find("rows");
  const auto bandwidth = file.tensors.find("bandwidth");
  if (rows == file.tensors.end() || bandwidth == file.tensors.end() ||
      rows->second.shape.size() != 2) {
    throw io_error("no tensors of a density estimate", path,
                   "expected rows [n, features] and bandwidth [features]");
  }
  Model model;
  model.rows = matrix_of(rows->second, "rows", "[n, features]", path);
  model.bandwidth = bandwidth->second.values;
  check_model(model, path);
  return model;
}

#define CULATENT_INSTANTIATE(T)                                                                \
  template Model fit(const Context&, const RowSource<T>&, const Options&);                     \
  template void log_prob(const Context&, const Model&, const RowSource<T>&, std::span<double>, \
                         bool);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kde
