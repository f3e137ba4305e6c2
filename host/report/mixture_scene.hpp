#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "host/report/page.hpp"
#include "host/report/page_input.hpp"
#include "host/report/scatter.hpp"

namespace culatent::report {

/// A mixture with its sampled rows and how both are coloured: rows by the component that most
/// probably made them, or by the caller's labels when there are any.
struct MixtureScene {
  const gaussian_mixture::Fit& fit;
  const gaussian_mixture::Model& model;
  const PageInput& input;
  bool labelled = false;
  std::vector<std::int64_t> by_weight;  ///< components, heaviest first
  std::vector<std::int64_t> rank;       ///< [K], place of a component in by_weight
  std::vector<std::int32_t> component;  ///< [m], most probable component of each sampled row
  LabelGroups labels;                   ///< of the sampled rows
  std::vector<std::int64_t> group;      ///< [m], colour of a row: rank or place of its label
  std::int64_t n_groups = 0;

  double weight(std::int64_t k) const { return model.weights[static_cast<std::size_t>(k)]; }
  /// Class of a component's lines: its rows' colour, or ink where colours stand for labels.
  std::string component_class(std::int64_t k) const;
  /// What the colours of points mean; empty for more groups than a legend can tell apart.
  std::vector<LegendItem> point_legend() const;
  /// "all 272 rows, coloured by …".
  std::string point_caption() const;
};

/// Labels every sampled row under the model; `fit` and `input` must outlive the scene. Throws
/// invalid_argument when `input` does not suit the model.
MixtureScene mixture_scene(const Context& context, const gaussian_mixture::Fit& fit,
                           const PageInput& input);

}  // namespace culatent::report
