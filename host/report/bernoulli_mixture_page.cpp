#include "host/report/bernoulli_mixture_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/report/charts.hpp"
#include "host/report/input_check.hpp"
#include "host/report/mean_images.hpp"
#include "host/report/page.hpp"
#include "host/report/plot.hpp"
#include "host/report/run_details.hpp"
#include "host/report/scatter.hpp"
#include "host/report/text.hpp"
#include "host/row_method.hpp"

namespace culatent::report {
namespace {

namespace bm = bernoulli_mixture;

constexpr std::size_t kMostLines = 12;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// "x12 0.97 (of all 0.31), x5 0.02 (of all 0.64)": the features whose probability differs most from
// that of all rows.
std::string outstanding(const bm::Model& model, std::int64_t k, const std::vector<double>& all,
                        std::span<const std::string> names) {
  constexpr std::int64_t kNamed = 4;
  std::vector<double> distance;
  for (std::int64_t j = 0; j < model.n_features(); ++j) {
    distance.push_back(std::abs(model.means(k, j) - all[index(j)]));
  }
  std::vector<std::int64_t> features = largest_first(distance);
  features.resize(index(std::min(kNamed, model.n_features())));
  std::string out;
  for (const std::int64_t j : features) {
    out += fmt::format("{}{} {} (of all {})", out.empty() ? "" : ", ", column_name(names, j),
                       format_fixed(model.means(k, j), 2), format_fixed(all[index(j)], 2));
  }
  return out;
}

std::string header(const bm::Fit& fit, const PageInput& input, const std::string& title) {
  const std::string lead = fmt::format(
      "{}, fitted to {} of {}: {}.", plural(fit.model.n_components(), "component"),
      plural(input.n_rows, "row"), plural(fit.model.n_features(), "feature"), ending(fit));
  const bm::TraceEntry& last = fit.trace.back();
  const std::vector<Fact> items = {
      {"mean log-likelihood", format_number(last.log_likelihood, 5), "nats per row"},
      {"iterations", format_count(fit.n_iter), fit.converged ? "converged" : "not converged"},
      {"uncertainty of membership", format_number(last.entropy, 3), "nats per row (entropy)"},
      {"time", format_seconds(fit.seconds.total), "start and iterations"}};
  return page_header("Bernoulli mixture", title, lead, warning_boxes(fit.warnings) + facts(items));
}

std::string groups(const bm::Model& model, const PageInput& input) {
  const std::vector<std::int64_t> order = largest_first(model.weights);
  if (input.image_height > 0) {
    std::vector<ImageOfRow> images;
    for (const std::int64_t k : order) {
      images.push_back({k, model.weights[index(k)], fmt::format("component {}", k)});
    }
    return row_images(model.means, images, input,
                      "Mean of every component as an image: the probability of a one, all on one "
                      "grey scale.");
  }
  const std::vector<double> all = bm::mean(model);
  std::string out = "<ul class=\"groups\">\n";
  for (std::size_t i = 0; i < order.size() && i < kMostLines; ++i) {
    out += fmt::format(
        "<li><span class=\" swatch {}\"></span><b>{}</b><span>{}</span>"
        "<small>component {}</small></li>\n",
        series_class(static_cast<std::int64_t>(i)),
        escape(format_percent(model.weights[index(order[i])])),
        escape(outstanding(model, order[i], all, input.column_names)), order[i]);
  }
  out += "</ul>\n";
  return order.size() <= kMostLines
             ? out
             : out + paragraph(fmt::format("The {} heaviest of {} components.", kMostLines,
                                           order.size()));
}

// How the known labels of the sampled rows fall on the components.
std::string label_table(const Context& context, const bm::Model& model, const PageInput& input) {
  constexpr std::size_t kMostColumns = 20;
  if (input.labels.empty() || model.weights.size() > kMostColumns) return "";
  std::vector<std::int32_t> component(index(input.sample.rows()));
  bm::evaluate<double>(context, model, MatrixRows<double>(input.sample.view()),
                       {.labels = component, .missing = input.missing});
  const LabelGroups labels = label_groups(input.labels);
  std::vector<std::vector<std::int64_t>> counts(labels.values.size(),
                                                std::vector<std::int64_t>(model.weights.size()));
  for (std::size_t i = 0; i < component.size(); ++i) {
    ++counts[index(labels.group[i])][static_cast<std::size_t>(component[i])];
  }
  Table out{"Sampled rows by given label and most probable component", {"label"}, {}, true};
  for (std::size_t k = 0; k < model.weights.size(); ++k) out.head.push_back(std::to_string(k));
  for (std::size_t l = 0; l < counts.size() && l < 100; ++l) {
    std::vector<std::string> row = {std::to_string(labels.values[l])};
    for (const std::int64_t count : counts[l]) row.push_back(count == 0 ? "" : format_count(count));
    out.rows.push_back(std::move(row));
  }
  return table(out);
}

std::string weights(const bm::Model& model) {
  std::vector<ShareBar> bars;
  for (const std::int64_t k : largest_first(model.weights)) {
    bars.push_back({fmt::format("component {}", k), model.weights[index(k)],
                    series_class(static_cast<std::int64_t>(bars.size()))});
  }
  return share_bars({"weights", "Weights of the components", "weight (%)",
                     "Share of the rows that each component stands for.", "components"},
                    bars);
}

std::string iterations(const bm::Fit& fit) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> likelihood, objective, entropy;
  for (const bm::TraceEntry& entry : fit.trace) {
    likelihood.push_back(entry.log_likelihood);
    objective.push_back(entry.objective);
    entropy.push_back(entry.entropy);
  }
  return "<div class=\"pair\">\n" +
         trace_chart({"trace-likelihood", "Mean log-likelihood", "nats per row", likelihood, false,
                      kNone}) +
         trace_chart({"trace-objective", "Objective, with the prior", "nats per row", objective,
                      false, kNone}) +
         trace_chart({"trace-entropy", "Entropy of the memberships", "nats per row", entropy, false,
                      kNone}) +
         "</div>\n";
}

}  // namespace

std::string bernoulli_mixture_page(const Context& context, const bm::Fit& fit,
                                   const PageInput& input) {
  check_input(input, fit.model.n_features());
  const nlohmann::json report = parse_report(input);
  const std::string title = page_title(input, "Bernoulli mixture");
  std::string body = header(fit, input, title);
  body += section("What was found", groups(fit.model, input));
  const std::string by_label = label_table(context, fit.model, input);
  if (!by_label.empty()) body += section("Labels and components", by_label);
  body += section("Weights", weights(fit.model));
  body += section("Iterations", iterations(fit));
  body += section("How it was made", run_details(report, input));
  return html_document(title, body);
}

std::string describe(const bm::Fit& fit, std::span<const std::string> column_names) {
  std::string out =
      fmt::format("{}, {}\n", plural(fit.model.n_components(), "component"), ending(fit));
  const std::vector<double> all = bm::mean(fit.model);
  const std::vector<std::int64_t> order = largest_first(fit.model.weights);
  for (std::size_t i = 0; i < order.size() && i < kMostLines; ++i) {
    const std::string line = one_line(outstanding(fit.model, order[i], all, column_names));
    out += fmt::format("  {:>7}  {}\n", format_percent(fit.model.weights[index(order[i])]), line);
  }
  if (order.size() > kMostLines) out += fmt::format("  and {} more\n", order.size() - kMostLines);
  return out;
}

}  // namespace culatent::report
