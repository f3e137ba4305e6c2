#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "culatent/kmeans.hpp"
#include "host/report/page.hpp"
#include "host/report/page_input.hpp"

/// What the page of a clustering shows.
namespace culatent::report {

/// Clusters with what is drawn of them, largest first.
struct Clusters {
  explicit Clusters(const kmeans::Fit& f);
  double share(std::int64_t k) const {
    return total > 0.0 ? model.counts[static_cast<std::size_t>(k)] / total : 0.0;
  }

  const kmeans::Fit& fit;
  const kmeans::Model& model;
  std::vector<std::int64_t> order, rank;
  double total = 0.0;
};

/// The spherical mixture whose limit the clustering is: its geometry is that of the centroids.
gaussian_mixture::Model as_mixture(const Clusters& clusters);

/// Rows and centroids in up to four coordinates: the features themselves or principal directions.
struct Scatter {
  Matrix<double> rows, centroids;
  std::vector<std::string> names;
  std::vector<std::int64_t> group;
  std::int64_t n_groups = 0;
  std::vector<LegendItem> items;
  std::string colours;
};
Scatter scatter_of(const Context& context, const Clusters& clusters, const PageInput& input);

}  // namespace culatent::report
