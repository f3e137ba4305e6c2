#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/cli/method.hpp"

/// What the fits that iterate from a start have in common. A Fit and its Options are those of the
/// method; they name alike what all methods have.
namespace culatent::cli {

class IterativeCommand : public FitCommand {
 public:
  std::vector<std::pair<std::string, std::string>> inputs() const override {
    return {{"--weights", weights_}, {"--init", has_init_file() ? iteration_.init : ""}};
  }
  std::string checkpoint() const override { return iteration_.checkpoint.path; }
  std::string weights() const override { return weights_; }
  std::int64_t n_init() const override { return iteration_.n_init; }

 protected:
  /// `inits`: the words of --init.
  explicit IterativeCommand(const std::vector<std::string>& inits) : inits_(inits) {}

  /// --order and --weights; `order_text`: what is ordered, and by what.
  void add_order_and_weights(CLI::App& app, const std::string& group,
                             const std::string& order_text) {
    add_choice(app, "--order", order_, {"model", "weight"}, order_text)->group(group);
    add_file(app, "--weights", weights_,
             "Row weights: a .npy of one number of at least 0 a row. Weight 2 is the row twice.")
        ->group(group);
  }

  bool has_init_file() const {
    return !iteration_.init.empty() && init_is_file(iteration_.init, inits_);
  }

  /// What options() says of --weights and --init; `init`: the name of the one that takes effect.
  Json weights_json() const { return weights_.empty() ? Json(nullptr) : Json(weights_); }
  std::string init_text(const char* init) const { return has_init_file() ? iteration_.init : init; }

  /// The options that all methods have.
  template <class Options>
  void set_iteration(Options& options) const {
    options.max_iter = static_cast<int>(iteration_.max_iter);
    options.tol = iteration_.tol;
    if (!iteration_.init.empty() && !has_init_file()) {
      options.init = value_of<decltype(options.init)>(inits_, iteration_.init);
    }
    options.n_init = static_cast<int>(iteration_.n_init);
    options.checkpoint = library_options(iteration_.checkpoint);
  }

  std::string order_ = "model";
  std::string weights_;
  IterationOptions iteration_;

 private:
  std::vector<std::string> inits_;
};

/// Moves what every Fit has to `out`, and the fit to the calls that save it and draw its page.
template <class Fit>
void keep(Fit&& run, FitOutput& out,
          std::string (*page)(const Context&, const Fit&, const report::PageInput&)) {
  out.seed = run.seed;
  out.interrupted = run.interrupted;
  out.seconds = run.seconds;
  out.plan = run.plan;
  out.warnings = run.warnings;
  const auto kept = std::make_shared<const Fit>(std::move(run));
  out.save = [kept](const std::string& path, const std::string& options_json) {
    save(kept->model, path, options_json);  // of the namespace of the model
  };
  out.page = [kept, page](const Context& context, const report::PageInput& input) {
    return page(context, *kept, input);
  };
}

}  // namespace culatent::cli
