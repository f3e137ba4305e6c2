#include "host/report/mixture_scene.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/report/input_check.hpp"
#include "host/report/plot.hpp"
#include "host/report/text.hpp"
#include "host/row_method.hpp"

namespace culatent::report {
std::string MixtureScene::component_class(std::int64_t k) const {
  return labelled ? "ink" : series_class(rank[static_cast<std::size_t>(k)]);
}

std::vector<LegendItem> MixtureScene::point_legend() const {
  if (labelled) return label_legend(labels);
  std::vector<LegendItem> items;
  if (n_groups > kMaxLegend) return items;
  for (const std::int64_t k : by_weight) {
    items.push_back({point_class(rank[static_cast<std::size_t>(k)]),
                     fmt::format("component {}, {}", k, format_percent(weight(k)))});
  }
  return items;
}

std::string MixtureScene::point_caption() const {
  return fmt::format("{}, coloured by {}", sample_text(input.sample.rows(), input.n_rows),
                     labelled ? "the given labels" : "the component that most probably made them");
}

MixtureScene mixture_scene(const Context& context, const gaussian_mixture::Fit& fit,
                           const PageInput& input) {
  check_input(input, fit.model.n_features());
  MixtureScene scene{fit, fit.model, input, !input.labels.empty(), {}, {}, {}, {}, {}, 0};
  const auto k = static_cast<std::size_t>(fit.model.n_components());
  const auto m = static_cast<std::size_t>(input.sample.rows());
  scene.by_weight = largest_first(fit.model.weights);
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
  if (scene.labelled) {
    scene.labels = label_groups(input.labels);
    scene.group = scene.labels.group;
    scene.n_groups = static_cast<std::int64_t>(scene.labels.values.size());
  } else {
    for (const std::int32_t component : scene.component) {
      scene.group.push_back(scene.rank[static_cast<std::size_t>(component)]);
    }
    scene.n_groups = static_cast<std::int64_t>(k);
  }
  return scene;
}

}  // namespace culatent::report
