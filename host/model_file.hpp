#pragma once

#include <string>

#include "culatent/matrix.hpp"
#include "host/io/safetensors.hpp"

/// What model files of all methods have in common.
namespace culatent {

/// A file with the metadata of a model of `method` (the METHOD word).
io::TensorFile model_file(const std::string& method, std::int64_t n_features,
                          const std::string& options_json);

/// Throws io_error when the file says that it holds a model of another method; one that does not
/// say is taken.
io::TensorFile read_model_file(const std::string& path, const std::string& method);

io::Tensor tensor_of(const Matrix<double>& matrix);

/// Throws data_error for a tensor `what` that has not two dimensions, which are `expected`.
Matrix<double> matrix_of(const io::Tensor& tensor, const std::string& what,
                         const std::string& expected, const std::string& path);

/// "[3, 4]"
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace culatent
