#include "culatent/kde.hpp"

#include <fmt/format.h>

#include <random>

#include "culatent/error.hpp"
#include "host/cli/clock.hpp"
#include "host/cli/method.hpp"
#include "host/cli/numbers.hpp"
#include "host/report/kde_page.hpp"

namespace culatent::cli {
namespace {

constexpr const char* kLeaveOneOut = "--leave-one-out";

class KdeCommand final : public FitCommand {
 public:
  Manual manual() const override {
    return {
        .name = "",
        .summary = "keep the rows as a Gaussian kernel density estimate",
        .synopsis = "DATA --model M.safetensors [--bandwidth scott|silverman|H] [options]",
        .description =
            "The density at a point is the mean of Gaussians around all rows of DATA, each with "
            "the "
            "same standard deviation (bandwidth) in a feature. Nothing is iterated: the model is "
            "the "
            "rows and the bandwidths, and the work is done by `culatent score`.",
        .files =
            "--model receives a safetensors file with float64 tensors rows [n,d] and bandwidth "
            "[d].\n"
            "stdout (and --report) receive one JSON object: method, n_rows, n_features, options, "
            "seed, device, dtype, n_iter (0), converged (true), objective (null), trace (empty), "
            "bandwidth, seconds, memory, bytes_read, warnings, version.",
        .examples =
            " culatent fit kde geyser.csv --model geyser.safetensors --bandwidth silverman\n"
            " culatent score geyser.safetensors geyser.csv --leave-one-out",
    };
  }

  void add_options(CLI::App& app) override {
    app.add_option("--bandwidth", bandwidth_,
                   "scott: n^(-1/(d+4)) standard deviations of the feature; silverman: "
                   "(n (d+2) / 4)^(-1/(d+4)) of them; or a number, in units of the data, for all "
                   "features. Default: scott.")
        ->type_name("scott|silverman|H")
        ->group("DENSITY OPTIONS");
  }

  void prepare() override {
    if (bandwidth_ == "scott") {
      options_.bandwidth = kde::Rule::scott;
    } else if (bandwidth_ == "silverman") {
      options_.bandwidth = kde::Rule::silverman;
    } else {
      const double number = parse_real(bandwidth_, "--bandwidth", 0.0);
      if (number == 0.0) {
        throw invalid_argument("a bandwidth of 0", "--bandwidth",
                               "give scott, silverman or a number above 0");
      }
      options_.bandwidth = number;
    }
  }

  bool iterative() const override { return false; }
  bool takes_missing() const override { return false; }

  Json options() const override {
    const double* number = std::get_if<double>(&options_.bandwidth);
    return {{"bandwidth", number != nullptr ? Json(*number) : Json(bandwidth_)}};
  }

  // The rows in double, and one worker's buffer to read them through.
  Plan plan(const FitInput& input) const override {
    const std::int64_t n = input.data.rows(), d = input.data.cols();
    constexpr std::int64_t kBufferRows = 1024;
    Plan plan;
    plan.rows = n;
    plan.columns = d;
    plan.chunk_rows = n;
    plan.n_workers = input.context.n_threads();
    plan.host_bytes = checked_product(
        checked_product(n + kBufferRows * plan.n_workers, std::max<std::int64_t>(d, 1)),
        sizeof(double));
    const std::int64_t limit = input.context.options().memory_limit;
    if (limit > 0 && plan.host_bytes > limit) {
      throw out_of_memory(fmt::format("keeping {} x {} rows takes {} bytes, {} are left", n, d,
                                      plan.host_bytes, limit),
                          "--memory-limit", "raise it, or give fewer rows with --rows");
    }
    return plan;
  }

  FitOutput fit(const FitInput& input) const override {
    FitOutput out;
    out.plan = plan(input);
    const double start = seconds_since_start();
    auto model = fit_counted(input, out.bytes_read, [&]<class T>(const RowSource<T>& rows) {
      return kde::fit<T>(input.context, rows, options_);
    });
    out.seconds.fit = out.seconds.total = seconds_since_start() - start;
    out.seed = input.seed ? *input.seed : std::random_device{}();
    out.results = {{"n_iter", 0},
                   {"converged", true},
                   {"objective", nullptr},
                   {"bandwidth", model.bandwidth},
                   {"trace", Json::array()}};
    const auto kept = std::make_shared<const kde::Model>(std::move(model));
    out.save = [kept](const std::string& path, const std::string& options_json) {
      kde::save(*kept, path, options_json);
    };
    out.page = [kept](const Context& context, const report::PageInput& page) {
      return report::kde_page(context, *kept, page);
    };
    return out;
  }

 private:
  std::string bandwidth_ = "scott";
  kde::Options options_;
};

class KdeModel final : public LoadedModel {
 public:
  KdeModel(kde::Model model, bool leave_one_out)
      : LoadedModel("kde"), model_(std::move(model)), leave_one_out_(leave_one_out) {}

  std::int64_t n_features() const override { return model_.rows.cols(); }
  std::int64_t memory_bytes() const override {
    return static_cast<std::int64_t>(sizeof(double)) * (model_.rows.size() + model_.rows.cols());
  }

  Json score(const ApplyInput& input, io::NpyWriter* out) const override {
    return with_dtype(input.dtype, [&]<class T>() {
      ApplyInput pieces = input;
      // Row m of the data must be row m of the model then: the data stay in one piece.
      if (leave_one_out_) pieces.chunk_rows = std::max<std::int64_t>(input.data.rows(), 1);
      std::vector<double> log_prob;
      std::vector<T> converted;
      // Added row by row in order, in more digits than a double has: the sum does not depend on the
      // chunks.
      long double total = 0.0L;
      for_each_chunk<T>(pieces, sizeof(double) + sizeof(T), [&](const RowSource<T>& rows) {
        log_prob.resize(static_cast<std::size_t>(rows.rows()));
        kde::log_prob<T>(input.context, model_, rows, log_prob, leave_one_out_);
        for (const double value : log_prob) total += static_cast<long double>(value);
        if (out == nullptr) return;
        converted.assign(log_prob.begin(), log_prob.end());
        out->append(converted.data(), rows.rows() * static_cast<std::int64_t>(sizeof(T)));
      });
      const auto n = static_cast<long double>(input.data.rows());
      return Json{{"log_likelihood", static_cast<double>(total / n)},
                  {"total_log_likelihood", static_cast<double>(total)}};
    });
  }

 private:
  kde::Model model_;
  bool leave_one_out_;
};

std::unique_ptr<FitCommand> command() { return std::make_unique<KdeCommand>(); }

bool recognises(const io::TensorFile& file) {
  return file.tensors.contains("rows") && file.tensors.contains("bandwidth");
}

void add_apply_options(CLI::App& app, const std::string& verb) {
  if (verb != "score") return;
  const std::string text = "DATA are the rows of the model, and a row does not count for itself.";
  app.add_flag(kLeaveOneOut, text)->group("OPTIONS FOR kde MODELS");
}

std::unique_ptr<LoadedModel> load(const std::string& path, const CLI::App& app) {
  const CLI::Option* option = app.get_option_no_throw(kLeaveOneOut);
  return std::make_unique<KdeModel>(kde::load(path), option != nullptr && option->count() > 0);
}

}  // namespace

Method kde_method() {
  return {.name = "kde",
          .summary = "kernel density estimate; density without a model of its shape",
          .command = command,
          .recognises = recognises,
          .add_apply_options = add_apply_options,
          .load = load};
}

}  // namespace culatent::cli
