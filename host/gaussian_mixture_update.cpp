#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "culatent/error.hpp"
#include "host/gaussian_mixture.hpp"

namespace culatent::gaussian_mixture {
namespace {

// A component that holds less than this share of the weight has lost its rows.
constexpr double kVanished = 1e-15;
// A component whose variances are this small beside those of all rows lies on one point: a width of
// 1e-6 of the data's, which float32 can only just tell from 0.
constexpr double kPoint = 1e-12;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int64_t lower(std::int64_t i, std::int64_t j) {
  return i >= j ? i * (i + 1) / 2 + j : j * (j + 1) / 2 + i;
}

double unscale(const Frame& frame, double value, std::int64_t i, std::int64_t j) {
  return value / frame.scale[index(i)] / frame.scale[index(j)];
}

// A component that reg_covar holds open beside all rows is a narrow one, not a singular one: taking
// it away again and again would keep the likelihood from ever settling.
bool on_one_point(const Moments& m, std::int64_t k, std::span<const double> pooled,
                  double reg_covar) {
  double share = 0.0;
  bool spread = false;
  for (std::int64_t j = 0; j < m.shifts.cols(); ++j) {
    if (!(pooled[index(j)] > 0.0)) continue;  // a constant feature tells nothing
    spread = true;
    const double scale = m.frame.scale[index(j)];
    share += (m.covariance_at(k, j, j) + reg_covar * scale * scale) / pooled[index(j)];
  }
  return spread && share <= kPoint;
}

// Writes the covariance of slot k (tied: 0) in the data's units from `value(i, j)` in the frame.
template <class Value>
void write_covariance(const Frame& frame, std::int64_t k, double reg_covar, Value&& value,
                      Model& model) {
  const std::int64_t d = model.n_features();
  double* out = model.covariances.data();
  if (model.covariance == Covariance::spherical) {
    double sum = 0.0;
    for (std::int64_t j = 0; j < d; ++j) sum += unscale(frame, std::max(value(j, j), 0.0), j, j);
    out[k] = sum / static_cast<double>(d) + reg_covar;
    return;
  }
  if (model.covariance == Covariance::diagonal) {
    for (std::int64_t j = 0; j < d; ++j) {
      out[k * d + j] = unscale(frame, std::max(value(j, j), 0.0), j, j) + reg_covar;
    }
    return;
  }
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      const double element = unscale(frame, value(i, j), i, j);
      out[(k * d + i) * d + j] = element + (i == j ? reg_covar : 0.0);
      out[(k * d + j) * d + i] = out[(k * d + i) * d + j];
    }
  }
}

void normalise_weights(Model& model) {
  double total = 0.0;
  for (const double weight : model.weights) total += weight;
  for (double& weight : model.weights) weight /= total;
}

void remove_components(std::span<const std::int64_t> gone, Model& model) {
  const std::int64_t old = model.n_components();
  const std::int64_t d = model.n_features();
  const std::int64_t kept = old - static_cast<std::int64_t>(gone.size());
  const std::int64_t block = covariance_size(model.covariance, 1, d);
  Model smaller;
  smaller.covariance = model.covariance;
  smaller.reg_covar = model.reg_covar;
  smaller.means = Matrix<double>(kept, d);
  std::int64_t row = 0;
  for (std::int64_t k = 0; k < old; ++k) {
    if (std::find(gone.begin(), gone.end(), k) != gone.end()) continue;
    smaller.weights.push_back(model.weights[index(k)]);
    std::copy_n(&model.means(k, 0), d, &smaller.means(row++, 0));
    if (model.covariance == Covariance::tied) continue;
    const auto first = model.covariances.begin() + k * block;
    smaller.covariances.insert(smaller.covariances.end(), first, first + block);
  }
  if (model.covariance == Covariance::tied) smaller.covariances = model.covariances;
  model = std::move(smaller);
}

}  // namespace

double Moments::mean(std::int64_t k, std::int64_t j) const {
  const double n = count(k);
  if (!(n > 0.0)) return shifts(k, j);
  const double sum = sums[index(layout.sums + k * shifts.cols() + j)];
  return (covariance == Covariance::tied ? 0.0 : shifts(k, j)) + sum / n;
}

double Moments::covariance_at(std::int64_t k, std::int64_t i, std::int64_t j) const {
  const std::int64_t d = shifts.cols();
  const double* first = sums.data() + layout.sums;
  const double* second = sums.data() + layout.squares;
  if (covariance == Covariance::tied) {
    double scatter = second[lower(i, j)];
    for (std::int64_t c = 0; c < shifts.rows(); ++c) {
      if (count(c) > 0.0) scatter -= first[c * d + i] * first[c * d + j] / count(c);
    }
    return scatter / sums[Layout::kWeight];
  }
  const double n = count(k);
  if (!(n > 0.0)) return 0.0;
  const double square = covariance == Covariance::full ? second[k * (d * (d + 1) / 2) + lower(i, j)]
                                                       : second[k * d + i];
  return square / n - (first[k * d + i] / n) * (first[k * d + j] / n);
}

double Moments::pooled_at(std::int64_t i, std::int64_t j) const {
  if (covariance == Covariance::tied) return covariance_at(0, i, j);
  const double weight = sums[Layout::kWeight];
  double mean_i = 0.0, mean_j = 0.0;
  for (std::int64_t k = 0; k < shifts.rows(); ++k) {
    mean_i += count(k) * mean(k, i);
    mean_j += count(k) * mean(k, j);
  }
  mean_i /= weight;
  mean_j /= weight;
  double sum = 0.0;
  for (std::int64_t k = 0; k < shifts.rows(); ++k) {
    // Diagonal types know nothing off the diagonal, and are not asked.
    sum += count(k) * (covariance_at(k, i, j) + (mean(k, i) - mean_i) * (mean(k, j) - mean_j));
  }
  return sum / weight;
}

TraceEntry trace_entry(std::span<const double> sums) {
  const double weight = sums[Layout::kWeight];
  TraceEntry entry;
  entry.log_likelihood = sums[Layout::kLogLikelihood] / weight;
  entry.entropy = sums[Layout::kEntropy] / weight;
  entry.elbo = sums[Layout::kJoint] / weight + entry.entropy;
  entry.free_energy = -entry.elbo;
  return entry;
}

Model maximise(const Moments& m, double reg_covar, std::vector<std::int64_t>& collapsed) {
  const std::int64_t n_components = m.shifts.rows();
  const std::int64_t d = m.shifts.cols();
  Model model;
  model.covariance = m.covariance;
  model.reg_covar = reg_covar;
  model.means = Matrix<double>(n_components, d);
  model.covariances.resize(index(covariance_size(m.covariance, n_components, d)));
  const double weight = m.sums[Layout::kWeight];
  const bool tied = m.covariance == Covariance::tied;
  std::vector<double> pooled;
  for (std::int64_t j = 0; j < d && !tied; ++j) pooled.push_back(m.pooled_at(j, j));
  collapsed.clear();
  for (std::int64_t k = 0; k < n_components; ++k) {
    model.weights.push_back(m.count(k) / weight);
    for (std::int64_t j = 0; j < d; ++j) {
      model.means(k, j) = m.frame.centre[index(j)] + m.mean(k, j) / m.frame.scale[index(j)];
    }
    const bool vanished = !(m.count(k) > kVanished * weight);
    if (vanished || (!tied && on_one_point(m, k, pooled, reg_covar))) collapsed.push_back(k);
    if (tied && k > 0) continue;
    write_covariance(
        m.frame, k, reg_covar,
        [&](std::int64_t i, std::int64_t j) { return m.covariance_at(k, i, j); }, model);
  }
  normalise_weights(model);
  return model;
}

void resolve_collapse(const Moments& m, Collapse policy, int iteration,
                      std::span<const std::int64_t> collapsed, Model& model) {
  if (collapsed.empty()) return;
  const std::string where =
      "component " + std::to_string(collapsed.front()) + ", iteration " + std::to_string(iteration);
  if (policy == Collapse::error) {
    throw data_error("a component collapsed on one point or lost its rows", where,
                     "use fewer components, a larger reg_covar, or another collapse policy");
  }
  if (policy == Collapse::drop) {
    if (static_cast<std::int64_t>(collapsed.size()) == model.n_components()) {
      throw data_error("every component collapsed", where,
                       "the data lie on points: use a larger reg_covar");
    }
    remove_components(collapsed, model);
    normalise_weights(model);
    return;
  }
  const double least_weight = 1.0 / m.sums[Layout::kWeight];
  for (const std::int64_t k : collapsed) {
    model.weights[index(k)] =
        std::max(model.weights[index(k)],
                 std::min(least_weight, 1.0 / static_cast<double>(model.n_components())));
    if (m.covariance == Covariance::tied) continue;
    write_covariance(
        m.frame, k, model.reg_covar,
        [&](std::int64_t i, std::int64_t j) { return m.pooled_at(i, j); }, model);
  }
  normalise_weights(model);
}

void throw_singular(const Model& model, std::span<const std::int64_t> failed,
                    const std::string& where) {
  const std::string what = model.covariance == Covariance::tied
                               ? std::string("the common covariance")
                               : "the covariance of component " + std::to_string(failed.front());
  char reg_covar[32];
  std::snprintf(reg_covar, sizeof(reg_covar), "%g", model.reg_covar);
  throw data_error(what + " is not positive definite", where,
                   std::string("there are fewer rows than features, or a feature is constant or a "
                               "combination of others: raise reg_covar (now ") +
                       reg_covar + "), compute in float64, or use a simpler covariance");
}

template <class T>
Parameters<T> maximise_and_factor(const CpuBackend& backend, const Moments& moments,
                                  const Options& options, int iteration, Model& model,
                                  std::int64_t& n_collapsed) {
  std::vector<std::int64_t> collapsed, failed;
  model = maximise(moments, options.reg_covar, collapsed);
  for (int attempt = 0;; ++attempt) {
    resolve_collapse(moments, options.collapse, iteration, collapsed, model);
    n_collapsed += static_cast<std::int64_t>(collapsed.size());
    Parameters<T> parameters = prepare<T>(backend, model, moments.frame, options.missing, failed);
    if (failed.empty()) return parameters;
    // A tied covariance has no other to fall back on, and after one attempt neither has a pooled
    // one. With components dropped the moments no longer match the model.
    if (options.covariance == Covariance::tied || attempt > 0 ||
        model.n_components() != moments.shifts.rows()) {
      throw_singular(model, failed, "iteration " + std::to_string(iteration));
    }
    collapsed = failed;
  }
}

template Parameters<float> maximise_and_factor(const CpuBackend&, const Moments&, const Options&,
                                               int, Model&, std::int64_t&);
template Parameters<double> maximise_and_factor(const CpuBackend&, const Moments&, const Options&,
                                                int, Model&, std::int64_t&);

}  // namespace culatent::gaussian_mixture
