#include "host/report/kmeans_scene.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "host/report/mixture_geometry.hpp"
#include "host/report/scatter.hpp"
#include "host/report/text.hpp"
#include "host/row_method.hpp"

namespace culatent::report {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

Clusters::Clusters(const kmeans::Fit& f) : fit(f), model(f.model) {
  order = largest_first(model.counts);
  rank.resize(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) rank[index(order[i])] = std::int64_t(i);
  total = std::accumulate(model.counts.begin(), model.counts.end(), 0.0);
}

gaussian_mixture::Model as_mixture(const Clusters& clusters) {
  const kmeans::Model& model = clusters.model;
  gaussian_mixture::Model mixture;
  mixture.covariance = gaussian_mixture::Covariance::spherical;
  mixture.means = model.centroids;
  const double width = static_cast<double>(model.n_features()) * std::max(clusters.total, 1.0);
  for (std::int64_t k = 0; k < model.n_clusters(); ++k) {
    mixture.weights.push_back(clusters.total > 0.0 ? clusters.share(k)
                                                   : 1.0 / static_cast<double>(model.n_clusters()));
    mixture.covariances.push_back(std::max(clusters.fit.inertia / width, 1e-300));
  }
  return mixture;
}

Scatter scatter_of(const Context& context, const Clusters& clusters, const PageInput& input) {
  const kmeans::Model& model = clusters.model;
  const std::int64_t d = model.n_features();
  Scatter out{input.sample, model.centroids, {}, {}, 0, {}, ""};
  std::vector<std::int32_t> cluster(index(input.sample.rows()));
  if (!cluster.empty()) {
    kmeans::predict<double>(context, model, input.sample.view(), cluster);
  }
  if (input.labels.empty()) {
    for (const std::int32_t k : cluster) out.group.push_back(clusters.rank[index(k)]);
    out.n_groups = model.n_clusters();
    out.colours = "their cluster";
    for (const std::int64_t k : clusters.order) {
      if (model.n_clusters() > kMaxLegend) break;
      out.items.push_back({point_class(clusters.rank[index(k)]),
                           fmt::format("cluster {}, {}", k, format_percent(clusters.share(k)))});
    }
  } else {
    const LabelGroups labels = label_groups(input.labels);
    out.group = labels.group;
    out.n_groups = static_cast<std::int64_t>(labels.values.size());
    out.items = label_legend(labels);
    out.colours = "the given labels";
  }
  if (d == 1) {  // one feature: a strip a cluster
    out.names = {column_name(input.column_names, 0), "cluster"};
    const auto strip = [](const Matrix<double>& values, const auto& height) {
      Matrix<double> points(values.rows(), 2);
      for (std::int64_t i = 0; i < values.rows(); ++i) {
        points(i, 0) = values(i, 0);
        points(i, 1) = static_cast<double>(height(i));
      }
      return points;
    };
    out.rows = strip(input.sample, [&](std::int64_t i) { return cluster[index(i)]; });
    out.centroids = strip(model.centroids, [](std::int64_t k) { return k; });
  } else if (d == 2) {
    out.names = {column_name(input.column_names, 0), column_name(input.column_names, 1)};
  } else {
    const Directions directions =
        principal_directions(as_mixture(clusters), std::min<std::int64_t>(4, d));
    out.rows = project(input.sample, directions);
    out.centroids = project(model.centroids, directions);
    for (std::int64_t j = 0; j < directions.share.size(); ++j) {
      out.names.push_back(
          fmt::format("direction {} ({})", j + 1, format_percent(directions.share(j))));
    }
  }
  return out;
}

}  // namespace culatent::report
