#include "kernels/cpu/fft.hpp"

#include <cmath>
#include <numbers>
#include <utility>

namespace culatent::cpu {
namespace {

// One complex number a lane.
template <class T>
struct Complex {
  typename Simd<T>::Vec re, im;
};

template <class T>
Complex<T> operator+(const Complex<T>& a, const Complex<T>& b) {
  return {a.re + b.re, a.im + b.im};
}

template <class T>
Complex<T> operator-(const Complex<T>& a, const Complex<T>& b) {
  return {a.re - b.re, a.im - b.im};
}

template <class T>
Complex<T> scaled(T factor, const Complex<T>& a) {
  return {factor * a.re, factor * a.im};
}

// −i a
template <class T>
Complex<T> turned(const Complex<T>& a) {
  return {a.im, -a.re};
}

// The transforms of 2, 3, 4 and 5 elements.
template <class T>
void butterfly(Complex<T> (&x)[2]) {
  const Complex<T> a = x[0], b = x[1];
  x[0] = a + b;
  x[1] = a - b;
}

template <class T>
void butterfly(Complex<T> (&x)[3]) {
  const T sine = static_cast<T>(std::numbers::sqrt3 / 2.0);
  const Complex<T> sum = x[1] + x[2], turn = turned(scaled(sine, x[1] - x[2]));
  const Complex<T> rest = x[0] - scaled(T{0.5}, sum);
  x[0] = x[0] + sum;
  x[1] = rest + turn;
  x[2] = rest - turn;
}

template <class T>
void butterfly(Complex<T> (&x)[4]) {
  const Complex<T> even = x[0] + x[2], even_less = x[0] - x[2];
  const Complex<T> odd = x[1] + x[3], turn = turned(x[1] - x[3]);
  x[0] = even + odd;
  x[1] = even_less + turn;
  x[2] = even - odd;
  x[3] = even_less - turn;
}

template <class T>
void butterfly(Complex<T> (&x)[5]) {
  const T c1 = static_cast<T>(0.309016994374947424102293417183);
  const T c2 = static_cast<T>(-0.809016994374947424102293417183);
  const T s1 = static_cast<T>(0.951056516295153572116439333379);
  const T s2 = static_cast<T>(0.587785252292473129168705954639);
  const Complex<T> near = x[1] + x[4], near_less = x[1] - x[4];
  const Complex<T> far = x[2] + x[3], far_less = x[2] - x[3];
  const Complex<T> a = x[0] + scaled(c1, near) + scaled(c2, far);
  const Complex<T> b = x[0] + scaled(c2, near) + scaled(c1, far);
  const Complex<T> u = turned(scaled(s1, near_less) + scaled(s2, far_less));
  const Complex<T> v = turned(scaled(s2, near_less) - scaled(s1, far_less));
  x[0] = x[0] + near + far;
  x[1] = a + u;
  x[2] = b + v;
  x[3] = b - v;
  x[4] = a - u;
}

// One pass: `count` elements are left to transform in each of `step` interleaved sequences.
template <class T, int kRadix>
void pass(std::int64_t count, std::int64_t step, const T* cosines, const T* sines,
          const typename Simd<T>::Vec* re, const typename Simd<T>::Vec* im,
          typename Simd<T>::Vec* out_re, typename Simd<T>::Vec* out_im) {
  const std::int64_t part = count / kRadix;
  for (std::int64_t p = 0; p < part; ++p) {
    T cosine[kRadix], sine[kRadix];
    for (int j = 1; j < kRadix; ++j) {
      cosine[j] = cosines[j * p * step];
      sine[j] = sines[j * p * step];
    }
    for (std::int64_t q = 0; q < step; ++q) {
      Complex<T> x[kRadix];
#pragma GCC unroll 5
      for (int k = 0; k < kRadix; ++k) {
        const std::int64_t from = q + step * (p + part * k);
        x[k] = {re[from], im[from]};
      }
      butterfly(x);
      const std::int64_t to = q + step * kRadix * p;
      out_re[to] = x[0].re;
      out_im[to] = x[0].im;
#pragma GCC unroll 5
      for (int j = 1; j < kRadix; ++j) {
        out_re[to + step * j] = x[j].re * cosine[j] + x[j].im * sine[j];
        out_im[to + step * j] = x[j].im * cosine[j] - x[j].re * sine[j];
      }
    }
  }
}

// True when n has no other prime factors than 2, 3 and 5.
bool smooth(std::int64_t n) {
  for (const int factor : {2, 3, 5}) {
    while (n % factor == 0) n /= factor;
  }
  return n == 1;
}

}  // namespace

std::int64_t fft_size(std::int64_t n) {
  n += n % 2;
  while (!smooth(n)) n += 2;
  return n;
}

template <class T>
Fft<T>::Fft(std::int64_t size) : size_(size) {
  std::int64_t rest = size;
  for (const int radix : {4, 2, 3, 5}) {
    for (; rest % radix == 0; rest /= radix) radices_.push_back(radix);
  }
  for (std::int64_t t = 0; t < size; ++t) {
    const double angle =
        2.0 * std::numbers::pi * static_cast<double>(t) / static_cast<double>(size);
    cosines_.push_back(static_cast<T>(std::cos(angle)));
    sines_.push_back(static_cast<T>(std::sin(angle)));
  }
}

template <class T>
void Fft<T>::transform(Vec* re, Vec* im, Vec* scratch) const {
  Vec* from_re = re;
  Vec* from_im = im;
  Vec* to_re = scratch;
  Vec* to_im = scratch + size_;
  std::int64_t count = size_, step = 1;
  for (const int radix : radices_) {
    const auto run = radix == 4   ? pass<T, 4>
                     : radix == 2 ? pass<T, 2>
                     : radix == 3 ? pass<T, 3>
                                  : pass<T, 5>;
    run(count, step, cosines_.data(), sines_.data(), from_re, from_im, to_re, to_im);
    std::swap(from_re, to_re);
    std::swap(from_im, to_im);
    count /= radix;
    step *= radix;
  }
  if (from_re == re) return;
  for (std::int64_t t = 0; t < size_; ++t) {
    re[t] = from_re[t];
    im[t] = from_im[t];
  }
}

template class Fft<float>;
template class Fft<double>;

}  // namespace culatent::cpu
