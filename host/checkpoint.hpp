#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "host/io/safetensors.hpp"

/// The state of a fit in a file, so that it goes on after the process was killed.
namespace culatent {

/// Run is the method's RunState. Its namespace has put(run, prefix, file) and take(file, prefix,
/// run), which write model and trace to and read them from tensors whose names begin with `prefix`;
/// take() throws std::logic_error for what is not there.
template <class Run>
struct Checkpoint {
  std::uint64_t seed = 0;
  Run run;
  std::optional<Run> best;  ///< of the restarts that are done
};

/// A file with the metadata of a checkpoint. `identity` is the text of what must be the same for a
/// fit to go on: the options that decide its course, and the data.
io::TensorFile checkpoint_file(const std::string& method, const std::string& identity,
                               std::uint64_t seed);
/// Throws io_error for a damaged file or one of another method, data_error for one of another
/// identity.
io::TensorFile read_checkpoint_file(const std::string& path, const std::string& method,
                                    const std::string& identity);

template <class Run>
void put_run(const Run& run, const std::string& prefix, io::TensorFile& file) {
  put(run, prefix, file);
  file.tensors[prefix + "counters"] = {
      {4},
      {static_cast<double>(run.restart), static_cast<double>(run.iteration),
       run.converged ? 1.0 : 0.0, static_cast<double>(run.n_repairs)}};
}

template <class Run>
void take_run(const io::TensorFile& file, const std::string& prefix, Run& run) {
  take(file, prefix, run);
  const std::vector<double>& counters = file.tensors.at(prefix + "counters").values;
  run.restart = static_cast<int>(counters.at(0));
  run.iteration = static_cast<int>(counters.at(1));
  run.converged = counters.at(2) != 0.0;
  run.n_repairs = static_cast<std::int64_t>(counters.at(3));
}

template <class Run>
void save_checkpoint(const std::string& path, const std::string& method,
                     const std::string& identity, const Checkpoint<Run>& state) {
  io::TensorFile file = checkpoint_file(method, identity, state.seed);
  put_run(state.run, "run.", file);
  if (state.best) {
    file.metadata["best"] = "there";
    put_run(*state.best, "best.", file);
  }
  io::write_tensors(path, file);
}

/// Throws as read_checkpoint_file(), and io_error when something is missing in the file.
template <class Run>
Checkpoint<Run> load_checkpoint(const std::string& path, const std::string& method,
                                const std::string& identity) {
  const io::TensorFile file = read_checkpoint_file(path, method, identity);
  try {
    Checkpoint<Run> state;
    state.seed = std::stoull(file.metadata.at("seed"));
    take_run(file, "run.", state.run);
    if (file.metadata.contains("best")) take_run(file, "best.", state.best.emplace());
    return state;
  } catch (const std::logic_error&) {  // a tensor or a key that is not there
    throw io_error("the checkpoint is not complete", path, "remove the file to start afresh");
  }
}

}  // namespace culatent
