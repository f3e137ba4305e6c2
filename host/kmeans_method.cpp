#include "host/kmeans_method.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "culatent/error.hpp"
#include "host/model_file.hpp"
#include "host/row_method.hpp"

namespace culatent::kmeans {
namespace {

constexpr double kWeightReach = 2.0;  // of weights, scaled

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// 2^-k that brings `reach` into (1/2, 1].
double shrink(double reach) {
  int exponent = 0;
  const double fraction = std::frexp(reach, &exponent);
  return std::ldexp(1.0, fraction == 0.5 ? 1 - exponent : -exponent);
}

// To rounding: such a row stays as it is.
bool has_length_one(const Matrix<double>& m, std::int64_t row) {
  double square = 0.0;
  for (std::int64_t j = 0; j < m.cols(); ++j) square += m(row, j) * m(row, j);
  return std::abs(square - 1.0) < 1e-14 * static_cast<double>(m.cols() + 4);
}

}  // namespace

void check_options(const Options& o, std::int64_t n_rows, std::int64_t n_features) {
  const auto wrong = [](const std::string& what, const std::string& option,
                        const std::string& remedy) {
    throw invalid_argument(what, option, remedy);
  };
  if (o.n_clusters < 1) {
    wrong("n_clusters is " + std::to_string(o.n_clusters), "--clusters", "give at least 1");
  }
  check_iterations(o.max_iter.value_or(0), o.tol, o.n_init, o.checkpoint);
  if (o.mini_batch < 0) wrong("mini_batch is negative", "--mini-batch", "give rows, or 0 for all");
  check_size(n_rows, n_features, o.n_clusters, kClusters);
  const Matrix<double>& s = o.start;
  if (s.rows() == 0) return;
  check_start_shape(s, "centroids", o.n_clusters, n_features, kClusters);
  if (!std::all_of(s.data(), s.data() + s.size(), [](double v) { return std::isfinite(v); })) {
    throw data_error("a start centroid is not finite", "start", "fix the centroids");
  }
}

void check_model(const Model& model, const std::string& where) {
  const Matrix<double>& c = model.centroids;
  if (c.rows() == 0 || c.cols() == 0) {
    throw data_error("there are no centroids", where, "fit the model again");
  }
  if (!std::all_of(c.data(), c.data() + c.size(), [](double v) { return std::isfinite(v); })) {
    throw data_error("a centroid is not finite", where, "fit the model again");
  }
  if (static_cast<std::int64_t>(model.counts.size()) != c.rows()) {
    throw data_error(std::to_string(model.counts.size()) + " counts for " +
                         std::to_string(c.rows()) + " centroids",
                     where, "give one a centroid");
  }
  for (const double count : model.counts) {
    if (count >= 0.0 && std::isfinite(count)) continue;
    throw data_error("a count is negative or not finite", where, "fit the model again");
  }
}

int most_updates(const Options& options, std::int64_t n_rows) {
  if (options.max_iter) return *options.max_iter;
  if (options.mini_batch == 0) return 300;
  const double batches = static_cast<double>(n_rows) / static_cast<double>(options.mini_batch);
  return static_cast<int>(std::min(100.0 * std::ceil(batches), 2e9));
}

Coordinates fit_coordinates(const DataSummary& data, Metric metric) {
  Coordinates result;
  result.frame = data.frame;
  const double unit = *std::min_element(data.frame.scale.begin(), data.frame.scale.end());
  for (std::size_t j = 0; j < data.frame.scale.size(); ++j) {
    result.reach.push_back(2.0 * unit / data.frame.scale[j]);  // a frame brings rows below 2
    result.frame.scale[j] = unit;
  }
  if (metric == Metric::euclidean) return result;
  // Directions are those from the origin; the scale keeps the lengths in range.
  double farthest = 0.0;
  for (std::size_t j = 0; j < data.frame.scale.size(); ++j) {
    farthest = std::max(farthest, std::abs(data.frame.centre[j]) + 1.0 / data.frame.scale[j]);
    result.frame.centre[j] = 0.0;
    result.reach[j] = 1.0;
  }
  std::fill(result.frame.scale.begin(), result.frame.scale.end(), shrink(farthest));
  result.unit_length = true;
  return result;
}

template <class T>
Coordinates model_coordinates(const Model& model, const DataSummary& rows) {
  const std::int64_t k = model.n_clusters();
  const std::int64_t d = model.n_features();
  Coordinates result;
  result.unit_length = model.metric == Metric::cosine;
  double reach = 0.0, total = 0.0;
  for (const double count : model.counts) total += count;
  for (std::int64_t j = 0; j < d; ++j) {
    // Where most rows are, as in the fit: one centroid far out must not cost the others digits.
    double mean = 0.0;
    for (std::int64_t c = 0; c < k; ++c) {
      const double share =
          total > 0.0 ? model.counts[index(c)] / total : 1.0 / static_cast<double>(k);
      mean += share * model.centroids(c, j);
    }
    const double centre = result.unit_length ? 0.0 : static_cast<double>(static_cast<T>(mean));
    const double farthest =
        std::abs(rows.frame.centre[index(j)] - centre) + 1.0 / rows.frame.scale[index(j)];
    reach = std::max(reach, farthest);
    if (!result.unit_length) {
      for (std::int64_t c = 0; c < k; ++c) {
        reach = std::max(reach, std::abs(model.centroids(c, j) - centre));
      }
    }
    result.frame.centre.push_back(centre);
  }
  result.frame.scale.assign(index(d), shrink(reach));
  result.reach.assign(index(d), 1.0);
  return result;
}

template <class T>
FixedPoint fixed_point(const Coordinates& coordinates, std::int64_t n_rows, bool weighted) {
  std::vector<double> reach = coordinates.reach;
  reach.push_back(kWeightReach);
  return FixedPoint(reach, n_rows, sizeof(T) == sizeof(float) && !weighted ? 1 : 2);
}

std::int64_t count_light_rows(std::span<const double> weights, double weight_scale) {
  const std::vector<double> reach = {kWeightReach};
  const FixedPoint fixed(reach, static_cast<std::int64_t>(weights.size()), 2);
  const double least = 0.5 / (fixed.units.front() * fixed.fine * weight_scale);
  return std::count_if(weights.begin(), weights.end(),
                       [&](double weight) { return weight > 0.0 && weight < least; });
}

template <class T>
Matrix<T> to_coordinates(const Matrix<double>& centroids, const Coordinates& coordinates) {
  const Frame& frame = coordinates.frame;
  // A given start may lie where T has no numbers, or none whose squares it has; it is as far from
  // all rows here.
  const double most = std::ldexp(1.0, std::numeric_limits<T>::max_exponent / 2 - 4);
  Matrix<T> result(centroids.rows(), centroids.cols());
  for (std::int64_t k = 0; k < centroids.rows(); ++k) {
    for (std::int64_t j = 0; j < centroids.cols(); ++j) {
      const double value = coordinates.unit_length
                               ? centroids(k, j)
                               : (centroids(k, j) - frame.centre[index(j)]) * frame.scale[index(j)];
      result(k, j) = static_cast<T>(std::clamp(value, -most, most));
    }
  }
  return result;
}

void normalise_rows(Matrix<double>& centroids, const std::string& where) {
  for (std::int64_t k = 0; k < centroids.rows(); ++k) {
    double largest = 0.0, square = 0.0;
    for (std::int64_t j = 0; j < centroids.cols(); ++j) {
      largest = std::max(largest, std::abs(centroids(k, j)));
    }
    if (has_length_one(centroids, k)) continue;  // to the bits that a file holds
    if (!(largest > 0.0)) {
      throw data_error("centroid " + std::to_string(k) + " is zero: it has no direction", where,
                       "give another, or use the euclidean metric");
    }
    for (std::int64_t j = 0; j < centroids.cols(); ++j) {
      centroids(k, j) /= largest;
      square += centroids(k, j) * centroids(k, j);
    }
    const double length = std::sqrt(square);
    for (std::int64_t j = 0; j < centroids.cols(); ++j) centroids(k, j) /= length;
  }
}

void put(const RunState& run, const std::string& prefix, io::TensorFile& file) {
  const Model& model = run.model.model;
  file.tensors[prefix + "centroids"] = tensor_of(model.centroids);
  file.tensors[prefix + "previous"] = tensor_of(run.model.previous);
  file.tensors[prefix + "counts"] = {{model.n_clusters()}, model.counts};
  io::Tensor trace{{static_cast<std::int64_t>(run.trace.size()), 2}, {}};
  for (const TraceEntry& entry : run.trace) {
    trace.values.insert(trace.values.end(), {entry.inertia, static_cast<double>(entry.moved)});
  }
  file.tensors[prefix + "trace"] = std::move(trace);
  file.metadata[prefix + "metric"] = name(model.metric);
}

void take(const io::TensorFile& file, const std::string& prefix, RunState& run) {
  const auto matrix = [&](const char* tensor_name) {
    return matrix_of(file.tensors.at(prefix + tensor_name), tensor_name, "[clusters, features]",
                     "checkpoint");
  };
  Model& model = run.model.model;
  model.centroids = matrix("centroids");
  run.model.previous = matrix("previous");
  model.counts = file.tensors.at(prefix + "counts").values;
  const bool cosine = file.metadata.at(prefix + "metric") == name(Metric::cosine);
  model.metric = cosine ? Metric::cosine : Metric::euclidean;
  const std::vector<double>& trace = file.tensors.at(prefix + "trace").values;
  for (std::size_t i = 0; i + 1 < trace.size(); i += 2) {
    run.trace.push_back({trace[i], static_cast<std::int64_t>(trace[i + 1])});
  }
  check_model(model, "checkpoint");
}

#define CULATENT_INSTANTIATE(T)                                                \
  template Coordinates model_coordinates<T>(const Model&, const DataSummary&); \
  template FixedPoint fixed_point<T>(const Coordinates&, std::int64_t, bool);  \
  template Matrix<T> to_coordinates(const Matrix<double>&, const Coordinates&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
