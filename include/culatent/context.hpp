#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

struct CUstream_st;  // what cudaStream_t points to

namespace culatent {

class ThreadPool;
class CudaDevice;

/// What an observer is told after every pass over the rows.
struct Progress {
  const char* phase = "";    ///< "init", "neighbors" or "fit"
  int restart = 0;           ///< 0 ≤ restart < n_init
  int iteration = 0;         ///< updates done in this restart
  int max_iter = 0;          ///< updates at most
  double objective = 0.0;    ///< mixtures: mean log-likelihood; k-means: inertia; t-SNE:
                             ///< divergence; NaN where there is none yet
  double change = 0.0;       ///< objective minus the one before; NaN at the first
  double seconds = 0.0;      ///< since the fit began
  double eta_seconds = 0.0;  ///< until max_iter at the present pace: an upper bound
};

/// How products are formed. Sums over rows and updates are in double either way.
enum class Precision {
  fp32,  ///< float32 rows: as accurate as float32 arithmetic
  fast,  ///< float32 rows: tensor cores on a CUDA device, with the bound each method states; on the
         ///< CPU the same as fp32
  fp64,  ///< float64 rows
};

/// Called on the thread that runs the fit, between passes. Returning false ends the fit cleanly
/// with the best model so far (`Fit::interrupted`). May throw: the exception leaves the fit.
using Observer = std::function<bool(const Progress&)>;

/// Where a fit keeps its state so that it can go on after the process was killed, to the same bits.
/// The file stays when the fit is done: remove it once the model is safe.
struct CheckpointOptions {
  std::string path = {};      ///< empty: none
  int every_iterations = 0;   ///< 0: by the clock
  double every_seconds = 60;  ///< used when every_iterations is 0
  bool resume = false;        ///< go on from `path` when it exists
};

/// A remark that a fit makes about itself; codes are stable, texts are for people.
struct Warning {
  std::string code;
  std::string text;
};

/// Seconds by the wall clock.
struct Seconds {
  double init = 0.0;  ///< scan of the data and initial parameters
  double fit = 0.0;   ///< iterations
  double total = 0.0;
};

/// The bytes that a call will hold at most, known before it begins.
struct Plan {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t chunk_rows = 0;    ///< rows between two looks at the observer and the clock
  std::int64_t host_bytes = 0;    ///< anonymous host memory; mapped files do not count
  std::int64_t device_bytes = 0;  ///< device memory; 0 on the CPU
  int n_workers = 0;              ///< threads that the memory limit leaves
};

/// Where work runs and with what: the CPU with its threads, or one CUDA device with a stream. Owns
/// the threads; not copyable. A Context may be used by one call at a time.
class Context {
 public:
  struct Options {
    int n_threads = 0;  ///< 0: as many as this process may run on
    /// Hard cap on the anonymous host bytes and on the device bytes of a call, each; 0: none.
    std::int64_t memory_limit = 0;
    std::int64_t chunk_rows = 0;  ///< 0: chosen; the bits of a result never depend on it
    Observer observer = {};
    std::string device = "cpu";     ///< as resolve_device() takes it
    CUstream_st* stream = nullptr;  ///< the caller's cudaStream_t; null: one of its own
  };

  Context();
  /// Throws invalid_argument for options that make no sense, device_error for a device that is not
  /// there.
  explicit Context(Options options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int n_threads() const;
  const Options& options() const { return options_; }
  ThreadPool& threads() const { return *threads_; }
  const std::string& device() const { return options_.device; }  ///< "cpu" or "cuda:N"
  CudaDevice* cuda() const { return cuda_.get(); }               ///< null: the CPU
  /// Device memory that calls held at most so far.
  std::int64_t peak_device_bytes() const;

 private:
  Options options_;
  std::unique_ptr<ThreadPool> threads_;
  std::shared_ptr<CudaDevice> cuda_;
};

/// One device that this build can run on.
struct Device {
  std::string name;  ///< as `--device` takes it: "cpu", "cuda:0"
  std::string text;  ///< model and size, for people
  bool available = false;
  std::string reason;  ///< why not, when not available
};

/// The devices of this machine; the CPU is always first.
std::vector<Device> devices();

/// The device that `device` means, "cpu" or "cuda:N": auto (the first CUDA device that can be used,
/// otherwise the CPU), cpu, cuda (the first) or cuda:N. Throws invalid_argument for another word,
/// device_error saying what was looked for when it is not there.
std::string resolve_device(const std::string& device);

/// "cpu" or "cpu cuda": the backends that were built in.
std::string backends();

}  // namespace culatent
