#include "host/model_file.hpp"

#include <algorithm>

#include "culatent/error.hpp"
#include "culatent/version.hpp"

namespace culatent {

io::TensorFile model_file(const std::string& method, std::int64_t n_features,
                          const std::string& options_json) {
  io::TensorFile file;
  file.metadata = {{"culatent.method", method},
                   {"culatent.format", "1"},
                   {"culatent.version", CULATENT_VERSION},
                   {"culatent.options", options_json},
                   {"culatent.n_features", std::to_string(n_features)}};
  return file;
}

io::TensorFile read_model_file(const std::string& path, const std::string& method) {
  io::TensorFile file = io::read_tensors(path);
  const auto stated = file.metadata.find("culatent.method");
  if (stated != file.metadata.end() && stated->second != method) {
    throw io_error("the file holds a model of " + stated->second + ", not " + method, path,
                   "give a model of that method");
  }
  return file;
}

io::Tensor tensor_of(const Matrix<double>& matrix) {
  return {{matrix.rows(), matrix.cols()}, {matrix.data(), matrix.data() + matrix.size()}};
}

Matrix<double> matrix_of(const io::Tensor& tensor, const std::string& what,
                         const std::string& expected, const std::string& path) {
  if (tensor.shape.size() != 2) {
    throw data_error(what + " have shape " + shape_text(tensor.shape), path,
                     "expected " + expected);
  }
  Matrix<double> matrix(tensor.shape[0], tensor.shape[1]);
  std::copy(tensor.values.begin(), tensor.values.end(), matrix.data());
  return matrix;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace culatent
