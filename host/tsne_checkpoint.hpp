#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/fit_loop.hpp"
#include "host/tsne_engine.hpp"

/// A descent in a file, so that it goes on after the process was killed.
namespace culatent::tsne {

/// A descent between two intervals, after trace.size() − 1 updates.
struct Descent {
  std::uint64_t seed = 0;
  std::vector<TraceEntry> trace;
  State state;
};

/// Where, when and whether a fit keeps its descent. Without a path it does nothing.
class Checkpoints {
 public:
  /// Host memory beside the engine's while a checkpoint is written or read.
  static std::int64_t bytes(const CheckpointOptions& options, std::int64_t n_rows,
                            int n_dimensions);

  /// Reads the rows once, for their fingerprint. Throws as scan().
  Checkpoints(const Context& context, const CpuBackend& backend, const RowSource<float>& rows,
              const Options& options);

  /// What is to be gone on from; nothing: a fresh start. Throws io_error for a damaged file or one
  /// of another method, data_error for one of other data, options or seed.
  std::optional<Descent> load();

  bool wanted() const { return !options_.checkpoint.path.empty(); }
  /// Whether one is to be kept after so many updates, or because the fit was stopped there.
  bool due(int iteration, bool stopped) const;
  void save(const Descent& descent);

 private:
  const Options& options_;
  const std::int64_t n_rows_;
  std::string identity_;
  int last_iteration_ = 0;
  Clock::time_point last_time_ = Clock::now();
};

}  // namespace culatent::tsne
