#include "host/cli/kmeans_model.hpp"

#include <cmath>
#include <limits>

#include "culatent/clustering_quality.hpp"
#include "culatent/error.hpp"
#include "culatent/kmeans.hpp"

namespace culatent::cli {
namespace {

namespace cq = clustering_quality;

// Rows divided by their length: what the cosine metric measures distances of.
template <class T>
class UnitRows final : public RowSource<T> {
 public:
  explicit UnitRows(const RowSource<T>& source) : source_(source) {}
  std::int64_t rows() const override { return source_.rows(); }
  std::int64_t cols() const override { return source_.cols(); }
  MatrixView<const T> read(std::int64_t first, MatrixView<T> buffer) const override {
    const MatrixView<const T> view = source_.read(first, buffer);
    for (std::int64_t i = 0; i < view.rows; ++i) {
      long double square = 0.0L;  // its range holds the square of every double
      for (std::int64_t j = 0; j < view.cols; ++j) {
        square += static_cast<long double>(view(i, j)) * static_cast<long double>(view(i, j));
      }
      const long double length = std::sqrt(square);
      for (std::int64_t j = 0; j < view.cols; ++j) {
        buffer(i, j) = static_cast<T>(static_cast<long double>(view(i, j)) / length);
      }
    }
    return buffer;
  }

 private:
  const RowSource<T>& source_;
};

// What a measure gives; `undefined`, with a warning, where these clusters have none.
template <class Result, class Measure>
Result or_warning(const std::string& key, const Result& undefined, const Measure& measure) {
  try {
    return measure();
  } catch (const data_error& error) {
    print_warning(key + " is not defined: " + error.what());
    return undefined;
  }
}

template <class T>
void add_quality(const ApplyInput& input, const RowSource<T>& rows,
                 std::span<const std::int64_t> predicted, Json& result) {
  constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();
  const auto silhouette = or_warning("silhouette", cq::Silhouette{kUndefined, 0}, [&] {
    return cq::silhouette<T>(input.context, rows, predicted);
  });
  const double davies_bouldin = or_warning("davies_bouldin", kUndefined, [&] {
    return cq::davies_bouldin<T>(input.context, rows, predicted);
  });
  result["adjusted_rand"] = cq::adjusted_rand(input.labels, predicted);
  result["normalized_mutual_information"] =
      cq::normalized_mutual_information(input.labels, predicted);
  result["silhouette"] = silhouette.value;
  result["silhouette_rows"] = silhouette.n_rows_used;
  result["davies_bouldin"] = davies_bouldin;
}

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
      write_values<T, std::int32_t>(input, out, [&](const auto& rows, const auto& labels) {
        kmeans::evaluate<T>(input.context, model_, rows, {.labels = labels});
      });
    });
  }

  void transform(const ApplyInput& input, io::NpyWriter& out) const override {
    with_dtype(input.dtype, [&]<class T>() {
      write_matrix<T>(input, n_outputs(), out, [&](const auto& rows, MatrixView<T> distances) {
        kmeans::evaluate<T>(input.context, model_, rows, {.distances = distances});
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
        write_values<T, T>(input, *out, [&](const auto& rows, const auto& distances) {
          inertia =
              kmeans::evaluate<T>(input.context, model_, rows, {.squared_distances = distances})
                  .inertia;
          whole = rows.rows() == source->rows();
        });
      }
      const bool with_labels = !input.labels.empty();
      std::vector<std::int32_t> labels(with_labels ? input.labels.size() : 0);
      if (!whole || with_labels) {
        inertia = kmeans::evaluate<T>(input.context, model_, *source, {.labels = labels}).inertia;
      }
      Json result = {{"inertia", inertia}};
      if (!with_labels) return result;
      const std::vector<std::int64_t> predicted(labels.begin(), labels.end());
      if (model_.metric == kmeans::Metric::cosine) {
        add_quality<T>(input, UnitRows<T>(*source), predicted, result);
      } else {
        add_quality<T>(input, *source, predicted, result);
      }
      return result;
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
