#include "host/report/mixture_scene.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "culatent/error.hpp"
#include "host/report/groups.hpp"
#include "host/report/plot.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

constexpr std::int64_t kMaxLegend = 16;

std::string point_class(std::int64_t group) {
  return fmt::format("{} {}", marker_class(series_marker(group)), series_class(group));
}

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

std::string MixtureScene::component_class(std::int64_t k) const {
  return labelled ? "ink" : series_class(rank[static_cast<std::size_t>(k)]);
}

std::vector<LegendItem> MixtureScene::point_legend() const {
  std::vector<LegendItem> items;
  if (n_groups > kMaxLegend) return items;
  if (labelled) {
    for (std::size_t i = 0; i < label_values.size(); ++i) {
      items.push_back(
          {point_class(static_cast<std::int64_t>(i)), fmt::format("label {}", label_values[i])});
    }
    return items;
  }
  for (const std::int64_t k : by_weight) {
    items.push_back({point_class(rank[static_cast<std::size_t>(k)]),
                     fmt::format("component {}, {}", k, format_percent(weight(k)))});
  }
  return items;
}

std::string MixtureScene::point_caption() const {
  const std::int64_t m = input.sample.rows();
  if (m == 0) return "";
  const std::string which = m >= input.n_rows
                                ? fmt::format("all {}", plural(m, "row"))
                                : fmt::format("{} of {} rows, spread evenly", format_count(m),
                                              format_count(input.n_rows));
  return fmt::format("Points: {}, coloured by {}.", which,
                     labelled ? "the given labels" : "the component that most probably made them");
}

MixtureScene mixture_scene(const Context& context, const gaussian_mixture::Fit& fit,
                           const PageInput& input) {
  check_input(input, fit.model.n_features());
  MixtureScene scene{fit, fit.model, input, !input.labels.empty(), {}, {}, {}, {}, {}, 0};
  const auto k = static_cast<std::size_t>(fit.model.n_components());
  const auto m = static_cast<std::size_t>(input.sample.rows());
  scene.by_weight = components_by_weight(fit.model);
  scene.rank.resize(k);
  for (std::size_t i = 0; i < k; ++i) {
    scene.rank[static_cast<std::size_t>(scene.by_weight[i])] = static_cast<std::int64_t>(i);
  }
  scene.component.resize(m);
  if (m > 0) {
    gaussian_mixture::Outputs<double> outputs;
    outputs.labels = scene.component;
    outputs.missing = input.missing;
    gaussian_mixture::evaluate<double>(context, fit.model, MatrixRows<double>(input.sample.view()),
                                       outputs);
  }
  scene.group.resize(m);
  if (scene.labelled) {
    scene.label_values = input.labels;
    std::sort(scene.label_values.begin(), scene.label_values.end());
    const auto last = std::unique(scene.label_values.begin(), scene.label_values.end());
    scene.label_values.erase(last, scene.label_values.end());
    for (std::size_t i = 0; i < m; ++i) {
      const auto at =
          std::lower_bound(scene.label_values.begin(), scene.label_values.end(), input.labels[i]);
      scene.group[i] = at - scene.label_values.begin();
    }
    scene.n_groups = static_cast<std::int64_t>(scene.label_values.size());
  } else {
    for (std::size_t i = 0; i < m; ++i) {
      scene.group[i] = scene.rank[static_cast<std::size_t>(scene.component[i])];
    }
    scene.n_groups = static_cast<std::int64_t>(k);
  }
  return scene;
}

}  // namespace culatent::report
