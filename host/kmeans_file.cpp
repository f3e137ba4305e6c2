#include <algorithm>

#include "culatent/error.hpp"
#include "host/kmeans_method.hpp"
#include "host/model_file.hpp"
#include "host/row_method.hpp"

namespace culatent::kmeans {
namespace {

constexpr const char* kMethod = "kmeans";

}  // namespace

void save(const Model& model, const std::string& path, const std::string& options_json) {
  check_model(model, path);
  io::TensorFile file = model_file(kMethod, model.n_features(), options_json);
  file.tensors["centroids"] = tensor_of(model.centroids);
  file.tensors["counts"] = {{model.n_clusters()}, model.counts};
  file.metadata["metric"] = name(model.metric);
  io::write_tensors(path, file);
}

Model load(const std::string& path) {
  const io::TensorFile file = read_model_file(path, kMethod);
  const auto centroids = file.tensors.find("centroids");
  if (centroids == file.tensors.end()) {
    throw io_error("no tensor centroids", path, "the model is not complete");
  }
  Model model;
  model.centroids = matrix_of(centroids->second, "centroids", "[clusters, features]", path);
  const auto counts = file.tensors.find("counts");
  model.counts.assign(static_cast<std::size_t>(model.n_clusters()), 0.0);
  if (counts != file.tensors.end()) model.counts = counts->second.values;
  const auto metric = file.metadata.find("metric");
  if (metric != file.metadata.end() && metric->second != name(Metric::euclidean)) {
    if (metric->second != name(Metric::cosine)) {
      throw data_error("unknown metric '" + metric->second + "' in the metadata", path,
                       "expected euclidean or cosine");
    }
    model.metric = Metric::cosine;
  }
  check_model(model, path);
  if (model.metric == Metric::cosine) normalise_rows(model.centroids, path);
  return model;
}

void order_by_weight(Model& model) {
  const std::int64_t d = model.n_features();
  const std::vector<std::int64_t> order = largest_first(model.counts);
  Model sorted = model;
  for (std::size_t k = 0; k < order.size(); ++k) {
    sorted.counts[k] = model.counts[static_cast<std::size_t>(order[k])];
    std::copy_n(model.centroids.data() + order[k] * d, d,
                sorted.centroids.data() + static_cast<std::int64_t>(k) * d);
  }
  model = std::move(sorted);
}

const char* name(Init init) {
  switch (init) {
    case Init::kmeans_plus:
      return "kmeans++";
    case Init::kmeans_parallel:
      return "kmeans-parallel";
    case Init::random:
      return "random";
  }
  return "";
}

const char* name(Empty empty) {
  switch (empty) {
    case Empty::relocate:
      return "relocate";
    case Empty::keep:
      return "keep";
    case Empty::error:
      return "error";
  }
  return "";
}

const char* name(Metric metric) { return metric == Metric::cosine ? "cosine" : "euclidean"; }

}  // namespace culatent::kmeans
