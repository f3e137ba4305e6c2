#include "host/exact_sums.hpp"

#include <algorithm>
#include <functional>
#include <thread>

namespace culatent {
namespace {

constexpr std::int64_t kStripe = 2048;

std::int64_t n_stripes(std::int64_t size) { return (size + kStripe - 1) / kStripe; }

}  // namespace

ExactSums::ExactSums(std::int64_t size)
    : sums_(static_cast<std::size_t>(size)),
      locks_(std::make_unique<std::mutex[]>(static_cast<std::size_t>(n_stripes(size)))) {}

void ExactSums::clear() { std::fill(sums_.begin(), sums_.end(), ExactSumBins{}); }

void ExactSums::add(std::span<const double> values, std::int64_t offset) {
  const std::int64_t end = offset + static_cast<std::int64_t>(values.size());
  const std::int64_t first = offset / kStripe;
  const std::int64_t count = (end + kStripe - 1) / kStripe - first;
  // Threads begin at different stripes so that they seldom wait for each other.
  const auto start =
      static_cast<std::int64_t>(std::hash<std::thread::id>{}(std::this_thread::get_id()) %
                                static_cast<std::size_t>(std::max<std::int64_t>(count, 1)));
  for (std::int64_t step = 0; step < count; ++step) {
    const std::int64_t stripe = first + (start + step) % count;
    const std::int64_t low = std::max(offset, stripe * kStripe);
    const std::int64_t high = std::min(end, (stripe + 1) * kStripe);
    const std::lock_guard lock(locks_[static_cast<std::size_t>(stripe)]);
    for (std::int64_t i = low; i < high; ++i) {
      exact_sum::add_to(sums_[static_cast<std::size_t>(i)],
                        values[static_cast<std::size_t>(i - offset)]);
    }
  }
}

void ExactSums::merge(std::span<const ExactSumBins> bins) {
  for (std::size_t i = 0; i < sums_.size(); ++i) exact_sum::merge(sums_[i], bins[i]);
}

void ExactSums::round(std::span<double> out) const {
  for (std::size_t i = 0; i < sums_.size(); ++i) out[i] = exact_sum::value_of(sums_[i]);
}

double ExactSums::value(std::int64_t i) const {
  return exact_sum::value_of(sums_[static_cast<std::size_t>(i)]);
}

std::int64_t ExactSums::bytes(std::int64_t size) {
  return size * static_cast<std::int64_t>(sizeof(ExactSumBins)) +
         n_stripes(size) * static_cast<std::int64_t>(sizeof(std::mutex));
}

}  // namespace culatent
