// write_pages FOLDER: writes every test page, for the checks by Python and by a browser.

#include <filesystem>
#include <fstream>

#include "culatent/bernoulli_mixture.hpp"
#include "culatent/kde.hpp"
#include "culatent/kmeans.hpp"
#include "host/report/bernoulli_mixture_page.hpp"
#include "host/report/gaussian_mixture_page.hpp"
#include "host/report/kde_page.hpp"
#include "host/report/kmeans_page.hpp"
#include "tests/report/page_cases.hpp"
#include "tests/report/tsne_cases.hpp"

namespace {

using namespace culatent;

void write(const std::filesystem::path& folder, const std::string& name, const std::string& page) {
  std::ofstream out(folder / (name + ".html"), std::ios::binary);
  out << page;
  out.close();
  if (!out) throw std::runtime_error("cannot write " + name);
}

void write_kde(const Context& context, const std::filesystem::path& folder, const std::string& name,
               Matrix<double> rows, const report::PageInput& like) {
  report::PageInput input = like;
  const kde::Model model = kde::fit<double>(context, MatrixRows<double>(rows.view()));
  input.n_rows = rows.rows();
  input.sample = std::move(rows);
  write(folder, name, report::kde_page(context, model, input));
}

void write_kmeans(const Context& context, const std::filesystem::path& folder,
                  const std::string& name, const Matrix<double>& rows, report::PageInput input,
                  const kmeans::Options& options) {
  const kmeans::Fit fit = kmeans::fit<double>(context, rows.view(), options);
  input.n_rows = rows.rows();
  input.sample = rows;
  write(folder, name, report::kmeans_page(context, fit, input));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder(argv[1]);
  std::filesystem::create_directories(folder);
  const Context context;
  for (const report::cases::Case& c : report::cases::all(context)) {
    write(folder, c.name, report::gaussian_mixture_page(context, c.fit, c.input));
  }
  const Matrix<double> faithful = report::cases::data("old_faithful");
  Matrix<double> waiting(faithful.rows(), 1);
  for (std::int64_t i = 0; i < faithful.rows(); ++i) waiting(i, 0) = faithful(i, 1);
  report::PageInput named;
  named.source = report::cases::kEvilName;
  write_kde(context, folder, "kde_one", waiting, named);
  write_kde(context, folder, "kde_two", faithful, named);
  write_kde(context, folder, "kde_four", report::cases::data("iris"), named);
  write_kmeans(context, folder, "kmeans_one", waiting, named, {.n_clusters = 3, .seed = 1});
  write_kmeans(context, folder, "kmeans_two", faithful, named, {.n_clusters = 40, .seed = 1});
  write_kmeans(context, folder, "kmeans_cosine", report::cases::data("iris"), named,
               {.n_clusters = 3, .metric = kmeans::Metric::cosine, .mini_batch = 50, .seed = 1});
  write_kmeans(context, folder, "kmeans_empty", Matrix<double>(30, 5), named,
               {.n_clusters = 4, .seed = 1});
  report::PageInput images = named;
  const Matrix<double> labels = report::cases::data("digits_labels");
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    images.labels.push_back(static_cast<std::int64_t>(labels.data()[i]));
  }
  images.image_height = images.image_width = 8;
  write_kmeans(context, folder, "kmeans_images", report::cases::data("digits"), images,
               {.n_clusters = 70, .seed = 1});
  Matrix<double> bits = report::cases::data("digits");
  for (std::int64_t i = 0; i < bits.size(); ++i) bits.data()[i] = bits.data()[i] < 8.0 ? 0.0 : 1.0;
  images.n_rows = bits.rows();
  images.sample = bits;
  for (const int k : {10, 30}) {
    write(folder, "bernoulli_" + std::to_string(k),
          report::bernoulli_mixture_page(
              context, bernoulli_mixture::fit<double>(context, bits.view(), {.n_components = k}),
              images));
    images.image_height = images.image_width = 0;
  }
  for (const report::cases::TsneCase& c : report::cases::all_embeddings()) {
    write(folder, c.name, report::tsne_page(c.fit, c.input, c.shown));
  }
  return 0;
}
