#include "host/report/groups.hpp"

#include <fmt/format.h>

#include <cmath>

#include "host/report/mixture_geometry.hpp"
#include "host/report/text.hpp"
#include "host/row_method.hpp"

namespace culatent::report {
namespace {

constexpr std::int64_t kNameAll = 4;
constexpr std::size_t kNameMost = 3;

// "4.29 ± 0.41 min"
std::string value_text(double mean, double deviation, const std::string& unit) {
  const int decimals = decimals_for(deviation);
  return fmt::format("{} ± {}{}{}", format_fixed(mean, decimals), format_fixed(deviation, decimals),
                     unit.empty() ? "" : " ", unit);
}

}  // namespace

std::string whereabouts(const gaussian_mixture::Model& model, std::int64_t k,
                        std::span<const std::string> column_names) {
  const std::int64_t d = model.n_features();
  const Matrix<double> deviations = standard_deviations(model);
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  if (d <= kNameAll) {
    for (std::int64_t j = 0; j < d; ++j) {
      const Quantity name = quantity(column_name(column_names, j));
      add(name.name + " " + value_text(model.means(k, j), deviations(k, j), name.unit));
    }
    return out;
  }
  const Spread all = spread(model);
  const auto distance = [&](std::int64_t j) {
    return all.deviation(j) > 0.0 ? (model.means(k, j) - all.mean(j)) / all.deviation(j) : 0.0;
  };
  std::vector<double> away;
  for (std::int64_t j = 0; j < d; ++j) away.push_back(std::abs(distance(j)));
  std::vector<std::int64_t> features = largest_first(away);
  features.resize(kNameMost);
  for (const std::int64_t j : features) {
    if (std::abs(distance(j)) < 0.5) break;
    const Quantity name = quantity(column_name(column_names, j));
    add(fmt::format("{} {} ({})", name.name, distance(j) > 0 ? "high" : "low",
                    value_text(model.means(k, j), deviations(k, j), name.unit)));
  }
  return out.empty() ? "near the middle in every feature" : out;
}

std::string group_count(const gaussian_mixture::Model& model) {
  return plural(model.n_components(), "group");
}

std::string separation(const gaussian_mixture::Fit& fit) {
  const std::int64_t k = fit.model.n_components();
  if (k < 2 || fit.trace.empty()) return "";
  const double entropy = fit.trace.back().entropy;
  const double most = std::log(static_cast<double>(k));
  const char* words = entropy < 0.05 * most   ? "The groups are clearly apart"
                      : entropy < 0.25 * most ? "The groups overlap somewhat"
                      : entropy < 0.6 * most  ? "The groups overlap much"
                                              : "The groups can hardly be told apart";
  return fmt::format("{} (entropy of membership {} of at most {} nats).", words,
                     format_number(entropy, 2), format_number(most, 3));
}

}  // namespace culatent::report
