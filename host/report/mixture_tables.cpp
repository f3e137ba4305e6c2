#include "host/report/mixture_tables.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/report/mixture_geometry.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

constexpr std::size_t kMaxComponents = 100;
constexpr std::int64_t kMaxFeatures = 8;
constexpr std::size_t kMaxLabels = 40;
constexpr std::size_t kMaxColumns = 24;

}  // namespace

std::string parameter_table(const MixtureScene& scene) {
  const std::int64_t d = std::min(kMaxFeatures, scene.model.n_features());
  const std::size_t count = std::min(kMaxComponents, scene.by_weight.size());
  const Matrix<double> deviations = standard_deviations(scene.model);
  Table out;
  out.caption = "Mean ± standard deviation of every feature";
  if (d < scene.model.n_features()) {
    out.caption = fmt::format("Mean ± standard deviation of the first {} of {} features", d,
                              format_count(scene.model.n_features()));
  }
  if (count < scene.by_weight.size()) {
    out.caption += fmt::format("; the {} heaviest of {} components", count, scene.by_weight.size());
  }
  out.head = {"component", "weight"};
  for (std::int64_t j = 0; j < d; ++j) out.head.push_back(column_name(scene.input.column_names, j));
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t k = scene.by_weight[i];
    std::vector<std::string> row = {std::to_string(k), format_fixed(scene.weight(k), 4)};
    for (std::int64_t j = 0; j < d; ++j) {
      const int decimals = decimals_for(deviations(k, j) / 10.0);
      row.push_back(format_fixed(scene.model.means(k, j), decimals) + " ± " +
                    format_fixed(deviations(k, j), decimals));
    }
    out.rows.push_back(std::move(row));
  }
  return table(out);
}

std::string label_table(const MixtureScene& scene) {
  const std::size_t n_labels = scene.labels.values.size();
  const std::size_t n_columns = scene.by_weight.size();
  if (!scene.labelled || n_labels > kMaxLabels || n_columns > kMaxColumns) return "";
  std::vector<std::vector<std::int64_t>> counts(n_labels, std::vector<std::int64_t>(n_columns, 0));
  for (std::size_t i = 0; i < scene.group.size(); ++i) {
    const std::int64_t column = scene.rank[static_cast<std::size_t>(scene.component[i])];
    ++counts[static_cast<std::size_t>(scene.group[i])][static_cast<std::size_t>(column)];
  }
  Table out;
  out.caption = "Rows of every label (down) by their most probable component (across)";
  out.head = {"label"};
  for (const std::int64_t k : scene.by_weight) out.head.push_back(std::to_string(k));
  for (std::size_t l = 0; l < n_labels; ++l) {
    std::vector<std::string> row = {std::to_string(scene.labels.values[l])};
    for (const std::int64_t count : counts[l])
      row.push_back(count == 0 ? "·" : format_count(count));
    out.rows.push_back(std::move(row));
  }
  return table(out);
}

}  // namespace culatent::report
