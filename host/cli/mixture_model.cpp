#include "host/cli/mixture_model.hpp"

#include <algorithm>

#include "culatent/bernoulli_mixture.hpp"
#include "culatent/gaussian_mixture.hpp"

namespace culatent::cli {
namespace {

// By a function of another name: within the class `sample` is its member.
template <class T, class Model>
void draw(const SampleInput& input, const Model& model, std::int64_t first, MatrixView<T> rows,
          std::span<std::int32_t> components) {
  sample<T>(input.context, model, input.seed, first, rows, components);
}

// The functions of a mixture are those of the namespace of its Model.
template <class Model>
class MixtureModel final : public LoadedModel {
 public:
  MixtureModel(const std::string& method, Model model, std::int64_t n_values)
      : LoadedModel(method), model_(std::move(model)), n_values_(n_values) {}

  std::int64_t n_features() const override { return model_.n_features(); }
  std::int64_t n_outputs() const override { return model_.n_components(); }
  std::int64_t memory_bytes() const override {
    return static_cast<std::int64_t>(sizeof(double)) * n_values_;
  }

  void predict(const ApplyInput& input, io::NpyWriter& out) const override {
    with_dtype(input.dtype, [&]<class T>() {
      write_values<T, std::int32_t>(input, out, [&](const auto& rows, const auto& labels) {
        evaluate<T>(input.context, model_, rows, {.labels = labels, .missing = input.missing});
      });
    });
  }

  void transform(const ApplyInput& input, io::NpyWriter& out) const override {
    with_dtype(input.dtype, [&]<class T>() {
      write_matrix<T>(input, n_outputs(), out, [&](const auto& rows, MatrixView<T> codes) {
        evaluate<T>(input.context, model_, rows,
                    {.responsibilities = codes, .missing = input.missing});
      });
    });
  }

  // Where all rows are one chunk the pass that writes gives the summary too. Otherwise that takes a
  // pass of its own: adding up chunks' means would make its bits depend on the chunks.
  Json score(const ApplyInput& input, io::NpyWriter* out) const override {
    return with_dtype(input.dtype, [&]<class T>() {
      const auto source = input.data.source<T>();
      decltype(evaluate<T>(input.context, model_, *source)) summary;
      bool whole = false;
      if (out != nullptr) {
        write_values<T, T>(input, *out, [&](const auto& rows, const auto& log_prob) {
          summary = evaluate<T>(input.context, model_, rows,
                                {.log_prob = log_prob, .missing = input.missing});
          whole = rows.rows() == source->rows();
        });
      }
      if (!whole) {
        summary = evaluate<T>(input.context, model_, *source, {.missing = input.missing});
      }
      const auto n = static_cast<double>(source->rows());
      const double total = summary.log_likelihood * n;
      return Json{{"log_likelihood", summary.log_likelihood},
                  {"total_log_likelihood", total},
                  {"bic", bic(model_, total, n)},
                  {"aic", aic(model_, total)},
                  {"entropy", summary.entropy},
                  {"n_parameters", n_parameters(model_)}};
    });
  }

  void sample(const SampleInput& input, io::NpyWriter& out, io::NpyWriter* labels) const override {
    with_dtype(input.dtype, [&]<class T>() {
      const std::int64_t row_bytes = n_features() * static_cast<std::int64_t>(sizeof(T));
      const std::int64_t label_bytes = sizeof(std::int32_t);
      const std::int64_t chunk =
          std::max<std::int64_t>(1, input.chunk_bytes / (row_bytes + label_bytes));
      Matrix<T> drawn(std::min(input.rows, chunk), n_features());
      std::vector<std::int32_t> components(static_cast<std::size_t>(drawn.rows()));
      for (std::int64_t first = 0; first < input.rows; first += chunk) {
        const std::int64_t count = std::min(chunk, input.rows - first);
        draw<T>(input, model_, first, drawn.view().slice(0, count),
                std::span(components).first(static_cast<std::size_t>(count)));
        out.append(drawn.data(), count * row_bytes);
        if (labels != nullptr) labels->append(components.data(), count * label_bytes);
      }
    });
  }

 private:
  Model model_;
  std::int64_t n_values_;
};

}  // namespace

std::unique_ptr<LoadedModel> load_bernoulli_mixture(const std::string& path) {
  bernoulli_mixture::Model model = bernoulli_mixture::load(path);
  const auto n_values = model.means.size() + static_cast<std::int64_t>(model.weights.size());
  return std::make_unique<MixtureModel<bernoulli_mixture::Model>>("bernoulli-mixture",
                                                                  std::move(model), n_values);
}

std::unique_ptr<LoadedModel> load_gaussian_mixture(const std::string& path) {
  gaussian_mixture::Model model = gaussian_mixture::load(path);
  const auto n_values = model.means.size() +
                        static_cast<std::int64_t>(model.weights.size() + model.covariances.size());
  return std::make_unique<MixtureModel<gaussian_mixture::Model>>("gaussian-mixture",
                                                                 std::move(model), n_values);
}

}  // namespace culatent::cli
