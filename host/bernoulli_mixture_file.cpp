#include <algorithm>

#include "culatent/error.hpp"
#include "culatent/version.hpp"
#include "host/bernoulli_mixture.hpp"
#include "host/io/safetensors.hpp"

namespace culatent::bernoulli_mixture {
namespace {

constexpr const char* kMethod = "bernoulli-mixture";

io::TensorFile read(const std::string& path) {
  io::TensorFile file = io::read_tensors(path);
  const auto method = file.metadata.find("culatent.method");
  if (method != file.metadata.end() && method->second != kMethod) {
    throw io_error("the file holds a model of " + method->second + ", not " + kMethod, path,
                   "give a model of that method");
  }
  return file;
}

Matrix<double> matrix_of(const io::Tensor& tensor, const std::string& path) {
  if (tensor.shape.size() != 2) {
    throw data_error("means are no matrix", path, "expected [components, features]");
  }
  Matrix<double> result(tensor.shape[0], tensor.shape[1]);
  std::copy(tensor.values.begin(), tensor.values.end(), result.data());
  return result;
}

io::Tensor tensor_of(const Matrix<double>& m) {
  return {{m.rows(), m.cols()}, {m.data(), m.data() + m.size()}};
}

}  // namespace

void save(const Model& model, const std::string& path, const std::string& options_json) {
  check_model(model, path);
  io::TensorFile file;
  file.tensors["weights"] = {{model.n_components()}, model.weights};
  file.tensors["means"] = tensor_of(model.means);
  file.metadata = {{"culatent.method", kMethod},
                   {"culatent.format", "1"},
                   {"culatent.version", CULATENT_VERSION},
                   {"culatent.options", options_json},
                   {"culatent.n_features", std::to_string(model.n_features())}};
  io::write_tensors(path, file);
}

Model load(const std::string& path) {
  const Start start = load_start(path);
  if (start.means.rows() == 0 || start.weights.empty()) {
    throw io_error("no tensors weights and means", path, "the model is not complete");
  }
  const Model model{start.weights, start.means};
  check_model(model, path);
  return model;
}

Start load_start(const std::string& path) {
  const io::TensorFile file = read(path);
  Start start;
  if (file.tensors.contains("weights")) start.weights = file.tensors.at("weights").values;
  if (file.tensors.contains("means")) start.means = matrix_of(file.tensors.at("means"), path);
  if (start.weights.empty() && start.means.rows() == 0) {
    throw io_error("no tensors of a mixture", path, "expected some of weights, means");
  }
  return start;
}

void put(const RunState& run, const std::string& prefix, io::TensorFile& file) {
  file.tensors[prefix + "weights"] = {{run.model.n_components()}, run.model.weights};
  file.tensors[prefix + "means"] = tensor_of(run.model.means);
  io::Tensor trace{{static_cast<std::int64_t>(run.trace.size()), 3}, {}};
  for (const TraceEntry& entry : run.trace) {
    trace.values.insert(trace.values.end(), {entry.log_likelihood, entry.objective, entry.entropy});
  }
  file.tensors[prefix + "trace"] = std::move(trace);
  file.tensors[prefix + "counters"] = {
      {4},
      {static_cast<double>(run.restart), static_cast<double>(run.iteration),
       run.converged ? 1.0 : 0.0, static_cast<double>(run.n_repairs)}};
}

void take(const io::TensorFile& file, const std::string& prefix, RunState& run) {
  run.model.weights = file.tensors.at(prefix + "weights").values;
  run.model.means = matrix_of(file.tensors.at(prefix + "means"), "checkpoint");
  const std::vector<double>& trace = file.tensors.at(prefix + "trace").values;
  for (std::size_t i = 0; i + 2 < trace.size(); i += 3) {
    run.trace.push_back({trace[i], trace[i + 1], trace[i + 2]});
  }
  const std::vector<double>& counters = file.tensors.at(prefix + "counters").values;
  run.restart = static_cast<int>(counters.at(0));
  run.iteration = static_cast<int>(counters.at(1));
  run.converged = counters.at(2) != 0.0;
  run.n_repairs = static_cast<std::int64_t>(counters.at(3));
  check_model(run.model, "checkpoint");
}

}  // namespace culatent::bernoulli_mixture
