#include <algorithm>

#include "culatent/error.hpp"
#include "host/bernoulli_mixture.hpp"
#include "host/model_file.hpp"

namespace culatent::bernoulli_mixture {
namespace {

constexpr const char* kMethod = "bernoulli-mixture";
constexpr const char* kMeansShape = "[components, features]";

}  // namespace

void save(const Model& model, const std::string& path, const std::string& options_json) {
  check_model(model, path);
  io::TensorFile file = model_file(kMethod, model.n_features(), options_json);
  file.tensors["weights"] = {{model.n_components()}, model.weights};
  file.tensors["means"] = tensor_of(model.means);
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
  const io::TensorFile file = read_model_file(path, kMethod);
  Start start;
  if (file.tensors.contains("weights")) start.weights = file.tensors.at("weights").values;
  if (file.tensors.contains("means")) {
    start.means = matrix_of(file.tensors.at("means"), "means", kMeansShape, path);
  }
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
}

void take(const io::TensorFile& file, const std::string& prefix, RunState& run) {
  run.model.weights = file.tensors.at(prefix + "weights").values;
  run.model.means =
      matrix_of(file.tensors.at(prefix + "means"), "means", kMeansShape, "checkpoint");
  const std::vector<double>& trace = file.tensors.at(prefix + "trace").values;
  for (std::size_t i = 0; i + 2 < trace.size(); i += 3) {
    run.trace.push_back({trace[i], trace[i + 1], trace[i + 2]});
  }
  check_model(run.model, "checkpoint");
}

}  // namespace culatent::bernoulli_mixture
