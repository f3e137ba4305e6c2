#include <fmt/format.h>

#include <algorithm>

#include "culatent/error.hpp"
#include "host/cli/numbers.hpp"
#include "host/cli/tsne.hpp"
#include "host/io/npy_writer.hpp"

namespace culatent::cli {
namespace {

std::vector<double> parse_perplexity(const std::string& text) {
  const std::string option = "--perplexity";
  std::vector<double> values;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    values.push_back(parse_real(text.substr(at, end - at), option, 0.0));
    if (values.back() <= 1.0) {
      throw invalid_argument(fmt::format("{} neighbours are none", values.back()), option,
                             "give a number above 1, or several as 10,100");
    }
    at = end + 1;
  }
  return values;
}

}  // namespace

void add_affinities(CLI::App& app, AffinityOptions& options) {
  constexpr const char* kGroup = "AFFINITY OPTIONS";
  CLI::Option* perplexity =
      app.add_option_function<std::string>(
             "--perplexity",
             [&options](const std::string& s) { options.perplexity = parse_perplexity(s); },
             "Neighbours that a row effectively has, above 1 and below n - 1; several, as 10,100: "
             "the mean of the affinities of each (multiscale). Default: 30.")
          ->type_name("P[,P...]")
          ->group(kGroup);
  app.add_option_function<std::string>(
         "--sigma",
         [&options](const std::string& s) {
           options.sigma = parse_real(s, "--sigma", 0.0);
           if (*options.sigma == 0.0) {
             throw invalid_argument("a width of 0", "--sigma", "give a number above 0");
           }
         },
         "In place of perplexities: Gaussians of this standard deviation around every row, in "
         "units of the data.")
      ->type_name("S")
      ->excludes(perplexity)
      ->group(kGroup);
  app.add_flag("--dense", options.dense,
               "Affinities of all pairs, in memory that grows with the square of the rows, rather "
               "than of the 3 P nearest neighbours. Default: for few rows.")
      ->group(kGroup);
}

void set_affinities(tsne::Options& to, const AffinityOptions& from) {
  to.perplexity = from.perplexity;
  to.sigma = from.sigma;
  if (from.dense) to.affinities = tsne::Affinities::dense;
}

Json to_json(const AffinityOptions& options) {
  Json perplexity = options.perplexity;
  if (options.perplexity.size() == 1) perplexity = options.perplexity.front();
  return {{"perplexity", options.sigma ? Json(nullptr) : perplexity},
          {"sigma", options.sigma ? Json(*options.sigma) : Json(nullptr)},
          {"dense", options.dense}};
}

void add_embedding_machine(CLI::App& app, MachineOptions& machine) {
  add_machine(app, machine);
  app.remove_option(app.get_option("--dtype"));
  app.remove_option(app.get_option("--chunk-rows"));
}

Matrix<float> read_embedding(const std::string& path, std::int64_t memory_limit) {
  const Dataset data = open_data({path, {}}, memory_limit);
  Matrix<float> embedding(data.rows(), data.cols());
  if (embedding.size() == 0) return embedding;
  const auto source = data.source<float>();
  const MatrixView<const float> rows = source->read(0, embedding.view());
  if (rows.data == embedding.data()) return embedding;
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    std::copy_n(rows.row(i), rows.cols, embedding.view().row(i));
  }
  return embedding;
}

void write_embedding(const std::string& path, const Matrix<float>& embedding) {
  io::NpyWriter out(path, ElementType::f4, embedding.rows(), embedding.cols());
  out.append(embedding.data(), embedding.size() * static_cast<std::int64_t>(sizeof(float)));
  out.commit();
}

}  // namespace culatent::cli
