#include <fmt/format.h>

#include <random>

#include "culatent/error.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/interrupt.hpp"
#include "host/cli/method.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/verbs.hpp"
#include "host/cli/workplace.hpp"

namespace culatent::cli {
namespace {

constexpr std::int64_t kChunkBytes = std::int64_t{16} << 20;

}  // namespace

int sample_verb(const Arguments& arguments) {
  std::string model_path, output, labels_path;
  std::int64_t rows = 0;
  std::optional<std::uint64_t> seed;
  MachineOptions machine;
  CLI::App app;
  set_manual(
      app,
      {.name = "culatent sample",
       .summary = "draw rows from a model",
       .synopsis = "MODEL --rows N --output X.npy [--labels L.npy] [options]",
       .description = "Draws N independent rows from the density that a model describes. Row i "
                      "depends on the seed and i alone: a longer sample begins with the shorter "
                      "one. Memory stays bounded for any N. Methods: gaussian-mixture.",
       .files = "--output receives a .npy [N, d] of --dtype, --labels an int32 .npy [N] "
                "with the component of each row.\n"
                "stdout receives one JSON object: n_rows, n_features, seed, dtype, "
                "output.",
       .examples = " culatent sample m.safetensors --rows 1000000 --output x.npy "
                   "--seed 1"});
  app.add_option("MODEL", model_path, "A model that `culatent fit` wrote.")
      ->required()
      ->group("ARGUMENTS");
  add_integer(app, "--rows", rows, 0, INT64_MAX, "Rows to draw. Required.")
      ->required()
      ->group("SAMPLE OPTIONS");
  add_file(app, "--output", output, "Where the rows go, a .npy. Required.")
      ->required()
      ->group("SAMPLE OPTIONS");
  add_file(app, "--labels", labels_path, "Where the components of the rows go, a .npy.")
      ->group("SAMPLE OPTIONS");
  add_seed(app, seed);
  add_machine(app, machine);
  app.remove_option(app.get_option("--dtype"));
  add_dtype(app, machine.dtype, "Type to draw and write. Default: float64, as the model.");
  if (!parse(app, arguments)) return kDone;

  const std::string device = choose_device(machine, false, "sampling");
  Paths paths;
  paths.input("MODEL", model_path);
  paths.output("--output", output);
  paths.output("--labels", labels_path);
  paths.check();

  const Method& method = method_of(model_path, io::read_tensors(model_path));
  const auto model = method.load(model_path, app);
  std::int64_t limit = limit_after(machine.memory_limit, model->memory_bytes(), "the model");
  const std::int64_t chunk_bytes = limit > 0 ? std::min(kChunkBytes, limit / 4) : kChunkBytes;
  limit = limit_after(limit, chunk_bytes, "a chunk of rows");
  const Context context(context_options(machine, limit, device));
  const Dtype dtype = machine.dtype.value_or(Dtype::float64);
  if (!seed) seed = std::random_device{}();
  std::optional<io::NpyWriter> labels;
  io::NpyWriter out(output, element_type(dtype), rows, model->n_features());
  if (!labels_path.empty()) labels.emplace(labels_path, ElementType::i4, rows, 0);
  model->sample({context, *seed, rows, dtype, chunk_bytes}, out, labels ? &*labels : nullptr);
  out.commit();
  if (labels) labels->commit();
  print_result({{"n_rows", rows},
                {"n_features", model->n_features()},
                {"seed", *seed},
                {"dtype", name(dtype)},
                {"output", output}});
  return kDone;
}

}  // namespace culatent::cli
