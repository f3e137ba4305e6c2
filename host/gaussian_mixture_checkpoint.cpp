#include <algorithm>
#include <string>

#include "host/gaussian_mixture.hpp"
#include "host/io/safetensors.hpp"

namespace culatent::gaussian_mixture {

void put(const RunState& run, const std::string& prefix, io::TensorFile& file) {
  const std::int64_t k = run.model.n_components();
  const std::int64_t d = run.model.n_features();
  const double* means = run.model.means.data();
  file.tensors[prefix + "weights"] = {{k}, run.model.weights};
  file.tensors[prefix + "means"] = {{k, d}, {means, means + run.model.means.size()}};
  file.tensors[prefix + "covariances"] = {{static_cast<std::int64_t>(run.model.covariances.size())},
                                          run.model.covariances};
  io::Tensor trace{{static_cast<std::int64_t>(run.trace.size()), 4}, {}};
  for (const TraceEntry& entry : run.trace) {
    trace.values.insert(trace.values.end(),
                        {entry.log_likelihood, entry.elbo, entry.entropy, entry.free_energy});
  }
  file.tensors[prefix + "trace"] = std::move(trace);
  file.tensors[prefix + "counters"] = {
      {5},
      {static_cast<double>(run.restart), static_cast<double>(run.iteration),
       run.converged ? 1.0 : 0.0, static_cast<double>(run.n_repairs), run.model.reg_covar}};
  file.metadata[prefix + "covariance"] = name(run.model.covariance);
}

void take(const io::TensorFile& file, const std::string& prefix, RunState& run) {
  const io::Tensor& means = file.tensors.at(prefix + "means");
  run.model.means = Matrix<double>(means.shape.at(0), means.shape.at(1));
  std::copy(means.values.begin(), means.values.end(), run.model.means.data());
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
  const std::vector<double>& counters = file.tensors.at(prefix + "counters").values;
  run.restart = static_cast<int>(counters.at(0));
  run.iteration = static_cast<int>(counters.at(1));
  run.converged = counters.at(2) != 0.0;
  run.n_repairs = static_cast<std::int64_t>(counters.at(3));
  run.model.reg_covar = counters.at(4);
  check_model(run.model, "checkpoint");
}

}  // namespace culatent::gaussian_mixture
