#include "host/report/describe.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/report/groups.hpp"
#include "host/report/run_details.hpp"
#include "host/report/text.hpp"
#include "host/row_method.hpp"

namespace culatent::report {
namespace {

// More lines than this push what matters off the terminal.
constexpr std::size_t kMostLines = 10;

}  // namespace

std::string describe(const gaussian_mixture::Fit& fit, std::span<const std::string> column_names) {
  const gaussian_mixture::Model& model = fit.model;
  std::string out = fmt::format("{}, {}\n", group_count(model), ending(fit));
  const std::vector<std::int64_t> order = largest_first(model.weights);
  double rest = 1.0;
  for (std::size_t i = 0; i < order.size() && i < kMostLines; ++i) {
    const double weight = model.weights[static_cast<std::size_t>(order[i])];
    rest -= weight;
    out += fmt::format("  {:>7}  {}\n", format_percent(weight),
                       one_line(whereabouts(model, order[i], column_names)));
  }
  if (order.size() > kMostLines) {
    out += fmt::format("  {:>7}  in {} more\n", format_percent(std::max(0.0, rest)),
                       format_count(static_cast<std::int64_t>(order.size() - kMostLines)));
  }
  const std::string apart = separation(fit);
  return apart.empty() ? out : out + apart + "\n";
}

}  // namespace culatent::report
