#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <numbers>

#include "host/gaussian_mixture.hpp"

namespace culatent::gaussian_mixture {
namespace {

using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::int64_t padded(std::int64_t d) { return (d + 3) / 4 * 4; }

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// A pivot this small beside its diagonal is rounding, not variance.
bool positive_definite(const Eigen::LLT<Square>& factor, const Square& covariance) {
  if (factor.info() != Eigen::Success) return false;
  for (Eigen::Index i = 0; i < covariance.rows(); ++i) {
    const double pivot = factor.matrixLLT()(i, i);
    const double bound = std::numeric_limits<double>::epsilon() * covariance(i, i);
    if (!(pivot * pivot > bound) || !std::isfinite(pivot)) return false;
  }
  return true;
}

// Factors one D x D covariance: writes L⁻¹, returns log |L|, or NaN when there is none.
template <class T>
double factorise(const double* covariance, const Frame& frame, std::int64_t d, T* whitening) {
  Square scaled(d, d);
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j < d; ++j) {
      scaled(i, j) = covariance[i * d + j] * frame.scale[index(i)] * frame.scale[index(j)];
    }
  }
  const Eigen::LLT<Square> factor(scaled);
  if (!positive_definite(factor, scaled)) return std::numeric_limits<double>::quiet_NaN();
  const Square inverse = factor.matrixL().solve(Square::Identity(d, d));
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) whitening[i * d + j] = static_cast<T>(inverse(i, j));
  }
  return factor.matrixLLT().diagonal().array().log().sum();
}

template <class T>
void whiten_means(const Model& model, const Frame& frame, Parameters<T>& p) {
  const std::int64_t d = p.n_features;
  p.whitened_means = Matrix<T>(p.n_components, d);
  for (std::int64_t k = 0; k < p.n_components; ++k) {
    for (std::int64_t i = 0; i < d; ++i) {
      double y = 0.0;
      for (std::int64_t j = 0; j <= i; ++j) {
        y += static_cast<double>(p.whitening(i, j)) *
             ((model.means(k, j) - frame.centre[index(j)]) * frame.scale[index(j)]);
      }
      p.whitened_means(k, i) = static_cast<T>(y);
    }
  }
}

// Standard deviations of diagonal and spherical components. Returns log |L| or NaN.
template <class T>
double factorise_diagonal(const Model& model, const Frame& frame, std::int64_t k,
                          Parameters<T>& p) {
  double log_det = 0.0;
  for (std::int64_t j = 0; j < p.n_features; ++j) {
    const double variance = model.covariance == Covariance::diagonal
                                ? model.covariances[index(k * p.n_features + j)]
                                : model.covariances[index(k)];
    const double deviation = std::sqrt(variance) * frame.scale[index(j)];
    if (!(deviation > 0.0) || !std::isfinite(deviation)) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    log_det += std::log(deviation);
    p.whitening(k, j) = static_cast<T>(1.0 / deviation);
  }
  return log_det;
}

// Covariances in the frame, for rows with missing values.
template <class T>
void keep_covariances(const Model& model, const Frame& frame, Parameters<T>& p) {
  const std::int64_t d = p.n_features;
  const bool matrices =
      model.covariance == Covariance::full || model.covariance == Covariance::tied;
  const std::int64_t n = model.covariance == Covariance::tied ? 1 : p.n_components;
  p.covariances.assign(index(matrices ? n * d * d : n * d), 0.0);
  for (std::int64_t k = 0; k < n; ++k) {
    for (std::int64_t i = 0; i < d; ++i) {
      const double scale = frame.scale[index(i)];
      if (!matrices) {
        const double variance = model.covariance == Covariance::diagonal
                                    ? model.covariances[index(k * d + i)]
                                    : model.covariances[index(k)];
        p.covariances[index(k * d + i)] = variance * scale * scale;
        continue;
      }
      for (std::int64_t j = 0; j < d; ++j) {
        const std::int64_t at = (k * d + i) * d + j;
        p.covariances[index(at)] = model.covariances[index(at)] * scale * frame.scale[index(j)];
      }
    }
  }
  for (const double weight : model.weights) p.log_weights.push_back(std::log(weight));
}

}  // namespace

template <class T>
Parameters<T> prepare(const CpuBackend& backend, const Model& model, const Frame& frame,
                      bool missing, std::vector<std::int64_t>& failed) {
  const std::int64_t n_components = model.n_components();
  const std::int64_t d = model.n_features();
  const bool full = model.covariance == Covariance::full;
  const bool tied = model.covariance == Covariance::tied;
  Parameters<T> p;
  p.covariance = model.covariance;
  p.n_components = n_components;
  p.n_features = d;
  p.shifts = Matrix<T>(n_components, d);
  p.whitening = Matrix<T>(full ? n_components * padded(d) : tied ? padded(d) : n_components, d);
  p.log_constants.resize(index(n_components));

  double log_scale = 0.0;  // densities are those of the data's own units
  for (const double scale : frame.scale) log_scale += std::log(scale);
  const double normal = log_scale - 0.5 * static_cast<double>(d) * std::log(2.0 * std::numbers::pi);
  double tied_log_det = 0.0;
  if (tied) {
    tied_log_det = factorise(model.covariances.data(), frame, d, p.whitening.data());
    whiten_means(model, frame, p);
  }
  std::mutex mutex;
  failed.clear();
  backend.threads.parallel_for(n_components, backend.n_workers, [&](std::int64_t k, int) {
    double log_det = tied_log_det;
    if (full) {
      log_det = factorise(model.covariances.data() + k * d * d, frame, d,
                          p.whitening.data() + k * padded(d) * d);
    } else if (!tied) {
      log_det = factorise_diagonal(model, frame, k, p);
    }
    for (std::int64_t j = 0; j < d; ++j) {
      p.shifts(k, j) =
          static_cast<T>((model.means(k, j) - frame.centre[index(j)]) * frame.scale[index(j)]);
    }
    p.log_constants[index(k)] =
        static_cast<T>(std::log(model.weights[index(k)]) - log_det + normal);
    if (std::isnan(log_det)) {
      const std::lock_guard lock(mutex);
      failed.push_back(k);
    }
  });
  std::sort(failed.begin(), failed.end());
  if (missing) keep_covariances(model, frame, p);
  return p;
}

template <class T>
Frame model_frame(const Model& model) {
  const std::int64_t d = model.n_features();
  Frame frame;
  for (std::int64_t j = 0; j < d; ++j) {
    double mean = 0.0;
    for (std::int64_t k = 0; k < model.n_components(); ++k) {
      mean += model.weights[index(k)] * model.means(k, j);
    }
    // A mean beyond T's range cannot be reached by T's rows either.
    const double limit = static_cast<double>(std::numeric_limits<T>::max());
    const double centre = static_cast<double>(static_cast<T>(std::clamp(mean, -limit, limit)));
    double reach = 0.0;
    for (std::int64_t k = 0; k < model.n_components(); ++k) {
      double variance = 0.0;
      switch (model.covariance) {
        case Covariance::full:
          variance = model.covariances[index((k * d + j) * d + j)];
          break;
        case Covariance::tied:
          variance = model.covariances[index(j * d + j)];
          break;
        case Covariance::diagonal:
          variance = model.covariances[index(k * d + j)];
          break;
        case Covariance::spherical:
          variance = model.covariances[index(k)];
          break;
      }
      reach = std::max(reach, std::abs(model.means(k, j) - centre) + std::sqrt(variance));
    }
    frame.centre.push_back(centre);
    // Neither the scale nor the scaled centre may leave T.
    const int most = std::numeric_limits<T>::max_exponent - 2 -
                     (std::abs(centre) > 1.0 ? std::ilogb(centre) + 1 : 0);
    frame.scale.push_back(reach > 0.0 ? std::ldexp(1.0, std::min(-std::ilogb(reach), most)) : 1.0);
  }
  return frame;
}

template Parameters<float> prepare(const CpuBackend&, const Model&, const Frame&, bool,
                                   std::vector<std::int64_t>&);
template Parameters<double> prepare(const CpuBackend&, const Model&, const Frame&, bool,
                                    std::vector<std::int64_t>&);
template Frame model_frame<float>(const Model&);
template Frame model_frame<double>(const Model&);

}  // namespace culatent::gaussian_mixture
