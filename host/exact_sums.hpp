#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "host/exact_sum_bins.hpp"

namespace culatent {

/// A vector of sums whose bits do not depend on the order of the additions: what makes a fit give
/// the same bits for any number of threads, any chunk size and any number of ranks.
///
/// Each addend is cut at absolute powers of 2^32 and its pieces are added as integers in the three
/// bins under the largest addend's leading bit (after Demmel & Hida 2004, Ahrens, Demmel & Nguyen
/// 2020, "Algorithms for efficient reproducible floating point summation"; with integer bins there
/// is no carry to propagate). Exact but for what lies 2^-64 below the largest addend's bin: the
/// error is under n 2^-64 max|addend|. Good for 2^31 additions. Addends that are NaN
/// or infinite do to the sum what they do to a plain one.
class ExactSums {
 public:
  explicit ExactSums(std::int64_t size);

  std::int64_t size() const { return static_cast<std::int64_t>(sums_.size()); }
  void clear();
  /// sums[offset + i] += values[i]. May be called from several threads at once.
  void add(std::span<const double> values, std::int64_t offset = 0);
  /// Adds another vector of the same size, as if its addends had been added here.
  void merge(const ExactSums& other) { merge(other.sums_); }
  /// The same for the bins of as many sums, from wherever they were added up.
  void merge(std::span<const ExactSumBins> bins);
  /// The sums, correctly rounded from the bins.
  void round(std::span<double> out) const;
  double value(std::int64_t i) const;

  static std::int64_t bytes(std::int64_t size);

 private:
  std::vector<ExactSumBins> sums_;
  // One for each kStripe sums, so that threads share one vector.
  std::unique_ptr<std::mutex[]> locks_;
};

}  // namespace culatent
