#pragma once

#include <Random123/philox.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>

/// Counter-based random draws (Salmon et al. 2011, Philox4x32-10, by Random123): a draw is a
/// function of (seed, stream, element, index) alone, so any thread, chunk or device that asks for
/// the same one gets the same value.
namespace culatent::random {

/// What a draw is for; streams never share values.
enum class Stream : std::uint32_t {
  seed_rows = 1,         ///< rows of the sample that seeds are taken from
  seed_choice = 2,       ///< k-means++ trials
  responsibilities = 3,  ///< random initial responsibilities
  sample_component = 4,
  sample_normal = 5,
  seed_round = 6,  ///< k-means||: rows that become candidates
  batch = 7,       ///< rows of mini-batches
  sample_bit = 8,
  means = 9,                  ///< random initial means
  principal_components = 10,  ///< first basis
  spectral_embedding = 11,    ///< first basis
  positions = 12,             ///< random initial positions of an embedding
};

/// Four independent 32-bit words.
inline std::array<std::uint32_t, 4> words(std::uint64_t seed, Stream stream, std::uint64_t element,
                                          std::uint32_t index) {
  const philox4x32_ctr_t counter = {{static_cast<std::uint32_t>(element),
                                     static_cast<std::uint32_t>(element >> 32), index,
                                     static_cast<std::uint32_t>(stream)}};
  const philox4x32_key_t key = {
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  const philox4x32_ctr_t out = philox4x32(counter, key);
  return {out[0], out[1], out[2], out[3]};
}

/// 52 random bits in (0, 1): with 53, the largest would round to 1.
inline double to_uniform(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = ((static_cast<std::uint64_t>(high) << 32) | low) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

inline double uniform(std::uint64_t seed, Stream stream, std::uint64_t element,
                      std::uint32_t index) {
  const auto w = words(seed, stream, element, index);
  return to_uniform(w[0], w[1]);
}

/// Two independent standard normals (Box & Muller 1958).
inline std::array<double, 2> normals(std::uint64_t seed, Stream stream, std::uint64_t element,
                                     std::uint32_t index) {
  const auto w = words(seed, stream, element, index);
  const double radius = std::sqrt(-2.0 * std::log(to_uniform(w[0], w[1])));
  const double angle = 2.0 * std::numbers::pi * to_uniform(w[2], w[3]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// A component drawn by weight (which sum to 1) for row `element` of a sample.
inline std::int64_t component(std::uint64_t seed, std::uint64_t element,
                              std::span<const double> weights) {
  double u = uniform(seed, Stream::sample_component, element, 0);
  std::size_t k = 0;
  while (k + 1 < weights.size() && u >= weights[k]) u -= weights[k++];
  return static_cast<std::int64_t>(k);
}

/// out(i, j) = a standard normal, of element i and index j.
template <class M>
void fill_normals(std::uint64_t seed, Stream stream, M& out) {
  for (std::int64_t i = 0; i < out.rows(); ++i) {
    for (std::int64_t j = 0; j < out.cols(); ++j) {
      out(i, j) =
          normals(seed, stream, static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(j))[0];
    }
  }
}

/// The seed of restart r of a fit.
inline std::uint64_t restart_seed(std::uint64_t seed, int restart) {
  return seed + 0x9E3779B97F4A7C15u * static_cast<std::uint64_t>(restart);
}

}  // namespace culatent::random
