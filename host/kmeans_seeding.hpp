#pragma once

#include "host/kmeans_engine.hpp"

namespace culatent::kmeans {

/// The centroids that restart begins at, [K, D] in the coordinates, by Options::init.
/// `proceed(potential)` is asked after every pass over the rows; false: the remaining seeds are any
/// rows, because nobody will use them.
///   k-means++: K passes of 2 + ⌊log K⌋ candidates and one more; k-means||: 6 passes
template <class T, class Engine>
Matrix<T> choose_centroids(Engine& engine, const Context& context, const FitRows<T>& rows,
                           const Options& options, const CpuBackend& host, std::uint64_t seed,
                           const std::function<bool(double)>& proceed);

/// Candidates that choose_centroids() looks at together, about; 0: it looks at no distances.
std::int64_t seeding_candidates(const Options& options, std::int64_t n_rows);

/// Bytes that choose_centroids() holds, those of CpuEngine included unless the engine is another.
template <class T>
std::int64_t seeding_bytes(const Options& options, std::int64_t n_rows, std::int64_t n_features,
                           bool in_place, int n_workers, bool on_cpu = true);

}  // namespace culatent::kmeans
