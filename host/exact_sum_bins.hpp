#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__CUDACC__)
#define CULATENT_HOST_DEVICE __host__ __device__
#else
#define CULATENT_HOST_DEVICE
#endif

/// The arithmetic of one sum of ExactSums (exact_sums.hpp), the same instructions on host and
/// device.
namespace culatent {

/// All zero bytes: an empty sum. Left uninitialised by default, as shared memory must be.
struct ExactSumBins {
  std::int64_t bins[3];  // bins[0] holds the bits of bin `top`
  std::int64_t top;      // the bin of the largest addend's leading bit; or kNotFinite
};

namespace exact_sum {

inline constexpr int kBinBits = 32;
inline constexpr int kBias = 1088;  // a multiple of 32 above 1074: bin 0 begins below subnormals
// The `top` of a sum that is not finite; its bins then tell what was added.
inline constexpr std::int64_t kNotFinite = INT64_MAX;
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr int kSawNaN = 0, kSawInfinity = 1, kSawMinusInfinity = 2;

/// Moves the bins up; what lies below the new lowest bin is dropped, whatever was added there.
CULATENT_HOST_DEVICE inline void raise(ExactSumBins& sum, std::int64_t top) {
  const std::int64_t shift = top - sum.top;
  const bool finite = top != kNotFinite;
  sum.bins[2] = !finite ? 0 : shift == 1 ? sum.bins[1] : shift == 2 ? sum.bins[0] : 0;
  sum.bins[1] = finite && shift == 1 ? sum.bins[0] : 0;
  sum.bins[0] = 0;
  sum.top = top;
}

CULATENT_HOST_DEVICE inline void add_to(ExactSumBins& sum, double value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  const int biased = static_cast<int>((bits >> 52) & 0x7FF);
  std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52) - 1);
  if (biased == 0x7FF) {
    if (sum.top != kNotFinite) raise(sum, kNotFinite);
    const std::int64_t nan = mantissa != 0 ? 1 : 0,
                       negative = static_cast<std::int64_t>(bits >> 63);
    sum.bins[kSawNaN] |= nan;
    sum.bins[kSawInfinity] |= (1 - nan) & (1 - negative);
    sum.bins[kSawMinusInfinity] |= (1 - nan) & negative;
    return;
  }
  if (biased != 0) mantissa |= std::uint64_t{1} << 52;
  if (mantissa == 0) return;
  // value = ± mantissa 2^(exponent - 52); a subnormal is binned as if its leading bit were set,
  // which only wastes room.
  const int exponent = (biased > 1 ? biased : 1) - 1023;
  const int bin = (exponent + kBias) / kBinBits;
  const int offset = (exponent + kBias) % kBinBits + 12;  // of the last bit over bin - 2
  // The 53 bits lie in bits [offset, offset + 53) of the 96 of bins bin - 2 … bin; 12 ≤ offset
  // ≤ 43.
  const std::uint64_t low = mantissa << offset;
  const auto sign = -static_cast<std::int64_t>(bits >> 63);  // 0 or −1; (x ^ −1) − −1 = −x
  const std::int64_t pieces[3] = {
      (static_cast<std::int64_t>(mantissa >> (64 - offset)) ^ sign) - sign,
      (static_cast<std::int64_t>(low >> 32) ^ sign) - sign,
      (static_cast<std::int64_t>(low & 0xFFFFFFFFu) ^ sign) - sign};
  if (bin > sum.top) raise(sum, bin);
  const std::int64_t shift = sum.top - bin;
  if (shift == 0) {
    for (int i = 0; i < 3; ++i) sum.bins[i] += pieces[i];
  } else if (shift == 1) {
    sum.bins[1] += pieces[0];
    sum.bins[2] += pieces[1];
  } else if (shift == 2) {
    sum.bins[2] += pieces[0];
  }
}

/// sum += other, as if its addends had been added here.
CULATENT_HOST_DEVICE inline void merge(ExactSumBins& sum, ExactSumBins other) {
  if (other.top > sum.top) raise(sum, other.top);
  if (sum.top > other.top) raise(other, sum.top);
  for (int b = 0; b < 3; ++b) sum.bins[b] += other.bins[b];
}

/// The sum, correctly rounded from the bins.
CULATENT_HOST_DEVICE inline double value_of(const ExactSumBins& sum) {
  if (sum.top == kNotFinite) {
    if (sum.bins[kSawNaN] != 0) return kNaN;
    return (sum.bins[kSawInfinity] != 0 ? kInfinity : 0.0) -
           (sum.bins[kSawMinusInfinity] != 0 ? kInfinity : 0.0);
  }
  const __int128 total = (static_cast<__int128>(sum.bins[0]) << 64) +
                         (static_cast<__int128>(sum.bins[1]) << 32) + sum.bins[2];
  // The conversion rounds to nearest; the scaling is exact unless the result is subnormal.
  return ldexp(static_cast<double>(total), static_cast<int>((sum.top - 2) * kBinBits) - kBias);
}

}  // namespace exact_sum
}  // namespace culatent
