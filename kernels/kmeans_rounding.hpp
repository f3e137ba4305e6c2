#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "culatent/matrix.hpp"
#include "host/exact_sum_bins.hpp"

/// What rounding leaves in doubt in k-means, for all backends alike. u is half of epsilon; lengths
/// are those in the coordinates.
namespace culatent::kmeans {

/// Two scores x · c − |c|² / 2 are D + 1 roundings each of partial sums below |c| (|x| + |c| / 2);
/// in double another D, since |c|² is summed in double. What differs by more than this times that,
/// for the longest c, differs truly.
template <class T>
constexpr T score_slack(std::int64_t n_features) {
  constexpr std::int64_t kScores = sizeof(T) == sizeof(double) ? 4 : 2;
  return static_cast<T>(kScores * (n_features + 2)) * std::numeric_limits<T>::epsilon() / 2;
}

template <class T>
inline constexpr T kLeastNormal = std::numeric_limits<T>::min();

/// Whether the first of two scores of a row of length `norm` truly is the larger one; none of the
/// centroids is longer than `longest`. What is no normal number has lost more to underflow.
template <class T>
CULATENT_HOST_DEVICE bool truly_apart(T best, T second, T norm, T longest, T slack) {
  const T error = slack * longest * (norm + longest / 2);
  return best - second > (error > kLeastNormal<T> ? error : kLeastNormal<T>);
}

/// That bound grows with the longest centroid, so that a single one at an outlier would put every
/// row in doubt. Centroids longer than the result are left out of the screen, which beats_far()
/// makes good. They are more than 16 times as long as the median, and so long that with them the
/// rounding of scores reaches the squares of the median: slack |c|² > median² / 16. Infinity: there
/// are none, as usual.
///   flops: 2 K D
template <class T>
T far_beyond(const Matrix<T>& centroids, double slack);

/// Whether the centroid of score `best` (the largest of those not longer than `beyond`) is nearer
/// than every longer one to a row of length `norm`.
///
/// A centroid of length t scores at most p(t) = t (|x| − t / 2), which rises up to t = |x| and
/// falls from there. Let b be the best true score and f = `beyond`. If |x| ≤ f, longer ones score
/// at most p(f): b > p(f) will do. If |x| > f, b > p(f) is impossible, since b is the score of a
/// centroid not longer than f. (It is the triangle inequality |x| + |x − c| < f without its roots.)
///
/// Rounding, in units of u (|x| + f / 2) after division by f: of b slack / 2 u, of |x| D / 2 + 3,
/// of the lengths that `beyond` tells apart D + 4 (double) or 2 (float), of these lines 3. That is
/// less than 3 slack. Divided by f, because squares of lengths that a user gave may overflow.
template <class T>
CULATENT_HOST_DEVICE bool beats_far(T best, T norm, T beyond, T slack) {
  return best / beyond - (norm - beyond / 2) > 3 * slack * (norm + beyond / 2);
}

/// Rows whose squared length is below this are measured by unit_factor(): of their squares more
/// may have underflowed than rounding takes.
template <class T>
inline constexpr T kSmallSquare = kLeastNormal<T> / (std::numeric_limits<T>::epsilon() *
                                                     std::numeric_limits<T>::epsilon());

/// 1 / |x| of D values feature(j), of any size: divided by a power of two near the largest first.
/// 0 where none is a normal number: there is no direction.
template <class T, class Feature>
CULATENT_HOST_DEVICE T unit_factor(std::int64_t n_features, Feature&& feature) {
  T largest{};
  for (std::int64_t j = 0; j < n_features; ++j) {
    const T size = std::abs(feature(j));
    largest = size > largest ? size : largest;
  }
  if (!(largest >= kLeastNormal<T>)) return T{0};
  const T shrink = std::ldexp(T{1}, -std::ilogb(largest));
  T square{};
  for (std::int64_t j = 0; j < n_features; ++j) {
    const T x = feature(j) * shrink;
    square = std::fma(x, x, square);
  }
  return shrink / std::sqrt(square);
}

}  // namespace culatent::kmeans
