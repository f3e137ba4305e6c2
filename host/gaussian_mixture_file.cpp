#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "culatent/error.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/model_file.hpp"

namespace culatent::gaussian_mixture {
namespace {

constexpr const char* kMethod = "gaussian-mixture";

std::vector<std::int64_t> covariance_shape(Covariance covariance, std::int64_t k, std::int64_t d) {
  switch (covariance) {
    case Covariance::full:
      return {k, d, d};
    case Covariance::tied:
      return {d, d};
    case Covariance::diagonal:
      return {k, d};
    case Covariance::spherical:
      return {k};
  }
  return {};
}

// Reads back as the same number.
std::string exact_text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.17g", value);
  return text;
}

// A model or a part of one.
io::TensorFile read_parts(const std::string& path) {
  io::TensorFile file = read_model_file(path, kMethod);
  if (!file.tensors.contains("means") && !file.tensors.contains("weights") &&
      !file.tensors.contains("covariances") && !file.tensors.contains("precisions")) {
    throw io_error("no tensors of a mixture", path,
                   "expected some of weights, means, covariances, precisions");
  }
  return file;
}

const io::Tensor& need(const io::TensorFile& file, const char* name, const std::string& path) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) {
    throw io_error(std::string("no tensor ") + name, path, "the model is not complete");
  }
  return found->second;
}

Matrix<double> means_of(const io::Tensor& tensor, const std::string& path) {
  return matrix_of(tensor, "means", "[components, features]", path);
}

// By the metadata, otherwise by the shape as far as it tells.
Covariance covariance_of(const io::TensorFile& file, const io::Tensor& tensor, std::int64_t k,
                         std::int64_t d, const std::string& path) {
  for (const char* key : {"culatent.covariance", "covariance"}) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end()) continue;
    for (const Covariance c :
         {Covariance::full, Covariance::tied, Covariance::diagonal, Covariance::spherical}) {
      if (found->second == name(c)) return c;
    }
    throw data_error("unknown covariance '" + found->second + "' in the metadata", path,
                     "expected full, tied, diagonal or spherical");
  }
  for (const Covariance c :
       {Covariance::full, Covariance::spherical, Covariance::tied, Covariance::diagonal}) {
    if (tensor.shape != covariance_shape(c, k, d)) continue;
    if (c == Covariance::tied && k == d) break;  // [K, D] just as well
    return c;
  }
  throw data_error("covariances of shape " + shape_text(tensor.shape) + " do not tell their type",
                   path, "add metadata covariance: full, tied, diagonal or spherical");
}

void check_positive_definite(const Model& model, const std::string& path) {
  using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const std::int64_t d = model.n_features();
  const bool matrices =
      model.covariance == Covariance::full || model.covariance == Covariance::tied;
  const std::int64_t step = matrices ? d * d : 1;
  const auto size = static_cast<std::int64_t>(model.covariances.size());
  for (std::int64_t first = 0; first < size; first += step) {
    const double* values = model.covariances.data() + first;
    const bool good =
        matrices
            ? Eigen::LLT<Square>(Eigen::Map<const Square>(values, d, d)).info() == Eigen::Success
            : *values > 0.0;
    if (good) continue;
    throw data_error(
        matrices ? "covariance " + std::to_string(first / step) + " is not positive definite"
                 : "variance " + std::to_string(first) + " is not positive",
        path, "the file holds no mixture: fit or write it again");
  }
}

// Inverse of precisions of any type.
std::vector<double> invert(const io::Tensor& precisions, Covariance covariance, std::int64_t d,
                           const std::string& path) {
  using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  std::vector<double> result = precisions.values;
  if (covariance == Covariance::diagonal || covariance == Covariance::spherical) {
    for (double& value : result) value = 1.0 / value;
    return result;
  }
  for (std::size_t first = 0; first < result.size(); first += static_cast<std::size_t>(d * d)) {
    Eigen::Map<Square> matrix(result.data() + first, d, d);
    const Eigen::LLT<Square> factor(matrix);
    if (factor.info() != Eigen::Success) {
      throw data_error("a precision matrix is not positive definite", path, "fix the precisions");
    }
    matrix = factor.solve(Square::Identity(d, d)).eval();
  }
  return result;
}

}  // namespace

void save(const Model& model, const std::string& path, const std::string& options_json) {
  check_model(model, path);
  const std::int64_t k = model.n_components();
  io::TensorFile file = model_file(kMethod, model.n_features(), options_json);
  file.tensors["weights"] = {{k}, model.weights};
  file.tensors["means"] = tensor_of(model.means);
  file.tensors["covariances"] = {covariance_shape(model.covariance, k, model.n_features()),
                                 model.covariances};
  file.metadata["culatent.covariance"] = name(model.covariance);
  file.metadata["culatent.reg_covar"] = exact_text(model.reg_covar);
  file.metadata["covariance"] = name(model.covariance);
  io::write_tensors(path, file);
}

Model load(const std::string& path) {
  const io::TensorFile file = read_parts(path);
  Model model;
  model.means = means_of(need(file, "means", path), path);
  model.weights = need(file, "weights", path).values;
  const io::Tensor& covariances = need(file, "covariances", path);
  model.covariance =
      covariance_of(file, covariances, model.n_components(), model.n_features(), path);
  const auto expected =
      covariance_shape(model.covariance, model.n_components(), model.n_features());
  if (covariances.shape != expected) {
    throw data_error("covariances have shape " + shape_text(covariances.shape), path,
                     "expected " + shape_text(expected) + " for " + name(model.covariance));
  }
  model.covariances = covariances.values;
  const auto reg_covar = file.metadata.find("culatent.reg_covar");
  if (reg_covar != file.metadata.end())
    model.reg_covar = std::strtod(reg_covar->second.c_str(), nullptr);
  check_model(model, path);
  check_positive_definite(model, path);
  return model;
}

Start load_start(const std::string& path, Covariance covariance) {
  const io::TensorFile file = read_parts(path);
  Start start;
  if (file.tensors.contains("weights")) start.weights = file.tensors.at("weights").values;
  if (file.tensors.contains("means")) start.means = means_of(file.tensors.at("means"), path);
  const bool inverse = !file.tensors.contains("covariances") && file.tensors.contains("precisions");
  if (!inverse && !file.tensors.contains("covariances")) return start;
  const char* tensor_name = inverse ? "precisions" : "covariances";
  if (start.means.rows() == 0) {
    throw data_error(std::string(tensor_name) + " without means", path, "add the means");
  }
  const io::Tensor& tensor = file.tensors.at(tensor_name);
  const auto expected = covariance_shape(covariance, start.means.rows(), start.means.cols());
  if (tensor.shape != expected) {
    throw data_error(std::string(tensor_name) + " have shape " + shape_text(tensor.shape), path,
                     "expected " + shape_text(expected) + " for covariance " + name(covariance) +
                         ", or leave them out");
  }
  start.covariances =
      inverse ? invert(tensor, covariance, start.means.cols(), path) : tensor.values;
  return start;
}

}  // namespace culatent::gaussian_mixture
