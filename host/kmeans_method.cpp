#include "host/kmeans_method.hpp"

#include <algorithm>
#include <cmath>

#include "culatent/error.hpp"
#include "host/kmeans_engine.hpp"
#include "host/kmeans_seeding.hpp"

namespace culatent::kmeans {
namespace {

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
  if (o.max_iter && *o.max_iter < 0) wrong("max_iter is negative", "--max-iter", "give 0 or more");
  if (!(o.tol >= 0.0)) wrong("tol is negative or NaN", "--tol", "give 0 or more");
  if (o.n_init < 1) wrong("n_init is less than 1", "--n-init", "give at least 1");
  if (o.mini_batch < 0) wrong("mini_batch is negative", "--mini-batch", "give rows, or 0 for all");
  if (o.checkpoint.every_iterations < 0 || !(o.checkpoint.every_seconds >= 0.0)) {
    wrong("the checkpoint interval is negative", "--checkpoint-every", "give at least 1");
  }
  if (n_rows == 0 || n_features == 0) {
    throw data_error(
        "no data: " + std::to_string(n_rows) + " rows, " + std::to_string(n_features) + " columns",
        "shape", "give at least one row and one column");
  }
  if (n_rows < o.n_clusters) {
    throw data_error(
        std::to_string(n_rows) + " rows for " + std::to_string(o.n_clusters) + " clusters", "shape",
        "use fewer clusters (--clusters) or more rows");
  }
  const Matrix<double>& s = o.start;
  if (s.rows() == 0) return;
  if (s.rows() != o.n_clusters || s.cols() != n_features) {
    throw data_error("start centroids are " + std::to_string(s.rows()) + " x " +
                         std::to_string(s.cols()) + ", expected " + std::to_string(o.n_clusters) +
                         " x " + std::to_string(n_features),
                     "start", "match --clusters and the columns of the data");
  }
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

template <class T>
void check_place(const Context& context, const RowSource<T>& rows) {
  if (context.cuda() != nullptr || rows.space() == MemorySpace::device) {
    throw invalid_argument("k-means runs on the CPU in this version", "Context",
                           "use a Context on the CPU, with rows and outputs in host memory");
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
  reach.push_back(2.0);  // of the weights, scaled
  return FixedPoint(reach, n_rows, sizeof(T) == sizeof(float) && !weighted ? 1 : 2);
}

template <class T>
Matrix<T> to_coordinates(const Matrix<double>& centroids, const Coordinates& coordinates) {
  const Frame& frame = coordinates.frame;
  Matrix<T> result(centroids.rows(), centroids.cols());
  for (std::int64_t k = 0; k < centroids.rows(); ++k) {
    for (std::int64_t j = 0; j < centroids.cols(); ++j) {
      const double value = coordinates.unit_length
                               ? centroids(k, j)
                               : (centroids(k, j) - frame.centre[index(j)]) * frame.scale[index(j)];
      result(k, j) = static_cast<T>(value);
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
  const auto tensor = [](const Matrix<double>& m) {
    return io::Tensor{{m.rows(), m.cols()}, {m.data(), m.data() + m.size()}};
  };
  file.tensors[prefix + "centroids"] = tensor(model.centroids);
  file.tensors[prefix + "previous"] = tensor(run.model.previous);
  file.tensors[prefix + "counts"] = {{model.n_clusters()}, model.counts};
  io::Tensor trace{{static_cast<std::int64_t>(run.trace.size()), 2}, {}};
  for (const TraceEntry& entry : run.trace) {
    trace.values.insert(trace.values.end(), {entry.inertia, static_cast<double>(entry.moved)});
  }
  file.tensors[prefix + "trace"] = std::move(trace);
  file.tensors[prefix + "counters"] = {
      {4},
      {static_cast<double>(run.restart), static_cast<double>(run.iteration),
       run.converged ? 1.0 : 0.0, static_cast<double>(run.n_repairs)}};
  file.metadata[prefix + "metric"] = name(model.metric);
}

void take(const io::TensorFile& file, const std::string& prefix, RunState& run) {
  const auto matrix = [&](const char* tensor_name) {
    const io::Tensor& tensor = file.tensors.at(prefix + tensor_name);
    Matrix<double> result(tensor.shape.at(0), tensor.shape.at(1));
    std::copy(tensor.values.begin(), tensor.values.end(), result.data());
    return result;
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
  const std::vector<double>& counters = file.tensors.at(prefix + "counters").values;
  run.restart = static_cast<int>(counters.at(0));
  run.iteration = static_cast<int>(counters.at(1));
  run.converged = counters.at(2) != 0.0;
  run.n_repairs = static_cast<std::int64_t>(counters.at(3));
  check_model(model, "checkpoint");
}

template <class T>
Plan plan(const Context& context, const RowSource<T>& rows, const Options& options) {
  const std::int64_t n = rows.rows();
  const std::int64_t d = rows.cols();
  const std::int64_t k = options.n_clusters;
  check_options(options, n, d);
  check_place(context, rows);
  const int n_limbs = sizeof(T) == sizeof(float) && options.weights.empty() ? 1 : 2;
  const auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t centroids = checked_product(k, d);
  // The model at hand, the best so far, and what a checkpoint copies.
  const int n_models = (options.n_init > 1 ? 3 : 2) + (options.checkpoint.path.empty() ? 0 : 4);
  std::int64_t fixed = n_models * 8 * (centroids + k) + 2 * size * centroids +
                       8 * n_limbs * (centroids + k) + size * 64 * kBlockRows;
  if (options.mini_batch == 0) {
    fixed += Labels::bytes(n, k);
  } else {
    fixed += checked_product(std::min(options.mini_batch, n), size * d + 16) +
             16 * static_cast<std::int64_t>(options.weights.size());
  }
  Plan result;
  result.rows = n;
  result.columns = d;
  result.chunk_rows = std::min(chunk_rows(context), n);
  result.n_workers = context.n_threads();
  const auto total = [&](int workers) {
    return fixed + CpuAssignment<T>::bytes(k, d, rows.in_place(), workers, n_limbs) +
           seeding_bytes<T>(options, n, d, rows.in_place(), workers);
  };
  const std::int64_t limit = context.options().memory_limit;
  while (limit > 0 && result.n_workers > 1 && total(result.n_workers) > limit) --result.n_workers;
  result.host_bytes = total(result.n_workers);
  if (limit > 0 && result.host_bytes > limit) {
    throw out_of_memory("the fit needs " + std::to_string(result.host_bytes) +
                            " bytes with one thread, the limit is " + std::to_string(limit),
                        "--memory-limit",
                        "raise it, or use fewer clusters, --mini-batch or --init random");
  }
  return result;
}

#define CULATENT_INSTANTIATE(T)                                                 \
  template void check_place(const Context&, const RowSource<T>&);               \
  template Coordinates model_coordinates<T>(const Model&, const DataSummary&);  \
  template FixedPoint fixed_point<T>(const Coordinates&, std::int64_t, bool);   \
  template Matrix<T> to_coordinates(const Matrix<double>&, const Coordinates&); \
  template Plan plan(const Context&, const RowSource<T>&, const Options&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent::kmeans
