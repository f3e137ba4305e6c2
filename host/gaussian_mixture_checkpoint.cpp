#include <algorithm>
#include <string>

#include "host/gaussian_mixture.hpp"
#include "host/model_file.hpp"

namespace culatent::gaussian_mixture {

void put(const RunState& run, const std::string& prefix, io::TensorFile& file) {
  file.tensors[prefix + "weights"] = {{run.model.n_components()}, run.model.weights};
  file.tensors[prefix + "means"] = tensor_of(run.model.means);
  file.tensors[prefix + "covariances"] = {{static_cast<std::int64_t>(run.model.covariances.size())},
                                          run.model.covariances};
  io::Tensor trace{{static_cast<std::int64_t>(run.trace.size()), 4}, {}};
  for (const TraceEntry& entry : run.trace) {
    trace.values.insert(trace.values.end(),
                        {entry.log_likelihood, entry.elbo, entry.entropy, entry.free_energy});
  }
  file.tensors[prefix + "trace"] = std::move(trace);
  file.tensors[prefix + "reg_covar"] = {{}, {run.model.reg_covar}};
  file.metadata[prefix + "covariance"] = name(run.model.covariance);
}

void take(const io::TensorFile& file, const std::string& prefix, RunState& run) {
  run.model.means =
      matrix_of(file.tensors.at(prefix + "means"), "means", "[components, features]", "checkpoint");
  run.model.weights = file.tensors.at(prefix + "weights").values;
  run.model.covariances = file.tensors.at(prefix + "covariances").values;
  for (const Covariance c :
       {Covariance::full, Covariance::tied, Covariance::diagonal, Covariance::spherical}) {
    if (file.metadata.at(prefix + "covariance") == name(c)) run.model.covariance = c;
  }
  const std::vector<double>& trace = file.tensors.at(prefix + "trace").values;
  for (std::size_t i = 0; i + 3 < trace.size(); i += 4) {
    run.trace.push_back({trace[i], trace[i + 1], trace[i + 2], trace[i + 3]});
  }
  run.model.reg_covar = file.tensors.at(prefix + "reg_covar").values.at(0);
  check_model(run.model, "checkpoint");
}

}  // namespace culatent::gaussian_mixture
