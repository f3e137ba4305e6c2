#include <algorithm>
#include <cmath>
#include <numeric>

#include "culatent/error.hpp"
#include "host/bernoulli_mixture.hpp"
#include "host/random.hpp"
#include "host/row_method.hpp"

namespace culatent::bernoulli_mixture {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

bool is_probability(double value) { return value >= 0.0 && value <= 1.0; }

}  // namespace

void check_model(const Model& model, const std::string& where) {
  const Matrix<double>& means = model.means;
  if (means.rows() == 0 || means.cols() == 0) {
    throw data_error("there are no means", where, "fit the model again");
  }
  if (!std::all_of(means.data(), means.data() + means.size(), is_probability)) {
    throw data_error("a mean is outside [0, 1]", where, "means are probabilities: fit them again");
  }
  if (static_cast<std::int64_t>(model.weights.size()) != means.rows()) {
    throw data_error(std::to_string(model.weights.size()) + " weights for " +
                         std::to_string(means.rows()) + " means",
                     where, "give one a component");
  }
  if (!std::all_of(model.weights.begin(), model.weights.end(), is_probability)) {
    throw data_error("a weight is outside [0, 1]", where, "fit the model again");
  }
  const double total = std::accumulate(model.weights.begin(), model.weights.end(), 0.0);
  if (!(std::abs(total - 1.0) < 1e-6)) {
    throw data_error("the weights sum to " + std::to_string(total), where, "they must sum to 1");
  }
}

double log_prior(const Model& model, double smoothing) {
  if (smoothing == 0.0) return 0.0;
  double sum = 0.0;
  for (std::int64_t i = 0; i < model.means.size(); ++i) {
    const LogPair logs = log_pair(model.means.data()[i]);
    sum += logs.one + logs.zero;
  }
  return smoothing * sum;
}

template <class T>
void sample(const Context& context, const Model& model, std::uint64_t seed, std::int64_t first_row,
            MatrixView<T> out, std::span<std::int32_t> labels) {
  check_model(model, "sample");
  if (out.cols != model.n_features()) {
    throw invalid_argument("output has " + std::to_string(out.cols) + " columns, the model " +
                               std::to_string(model.n_features()) + " features",
                           "sample", "give a view of as many columns");
  }
  if (!labels.empty() && static_cast<std::int64_t>(labels.size()) != out.rows) {
    throw invalid_argument("labels and output differ in length", "sample", "give one label a row");
  }
  context.threads().parallel_for(
      (out.rows + kBlockRows - 1) / kBlockRows, context.n_threads(), [&](std::int64_t block, int) {
        const std::int64_t end = std::min(out.rows, (block + 1) * kBlockRows);
        for (std::int64_t i = block * kBlockRows; i < end; ++i) {
          const auto element = static_cast<std::uint64_t>(first_row + i);
          const std::int64_t k = random::component(seed, element, model.weights);
          for (std::int64_t j = 0; j < out.cols; ++j) {
            const double draw = random::uniform(seed, random::Stream::sample_bit, element,
                                                static_cast<std::uint32_t>(j));
            out(i, j) = draw < model.means(k, j) ? T{1} : T{0};
          }
          if (!labels.empty()) labels[index(i)] = static_cast<std::int32_t>(k);
        }
      });
}

std::vector<double> mean(const Model& model) {
  std::vector<double> result(index(model.n_features()));
  for (std::int64_t k = 0; k < model.n_components(); ++k) {
    for (std::int64_t j = 0; j < model.n_features(); ++j) {
      result[index(j)] += model.weights[index(k)] * model.means(k, j);
    }
  }
  return result;
}

Matrix<double> covariance(const Model& model) {
  const std::int64_t d = model.n_features();
  const std::vector<double> centre = mean(model);
  Matrix<double> result(d, d);
  for (std::int64_t k = 0; k < model.n_components(); ++k) {
    const double weight = model.weights[index(k)];
    for (std::int64_t i = 0; i < d; ++i) {
      const double p = model.means(k, i);
      // About the mixture's mean: the same sum, and nothing cancels.
      for (std::int64_t j = 0; j < d; ++j) {
        result(i, j) += weight * (p - centre[index(i)]) * (model.means(k, j) - centre[index(j)]);
      }
      result(i, i) += weight * p * (1.0 - p);
    }
  }
  return result;
}

std::int64_t n_parameters(const Model& model) {
  return model.n_components() - 1 + model.means.size();
}

double bic(const Model& model, double total_log_likelihood, double n_rows) {
  return -2.0 * total_log_likelihood + static_cast<double>(n_parameters(model)) * std::log(n_rows);
}

double aic(const Model& model, double total_log_likelihood) {
  return -2.0 * total_log_likelihood + 2.0 * static_cast<double>(n_parameters(model));
}

void order_by_weight(Model& model) {
  const std::vector<std::int64_t> order = largest_first(model.weights);
  Model sorted = model;
  for (std::size_t k = 0; k < order.size(); ++k) {
    sorted.weights[k] = model.weights[index(order[k])];
    std::copy_n(model.means.view().row(order[k]), model.n_features(),
                &sorted.means(static_cast<std::int64_t>(k), 0));
  }
  model = std::move(sorted);
}

const char* name(Init init) {
  switch (init) {
    case Init::kmeans:
      return "kmeans";
    case Init::random:
      return "random";
    case Init::random_rows:
      return "random-rows";
  }
  return "";
}

template void sample(const Context&, const Model&, std::uint64_t, std::int64_t, MatrixView<float>,
                     std::span<std::int32_t>);
template void sample(const Context&, const Model&, std::uint64_t, std::int64_t, MatrixView<double>,
                     std::span<std::int32_t>);

}  // namespace culatent::bernoulli_mixture
