#pragma once

#include <cmath>

#include "host/exact_sum_bins.hpp"

/// How the bandwidth of a row is searched for, whatever adds up its weights.
namespace culatent::affinities {

/// Entropies are within this of their targets, in nats.
inline constexpr double kEntropyTolerance = 1e-10;
/// A bracket of doubles is done after some 64 halvings.
inline constexpr int kMaxSearchSteps = 200;
/// exp() of it, and of its negative, is a normal double.
inline constexpr double kMostLogBeta = 700.0;

/// exp(−β x) of an excess x over the least square; 1 at the least, and for an infinite β there
/// alone.
CULATENT_HOST_DEVICE inline double weight_of(double excess, double beta) {
  return excess == 0.0 ? 1.0 : std::exp(-beta * excess);
}

/// A search for log β, of excesses in units of their mean: so it begins near its end whatever the
/// data are measured in.
struct BandwidthSearch {
  double low = -exact_sum::kInfinity, high = exact_sum::kInfinity;
  double log_beta = 0.0;
  bool reached = false;
};

/// What the weights at a β say: y = β x, by weight.
struct WeightMoments {
  double sum = 0.0;       ///< of the weights
  double mean = 0.0;      ///< of y
  double variance = 0.0;  ///< of y
};

/// From sums of w, w y and w y². No digits that count are lost in the difference: the least x is 0
/// and has the largest weight, so of k values the variance is mean² / k at least.
CULATENT_HOST_DEVICE inline WeightMoments moments_of(double sum, double first, double second) {
  const double mean = first / sum;
  return {sum, mean, second / sum - mean * mean};
}

/// Newton's step on log β, for which the entropy log sum + mean has the slope −variance; within the
/// bracket, which it narrows. False: log_beta stays, as the answer or as near as doubles come.
CULATENT_HOST_DEVICE inline bool take_search_step(BandwidthSearch& search, const WeightMoments& m,
                                                  double entropy) {
  const double over = std::log(m.sum) + m.mean - entropy;
  search.reached = std::abs(over) <= kEntropyTolerance;
  if (search.reached) return false;
  const double here = search.log_beta;
  (over > 0.0 ? search.low : search.high) = here;  // a larger β has a smaller entropy
  double next = here + over / m.variance;
  if (!(next > search.low && next < search.high) || std::abs(next - here) > 4.0) {
    const bool bracketed = search.low > -exact_sum::kInfinity && search.high < exact_sum::kInfinity;
    // Without one ever farther: the answer may be hundreds away.
    const double far = std::abs(here) > 2.0 ? std::abs(here) : 2.0;
    next = bracketed ? 0.5 * (search.low + search.high) : here + (over > 0.0 ? far : -far);
    if (next > kMostLogBeta) next = kMostLogBeta;
    if (next < -kMostLogBeta) next = -kMostLogBeta;
  }
  search.log_beta = next;
  if (next != here) return true;
  search.reached = std::abs(over) <= 1e-5;
  return false;
}

}  // namespace culatent::affinities
