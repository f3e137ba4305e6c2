#include "host/tsne.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "culatent/error.hpp"
#include "host/row_method.hpp"

namespace culatent::tsne {
namespace {

[[noreturn]] void refuse(const std::string& what, const char* option, const std::string& remedy) {
  throw invalid_argument(what, option, remedy);
}

void check_positive(double value, const char* what, const char* option) {
  if (value > 0.0 && std::isfinite(value)) return;
  refuse(std::string(what) + " is not a positive number", option, "give one above 0");
}

}  // namespace

std::string number_text(double value) {
  char words[32];
  std::snprintf(words, sizeof(words), "%.6g", value);
  return words;
}

void check_options(const Options& options) {
  if (options.n_dimensions < 1 || options.n_dimensions > 3) {
    refuse("an embedding in " + std::to_string(options.n_dimensions) + " dimensions",
           "n_dimensions / --dimensions", "give 1, 2 or 3");
  }
  if (options.sigma) {
    check_positive(*options.sigma, "the bandwidth", "sigma / --sigma");
  } else if (options.perplexity.empty()) {
    refuse("no perplexity", "perplexity / --perplexity", "give at least one, or a sigma");
  }
  for (const double perplexity : options.perplexity) {
    if (options.sigma || (perplexity > 1.0 && std::isfinite(perplexity))) continue;
    refuse("a perplexity of " + number_text(perplexity), "perplexity / --perplexity",
           "it is a number of neighbours: give more than 1, 30 is common");
  }
  check_positive(options.early_exaggeration, "the exaggeration",
                 "early_exaggeration / --early-exaggeration");
  if (options.learning_rate) {
    check_positive(*options.learning_rate, "the learning rate", "learning_rate / --learning-rate");
  }
  for (const double momentum : {options.early_momentum, options.momentum}) {
    if (momentum >= 0.0 && momentum < 1.0) continue;
    refuse("a momentum of " + number_text(momentum), "momentum / --momentum",
           "give 0 ≤ momentum < 1");
  }
  if (options.max_iter < 0 || options.exaggeration_iter < 0 || options.interval < 1) {
    refuse("a negative number of iterations, or an empty interval",
           "max_iter, exaggeration_iter, interval", "give 0 or more, and an interval of 1 or more");
  }
  if (!(options.min_gradient >= 0.0)) {
    refuse("min_gradient is negative", "min_gradient / --min-gradient", "give 0 or more");
  }
  check_checkpoint(options.checkpoint);
  if (options.repulsion == Repulsion::fft && options.n_dimensions == 3) {
    refuse("there is no grid in 3 dimensions", "repulsion / --repulsion",
           "give exact or auto, or embed in 2 dimensions");
  }
}

void check_rows(std::int64_t n_rows, std::int64_t n_features, const Options& options) {
  if (n_rows < 3 || n_features < 1) {
    throw data_error(std::to_string(n_rows) + " rows of " + std::to_string(n_features) + " columns",
                     "shape", "an embedding needs at least 3 rows and 1 column");
  }
  if (options.sigma) return;
  const double largest = *std::max_element(options.perplexity.begin(), options.perplexity.end());
  if (largest >= static_cast<double>(n_rows - 1)) {
    throw data_error(
        "a perplexity of " + number_text(largest) + " for " + std::to_string(n_rows) + " rows",
        "perplexity / --perplexity",
        "a row has " + std::to_string(n_rows - 1) + " neighbours: give less than that");
  }
}

void check_positions(MatrixView<const float> positions, std::int64_t n_rows, const char* what) {
  if (positions.space != MemorySpace::host) {
    throw invalid_argument(std::string(what) + " is in device memory", what, "copy it to the host");
  }
  if (positions.rows != n_rows || positions.cols < 1 || positions.cols > 3) {
    throw data_error(std::string(what) + " is " + std::to_string(positions.rows) + " x " +
                         std::to_string(positions.cols) + ", the data have " +
                         std::to_string(n_rows) + " rows",
                     what, "give one position of 1 to 3 dimensions a row");
  }
  for (std::int64_t i = 0; i < n_rows; ++i) {
    for (std::int64_t k = 0; k < positions.cols; ++k) {
      // The square of a difference of two must be a number, too.
      if (std::abs(positions(i, k)) <= 1e18f) continue;
      throw data_error(std::string("a value of ") + what + " is not finite, or beyond 1e18",
                       "row " + std::to_string(i) + ", column " + std::to_string(k), "fix it");
    }
  }
}

Matrix<float> dense_positions(MatrixView<const float> positions, std::int64_t n_rows,
                              const char* what) {
  check_positions(positions, n_rows, what);
  Matrix<float> dense(positions.rows, positions.cols);
  for (std::int64_t i = 0; i < n_rows; ++i) {
    std::copy_n(positions.row(i), positions.cols, &dense(i, 0));
  }
  return dense;
}

std::int64_t choose_neighbors(std::int64_t n_rows, const Options& options,
                              std::int64_t dense_rows) {
  const bool dense = options.affinities == Affinities::dense ||
                     (options.affinities == Affinities::automatic && n_rows <= dense_rows);
  if (dense) return n_rows - 1;
  // A fixed bandwidth says nothing of how many neighbours it reaches: as many as by default.
  return affinities::neighbors_of(options.sigma ? Options{}.perplexity : options.perplexity,
                                  n_rows);
}

Repulsion choose_repulsion(std::int64_t n_rows, const Options& options, bool on_device) {
  if (options.repulsion != Repulsion::automatic) return options.repulsion;
  const std::int64_t most = on_device ? kExactRowsOnDevice : kExactRows;
  return options.n_dimensions == 3 || n_rows <= most ? Repulsion::exact : Repulsion::fft;
}

std::int64_t choose_most_nodes(std::int64_t n_rows) {
  const double span = std::clamp(2.0 * std::sqrt(static_cast<double>(n_rows)), 256.0, 1024.0);
  return static_cast<std::int64_t>(span / kSpacing) + kOrder + 1;
}

double divergence_of(const Prepared& prepared, double energy, double partition) {
  return prepared.entropy + energy + prepared.total * std::log(partition);
}

const char* name(Init init) {
  return init == Init::pca ? "pca" : init == Init::random ? "random" : "spectral";
}

const char* name(Repulsion repulsion) {
  return repulsion == Repulsion::automatic ? "auto"
         : repulsion == Repulsion::exact   ? "exact"
                                           : "fft";
}

const char* name(Affinities affinities) {
  return affinities == Affinities::automatic ? "auto"
         : affinities == Affinities::sparse  ? "sparse"
                                             : "dense";
}

}  // namespace culatent::tsne
