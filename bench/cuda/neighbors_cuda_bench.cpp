#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "bench/cuda/results.hpp"
#include "bench/cuda/timing.hpp"
#include "host/neighbors_cuda.hpp"
#include "host/random.hpp"

/// neighbors_cuda_bench [--quick] [--json FILE] [--only TEXT]: searches for the 90 nearest rows,
/// what t-SNE asks for, of rows that lie on the device and with results that stay there.
namespace culatent::bench {
namespace {

constexpr int kNeighbors = 90;

struct Shape {
  std::int64_t n, d;
};

std::string name_of(const Shape& shape) {
  return std::to_string(shape.n) + "x" + std::to_string(shape.d) +
         " k=" + std::to_string(kNeighbors);
}

// Rows about 1,000 places that a plane of 16 dimensions has, as data are that have structure.
Matrix<float> rows_of(const Shape& shape) {
  constexpr std::int64_t kPlaces = 1000, kDimensions = 16;
  Matrix<double> basis(kDimensions, shape.d), places(kPlaces, kDimensions);
  Matrix<double> points(shape.n, kDimensions);
  Matrix<float> rows(shape.n, shape.d);
  random::fill_normals(1, random::Stream::positions, basis);
  random::fill_normals(2, random::Stream::positions, places);
  random::fill_normals(3, random::Stream::positions, points);
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < shape.n; ++i) {
    double at[kDimensions];
    for (std::int64_t k = 0; k < kDimensions; ++k) {
      at[k] = 3.0 * places(i % kPlaces, k) + points(i, k);
    }
    for (std::int64_t j = 0; j < shape.d; ++j) {
      state = state * 1664525u + 1013904223u;
      double value = 0x1p-32 * static_cast<double>(state);
      for (std::int64_t k = 0; k < kDimensions; ++k) value += at[k] * basis(k, j);
      rows(i, j) = static_cast<float>(value);
    }
  }
  return rows;
}

double median_of_three(const std::function<void()>& body) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (int i = 0; i < 4; ++i) {
    const auto start = Clock::now();
    body();
    const std::chrono::duration<double> taken = Clock::now() - start;
    if (i > 0) seconds.push_back(taken.count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + 1, seconds.end());
  return seconds[1];
}

// All pairs, by one kind of products.
void measure_exact(const Context& context, const Shape& shape, const neighbors::SearchRows& rows,
                   neighbors::Products products, Results& results) {
  using neighbors::Products;
  const CudaBackend backend{*context.cuda(), context.threads(), context.n_threads()};
  if (products == Products::bf16 && !neighbors::can_multiply_bf16(backend, shape.d)) return;
  const neighbors::DeviceProblem problem{.rows = rows, .k = kNeighbors};
  neighbors::SearchSizes sizes(problem);
  sizes.on_device = true;
  neighbors::SearchSchedule schedule =
      neighbors::choose_schedule(backend, sizes, {.device = context.cuda()->free_bytes() / 2});
  schedule.products = products;
  schedule.may_change = false;
  neighbors::DeviceSearch search(backend, problem, neighbors::device_coordinates(backend, rows),
                                 schedule);
  const std::int64_t size = shape.n * kNeighbors;
  const DeviceArray<std::int32_t> indices(backend.device, size, "neighbours");
  const DeviceArray<double> squares(backend.device, size, "neighbours");
  neighbors::Neighbors result;
  Entry entry{.name = "neighbors.exact",
              .workload = name_of(shape) + (products == Products::fp32 ? " fp32" : " bf16")};
  entry.seconds = median_of_three([&] {
    search.run(neighbors::SearchProgress(context), {result, indices.data(), squares.data()});
  });
  const auto n = static_cast<double>(shape.n);
  char note[96];
  std::snprintf(note, sizeof(note), "a query: %.2f settled, %.0f measured, %.0f at the end",
                static_cast<double>(search.counters().n_settled) / n,
                static_cast<double>(search.counters().n_measured) / n,
                static_cast<double>(search.counters().n_finished) / n);
  entry.note = note;
  results.add(entry);
}

// Lists, their fit included.
void measure_lists(const Context& context, const Shape& shape, MatrixView<const float> rows,
                   Results& results) {
  const MatrixRows<float> source(rows);
  neighbors::Neighbors rest;
  Entry entry{.name = "neighbors.ivf", .workload = name_of(shape)};
  entry.seconds = median_of_three([&] {
    rest = neighbors::search_on_device(
               context, source,
               {.n_neighbors = kNeighbors, .method = neighbors::Method::ivf, .seed = 1})
               .rest;
  });
  char note[96];
  std::snprintf(note, sizeof(note), "recall %.3f, %d of %d lists", rest.recall, rest.n_probes,
                rest.n_lists);
  entry.note = note;
  results.add(entry);
}

void measure_all(const Arguments& arguments) {
  require_device();
  Results results(arguments.floors, arguments.json);
  const Context context({.device = "cuda"});
  const ActiveDevice active(*context.cuda());
  std::vector<Shape> shapes = {{60'000, 784}};
  if (arguments.quick) {
    shapes = {{20'000, 128}};
  } else {
    shapes.push_back({1'000'000, 128});
  }
  for (const Shape& shape : shapes) {
    const auto wanted = [&](const char* step) {
      return (std::string(step) + " " + name_of(shape)).find(arguments.filter) != std::string::npos;
    };
    const Matrix<float> host = rows_of(shape);
    DeviceArray<float> rows(*context.cuda(), host.size(), "rows");
    rows.upload(host.data(), host.size());
    const neighbors::SearchRows view{rows.data(), shape.n, shape.d, shape.d};
    for (const auto products : {neighbors::Products::bf16, neighbors::Products::fp32}) {
      if (wanted("neighbors.exact")) measure_exact(context, shape, view, products, results);
    }
    if (wanted("neighbors.ivf")) {
      measure_lists(context, shape, {rows.data(), shape.n, shape.d, shape.d, MemorySpace::device},
                    results);
    }
  }
}

}  // namespace
}  // namespace culatent::bench

int main(int argc, char** argv) {
  return culatent::bench::run("neighbors_cuda_bench", argc, argv, culatent::bench::measure_all);
}
