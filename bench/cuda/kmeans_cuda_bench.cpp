#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "bench/cuda/results.hpp"
#include "bench/cuda/timing.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "culatent/kmeans.hpp"
#include "host/kmeans_cuda.hpp"

/// kmeans_cuda_bench [--quick] [--json FILE] [--only TEXT]: one iteration of Lloyd's algorithm on
/// data that lies on the device, as fit() does it, and the steps that it is made of.
namespace culatent::bench {
namespace {

struct Shape {
  std::int64_t n, d, k;
  bool cpu = false;  // run the CPU path beside it
};

template <class T>
std::string name_of(const Shape& s) {
  return std::to_string(s.n) + "x" + std::to_string(s.d) + " K=" + std::to_string(s.k) +
         (sizeof(T) == 4 ? " float32" : " float64");
}

// Standard normal rows, as flash-kmeans measures with: no clusters, so many close calls.
template <class T>
Matrix<T> normal_rows(const Shape& s) {
  gaussian_mixture::Model model;
  model.covariance = gaussian_mixture::Covariance::spherical;
  model.weights = {1.0};
  model.means = Matrix<double>(1, s.d);
  model.covariances = {1.0};
  Matrix<T> rows(s.n, s.d);
  gaussian_mixture::sample<T>(Context(), model, 7, 0, rows.view());
  return rows;
}

// Seconds of one iteration of fit(), from the first rows.
template <class T>
double fit_seconds(const Context& context, const MatrixView<const T>& rows,
                   const Matrix<double>& start, int repeats) {
  constexpr int kUpdates = 10;
  kmeans::Options options{
      .n_clusters = static_cast<int>(start.rows()), .max_iter = kUpdates, .tol = 0.0, .seed = 1};
  options.start = start;
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    // n updates are n + 1 passes: the last one tells the inertia of what they led to.
    seconds.push_back(kmeans::fit<T>(context, rows, options).seconds.fit / (kUpdates + 1));
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<std::size_t>(repeats / 2)];
}

/// Everything on the device that a pass touches, in one wave.
template <class T>
class Steps {
 public:
  Steps(const Context& context, const Shape& shape, const DeviceArray<T>& rows,
        const Matrix<T>& centroids)
      : backend_{*context.cuda(), context.threads(), context.n_threads()},
        shape_(shape),
        coordinates_(coordinates(shape.d)),
        fixed_(kmeans::fixed_point<T>(coordinates_, shape.n, false)),
        cluster_rows_(backend_.device, coordinates_, shape.n),
        centroids_(backend_.device, shape.k, shape.d),
        search_(backend_, shape.k, shape.d, shape.n),
        labels_(backend_.device, shape.n, "labels"),
        partials_(backend_.device, n_blocks(), "sums"),
        units_(backend_.device, fixed_.n_columns(), "coordinates"),
        sums_(backend_.device, fixed_.n_limbs * shape.k * fixed_.n_columns(), "sums"),
        counters_(backend_.device, 1, "counters") {
    units_.upload(fixed_.units.data(), units_.size());
    labels_.fill_zero();
    counters_.fill_zero();
    sums_.fill_zero();
    centroids_.set(backend_, centroids);
    search_.prepare(centroids_.view());
    cluster_rows_.for_each_wave(
        backend_, rows.data(), shape.n, shape.d, nullptr, 0, nullptr,
        [&](const kmeans::ClusterRows<T>& wave, std::int64_t) { rows_ = wave; });
  }

  CUstream_st* stream() const { return backend_.device.stream(); }
  void prepare() {
    kmeans::prepare_centroids(backend_, shape_.d, centroids_.view());
    search_.prepare(centroids_.view());
  }
  void screened() { search_.find(rows_, cluster_rows_.doubts(), labels_.data(), counters_.data()); }
  void nearest() {
    kmeans::nearest(backend_, rows_, centroids_.view(), cluster_rows_.doubts(), labels_.data(),
                    counters_.data());
  }
  void own_distances() {
    kmeans::own_distances(backend_, rows_, centroids_.view().values, 1.0, labels_.data(),
                          static_cast<T*>(nullptr), partials_.data());
  }
  void add_members() {
    kmeans::add_members(backend_, rows_, labels_.data(),
                        {units_.data(), fixed_.fine, fixed_.n_limbs}, shape_.k, sums_.data());
  }

 private:
  std::int64_t n_blocks() const { return (shape_.n + kBlockRows - 1) / kBlockRows; }
  // Normal rows reach 8 at most.
  static kmeans::Coordinates coordinates(std::int64_t d) {
    const auto size = static_cast<std::size_t>(d);
    kmeans::Coordinates result;
    result.frame = {std::vector<double>(size, 0.0), std::vector<double>(size, 0.125)};
    result.reach.assign(size, 1.0);
    return result;
  }

  const CudaBackend backend_;
  const Shape shape_;
  const kmeans::Coordinates coordinates_;
  const FixedPoint fixed_;
  kmeans::DeviceClusterRows<T> cluster_rows_;
  kmeans::DeviceCentroidArrays<T> centroids_;
  kmeans::NearestSearch<T> search_;
  kmeans::ClusterRows<T> rows_;
  DeviceArray<std::int32_t> labels_;
  DeviceArray<double> partials_, units_;
  DeviceArray<std::int64_t> sums_;
  DeviceArray<kmeans::PassCounters> counters_;
};

template <class T>
void measure_steps(const Context& context, const Shape& s, const DeviceArray<T>& rows,
                   const Matrix<T>& centroids, Results& results) {
  constexpr double kBudget = 0.5;  // seconds a step
  const double fma = results.assumed_rate("limits.fma", sizeof(T) == 8 ? "float64" : "float32");
  const double bf16 = results.assumed_rate("limits.mma_sync", "bf16");
  const double copy = results.assumed_rate("limits.copy", "kernel, read and written");
  const double flops = 2.0 * double(s.n) * double(s.k) * double(s.d);
  const double bytes = double(s.n * s.d) * sizeof(T);
  Matrix<T> scaled = centroids;
  for (std::int64_t i = 0; i < scaled.size(); ++i) scaled.data()[i] *= T{0.125};
  Steps<T> steps(context, s, rows, scaled);
  const auto add = [&](const char* step, double floor, const std::function<void()>& run) {
    Entry entry{.name = std::string("kmeans.") + step, .workload = name_of<T>(s)};
    entry.floor = floor;
    entry.seconds = median_seconds(steps.stream(), kBudget, run);
    results.add(entry);
  };
  add("prepare", kUnknown, [&] { steps.prepare(); });
  if (sizeof(T) == sizeof(float)) {
    add("nearest, screened", std::max(flops / bf16, bytes / copy), [&] { steps.screened(); });
  }
  add("nearest", std::max(flops / fma, bytes / copy), [&] { steps.nearest(); });
  add("own_distances", bytes / copy, [&] { steps.own_distances(); });
  add("add_members", bytes / copy, [&] { steps.add_members(); });
}

template <class T>
void measure(const Arguments& arguments, const Shape& s, Results& results) {
  if (name_of<T>(s).find(arguments.filter) == std::string::npos) return;
  const Context cpu, gpu({.device = "cuda"});
  const Matrix<T> host = normal_rows<T>(s);
  DeviceArray<T> rows(*gpu.cuda(), host.size(), "rows");
  rows.upload(host.data(), host.size());
  gpu.cuda()->synchronize();
  Matrix<double> start(s.k, s.d);
  Matrix<T> centroids(s.k, s.d);
  std::copy_n(host.data(), start.size(), start.data());
  std::copy_n(host.data(), centroids.size(), centroids.data());

  Entry entry{.name = "kmeans.iteration", .workload = name_of<T>(s)};
  const MatrixView<const T> on_device(rows.data(), s.n, s.d, s.d, MemorySpace::device);
  entry.seconds = fit_seconds<T>(gpu, on_device, start, 5);
  if (s.cpu) {
    entry.peer = "culatent, CPU, " + std::to_string(cpu.n_threads()) + " threads";
    entry.peer_seconds = fit_seconds<T>(cpu, host.view(), start, 3);
  }
  results.add(entry);
  if (!arguments.quick) measure_steps<T>(gpu, s, rows, centroids, results);
}

void measure_all(const Arguments& arguments) {
  require_device();
  Results results(arguments.floors, arguments.json);
  measure<float>(arguments, {1'000'000, 128, 1024}, results);
  if (!arguments.quick) measure<float>(arguments, {100'000'000, 16, 256}, results);
  measure<float>(arguments, {200'000, 64, 256, true}, results);
  measure<double>(arguments, {200'000, 64, 256}, results);
}

}  // namespace
}  // namespace culatent::bench

int main(int argc, char** argv) {
  return culatent::bench::run("kmeans_cuda_bench", argc, argv, culatent::bench::measure_all);
}
