#include "host/tsne_checkpoint.hpp"

#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "culatent/error.hpp"
#include "host/checkpoint.hpp"
#include "host/host_rows.hpp"
#include "host/scan.hpp"

namespace culatent::tsne {
namespace {

constexpr const char* kMethod = "tsne";

// What must be the same for a descent to be gone on from. The backends' forces differ in their last
// bits; the choices are what follows from options, rows and backend.
std::string identity_of(const Options& o, std::int64_t n_rows, bool on_device,
                        std::uint64_t fingerprint) {
  const bool dense = choose_neighbors(n_rows, o) == n_rows - 1;
  std::string text =
      std::string(on_device ? "cuda" : "cpu") + " " + std::to_string(o.n_dimensions) + " " +
      (dense ? "dense" : "sparse") + " " + std::to_string(static_cast<int>(o.neighbors)) + " " +
      name(choose_repulsion(n_rows, o, on_device)) + " " + std::to_string(o.exaggeration_iter) +
      " " + std::to_string(o.max_iter) + " " + std::to_string(o.interval) + " " + name(o.init) +
      " " + std::to_string(fingerprint);
  const auto mix = [&](const auto* values, std::size_t count) {
    text += " " + std::to_string(XXH3_64bits(values, count * sizeof(*values)));
  };
  mix(o.perplexity.data(), o.perplexity.size());
  for (const double value : {o.sigma.value_or(0.0), o.learning_rate.value_or(0.0),
                             o.early_exaggeration, o.early_momentum, o.momentum, o.min_gradient}) {
    mix(&value, 1);
  }
  mix(o.start.data(), static_cast<std::size_t>(o.start.size()));
  return text;
}

// Rows of a device come to the host: an embedding depends on their order, which sums that the
// device could find do not tell.
std::uint64_t fingerprint_of(const Context& context, const CpuBackend& backend,
                             const RowSource<float>& rows) {
  return scan(context, backend, HostRows<float>(context, rows), {},
              {.fingerprint = true, .can_miss = false})
      .fingerprint;
}

io::Tensor tensor_of(const Matrix<float>& matrix) {
  return {{matrix.rows(), matrix.cols()}, {matrix.data(), matrix.data() + matrix.size()}};
}

Matrix<float> matrix_of(const io::Tensor& tensor, std::int64_t n_rows, std::int64_t n_columns) {
  if (tensor.shape != std::vector<std::int64_t>{n_rows, n_columns}) {
    throw std::out_of_range("shape");
  }
  Matrix<float> matrix(n_rows, n_columns);
  std::transform(tensor.values.begin(), tensor.values.end(), matrix.data(),
                 [](double value) { return static_cast<float>(value); });
  return matrix;
}

}  // namespace

std::int64_t Checkpoints::bytes(const CheckpointOptions& options, std::int64_t n_rows,
                                int n_dimensions) {
  if (options.path.empty()) return 0;
  // Three arrays as floats; as doubles; and these end to end, in a buffer that has doubled.
  return checked_product(n_rows, 3 * n_dimensions * (4 + 8 + 2 * 8));
}

Checkpoints::Checkpoints(const Context& context, const CpuBackend& backend,
                         const RowSource<float>& rows, const Options& options)
    : options_(options), n_rows_(rows.rows()) {
  if (!wanted()) return;
  identity_ = identity_of(options, n_rows_, context.cuda() != nullptr,
                          fingerprint_of(context, backend, rows));
}

std::optional<Descent> Checkpoints::load() {
  const std::string& path = options_.checkpoint.path;
  if (!wanted() || !options_.checkpoint.resume || !std::filesystem::exists(path)) return {};
  const io::TensorFile file = read_checkpoint_file(path, kMethod, identity_);
  Descent descent;
  try {
    descent.seed = std::stoull(file.metadata.at("seed"));
    const std::int64_t q = options_.n_dimensions;
    State& state = descent.state;
    state.positions = matrix_of(file.tensors.at("positions"), n_rows_, q);
    state.velocity = matrix_of(file.tensors.at("velocity"), n_rows_, q);
    state.gains = matrix_of(file.tensors.at("gains"), n_rows_, q);
    const std::vector<double>& grid = file.tensors.at("grid").values;
    for (std::size_t k = 0; k < 2; ++k) {
      state.grid_size[k] = static_cast<std::int64_t>(std::clamp(grid.at(k), 0.0, 1e9));
    }
    state.coarse = grid.at(2) != 0.0;
    const std::vector<double>& trace = file.tensors.at("trace").values;
    for (std::size_t i = 0; i + 1 < trace.size(); i += 2) {
      descent.trace.push_back({trace[i], trace[i + 1]});
    }
    const std::size_t most = static_cast<std::size_t>(options_.max_iter) + 1;
    if (trace.empty() || descent.trace.size() > most) throw std::out_of_range("trace");
  } catch (const std::logic_error&) {  // a tensor or a key that is not there, or of another size
    throw io_error("the checkpoint is not complete", path, "remove the file to start afresh");
  }
  if (options_.seed && *options_.seed != descent.seed) {
    throw data_error("the checkpoint was made with seed " + std::to_string(descent.seed), path,
                     "resume with that seed, or remove the file to start afresh");
  }
  last_iteration_ = static_cast<int>(descent.trace.size()) - 1;
  return descent;
}

bool Checkpoints::due(int iteration, bool stopped) const {
  const CheckpointOptions& options = options_.checkpoint;
  if (!wanted() || stopped) return wanted();
  if (options.every_iterations > 0) return iteration - last_iteration_ >= options.every_iterations;
  return seconds_since(last_time_) >= options.every_seconds;
}

void Checkpoints::save(const Descent& descent) {
  if (!wanted()) return;
  io::TensorFile file = checkpoint_file(kMethod, identity_, descent.seed);
  const State& state = descent.state;
  file.tensors["positions"] = tensor_of(state.positions);
  file.tensors["velocity"] = tensor_of(state.velocity);
  file.tensors["gains"] = tensor_of(state.gains);
  file.tensors["grid"] = {{3},
                          {static_cast<double>(state.grid_size[0]),
                           static_cast<double>(state.grid_size[1]), state.coarse ? 1.0 : 0.0}};
  io::Tensor trace{{static_cast<std::int64_t>(descent.trace.size()), 2}, {}};
  for (const TraceEntry& entry : descent.trace) {
    trace.values.insert(trace.values.end(), {entry.gradient_norm, entry.kl});
  }
  file.tensors["trace"] = std::move(trace);
  io::write_tensors(options_.checkpoint.path, file);
  last_iteration_ = static_cast<int>(descent.trace.size()) - 1;
  last_time_ = Clock::now();
}

}  // namespace culatent::tsne
