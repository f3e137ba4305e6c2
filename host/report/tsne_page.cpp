#include "host/report/tsne_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "culatent/error.hpp"
#include "host/report/embedding_charts.hpp"
#include "host/report/embedding_viewer.hpp"
#include "host/report/input_check.hpp"
#include "host/report/page.hpp"
#include "host/report/run_details.hpp"
#include "host/report/scatter.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

void check(const tsne::Fit& fit, const PageInput& input, const EmbeddingShown& shown) {
  check_input(input, fit.embedding.cols());
  const auto m = static_cast<std::size_t>(input.sample.rows());
  bool fits = shown.rows.size() == m;
  for (const EmbeddingFrame& frame : shown.frames) {
    fits = fits && frame.at.size() == m * static_cast<std::size_t>(input.sample.cols());
  }
  if (!fits) {
    throw invalid_argument("row numbers or snapshots of other rows than those shown", "report page",
                           "give the same rows of all");
  }
}

// "stopped" is the ordinary end of t-SNE: its gradient rarely vanishes.
std::string ending(const tsne::Fit& fit) {
  const std::string done = plural(fit.n_iter, "iteration");
  if (fit.interrupted) return "interrupted after " + done;
  return (fit.converged ? "converged after " : "stopped after ") + done;
}

std::string perplexity_text(const nlohmann::json& report) {
  const auto options = report.find("options");
  if (options == report.end() || !options->is_object()) return "–";
  const auto perplexity = options->find("perplexity");
  if (perplexity == options->end() || perplexity->is_null()) return "–";
  if (perplexity->is_number()) return format_number(perplexity->get<double>(), 4);
  std::string out;
  for (const auto& value : *perplexity) {
    if (!value.is_number()) continue;
    out += (out.empty() ? "" : ", ") + format_number(value.get<double>(), 4);
  }
  return out;
}

std::string header(const tsne::Fit& fit, const PageInput& input, const EmbeddingShown& shown,
                   const nlohmann::json& report, const std::string& title) {
  const std::string lead = fmt::format("{} of {} placed in {}: {}.", plural(input.n_rows, "row"),
                                       plural(shown.n_features, "feature"),
                                       plural(fit.embedding.cols(), "dimension"), ending(fit));
  const bool fft = fit.repulsion == tsne::Repulsion::fft;
  const std::vector<Fact> items = {
      {"divergence", format_number(fit.kl, 4),
       fit.exact_kl ? "nats, over all pairs" : "nats, through a grid"},
      {"perplexity", perplexity_text(report), "neighbours of a row, effectively"},
      {"repulsion", fft ? "FFT" : "exact", fft ? "through a grid" : "every pair"},
      {"time", format_seconds(fit.seconds.total), "neighbours and iterations"}};
  // The lead says how the fit ended; that the limit came first is no reason to worry.
  std::vector<Warning> warnings = fit.warnings;
  std::erase_if(warnings, [](const Warning& warning) { return warning.code == "not_converged"; });
  return page_header("t-SNE", title, lead, warning_boxes(warnings) + facts(items));
}

std::string caption(const PageInput& input, const LabelGroups& labels) {
  std::string out = fmt::format("Points: {}", sample_text(input.sample.rows(), input.n_rows));
  if (!labels.values.empty()) {
    out +=
        fmt::format(", coloured by {}", plural(std::int64_t(labels.values.size()), "given label"));
  }
  return out +
         ". Rows that are near here are near in the data; the size of groups and the distance "
         "between them say little, and directions have no unit.";
}

std::string map(const tsne::Fit& fit, const PageInput& input, const EmbeddingShown& shown,
                int exaggerated) {
  const LabelGroups labels = label_groups(input.labels);
  if (input.sample.rows() == 0) return paragraph("There are no rows to show.");
  EmbeddingShown whole = shown;
  if (!whole.frames.empty() && whole.frames.back().iteration == fit.n_iter) {
    whole.frames.pop_back();
  }
  whole.frames.push_back(quantise(input.sample, fit.n_iter, fit.kl));
  const std::string still =
      embedding_drawing(input, labels) +
      paragraph("With scripts allowed, this drawing zooms and says which row is which.", "hint");
  std::string out = "<figure>\n";
  if (fit.embedding.cols() == 1) out += embedding_histogram(input);
  out += embedding_viewer(input, whole, labels, exaggerated, still);
  out += "<figcaption>" + escape(caption(input, labels)) +
         (fit.embedding.cols() == 3 ? " Drag to turn, with Shift to move;" : " Drag to move,") +
         " wheel or + and − to zoom, double click or 0 to reset; #row=17 at the end of the page’s "
         "address marks row 17.</figcaption>\n</figure>\n";
  return out;
}

}  // namespace

std::string tsne_page(const tsne::Fit& fit, const PageInput& input, const EmbeddingShown& shown) {
  check(fit, input, shown);
  const nlohmann::json report = parse_report(input);
  const std::string title = page_title(input, "t-SNE");
  const auto exaggerated = static_cast<int>(option_number(report, "exaggeration_iter", 0.0));
  std::string body = header(fit, input, shown, report, title);
  body += section("The map", map(fit, input, shown, exaggerated));
  body +=
      section("Iterations", "<div class=\"pair\">\n" + divergence_chart(fit.trace, exaggerated) +
                                gradient_chart(fit.trace) + "</div>\n");
  body += section("How it was made", run_details(report, input));
  return html_document(title, body, embedding_script());
}

std::string describe(const tsne::Fit& fit) {
  return fmt::format("{} in {}, {}, divergence {}\n", plural(fit.embedding.rows(), "row"),
                     plural(fit.embedding.cols(), "dimension"), ending(fit),
                     format_number(fit.kl, 4));
}

}  // namespace culatent::report
