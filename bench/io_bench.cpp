#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>

#include "host/io/elements.hpp"
#include "host/io/readers.hpp"

// Reading and converting: bytes of the file a second. The matrix is as large as a chunk of a fit.
namespace culatent::io {
namespace {

Bytes bytes_of(const std::string& content) {
  Bytes bytes;
  bytes.data = reinterpret_cast<const unsigned char*>(content.data());
  bytes.size = static_cast<std::int64_t>(content.size());
  bytes.name = "bench";
  return bytes;
}

// 16 standard normal columns, printed with `digits` significant digits (17: any double, exactly);
// digits 0: pixels, whole numbers below 256.
std::string csv_text(int digits, std::size_t size) {
  std::mt19937_64 generator(1);
  std::normal_distribution<double> normal;
  std::string text;
  char field[40];
  while (text.size() < size) {
    for (int j = 0; j < 16; ++j) {
      const double value = digits > 0 ? normal(generator) : static_cast<double>(generator() % 256);
      std::snprintf(field, sizeof(field), "%.*g%c", std::max(digits, 3), value,
                    j < 15 ? ',' : '\n');
      text += field;
    }
  }
  return text;
}

void read_csv_cpu(benchmark::State& state) {
  const std::string text = csv_text(static_cast<int>(state.range(0)), std::size_t{64} << 20);
  const CsvOptions options = {.n_threads = static_cast<int>(state.range(1))};
  for (auto _ : state) benchmark::DoNotOptimize(read_csv(bytes_of(text), options));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK(read_csv_cpu)
    ->ArgNames({"digits", "threads"})
    ->Args({0, 1})
    ->Args({6, 1})
    ->Args({17, 1})
    ->Args({6, 2})
    ->Args({17, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void convert_cpu(benchmark::State& state) {
  constexpr std::int64_t kRows = 4096, kCols = 64;
  const auto type = static_cast<ElementType>(state.range(0));
  const std::vector<unsigned char> file(static_cast<std::size_t>(kRows * kCols * 8), 1);
  Elements elements = row_major(file.data(), type, kRows, kCols);
  if (state.range(1) != 0) {  // Fortran order
    elements.row_stride = element_size(type);
    elements.col_stride = element_size(type) * kRows;
  }
  Matrix<float> out(kRows, kCols);
  for (auto _ : state) {
    convert<float>(elements, 1.0 / 255, 0, out.view());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * kRows * kCols * element_size(type));
  state.SetLabel(element_name(type));
}
BENCHMARK(convert_cpu)
    ->ArgNames({"type", "fortran"})
    ->Args({static_cast<int>(ElementType::u1), 0})
    ->Args({static_cast<int>(ElementType::f8), 0})
    ->Args({static_cast<int>(ElementType::f8), 1});

}  // namespace
}  // namespace culatent::io
