#include "host/gaussian_mixture_init.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "culatent/error.hpp"
#include "host/gaussian_mixture_engine.hpp"
#include "host/random.hpp"
#ifdef CULATENT_HAS_CUDA
#include "host/gaussian_mixture_cuda.hpp"
#endif

namespace culatent::gaussian_mixture {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// Distances are those of the data's own units, up to one common factor: the features' scales in the
// frame are taken back.
template <class T>
std::vector<T> metric_of(const Frame& frame) {
  const double unit = *std::min_element(frame.scale.begin(), frame.scale.end());
  std::vector<T> metric;
  for (const double scale : frame.scale) metric.push_back(static_cast<T>(unit / scale));
  return metric;
}

template <class T>
Matrix<T> to_frame(const Matrix<double>& means, const Frame& frame) {
  Matrix<T> result(means.rows(), means.cols());
  for (std::int64_t k = 0; k < means.rows(); ++k) {
    for (std::int64_t j = 0; j < means.cols(); ++j) {
      result(k, j) = static_cast<T>((means(k, j) - frame.centre[index(j)]) * frame.scale[index(j)]);
    }
  }
  return result;
}

template <class T>
Matrix<double> widen(const Matrix<T>& m) {
  Matrix<double> result(m.rows(), m.cols());
  std::copy(m.data(), m.data() + m.size(), result.data());
  return result;
}

// Empty for Init::random.
template <class T, class Engine>
Matrix<T> initial_centroids(const InitContext<T, Engine>& init, std::span<const T> metric,
                            std::uint64_t seed) {
  const Options& options = init.options;
  if (options.start.means.rows() > 0) return to_frame<T>(options.start.means, init.frame);
  if (options.init == Init::random) return {};
  const std::int64_t n = init.rows.source.rows();
  const std::int64_t d = init.rows.source.cols();
  const std::int64_t k = options.n_components;
  if (options.init == Init::random_rows) {
    return init.engine.sample_rows(seed, k).rows;
  }
  const auto sample = init.engine.sample_rows(seed, kmeans::seeding_rows(n, k, d));
  Matrix<T> centroids = kmeans::choose_seeds(init.host, sample, metric, seed, k);
  if (options.init == Init::kmeans) {
    kmeans::lloyd(init.engine.lloyd_rows(metric, k), {}, centroids, init.proceed);
  }
  return centroids;
}

}  // namespace

template <class T, class Engine>
Model initial_model(const InitContext<T, Engine>& init, std::uint64_t seed,
                    std::int64_t& n_collapsed) {
  const Options& options = init.options;
  const Start& start = options.start;
  const std::int64_t k = options.n_components;
  if (!start.covariances.empty()) {
    Model model;
    model.covariance = options.covariance;
    model.reg_covar = options.reg_covar;
    model.weights = start.weights;
    if (model.weights.empty()) model.weights.assign(index(k), 1.0 / static_cast<double>(k));
    model.means = start.means;
    model.covariances = start.covariances;
    check_model(model, "start");
    return model;
  }
  const std::vector<T> metric = metric_of<T>(init.frame);
  const Matrix<T> centroids = initial_centroids(init, std::span<const T>(metric), seed);
  const Matrix<T> points = centroids.rows() > 0 ? centroids : Matrix<T>(k, init.rows.source.cols());
  const InitialResponsibilities<T> responsibilities{centroids.rows() > 0 ? &centroids : nullptr,
                                                    metric, seed};
  const std::span<const double> sums = init.engine.initial_maximisation(points, responsibilities);
  const Matrix<double> shifts = widen(points);
  const Moments moments{init.engine.layout(), sums, options.covariance, init.frame, shifts};
  Model model;
  if (start.means.rows() == 0 && options.init == Init::random_rows) {
    // Every component starts as all rows do, around a row of its own.
    std::vector<std::int64_t> all(index(k));
    std::iota(all.begin(), all.end(), 0);
    std::vector<std::int64_t> collapsed;
    model = maximise(moments, options.reg_covar, collapsed);
    resolve_collapse(moments, Collapse::regularise, 0, all, model);
    model.weights = start.weights;
    if (start.weights.empty()) model.weights.assign(index(k), 1.0 / static_cast<double>(k));
    for (std::int64_t c = 0; c < k; ++c) {
      for (std::int64_t j = 0; j < shifts.cols(); ++j) {
        model.means(c, j) = init.frame.centre[index(j)] + shifts(c, j) / init.frame.scale[index(j)];
      }
    }
    return model;
  }
  maximise_and_factor<T>(init.host, moments, options, 0, model, n_collapsed);
  if (model.n_components() == k) {
    if (start.means.rows() > 0) model.means = start.means;
    if (!start.weights.empty()) model.weights = start.weights;
  }
  return model;
}

template <class T>
std::int64_t init_bytes(std::int64_t n_rows, std::int64_t n_features, bool in_place, int n_workers,
                        const Options& options) {
  const std::int64_t k = options.n_components;
  const std::int64_t sampled = kmeans::seeding_rows(n_rows, k, n_features);
  const std::int64_t size = static_cast<std::int64_t>(sizeof(T));
  return checked_product(sampled, size * n_features + 8 * 7) + 2 * size * k * n_features +
         checked_product(n_workers, kmeans::CpuScratch<T>::bytes(k, n_features, in_place)) +
         ExactSums::bytes(kmeans::Layout(k, n_features).size);
}

#define CULATENT_INSTANTIATE(T)                                                                    \
  template Model initial_model(const InitContext<T, CpuEngine<T>>&, std::uint64_t, std::int64_t&); \
  template std::int64_t init_bytes<T>(std::int64_t, std::int64_t, bool, int, const Options&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE
#ifdef CULATENT_HAS_CUDA
template Model initial_model(const InitContext<float, CudaEngine<float>>&, std::uint64_t,
                             std::int64_t&);
template Model initial_model(const InitContext<double, CudaEngine<double>>&, std::uint64_t,
                             std::int64_t&);
#endif

}  // namespace culatent::gaussian_mixture
