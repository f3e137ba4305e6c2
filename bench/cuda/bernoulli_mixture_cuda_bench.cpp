#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "bench/cuda/results.hpp"
#include "bench/cuda/timing.hpp"
#include "culatent/bernoulli_mixture.hpp"
#include "host/bernoulli_mixture_cuda.hpp"
#include "host/random.hpp"

/// bernoulli_mixture_cuda_bench [--quick] [--json FILE] [--only TEXT]: one EM iteration on data
/// that lies on the device, as fit() does it, and the steps that it is made of.
namespace culatent::bench {
namespace {

namespace bm = bernoulli_mixture;

struct Shape {
  std::int64_t n, d, k;
  bool cpu = false;  // run the CPU path beside it
};

template <class T>
std::string name_of(const Shape& s) {
  return std::to_string(s.n) + "x" + std::to_string(s.d) + " K=" + std::to_string(s.k) +
         (sizeof(T) == 4 ? " float32" : " float64");
}

// Components that share most rows, as those of real data do in the first iterations.
bm::Model planted(const Shape& s) {
  bm::Model model;
  model.weights.assign(static_cast<std::size_t>(s.k), 1.0 / static_cast<double>(s.k));
  model.means = Matrix<double>(s.k, s.d);
  for (std::int64_t i = 0; i < s.k * s.d; ++i) {
    model.means.data()[i] =
        0.4 + 0.2 * random::uniform(1, random::Stream::means, static_cast<std::uint64_t>(i), 0);
  }
  return model;
}

// Seconds of one iteration of fit(), from the planted parameters.
template <class T>
double fit_seconds(const Context& context, const MatrixView<const T>& rows, const bm::Model& start,
                   int repeats) {
  constexpr int kUpdates = 10;
  bm::Options options{.n_components = static_cast<int>(start.n_components()),
                      .max_iter = kUpdates,
                      .tol = 0.0,
                      .seed = 1};
  options.start = {start.weights, start.means};
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    // n updates are n + 1 passes: the last one tells the likelihood of what they led to.
    seconds.push_back(bm::fit<T>(context, rows, options).seconds.fit / (kUpdates + 1));
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<std::size_t>(repeats / 2)];
}

/// Everything on the device that a pass and an update of one model touch.
template <class T>
class Steps {
 public:
  Steps(const Context& context, const Shape& shape, const bm::Model& model,
        const DeviceArray<T>& rows)
      : backend_{*context.cuda(), context.threads(), context.n_threads()},
        shape_(shape),
        rows_(rows),
        n_products_(bm::n_products<T>(shape.d, false)),
        n_heads_(bm::kHeads + shape.k),
        wave_rows_(wave_rows()),
        mixture_(backend_.device, shape.k, shape.d, false),
        next_(backend_.device, shape.k, shape.d, false),
        resp_(backend_.device, wave_rows_ * shape.k, "responsibilities"),
        heads_(backend_.device, wave_rows_ / kBlockRows * n_heads_, "sums"),
        tails_(backend_.device, wave_rows_ / kBlockRows * shape.k * n_products_, "sums"),
        sums_(backend_.device, n_heads_ + shape.k * n_products_, "sums"),
        values_(backend_.device, sums_.size(), "sums"),
        empty_(backend_.device, shape.k, "status"),
        status_(backend_.device, 1, "status") {
    mixture_.upload(backend_, model);
    sums_.fill_zero();
  }

  CUstream_st* stream() const { return backend_.device.stream(); }
  std::int64_t n_sums() const { return sums_.size(); }

  void find_outside() {
    for_each_wave([&](const DeviceRows<T>& rows) {
      bm::find_outside(backend_, rows, 0, false, &status_.data()->bad_cell);
    });
  }
  void log_joint() {
    for_each_wave([&](const DeviceRows<T>& rows) {
      bm::log_joint(backend_, rows, mixture_.parameters(), resp());
    });
  }
  // Finds responsibilities where it expects log-densities from the second time on: the work is the
  // same.
  void normalise() {
    for_each_wave([&](const DeviceRows<T>& rows) {
      bm::normalise(backend_, rows, shape_.k, resp(), static_cast<double*>(nullptr), heads_.data());
    });
  }
  void add_products() {
    for_each_wave([&](const DeviceRows<T>& rows) {
      bm::add_products(backend_, rows, shape_.k, false, resp(), tails_.data());
    });
  }
  void add_partials() {
    for_each_wave([&](const DeviceRows<T>& rows) {
      const std::int64_t n_blocks = (rows.n_rows + kBlockRows - 1) / kBlockRows;
      const std::int64_t tail = shape_.k * n_products_;
      culatent::add_partials(backend_, heads_.data(), n_blocks, n_heads_, n_heads_, sums_.data());
      culatent::add_partials(backend_, tails_.data(), n_blocks, tail, tail,
                             sums_.data() + n_heads_);
    });
  }
  void update() {
    round_sums(backend_, sums_.data(), sums_.size(), values_.data());
    bm::maximise(backend_, values_.data(), shape_.k, shape_.d, {n_products_, 0.01, 0.0},
                 mixture_.model(), next_.model(), empty_.data());
    next_.prepare(backend_);
    bm::finish_update(backend_, values_.data(), shape_.k, next_.priors(), empty_.data(),
                      status_.data());
  }

 private:
  // As in a fit.
  std::int64_t wave_rows() const {
    FlowNeeds needs;
    needs.n_rows = shape_.n;
    needs.row_bytes = shape_.d * static_cast<std::int64_t>(sizeof(T));
    needs.on_device = true;
    needs.tile_bytes = kBlockRows * shape_.k * static_cast<std::int64_t>(sizeof(T));
    needs.record_bytes =
        8 * n_heads_ + shape_.k * n_products_ * static_cast<std::int64_t>(sizeof(T));
    needs.n_multiprocessors = backend_.device.n_multiprocessors();
    needs.l2_bytes = backend_.device.l2_bytes();
    return device_flows(needs).front().tile_rows;
  }
  DeviceResponsibilities<T> resp() const { return {resp_.data(), wave_rows_}; }
  void for_each_wave(const auto& step) {
    for (std::int64_t first = 0; first < shape_.n; first += wave_rows_) {
      step(DeviceRows<T>{rows_.data() + first * shape_.d, nullptr,
                         std::min(wave_rows_, shape_.n - first), shape_.d, shape_.d});
    }
  }

  const CudaBackend backend_;
  const Shape shape_;
  const DeviceArray<T>& rows_;
  const std::int64_t n_products_, n_heads_, wave_rows_;
  bm::DeviceMixture<T> mixture_, next_;
  const DeviceArray<T> resp_;
  const DeviceArray<double> heads_;
  const DeviceArray<T> tails_;
  DeviceArray<DeviceSum> sums_;
  const DeviceArray<double> values_;
  const DeviceArray<std::int64_t> empty_;
  const DeviceArray<bm::UpdateStatus> status_;
};

template <class T>
void measure_steps(const Context& context, const Shape& s, const bm::Model& model,
                   const DeviceArray<T>& rows, Results& results) {
  constexpr double kBudget = 0.5;  // seconds a step
  const double fma = results.assumed_rate("limits.fma", sizeof(T) == 8 ? "float64" : "float32");
  const double copy = results.assumed_rate("limits.copy", "kernel, read and written");
  const double flops =
      bm::expectation_maximisation_cost(double(s.n), double(s.k), double(s.d), sizeof(T)).flops;
  const double row_bytes = double(s.n * s.d) * sizeof(T);
  Steps<T> steps(context, s, model, rows);
  const auto add = [&](const char* step, double floor, const std::function<void()>& run) {
    Entry entry{.name = std::string("bernoulli_mixture.") + step, .workload = name_of<T>(s)};
    entry.floor = floor;
    entry.seconds = median_seconds(steps.stream(), kBudget, run);
    results.add(entry);
  };
  const double half = std::max(0.5 * flops / fma, row_bytes / copy);
  add("find_outside", row_bytes / copy, [&] { steps.find_outside(); });
  add("log_joint", half, [&] { steps.log_joint(); });
  add("normalise", kUnknown, [&] { steps.normalise(); });
  steps.log_joint();
  steps.normalise();
  add("add_products", half, [&] { steps.add_products(); });
  const double records =
      double((s.n + kBlockRows - 1) / kBlockRows) * double(steps.n_sums()) * sizeof(T);
  add("add_partials", records / copy, [&] { steps.add_partials(); });
  add("update", kUnknown, [&] { steps.update(); });
}

template <class T>
void measure(const Arguments& arguments, const Shape& s, Results& results) {
  if (name_of<T>(s).find(arguments.filter) == std::string::npos) return;
  const Context cpu, gpu({.device = "cuda"});
  const bm::Model model = planted(s);
  Matrix<T> host(s.n, s.d);
  bm::sample<T>(cpu, model, 7, 0, host.view());
  DeviceArray<T> rows(*gpu.cuda(), host.size(), "rows");
  rows.upload(host.data(), host.size());
  gpu.cuda()->synchronize();

  Entry entry{.name = "bernoulli_mixture.iteration", .workload = name_of<T>(s)};
  const MatrixView<const T> on_device(rows.data(), s.n, s.d, s.d, MemorySpace::device);
  entry.seconds = fit_seconds<T>(gpu, on_device, model, 5);
  if (s.cpu) {
    entry.peer = "culatent, CPU, " + std::to_string(cpu.n_threads()) + " threads";
    entry.peer_seconds = fit_seconds<T>(cpu, host.view(), model, 3);
  }
  results.add(entry);
  if (!arguments.quick) measure_steps<T>(gpu, s, model, rows, results);
}

void measure_all(const Arguments& arguments) {
  require_device();
  Results results(arguments.floors, arguments.json);
  measure<float>(arguments, {1'000'000, 784, 10}, results);
  measure<float>(arguments, {1'000'000, 784, 64}, results);
  measure<double>(arguments, {100'000, 256, 32, true}, results);
}

}  // namespace
}  // namespace culatent::bench

int main(int argc, char** argv) {
  return culatent::bench::run("bernoulli_mixture_cuda_bench", argc, argv,
                              culatent::bench::measure_all);
}
