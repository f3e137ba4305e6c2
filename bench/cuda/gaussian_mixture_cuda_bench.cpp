#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/cuda/results.hpp"
#include "bench/cuda/timing.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "host/gaussian_mixture_cuda.hpp"
#include "host/random.hpp"

/// gaussian_mixture_cuda_bench [--quick] [--json FILE] [--only TEXT]: one EM iteration on data that
/// lies on the device, as fit() does it, and the steps that it is made of, at every precision that
/// there is for them; an iteration on rows that lie on the host and do not fit the device.
namespace culatent::bench {
namespace {

namespace gm = gaussian_mixture;

struct Shape {
  gm::Covariance covariance;
  std::int64_t n, d, k;
  bool cpu = false;       // run the CPU path beside it
  bool fast = false;      // and Precision::fast
  bool streamed = false;  // and rows on the host
};

const char* covariance_name(gm::Covariance covariance) {
  switch (covariance) {
    case gm::Covariance::full:
      return "full";
    case gm::Covariance::tied:
      return "tied";
    case gm::Covariance::diagonal:
      return "diagonal";
    case gm::Covariance::spherical:
      return "spherical";
  }
  return "";
}

template <class T>
std::string name_of(const Shape& s) {
  return std::string(covariance_name(s.covariance)) + " " + std::to_string(s.n) + "x" +
         std::to_string(s.d) + " K=" + std::to_string(s.k) +
         (sizeof(T) == 4 ? " float32" : " float64");
}

// Overlapping components, as those of real data are: unit variances, and means whose squared
// distance is about 11 whatever the number of features, so that several share most rows.
gm::Model planted(const Shape& s) {
  gm::Model model;
  model.covariance = s.covariance;
  model.means = Matrix<double>(s.k, s.d);
  model.weights.assign(static_cast<std::size_t>(s.k), 1.0 / static_cast<double>(s.k));
  const double side = 8.0 / std::sqrt(static_cast<double>(s.d));
  for (std::int64_t i = 0; i < s.k * s.d; ++i) {
    model.means.data()[i] =
        side * random::uniform(1, random::Stream::seed_choice, static_cast<std::uint64_t>(i), 0);
  }
  const bool matrices =
      s.covariance == gm::Covariance::full || s.covariance == gm::Covariance::tied;
  const std::int64_t block = gm::covariance_size(s.covariance, 1, s.d);
  for (std::int64_t i = 0; i < gm::covariance_size(s.covariance, s.k, s.d); ++i) {
    const std::int64_t at = i % block;
    model.covariances.push_back(!matrices || at / s.d == at % s.d ? 1.0 : 0.0);
  }
  return model;
}

// Seconds of one iteration of fit(), from the planted parameters.
template <class T>
double fit_seconds(const Context& context, const MatrixView<const T>& rows, const gm::Model& start,
                   int repeats, std::optional<Precision> precision = {}) {
  constexpr int kUpdates = 10;
  gm::Options options{.n_components = static_cast<int>(start.n_components()),
                      .covariance = start.covariance,
                      .max_iter = kUpdates,
                      .tol = 0.0,
                      .seed = 1};
  options.precision = precision;
  options.start = {start.weights, start.means, start.covariances};
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    // n updates are n + 1 passes: the last one tells the likelihood of what they led to.
    seconds.push_back(gm::fit<T>(context, rows, options).seconds.fit / (kUpdates + 1));
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<std::size_t>(repeats / 2)];
}

/// Everything on the device that a pass and an update of one model touch.
template <class T>
class Steps {
 public:
  Steps(const Context& context, const Shape& shape, const gm::Model& model,
        const DeviceArray<T>& rows)
      : backend_{*context.cuda(), context.threads(), context.n_threads()},
        shape_(shape),
        rows_(rows),
        layout_(shape.covariance, shape.k, shape.d),
        frame_(backend_.device, gm::model_frame<T>(model)),
        mixture_(backend_.device, shape.covariance, shape.k, shape.d),
        wave_(backend_.device, layout_, shape.covariance, shape.k, flow(), true),
        sums_(backend_.device, layout_.size, "sums"),
        values_(backend_.device, layout_.size, "sums"),
        scratch_(backend_.device,
                 std::max(gm::factorise_scratch(shape.covariance, shape.k, shape.d),
                          gm::maximise_scratch(shape.covariance, shape.k, shape.d)),
                 "scratch"),
        status_(backend_.device, 1, "status") {
    if (!fused()) wave_.hold_responsibilities();
    mixture_.upload(model);
    status_.fill_zero();
    sums_.fill_zero();
    factorise();
  }

  CUstream_st* stream() const { return backend_.device.stream(); }
  bool fused() const { return gm::fused_fits<T>(backend_, shape_.covariance, shape_.k, shape_.d); }

  void log_joint(Precision precision) {
    for_each_wave([&](const gm::DeviceRows<T>& rows) {
      gm::log_joint(backend_, rows, frame_.frame(), mixture_.parameters(), wave_.responsibilities(),
                    precision);
    });
  }
  // Finds responsibilities where it expects log-densities from the second time on: the work is the
  // same.
  void normalise() {
    for_each_wave([&](const gm::DeviceRows<T>& rows) {
      gm::normalise(backend_, rows, frame_.frame(), mixture_.parameters(), wave_.responsibilities(),
                    static_cast<double*>(nullptr), wave_.partials());
    });
  }
  void add_moments(Precision precision, bool scatter) {
    for_each_wave([&](const gm::DeviceRows<T>& rows) {
      gm::add_moments(backend_, rows, frame_.frame(), mixture_.parameters(),
                      wave_.responsibilities(), scatter, wave_.partials(), precision);
    });
  }
  void expectation_maximisation() {
    for_each_wave([&](const gm::DeviceRows<T>& rows) {
      gm::expectation_maximisation_diagonal(backend_, rows, frame_.frame(), mixture_.parameters(),
                                            true, wave_.partials());
    });
  }
  void add_partials() {
    for_each_wave([&](const gm::DeviceRows<T>& rows) {
      const std::int64_t n_blocks = (rows.n_rows + kBlockRows - 1) / kBlockRows;
      const gm::DevicePartials<T> partials = wave_.partials();
      culatent::add_partials(backend_, partials.heads, n_blocks, layout_.sums, layout_.sums,
                             sums_.data());
      const std::int64_t tail = layout_.size - layout_.sums;
      if (partials.wide_tails != nullptr) {
        culatent::add_partials(backend_, partials.wide_tails, n_blocks, tail, tail,
                               sums_.data() + layout_.sums);
      } else {
        culatent::add_partials(backend_, partials.tails, n_blocks, tail, tail,
                               sums_.data() + layout_.sums);
      }
    });
  }
  // Of the sums that are there, into the same model.
  void maximise() {
    round_sums(backend_, sums_.data(), layout_.size, values_.data());
    gm::maximise<T>(backend_, shape_.covariance, shape_.k, shape_.d, values_.data(),
                    frame_.centre(), frame_.scale(), mixture_.parameters().shifts, 1e-6,
                    scratch_.data(), mixture_.model(), status_.data());
  }
  void factorise() {
    gm::factorise<T>(backend_, mixture_.model(), frame_.centre(), frame_.scale(),
                     frame_.log_scale(), scratch_.data(), mixture_.parameters(), status_.data());
  }

 private:
  // As in a fit.
  DeviceFlow flow() const {
    FlowNeeds needs = gm::flow_needs<T>(backend_, shape_.covariance, shape_.k, shape_.d);
    needs.n_rows = shape_.n;
    needs.on_device = true;
    return device_flows(needs).front();
  }
  void for_each_wave(const auto& step) {
    for (std::int64_t first = 0; first < shape_.n; first += wave_.wave_rows()) {
      step(gm::DeviceRows<T>{rows_.data() + first * shape_.d, nullptr,
                             std::min(wave_.wave_rows(), shape_.n - first), shape_.d, shape_.d});
    }
  }

  const CudaBackend backend_;
  const Shape shape_;
  const DeviceArray<T>& rows_;
  const gm::Layout layout_;
  const gm::DeviceFrameArrays<T> frame_;
  gm::DeviceMixture<T> mixture_;
  gm::DeviceWave<T> wave_;
  DeviceArray<DeviceSum> sums_;
  const DeviceArray<double> values_;
  const DeviceArray<double> scratch_;
  DeviceArray<gm::UpdateStatus> status_;
};

const char* mode_of(Precision precision) { return precision == Precision::fast ? " fast" : ""; }

template <class T>
void measure_steps(const Context& context, const Shape& s, const gm::Model& model,
                   const DeviceArray<T>& rows, Results& results) {
  constexpr double kBudget = 0.5;  // seconds a step
  const bool wide = sizeof(T) == 8;
  const double fma = results.assumed_rate("limits.fma", wide ? "float64" : "float32");
  const double copy = results.assumed_rate("limits.copy", "kernel, read and written");
  const double flops = gm::expectation_maximisation_cost(s.covariance, double(s.n), double(s.k),
                                                         double(s.d), sizeof(T))
                           .flops;
  const double row_bytes = double(s.n * s.d) * sizeof(T);
  Steps<T> steps(context, s, model, rows);
  const auto add = [&](const char* step, double floor, const std::function<void()>& run,
                       const char* mode = "") {
    Entry entry{.name = std::string("gaussian_mixture.") + step, .workload = name_of<T>(s) + mode};
    entry.floor = floor;
    entry.seconds = median_seconds(steps.stream(), kBudget, run);
    results.add(entry);
  };
  if (steps.fused()) {
    add("expectation_maximisation_diagonal", std::max(flops / fma, row_bytes / copy),
        [&] { steps.expectation_maximisation(); });
  } else {
    const Precision plain = wide ? Precision::fp64 : Precision::fp32;
    std::vector<Precision> precisions{plain};
    if (s.fast) precisions.push_back(Precision::fast);
    // Half of the iteration's products at the rate of what multiplies them.
    const auto floor_at = [&](Precision precision) {
      const bool fast = precision == Precision::fast;
      const bool split = !wide && s.covariance == gm::Covariance::full;
      const double rate =
          split ? results.assumed_rate("limits.split_product", fast ? "bf16x3" : "tf32x3") : fma;
      return std::max(0.5 * flops / rate, row_bytes / copy);
    };
    for (const Precision p : precisions) {
      add(
          "log_joint", floor_at(p), [&] { steps.log_joint(p); }, mode_of(p));
    }
    add("normalise", kUnknown, [&] { steps.normalise(); });
    steps.log_joint(plain);
    steps.normalise();
    for (const Precision p : precisions) {
      add(
          "add_moments", floor_at(p), [&] { steps.add_moments(p, false); }, mode_of(p));
    }
    steps.add_moments(plain, true);  // the update needs all of them
  }
  const double records = double((s.n + kBlockRows - 1) / kBlockRows) *
                         double(gm::Layout(s.covariance, s.k, s.d).size) * sizeof(T);
  add("add_partials", records / copy, [&] { steps.add_partials(); });
  add("maximise", kUnknown, [&] { steps.maximise(); });
  add("factorise", kUnknown, [&] { steps.factorise(); });
}

// An iteration on rows of the host, of which the device may hold no more than half: they stream
// through the two pinned buffers in every pass.
template <class T>
void measure_streamed(const Shape& s, const MatrixView<const T>& rows, const gm::Model& model,
                      Results& results) {
  const std::int64_t bytes = s.n * s.d * static_cast<std::int64_t>(sizeof(T));
  const Context limited({.memory_limit = bytes / 2, .device = "cuda"});
  Entry entry{
      .name = "gaussian_mixture.streamed_iteration", .workload = name_of<T>(s), .unit = "B/s"};
  entry.seconds = fit_seconds<T>(limited, rows, model, 3);
  entry.rate = double(bytes) / entry.seconds;
  results.add(entry);
}

template <class T>
void measure(const Arguments& arguments, const Shape& s, Results& results) {
  if (name_of<T>(s).find(arguments.filter) == std::string::npos) return;
  const Context cpu, gpu({.device = "cuda"});
  const gm::Model model = planted(s);
  Matrix<T> host(s.n, s.d);
  gm::sample<T>(cpu, model, 7, 0, host.view());
  DeviceArray<T> rows(*gpu.cuda(), host.size(), "rows");
  rows.upload(host.data(), host.size());
  gpu.cuda()->synchronize();

  Entry entry{.name = "gaussian_mixture.iteration", .workload = name_of<T>(s)};
  const MatrixView<const T> on_device(rows.data(), s.n, s.d, s.d, MemorySpace::device);
  entry.seconds = fit_seconds<T>(gpu, on_device, model, 5);
  if (s.cpu) {
    entry.peer = "culatent, CPU, " + std::to_string(cpu.n_threads()) + " threads";
    entry.peer_seconds = fit_seconds<T>(cpu, host.view(), model, 3);
  }
  results.add(entry);
  if (s.fast) {
    entry.workload += mode_of(Precision::fast);
    entry.seconds = fit_seconds<T>(gpu, on_device, model, 5, Precision::fast);
    results.add(entry);
  }
  if (s.streamed) measure_streamed<T>(s, host.view(), model, results);
  if (!arguments.quick) measure_steps<T>(gpu, s, model, rows, results);
}

void measure_all(const Arguments& arguments) {
  require_device();
  Results results(arguments.floors, arguments.json);
  using enum gm::Covariance;
  measure<float>(arguments,
                 {.covariance = diagonal, .n = 10'000'000, .d = 16, .k = 32, .streamed = true},
                 results);
  measure<float>(arguments, {.covariance = full, .n = 1'000'000, .d = 64, .k = 64, .fast = true},
                 results);
  measure<double>(arguments, {.covariance = full, .n = 100'000, .d = 32, .k = 16, .cpu = true},
                  results);
  if (arguments.quick) return;
  measure<float>(arguments, {tied, 1'000'000, 64, 64}, results);
  measure<float>(arguments, {spherical, 10'000'000, 16, 32}, results);
}

}  // namespace
}  // namespace culatent::bench

int main(int argc, char** argv) {
  return culatent::bench::run("gaussian_mixture_cuda_bench", argc, argv,
                              culatent::bench::measure_all);
}
