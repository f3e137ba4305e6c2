#include "host/cli/bernoulli_mixture_model.hpp"

#include <algorithm>

#include "culatent/bernoulli_mixture.hpp"

namespace culatent::cli {
namespace {

namespace bm = bernoulli_mixture;

class BernoulliMixtureModel final : public LoadedModel {
 public:
  explicit BernoulliMixtureModel(bm::Model model)
      : LoadedModel("bernoulli-mixture"), model_(std::move(model)) {}

  std::int64_t n_features() const override { return model_.n_features(); }
  std::int64_t n_outputs() const override { return model_.n_components(); }
  std::int64_t memory_bytes() const override {
    return static_cast<std::int64_t>(sizeof(double)) *
           (model_.means.size() + static_cast<std::int64_t>(model_.weights.size()));
  }

  void predict(const ApplyInput& input, io::NpyWriter& out) const override {
    with_dtype(input.dtype, [&]<class T>() {
      std::vector<std::int32_t> labels;
      for_each_chunk<T>(input, sizeof(std::int32_t), [&](const RowSource<T>& rows) {
        labels.resize(static_cast<std::size_t>(rows.rows()));
        bm::evaluate<T>(input.context, model_, rows, {.labels = labels, .missing = input.missing});
        out.append(labels.data(), rows.rows() * static_cast<std::int64_t>(sizeof(std::int32_t)));
      });
    });
  }

  void transform(const ApplyInput& input, io::NpyWriter& out) const override {
    with_dtype(input.dtype, [&]<class T>() {
      const std::int64_t row_bytes = n_outputs() * static_cast<std::int64_t>(sizeof(T));
      Matrix<T> responsibilities;
      for_each_chunk<T>(input, row_bytes, [&](const RowSource<T>& rows) {
        if (responsibilities.rows() < rows.rows()) {
          responsibilities = Matrix<T>(rows.rows(), n_outputs());
        }
        bm::evaluate<T>(input.context, model_, rows,
                        {.responsibilities = responsibilities.view().slice(0, rows.rows()),
                         .missing = input.missing});
        out.append(responsibilities.data(), rows.rows() * row_bytes);
      });
    });
  }

  Json score(const ApplyInput& input, io::NpyWriter* out) const override {
    return with_dtype(input.dtype, [&]<class T>() {
      const auto source = input.data.source<T>();
      bm::Summary summary;
      if (out == nullptr) {
        summary = bm::evaluate<T>(input.context, model_, *source, {.missing = input.missing});
      } else {
        summary = write_log_prob<T>(input, *source, *out);
      }
      const auto n = static_cast<double>(source->rows());
      const double total = summary.log_likelihood * n;
      return Json{{"log_likelihood", summary.log_likelihood},
                  {"total_log_likelihood", total},
                  {"bic", bm::bic(model_, total, n)},
                  {"aic", bm::aic(model_, total)},
                  {"entropy", summary.entropy},
                  {"n_parameters", bm::n_parameters(model_)}};
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
        bm::sample<T>(input.context, model_, input.seed, first, drawn.view().slice(0, count),
                      std::span(components).first(static_cast<std::size_t>(count)));
        out.append(drawn.data(), count * row_bytes);
        if (labels != nullptr) labels->append(components.data(), count * label_bytes);
      }
    });
  }

 private:
  // Where all rows are one chunk the pass that writes gives the summary too. Otherwise that takes a
  // pass of its own: adding up chunks' means would make its bits depend on the chunks.
  template <class T>
  bm::Summary write_log_prob(const ApplyInput& input, const RowSource<T>& source,
                             io::NpyWriter& out) const {
    std::vector<T> log_prob;
    bm::Summary summary;
    bool whole = false;
    for_each_chunk<T>(input, sizeof(T), [&](const RowSource<T>& rows) {
      log_prob.resize(static_cast<std::size_t>(rows.rows()));
      summary = bm::evaluate<T>(input.context, model_, rows,
                                {.log_prob = log_prob, .missing = input.missing});
      whole = rows.rows() == source.rows();
      out.append(log_prob.data(), rows.rows() * static_cast<std::int64_t>(sizeof(T)));
    });
    if (whole) return summary;
    return bm::evaluate<T>(input.context, model_, source, {.missing = input.missing});
  }

  bm::Model model_;
};

}  // namespace

std::unique_ptr<LoadedModel> load_bernoulli_mixture(const std::string& path) {
  return std::make_unique<BernoulliMixtureModel>(bm::load(path));
}

}  // namespace culatent::cli
