#include "host/exact_sums.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <thread>

namespace culatent {
namespace {

constexpr std::int64_t kStripe = 2048;
constexpr int kBinBits = 32;
constexpr int kBias = 1088;  // a multiple of 32 above 1074: bin 0 begins below the least subnormal
// The `top` of a sum that is not finite; its bins then tell what was added.
constexpr std::int64_t kNotFinite = INT64_MAX;
constexpr int kSawNaN = 0, kSawInfinity = 1, kSawMinusInfinity = 2;
constexpr std::uint64_t kBinMask = 0xFFFFFFFFu;

std::int64_t n_stripes(std::int64_t size) { return (size + kStripe - 1) / kStripe; }

}  // namespace

ExactSums::ExactSums(std::int64_t size)
    : sums_(static_cast<std::size_t>(size)),
      locks_(std::make_unique<std::mutex[]>(static_cast<std::size_t>(n_stripes(size)))) {}

void ExactSums::clear() { std::fill(sums_.begin(), sums_.end(), Sum{}); }

void ExactSums::raise(Sum& sum, std::int64_t top) {
  const std::int64_t shift = top - sum.top;
  std::int64_t kept[3] = {0, 0, 0};
  if (top != kNotFinite) {
    for (std::int64_t i = shift; i < 3; ++i) kept[i] = sum.bins[i - shift];
  }
  std::copy(kept, kept + 3, sum.bins);
  sum.top = top;
}

void ExactSums::add_to(Sum& sum, double value) {
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(value);
  const int biased = static_cast<int>((bits >> 52) & 0x7FF);
  if (biased == 0x7FF) {
    if (sum.top != kNotFinite) raise(sum, kNotFinite);
    sum.bins[std::isnan(value) ? kSawNaN : value > 0.0 ? kSawInfinity : kSawMinusInfinity] = 1;
    return;
  }
  std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52) - 1);
  if (biased != 0) mantissa |= std::uint64_t{1} << 52;
  if (mantissa == 0) return;
  // value = ± mantissa 2^(exponent - 52); a subnormal is binned as if its leading bit were set,
  // which only wastes room.
  const int exponent = std::max(biased, 1) - 1023;
  const int bin = (exponent + kBias) / kBinBits;
  const int offset = (exponent + kBias) % kBinBits + 12;  // of the last bit over bin - 2
  // The 53 bits lie in bits [offset, offset + 53) of the 96 of bins bin - 2 … bin; 12 ≤ offset
  // ≤ 43.
  const std::uint64_t low = mantissa << offset;
  const auto sign = -static_cast<std::int64_t>(bits >> 63);  // 0 or −1; (x ^ −1) − −1 = −x
  const auto signed_piece = [sign](std::uint64_t piece) {
    return (static_cast<std::int64_t>(piece) ^ sign) - sign;
  };
  const std::int64_t pieces[3] = {signed_piece(mantissa >> (64 - offset)), signed_piece(low >> 32),
                                  signed_piece(low & kBinMask)};
  if (bin > sum.top) raise(sum, bin);
  const std::int64_t shift = sum.top - bin;
  if (shift == 0) {
    for (int i = 0; i < 3; ++i) sum.bins[i] += pieces[i];
  } else {
    for (std::int64_t i = shift; i < 3; ++i) sum.bins[i] += pieces[i - shift];
  }
}

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
      add_to(sums_[static_cast<std::size_t>(i)], values[static_cast<std::size_t>(i - offset)]);
    }
  }
}

void ExactSums::merge(const ExactSums& other) {
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    Sum theirs = other.sums_[i];
    Sum& ours = sums_[i];
    if (theirs.top > ours.top) raise(ours, theirs.top);
    if (ours.top > theirs.top) raise(theirs, ours.top);
    for (int b = 0; b < 3; ++b) ours.bins[b] += theirs.bins[b];
  }
}

double ExactSums::value_of(const Sum& sum) {
  if (sum.top == kNotFinite) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (sum.bins[kSawNaN] != 0) return std::numeric_limits<double>::quiet_NaN();
    return (sum.bins[kSawInfinity] != 0 ? kInfinity : 0.0) -
           (sum.bins[kSawMinusInfinity] != 0 ? kInfinity : 0.0);
  }
  const __int128 total = (static_cast<__int128>(sum.bins[0]) << 64) +
                         (static_cast<__int128>(sum.bins[1]) << 32) + sum.bins[2];
  // The conversion rounds to nearest; the scaling is exact unless the result is subnormal.
  return std::ldexp(static_cast<double>(total), static_cast<int>((sum.top - 2) * kBinBits) - kBias);
}

void ExactSums::round(std::span<double> out) const {
  for (std::size_t i = 0; i < sums_.size(); ++i) out[i] = value_of(sums_[i]);
}

double ExactSums::value(std::int64_t i) const {
  return value_of(sums_[static_cast<std::size_t>(i)]);
}

std::int64_t ExactSums::bytes(std::int64_t size) {
  return size * static_cast<std::int64_t>(sizeof(Sum)) +
         n_stripes(size) * static_cast<std::int64_t>(sizeof(std::mutex));
}

}  // namespace culatent
