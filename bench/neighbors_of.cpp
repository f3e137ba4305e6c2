#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "culatent/dataset.hpp"
#include "culatent/neighbors.hpp"
#include "host/io/npy_writer.hpp"

/// What bench/peers/neighbors.py runs: neighbors_of DATA K THREADS exact|ivf INDICES.npy. Reads the
/// rows, then prints the seconds of the search and its recall.
int main(int argc, char** argv) {
  using namespace culatent;
  if (argc != 6) {
    std::fprintf(stderr, "usage: neighbors_of DATA K THREADS exact|ivf INDICES.npy\n");
    return 2;
  }
  try {
    const auto source = open_dataset(argv[1]).source<float>();
    Matrix<float> rows(source->rows(), source->cols());
    const MatrixView<const float> view = source->read(0, rows.view());
    const Context context({.n_threads = std::atoi(argv[3])});
    neighbors::Options options{.n_neighbors = std::atoi(argv[2]), .seed = 1};
    if (std::string(argv[4]) == "ivf") options.method = neighbors::Method::ivf;
    const neighbors::Neighbors found = neighbors::search(context, view, options);
    io::NpyWriter writer(argv[5], ElementType::i4, found.indices.rows(), found.indices.cols());
    writer.append(found.indices.data(), found.indices.size() * 4);
    writer.commit();
    std::printf("%.6f %.6f\n", found.seconds.total, found.recall);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "neighbors_of: %s\n", error.what());
    return 1;
  }
}
