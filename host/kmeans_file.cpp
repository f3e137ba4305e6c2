#include <algorithm>
#include <numeric>

#include "culatent/error.hpp"
#include "culatent/version.hpp"
#include "host/io/safetensors.hpp"
#include "host/kmeans_method.hpp"

namespace culatent::kmeans {
namespace {

constexpr const char* kMethod = "kmeans";

}  // namespace

void save(const Model& model, const std::string& path, const std::string& options_json) {
  check_model(model, path);
  const double* centroids = model.centroids.data();
  io::TensorFile file;
  file.tensors["centroids"] = {{model.n_clusters(), model.n_features()},
                               {centroids, centroids + model.centroids.size()}};
  file.tensors["counts"] = {{model.n_clusters()}, model.counts};
  file.metadata = {{"culatent.method", kMethod},
                   {"culatent.format", "1"},
                   {"culatent.version", CULATENT_VERSION},
                   {"culatent.options", options_json},
                   {"culatent.n_features", std::to_string(model.n_features())},
                   {"metric", name(model.metric)}};
  io::write_tensors(path, file);
}

Model load(const std::string& path) {
  const io::TensorFile file = io::read_tensors(path);
  const auto method = file.metadata.find("culatent.method");
  if (method != file.metadata.end() && method->second != kMethod) {
    throw io_error("the file holds a model of " + method->second + ", not " + kMethod, path,
                   "give a model of that method");
  }
  const auto centroids = file.tensors.find("centroids");
  if (centroids == file.tensors.end()) {
    throw io_error("no tensor centroids", path, "the model is not complete");
  }
  if (centroids->second.shape.size() != 2) {
    throw data_error("centroids are no matrix", path, "expected [clusters, features]");
  }
  Model model;
  model.centroids = Matrix<double>(centroids->second.shape[0], centroids->second.shape[1]);
  std::copy(centroids->second.values.begin(), centroids->second.values.end(),
            model.centroids.data());
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
  std::vector<std::int64_t> order(model.counts.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = [&](std::int64_t k) { return model.counts[static_cast<std::size_t>(k)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return count(a) > count(b); });
  Model sorted = model;
  for (std::size_t k = 0; k < order.size(); ++k) {
    sorted.counts[k] = count(order[k]);
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
