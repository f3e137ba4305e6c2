#include "host/report/input_check.hpp"

#include <fmt/format.h>

#include <string>

#include "culatent/error.hpp"

namespace culatent::report {
namespace {

void expect(bool ok, const std::string& what, const char* remedy) {
  if (!ok) throw invalid_argument(what, "report page", remedy);
}

}  // namespace

void check_input(const PageInput& input, std::int64_t n_features) {
  expect(
      input.sample.rows() == 0 || input.sample.cols() == n_features,
      fmt::format("sample rows of {} features for a model of {}", input.sample.cols(), n_features),
      "sample the rows that the model was fitted to");
  expect(input.column_names.empty() ||
             static_cast<std::int64_t>(input.column_names.size()) == n_features,
         fmt::format("{} column names for {} features", input.column_names.size(), n_features),
         "give one name a feature, or none");
  expect(
      input.labels.empty() || static_cast<std::int64_t>(input.labels.size()) == input.sample.rows(),
      fmt::format("{} labels for {} sample rows", input.labels.size(), input.sample.rows()),
      "give one label a sampled row, or none");
  const bool image = input.image_height != 0 || input.image_width != 0;
  // Sides are compared before they are multiplied: their product may not fit.
  expect(!image || (input.image_height >= 1 && input.image_width >= 1 &&
                    input.image_height <= n_features && input.image_width <= n_features &&
                    input.image_height * input.image_width == n_features),
         fmt::format("an image shape of {}x{} for {} features", input.image_height,
                     input.image_width, n_features),
         "give --image-shape HxW with H times W features");
}

}  // namespace culatent::report
