#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "culatent/error.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/parallel.hpp"
#include "host/random.hpp"
#include "host/row_method.hpp"

namespace culatent::gaussian_mixture {
namespace {

using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

bool has_matrices(const Model& model) {
  return model.covariance == Covariance::full || model.covariance == Covariance::tied;
}

// Element (i, j) of component k's covariance of any type.
double covariance_element(const Model& model, std::int64_t k, std::int64_t i, std::int64_t j) {
  const std::int64_t d = model.n_features();
  switch (model.covariance) {
    case Covariance::full:
      return model.covariances[index((k * d + i) * d + j)];
    case Covariance::tied:
      return model.covariances[index(i * d + j)];
    case Covariance::diagonal:
      return i == j ? model.covariances[index(k * d + i)] : 0.0;
    case Covariance::spherical:
      return i == j ? model.covariances[index(k)] : 0.0;
  }
  return 0.0;
}

// L with L Lᵀ = covariance, by way of LDLᵀ so that a covariance with zero variance in some
// direction can be drawn from too.
Square sampling_factor(const Model& model, std::int64_t k) {
  const std::int64_t d = model.n_features();
  const Matrix<double> dense = dense_covariance(model, k);
  const Eigen::Map<const Square> covariance(dense.data(), d, d);
  const Eigen::LDLT<Square> factor(covariance);
  Square lower = factor.matrixL();
  lower = (factor.transpositionsP().transpose() * lower).eval();
  return lower * factor.vectorD().cwiseMax(0.0).cwiseSqrt().asDiagonal();
}

}  // namespace

const char* name(Covariance covariance) {
  switch (covariance) {
    case Covariance::full:
      return "full";
    case Covariance::tied:
      return "tied";
    case Covariance::diagonal:
      return "diagonal";
    case Covariance::spherical:
      return "spherical";
  }
  return "";
}

const char* name(Init init) {
  switch (init) {
    case Init::kmeans:
      return "kmeans";
    case Init::kmeans_plus:
      return "kmeans++";
    case Init::random:
      return "random";
    case Init::random_rows:
      return "random-rows";
  }
  return "";
}

const char* name(Collapse collapse) {
  switch (collapse) {
    case Collapse::regularise:
      return "regularise";
    case Collapse::drop:
      return "drop";
    case Collapse::error:
      return "error";
  }
  return "";
}

std::int64_t covariance_size(Covariance covariance, std::int64_t n_components,
                             std::int64_t n_features) {
  const std::int64_t square = checked_product(n_features, n_features);
  switch (covariance) {
    case Covariance::full:
      return checked_product(n_components, square);
    case Covariance::tied:
      return square;
    case Covariance::diagonal:
      return checked_product(n_components, n_features);
    case Covariance::spherical:
      return n_components;
  }
  return 0;
}

Matrix<double> dense_covariance(const Model& model, std::int64_t k) {
  const std::int64_t d = model.n_features();
  Matrix<double> dense(d, d);
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j < d; ++j) dense(i, j) = covariance_element(model, k, i, j);
  }
  return dense;
}

void check_model(const Model& model, const std::string& where) {
  const std::int64_t n_components = model.n_components();
  const std::int64_t d = model.n_features();
  if (n_components < 1 || d < 1) {
    throw data_error(
        "no mixture: means are " + std::to_string(n_components) + " x " + std::to_string(d), where,
        "means must be [components, features]");
  }
  if (static_cast<std::int64_t>(model.weights.size()) != n_components) {
    throw data_error(std::to_string(model.weights.size()) + " weights for " +
                         std::to_string(n_components) + " means",
                     where, "give one weight a component");
  }
  const std::int64_t expected = covariance_size(model.covariance, n_components, d);
  if (static_cast<std::int64_t>(model.covariances.size()) != expected) {
    throw data_error("covariances have " + std::to_string(model.covariances.size()) +
                         " elements, expected " + std::to_string(expected) + " for " +
                         name(model.covariance),
                     where, "check their shape");
  }
  double total = 0.0;
  for (const double weight : model.weights) {
    if (!(weight >= 0.0)) throw data_error("a weight is negative or NaN", where, "fix the weights");
    total += weight;
  }
  if (!(std::abs(total - 1.0) < 1e-6)) {
    throw data_error("weights sum to " + std::to_string(total), where, "they must sum to 1");
  }
  for (std::int64_t i = 0; i < model.means.size(); ++i) {
    if (!std::isfinite(model.means.data()[i])) {
      throw data_error("a mean is not finite", where, "fix the means");
    }
  }
  for (const double value : model.covariances) {
    if (!std::isfinite(value)) {
      throw data_error("a covariance is not finite", where, "fix the covariances");
    }
  }
}

std::int64_t n_parameters(const Model& model) {
  const std::int64_t k = model.n_components();
  const std::int64_t d = model.n_features();
  const std::int64_t triangle = d * (d + 1) / 2;
  std::int64_t covariances = 0;
  switch (model.covariance) {
    case Covariance::full:
      covariances = k * triangle;
      break;
    case Covariance::tied:
      covariances = triangle;
      break;
    case Covariance::diagonal:
      covariances = k * d;
      break;
    case Covariance::spherical:
      covariances = k;
      break;
  }
  return k - 1 + k * d + covariances;
}

double bic(const Model& model, double total_log_likelihood, double n_rows) {
  return -2.0 * total_log_likelihood + static_cast<double>(n_parameters(model)) * std::log(n_rows);
}

double aic(const Model& model, double total_log_likelihood) {
  return -2.0 * total_log_likelihood + 2.0 * static_cast<double>(n_parameters(model));
}

Model marginal(const Model& model, std::span<const std::int64_t> features) {
  const std::int64_t n_components = model.n_components();
  const auto kept = static_cast<std::int64_t>(features.size());
  for (const std::int64_t j : features) {
    if (j < 0 || j >= model.n_features()) {
      throw invalid_argument(
          "feature " + std::to_string(j) + " of a model of " + std::to_string(model.n_features()),
          "marginal", "name features of the model");
    }
  }
  const bool full = has_matrices(model);
  Model result;
  result.covariance = full ? Covariance::full : Covariance::diagonal;
  result.reg_covar = model.reg_covar;
  result.weights = model.weights;
  result.means = Matrix<double>(n_components, kept);
  for (std::int64_t k = 0; k < n_components; ++k) {
    for (std::int64_t i = 0; i < kept; ++i) {
      result.means(k, i) = model.means(k, features[index(i)]);
      for (std::int64_t j = 0; j < kept; ++j) {
        if (!full && i != j) continue;
        result.covariances.push_back(
            covariance_element(model, k, features[index(i)], features[index(j)]));
      }
    }
  }
  return result;
}

void order_by_weight(Model& model) {
  const std::int64_t n_components = model.n_components();
  const std::int64_t d = model.n_features();
  const std::vector<std::int64_t> order = largest_first(model.weights);
  const Model old = model;
  const bool tied = model.covariance == Covariance::tied;
  const std::int64_t block = tied ? 0 : covariance_size(model.covariance, 1, d);
  for (std::int64_t k = 0; k < n_components; ++k) {
    const std::int64_t from = order[index(k)];
    model.weights[index(k)] = old.weights[index(from)];
    std::copy_n(&old.means(from, 0), d, &model.means(k, 0));
    std::copy_n(old.covariances.data() + from * block, block, model.covariances.data() + k * block);
  }
}

template <class T>
void sample(const Context& context, const Model& model, std::uint64_t seed, std::int64_t first_row,
            MatrixView<T> out, std::span<std::int32_t> labels) {
  check_model(model, "sample");
  const std::int64_t d = model.n_features();
  if (out.cols != d) {
    throw invalid_argument("output has " + std::to_string(out.cols) + " columns, the model " +
                               std::to_string(d) + " features",
                           "sample", "give a view of as many columns");
  }
  if (!labels.empty() && static_cast<std::int64_t>(labels.size()) != out.rows) {
    throw invalid_argument("labels and output differ in length", "sample", "give one label a row");
  }
  const bool tied = model.covariance == Covariance::tied;
  std::vector<Square> factors;  // none where features are independent
  for (std::int64_t k = 0; has_matrices(model) && k < (tied ? 1 : model.n_components()); ++k) {
    factors.push_back(sampling_factor(model, k));
  }
  constexpr std::int64_t kBlock = 1024;
  context.threads().parallel_for(
      (out.rows + kBlock - 1) / kBlock, context.n_threads(), [&](std::int64_t block, int) {
        Eigen::VectorXd z(d), y(d);
        const std::int64_t end = std::min(out.rows, (block + 1) * kBlock);
        for (std::int64_t i = block * kBlock; i < end; ++i) {
          const auto element = static_cast<std::uint64_t>(first_row + i);
          const std::int64_t k = random::component(seed, element, model.weights);
          for (std::int64_t j = 0; j < d; j += 2) {
            const auto pair = random::normals(seed, random::Stream::sample_normal, element,
                                              static_cast<std::uint32_t>(j / 2));
            z[j] = pair[0];
            if (j + 1 < d) z[j + 1] = pair[1];
          }
          if (!factors.empty()) {
            y.noalias() = factors[tied ? 0 : index(k)] * z;
          } else {
            for (std::int64_t j = 0; j < d; ++j) {
              y[j] = std::sqrt(std::max(covariance_element(model, k, j, j), 0.0)) * z[j];
            }
          }
          for (std::int64_t j = 0; j < d; ++j) {
            out(i, j) = static_cast<T>(model.means(k, j) + y[j]);
          }
          if (!labels.empty()) labels[index(i)] = static_cast<std::int32_t>(k);
        }
      });
}

template void sample(const Context&, const Model&, std::uint64_t, std::int64_t, MatrixView<float>,
                     std::span<std::int32_t>);
template void sample(const Context&, const Model&, std::uint64_t, std::int64_t, MatrixView<double>,
                     std::span<std::int32_t>);

}  // namespace culatent::gaussian_mixture
