#include <fmt/format.h>

#include "culatent/error.hpp"
#include "host/cli/method.hpp"

namespace culatent::cli {

Method bernoulli_mixture_method();
Method gaussian_mixture_method();
Method kde_method();
Method kmeans_method();

const std::vector<Method>& methods() {
  static const std::vector<Method> table = {
      bernoulli_mixture_method(),
      gaussian_mixture_method(),
      kde_method(),
      kmeans_method(),
  };
  return table;
}

const Method* find_method(const std::string& name) {
  for (const Method& method : methods()) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

std::string method_names() {
  std::string names;
  for (const Method& method : methods()) names += (names.empty() ? "" : ", ") + method.name;
  return names;
}

const Method& method_of(const std::string& path, const io::TensorFile& file) {
  const auto named = file.metadata.find("culatent.method");
  if (named != file.metadata.end()) {
    if (const Method* method = find_method(named->second)) return *method;
    throw io_error(fmt::format("a model of the method '{}'", named->second), path,
                   "this version knows " + method_names());
  }
  for (const Method& method : methods()) {
    if (method.recognises(file)) return method;
  }
  throw io_error("its tensors are those of no model, and its metadata do not name culatent.method",
                 path, "give a model of " + method_names());
}

void LoadedModel::unavailable(const std::string& verb, const std::string& what) const {
  throw invalid_argument(fmt::format("{} models have no {}", method_, what), verb,
                         "see the table of methods in the README for what they have");
}

std::int64_t LoadedModel::n_outputs() const { unavailable("transform", "codes"); }
void LoadedModel::predict(const ApplyInput&, io::NpyWriter&) const {
  unavailable("predict", "labels");
}
void LoadedModel::transform(const ApplyInput&, io::NpyWriter&) const {
  unavailable("transform", "codes");
}
Json LoadedModel::score(const ApplyInput&, io::NpyWriter*) const { unavailable("score", "score"); }
void LoadedModel::sample(const SampleInput&, io::NpyWriter&, io::NpyWriter*) const {
  unavailable("sample", "sampler");
}

}  // namespace culatent::cli
