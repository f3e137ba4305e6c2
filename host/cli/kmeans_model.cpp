#include "host/cli/kmeans_model.hpp"

#include "culatent/kmeans.hpp"

namespace culatent::cli {
namespace {

class KmeansModel final : public LoadedModel {
 public:
  explicit KmeansModel(kmeans::Model model) : LoadedModel("kmeans"), model_(std::move(model)) {}

  std::int64_t n_features() const override { return model_.n_features(); }
  std::int64_t n_outputs() const override { return model_.n_clusters(); }
  std::int64_t memory_bytes() const override {
    return static_cast<std::int64_t>(sizeof(double)) *
           (model_.centroids.size() + static_cast<std::int64_t>(model_.counts.size()));
  }

  void predict(const ApplyInput& input, io::NpyWriter& out) const override {
    with_dtype(input.dtype, [&]<class T>() {
      std::vector<std::int32_t> labels;
      for_each_chunk<T>(input, sizeof(std::int32_t), [&](const RowSource<T>& rows) {
        labels.resize(static_cast<std::size_t>(rows.rows()));
        kmeans::evaluate<T>(input.context, model_, rows, {.labels = labels});
        out.append(labels.data(), rows.rows() * static_cast<std::int64_t>(sizeof(std::int32_t)));
      });
    });
  }

  void transform(const ApplyInput& input, io::NpyWriter& out) const override {
    with_dtype(input.dtype, [&]<class T>() {
      const std::int64_t row_bytes = n_outputs() * static_cast<std::int64_t>(sizeof(T));
      Matrix<T> distances;
      for_each_chunk<T>(input, row_bytes, [&](const RowSource<T>& rows) {
        if (distances.rows() < rows.rows()) distances = Matrix<T>(rows.rows(), n_outputs());
        kmeans::evaluate<T>(input.context, model_, rows,
                            {.distances = distances.view().slice(0, rows.rows())});
        out.append(distances.data(), rows.rows() * row_bytes);
      });
    });
  }

  // With `out` the pass that writes gives the inertia only where all rows are one chunk: adding up
  // chunks' sums would make its bits depend on the chunks.
  Json score(const ApplyInput& input, io::NpyWriter* out) const override {
    return with_dtype(input.dtype, [&]<class T>() {
      const auto source = input.data.source<T>();
      double inertia = 0.0;
      bool whole = false;
      if (out != nullptr) {
        std::vector<T> distances;
        for_each_chunk<T>(input, sizeof(T), [&](const RowSource<T>& rows) {
          distances.resize(static_cast<std::size_t>(rows.rows()));
          inertia =
              kmeans::evaluate<T>(input.context, model_, rows, {.squared_distances = distances})
                  .inertia;
          whole = rows.rows() == source->rows();
          out->append(distances.data(), rows.rows() * static_cast<std::int64_t>(sizeof(T)));
        });
      }
      if (!whole) inertia = kmeans::evaluate<T>(input.context, model_, *source).inertia;
      return Json{{"inertia", inertia}};
    });
  }

 private:
  kmeans::Model model_;
};

}  // namespace

std::unique_ptr<LoadedModel> load_kmeans(const std::string& path) {
  return std::make_unique<KmeansModel>(kmeans::load(path));
}

}  // namespace culatent::cli
