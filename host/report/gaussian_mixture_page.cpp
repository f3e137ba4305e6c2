#include "host/report/gaussian_mixture_page.hpp"

#include <fmt/format.h>

#include "host/report/groups.hpp"
#include "host/report/mean_images.hpp"
#include "host/report/mixture_charts.hpp"
#include "host/report/mixture_maps.hpp"
#include "host/report/mixture_scene.hpp"
#include "host/report/mixture_tables.hpp"
#include "host/report/page.hpp"
#include "host/report/run_details.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

constexpr std::size_t kMaxGroupLines = 12;

std::string warning_box(const gaussian_mixture::Fit& fit) {
  std::string lines;
  for (const Warning& warning : fit.warnings) {
    lines +=
        fmt::format("<p>⚠ {} <code>{}</code></p>\n", escape(warning.text), escape(warning.code));
  }
  if (lines.empty() && !fit.converged) {
    lines = fmt::format("<p>⚠ The fit {}; the result may still move.</p>\n", escape(ending(fit)));
  }
  return lines.empty() ? "" : "<div class=\"warning\" role=\"note\">\n" + lines + "</div>\n";
}

std::string header(const MixtureScene& scene, const std::string& title) {
  const gaussian_mixture::Fit& fit = scene.fit;
  const gaussian_mixture::Model& model = scene.model;
  const std::string lead = fmt::format(
      "{} with {} covariance, fitted to {} of {}: {}.", plural(model.n_components(), "Gaussian"),
      gaussian_mixture::name(model.covariance), plural(scene.input.n_rows, "row"),
      plural(model.n_features(), "feature"), ending(fit));
  std::vector<Fact> items;
  if (!fit.trace.empty()) {
    items.push_back(
        {"mean log-likelihood", format_number(fit.trace.back().log_likelihood, 5), "nats per row"});
    items.push_back(
        {"iterations", format_count(fit.n_iter), fit.converged ? "converged" : "not converged"});
    items.push_back({"uncertainty of membership", format_number(fit.trace.back().entropy, 3),
                     "nats per row (entropy)"});
  }
  items.push_back({"time", format_seconds(fit.seconds.total), "start and iterations"});
  return page_header("Gaussian mixture", title, lead, warning_box(fit) + facts(items));
}

// Of images the means say more than words about single pixels.
std::string groups(const MixtureScene& scene) {
  if (scene.input.image_height > 0) return mean_images(scene) + paragraph(separation(scene.fit));
  std::string out = "<ul class=\"groups\">\n";
  for (std::size_t i = 0; i < scene.by_weight.size() && i < kMaxGroupLines; ++i) {
    const std::int64_t k = scene.by_weight[i];
    // Where colours stand for labels a component has none.
    const std::string swatch = scene.labelled ? "" : " swatch " + scene.component_class(k);
    out += fmt::format(
        "<li><span class=\"{}\"></span><b>{}</b><span>{}</span>"
        "<small>component {}</small></li>\n",
        swatch, escape(format_percent(scene.weight(k))),
        escape(whereabouts(scene.model, k, scene.input.column_names)), k);
  }
  out += "</ul>\n";
  if (scene.by_weight.size() > kMaxGroupLines) {
    out +=
        paragraph(fmt::format("The {} heaviest of {} are named here; all are in the table below.",
                              kMaxGroupLines, group_count(scene.model)));
  }
  const std::string apart = separation(scene.fit);
  return apart.empty() ? out : out + paragraph(apart);
}

std::string density_section(const Context& context, const MixtureScene& scene) {
  if (scene.model.n_features() == 1) {
    return section("Density", density_figure_1d(context, scene));
  }
  if (scene.model.n_features() == 2) {
    return section("Density", density_figure_2d(context, scene));
  }
  return section("Principal directions", principal_pairs(scene));
}

}  // namespace

std::string gaussian_mixture_page(const Context& context, const gaussian_mixture::Fit& fit,
                                  const PageInput& input) {
  const MixtureScene scene = mixture_scene(context, fit, input);
  const nlohmann::json report = parse_report(input);
  const std::string title = page_title(input, "Gaussian mixture");
  std::string body = header(scene, title);
  body += section("What was found", groups(scene));
  body += density_section(context, scene);
  const std::string by_label = label_table(scene);
  if (!by_label.empty()) body += section("Labels and components", by_label);
  body += section("Weights", weights_figure(scene));
  body += section("Iterations", trace_figures(fit, option_number(report, "tol", 0.0)));
  if (input.image_height == 0) body += section("Parameters", parameter_table(scene));
  body += section("How it was made", run_details(report, input));
  return html_document(title, body);
}

}  // namespace culatent::report
