// write_pages FOLDER: writes every test page, for the checks by Python and by a browser.

#include <filesystem>
#include <fstream>

#include "culatent/kde.hpp"
#include "host/report/gaussian_mixture_page.hpp"
#include "host/report/kde_page.hpp"
#include "tests/report/page_cases.hpp"

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
  return 0;
}
