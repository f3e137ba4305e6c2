#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/simd.hpp"

/// Fourier transforms of as many sequences at a time as a vector has lanes: what a transform of a
/// grid consists of. A library's transform of a grid knows neither that half of it is zero nor that
/// what it makes is multiplied and transformed back at once.
namespace culatent::cpu {

/// The least even number 2^a 3^b 5^c of at least n.
std::int64_t fft_size(std::int64_t n);

/// Transforms of one length, 2^a 3^b 5^c. Stockham's algorithm: no reordering of elements (Swarz-
/// trauber 1984). May be used by several threads, each with scratch of its own.
template <class T>
class Fft {
 public:
  using Vec = typename Simd<T>::Vec;

  explicit Fft(std::int64_t size);

  std::int64_t size() const { return size_; }

  /// re + i im, [size], replaced by sum_t x_t exp(−2 π i k t / size), lane by lane; with re and im
  /// exchanged: the inverse, times size. `scratch`: 2 size vectors.
  ///   flops a lane: about 4.25 N log2 N where N is a power of 4
  void transform(Vec* re, Vec* im, Vec* scratch) const;

 private:
  std::int64_t size_;
  std::vector<int> radices_;
  std::vector<T> cosines_;  // [size] of 2 π t / size
  std::vector<T> sines_;
};

}  // namespace culatent::cpu
