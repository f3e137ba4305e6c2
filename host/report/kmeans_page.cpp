#include "host/report/kmeans_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/report/charts.hpp"
#include "host/report/input_check.hpp"
#include "host/report/kmeans_scene.hpp"
#include "host/report/mean_images.hpp"
#include "host/report/mixture_geometry.hpp"
#include "host/report/page.hpp"
#include "host/report/plot.hpp"
#include "host/report/run_details.hpp"
#include "host/report/scatter.hpp"
#include "host/report/text.hpp"
#include "host/row_method.hpp"

namespace culatent::report {
namespace {

constexpr std::size_t kMostLines = 12;
constexpr std::int64_t kNumbered = 60;  // more centroids hide their numbers

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// "eruptions 4.29, waiting 80": all of few features, of many those where the centroid is farthest
// from the middle of all, in standard deviations of the data between and within clusters.
std::string whereabouts(const kmeans::Model& model, std::int64_t k, const Spread& spread,
                        std::span<const std::string> names) {
  constexpr std::int64_t kFew = 4, kNamed = 3;
  const std::int64_t d = model.n_features();
  std::vector<double> distance(index(d), 0.0);  // few features keep their order
  for (std::int64_t j = 0; j < d && d > kFew; ++j) {
    distance[index(j)] =
        std::abs(model.centroids(k, j) - spread.mean(j)) / std::max(spread.deviation(j), 1e-300);
  }
  std::vector<std::int64_t> features = largest_first(distance);
  if (d > kFew) features.resize(index(kNamed));
  std::string out;
  for (const std::int64_t j : features) {
    const Quantity name = quantity(column_name(names, j));
    out += fmt::format("{}{} {}{}{}", out.empty() ? "" : ", ", name.name,
                       format_fixed(model.centroids(k, j), decimals_for(spread.deviation(j))),
                       name.unit.empty() ? "" : " ", name.unit);
  }
  return out;
}

void draw(Svg& svg, const Plot& plot, const Scatter& s, const Clusters& clusters, bool labelled,
          std::int64_t x, std::int64_t y, bool small) {
  svg.open_clip(plot.box);
  draw_points(svg, plot, s.rows, x, y, s.group, s.n_groups, small);
  if (clusters.model.n_clusters() <= kNumbered) {
    for (std::int64_t k = 0; k < s.centroids.rows(); ++k) {
      const Point at = plot.at(s.centroids(k, x), s.centroids(k, y));
      svg.text({at.x, at.y + 4.5}, std::to_string(k),
               fmt::format("number {} mid {}", small ? "tiny" : "",
                           labelled ? "ink" : series_class(clusters.rank[index(k)])));
    }
  }
  svg.close_clip();
}

Range range_of(const Scatter& s, std::int64_t j) {
  Range range;
  for (const Matrix<double>* points : {&s.rows, &s.centroids}) {
    for (std::int64_t i = 0; i < points->rows(); ++i) range.include((*points)(i, j));
  }
  return range.for_axis(0.05);
}

std::string scatter_figure(const Context& context, const Clusters& clusters,
                           const PageInput& input) {
  const Scatter s = scatter_of(context, clusters, input);
  const bool labelled = !input.labels.empty();
  const std::string caption = fmt::format(
      "Points: {}, coloured by {}.{}", sample_text(input.sample.rows(), input.n_rows), s.colours,
      clusters.model.n_clusters() <= kNumbered
          ? " Numbers: the centroids, numbered as in the model file."
          : "");
  const auto q = static_cast<std::int64_t>(s.names.size());
  if (q == 2) {
    const Range x = range_of(s, 0), y = range_of(s, 1);
    const std::vector<Tick> y_ticks = linear_ticks(y, 6);
    const double left = tick_room(y_ticks);
    const Plot plot{{left, 12, 960 - left, 560}, x, y};
    Svg svg(976, 620, "scatter", "Rows and centroids", "Scatter of the rows with the centroids");
    draw_axes(svg, plot, linear_ticks(x, 8), y_ticks, {s.names[0], s.names[1]});
    draw(svg, plot, s, clusters, labelled, 0, 1, false);
    return figure(svg.str() + legend(s.items), caption);
  }
  std::vector<Range> ranges;
  for (std::int64_t j = 0; j < q; ++j) ranges.push_back(range_of(s, j));
  const PairGrid grid(std::move(ranges));
  Svg svg(
      grid.width(), grid.height(), "scatter", "Principal directions, pair by pair",
      fmt::format("{} panels, each a scatter of the rows along two directions", q * (q - 1) / 2));
  for (std::int64_t row = 1; row < q; ++row) {
    for (std::int64_t column = 0; column < row; ++column) {
      grid.draw_frame(svg, row, column, s.names);
      draw(svg, grid.panel(row, column), s, clusters, labelled, column, row, true);
    }
  }
  return figure(svg.str() + legend(s.items), caption);
}

std::string header(const Clusters& clusters, const PageInput& input, const std::string& title) {
  const kmeans::Fit& fit = clusters.fit;
  const std::string lead = fmt::format(
      "{} of {} of {}{}: {}.", plural(clusters.model.n_clusters(), "cluster"),
      plural(input.n_rows, "row"), plural(clusters.model.n_features(), "feature"),
      clusters.model.metric == kmeans::Metric::cosine ? " by the cosine of their angles" : "",
      ending(fit, "update"));
  const double n = std::max(clusters.total, 1.0);
  std::vector<Fact> items = {
      {"inertia", format_number(fit.inertia, 6), "sum of squared distances"},
      {"distance to the centroid", format_number(std::sqrt(fit.inertia / n), 4),
       "root of the mean square"},
      {"updates", format_count(fit.n_iter), fit.converged ? "converged" : "not converged"},
      {"time", format_seconds(fit.seconds.total), "start and iterations"}};
  return page_header("K-means", title, lead, warning_boxes(fit.warnings) + facts(items));
}

std::string groups(const Clusters& clusters, const PageInput& input) {
  if (input.image_height > 0) {
    std::vector<ImageOfRow> order;
    for (const std::int64_t k : clusters.order) {
      order.push_back({k, clusters.share(k), fmt::format("cluster {}", k)});
    }
    return row_images(clusters.model.centroids, order, input,
                      "Centroid of every cluster as an image, all on one grey scale.");
  }
  const Spread middle = spread(as_mixture(clusters));
  std::string out = "<ul class=\"groups\">\n";
  for (std::size_t i = 0; i < clusters.order.size() && i < kMostLines; ++i) {
    const std::int64_t k = clusters.order[i];
    const std::string swatch =
        input.labels.empty() ? " swatch " + series_class(static_cast<std::int64_t>(i)) : "";
    out += fmt::format(
        "<li><span class=\"{}\"></span><b>{}</b><span>{}</span><small>cluster {}</small></li>\n",
        swatch, escape(format_percent(clusters.share(k))),
        escape(whereabouts(clusters.model, k, middle, input.column_names)), k);
  }
  out += "</ul>\n";
  if (clusters.order.size() > kMostLines) {
    out +=
        paragraph(fmt::format("The {} largest of {} clusters.", kMostLines, clusters.order.size()));
  }
  return out;
}

std::string sizes(const Clusters& clusters, const PageInput& input) {
  std::vector<ShareBar> bars;
  for (const std::int64_t k : clusters.order) {
    bars.push_back({fmt::format("cluster {}", k), clusters.share(k),
                    input.labels.empty() ? series_class(clusters.rank[index(k)]) : "soft"});
  }
  return share_bars({"sizes", "Sizes of the clusters", "share of the rows (%)",
                     "Share of the rows that are nearest to each centroid.", "clusters"},
                    bars);
}

std::string iterations(const kmeans::Fit& fit) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> inertia, moved;
  for (const kmeans::TraceEntry& entry : fit.trace) {
    inertia.push_back(entry.inertia);
    moved.push_back(entry.moved < 0 ? kNone : static_cast<double>(entry.moved));
  }
  return "<div class=\"pair\">\n" +
         trace_chart({"trace-inertia", "Inertia", "squared units", inertia, false, kNone}) +
         trace_chart(
             {"trace-moved", "Rows that moved to another cluster", "rows", moved, false, kNone}) +
         "</div>\n";
}

}  // namespace

std::string kmeans_page(const Context& context, const kmeans::Fit& fit, const PageInput& input) {
  check_input(input, fit.model.n_features());
  const Clusters clusters(fit);
  const nlohmann::json report = parse_report(input);
  const std::string title = page_title(input, "K-means");
  std::string body = header(clusters, input, title);
  body += section("What was found", groups(clusters, input));
  body += section("Rows and centroids", scatter_figure(context, clusters, input));
  body += section("Sizes", sizes(clusters, input));
  body += section("Iterations", iterations(fit));
  body += section("How it was made", run_details(report, input));
  return html_document(title, body);
}

std::string describe(const kmeans::Fit& fit, std::span<const std::string> column_names) {
  const Clusters clusters(fit);
  const Spread middle = spread(as_mixture(clusters));
  std::string out =
      fmt::format("{}, {}\n", plural(fit.model.n_clusters(), "cluster"), ending(fit, "update"));
  for (std::size_t i = 0; i < clusters.order.size() && i < kMostLines; ++i) {
    const std::int64_t k = clusters.order[i];
    const std::string line = one_line(whereabouts(fit.model, k, middle, column_names));
    out += fmt::format("  {:>7}  {}\n", format_percent(clusters.share(k)), line);
  }
  if (clusters.order.size() > kMostLines) {
    out += fmt::format("  and {} more\n", clusters.order.size() - kMostLines);
  }
  return out;
}

}  // namespace culatent::report
