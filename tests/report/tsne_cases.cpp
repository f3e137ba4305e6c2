#include "tests/report/tsne_cases.hpp"

#include <cmath>
#include <numbers>
#include <random>

#include "tests/report/page_cases.hpp"

namespace culatent::report::cases {
namespace {

std::vector<tsne::TraceEntry> falling_trace(int n_iter) {
  std::vector<tsne::TraceEntry> trace;
  for (int t = 0; t <= n_iter; ++t) {
    tsne::TraceEntry entry{.gradient_norm = 1e-2 * std::exp(-0.006 * t) + 1e-5};
    if (t % 50 == 0) entry.kl = 0.7 + 3.0 * std::exp(-0.005 * t);
    trace.push_back(entry);
  }
  return trace;
}

// Centres on a sunflower's spiral; the third coordinate rises with the label.
double centre(int label, int n_labels, int coordinate) {
  const double turn = label * std::numbers::pi * (3.0 - std::sqrt(5.0));
  const double away = 12.0 * std::sqrt(label + 0.5);
  if (coordinate == 2) return 20.0 * label / n_labels;
  return coordinate == 0 ? away * std::cos(turn) : away * std::sin(turn);
}

}  // namespace

TsneCase planted_embedding(const std::string& name, std::int64_t n_rows, int q, int n_labels,
                           int n_frames, std::int64_t every) {
  constexpr int kIterations = 1000;
  TsneCase c;
  c.name = name;
  std::mt19937 draw(7);
  std::normal_distribution<double> normal;
  c.fit.embedding = Matrix<float>(n_rows, q);
  for (std::int64_t i = 0; i < n_rows; ++i) {
    const int label = static_cast<int>(i % n_labels);
    for (int j = 0; j < q; ++j) {
      c.fit.embedding(i, j) = static_cast<float>(centre(label, n_labels, j) + 4.0 * normal(draw));
    }
  }
  c.fit.n_iter = kIterations;
  c.fit.trace = falling_trace(kIterations);
  c.fit.kl = c.fit.trace.back().kl;
  c.fit.exact_kl = true;
  c.fit.seconds = {0.4, 3.1, 3.5};
  c.input.source = kEvilName;
  c.input.command = "culatent embed tsne x.npy --output y.npy";
  c.input.dtype = "float32";
  c.input.n_rows = n_rows;
  c.input.report_json =
      R"({"seed": 7, "options": {"perplexity": [10, 100], "exaggeration_iter": 250}})";
  const std::int64_t m = (n_rows + every - 1) / every;
  c.input.sample = Matrix<double>(m, q);
  for (std::int64_t i = 0; i < m; ++i) {
    for (int j = 0; j < q; ++j) c.input.sample(i, j) = c.fit.embedding(i * every, j);
    c.shown.rows.push_back(i * every);
    if (n_labels > 1) c.input.labels.push_back(i * every % n_labels);
  }
  c.shown.n_features = 64;
  for (int k = 0; k < n_frames; ++k) {
    const double part = (k + 1.0) / (n_frames + 1.0);
    Matrix<double> at = c.input.sample;
    for (std::int64_t i = 0; i < m; ++i) {
      for (int j = 0; j < q; ++j) at(i, j) = part * at(i, j) + 8.0 * (1.0 - part) * normal(draw);
    }
    const int iteration = kIterations * k / n_frames;
    c.shown.frames.push_back(quantise(at, iteration, c.fit.trace[std::size_t(iteration)].kl));
  }
  return c;
}

std::vector<TsneCase> all_embeddings() {
  std::vector<TsneCase> out;
  out.push_back(planted_embedding("tsne_two", 1797, 2, 10));
  out.push_back(planted_embedding("tsne_one", 900, 1, 4));
  out.push_back(planted_embedding("tsne_three", 1200, 3, 7, 4));
  out.push_back(planted_embedding("tsne_play", 600, 2, 5, 20));
  out.push_back(planted_embedding("tsne_part", 66000, 2, 1, 0, 3));
  out.push_back(planted_embedding("tsne_many", 4000, 2, 60));
  TsneCase point = planted_embedding("tsne_point", 40, 2, 1);
  for (std::int64_t i = 0; i < point.input.sample.size(); ++i) point.input.sample.data()[i] = 3.0;
  point.fit.trace.clear();
  point.fit.interrupted = true;
  point.fit.repulsion = tsne::Repulsion::fft;
  point.fit.exact_kl = false;
  point.fit.warnings = {{"interrupted", "the fit was interrupted"}};
  out.push_back(point);
  return out;
}

}  // namespace culatent::report::cases
