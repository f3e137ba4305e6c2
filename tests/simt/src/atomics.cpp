#include "simt/atomics.hpp"

#include <algorithm>

#include "internal.hpp"
#include "simt/warp.hpp"

using simt::Where;
using simt::detail::Value;

namespace {

// Threads never run at the same time and are not interrupted here: plain code is atomic.
template <class T, class Change>
T modify(T* address, Where where, Change change) {
  simt::detail::note_access(address, sizeof(T), simt::detail::Access::kAtomic, where);
  const T old = *address;
  *address = change(old);
  return old;
}

template <class T>
T wrapped_sum(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    T sum;
    static_cast<void>(__builtin_add_overflow(a, b, &sum));
    return sum;
  } else {
    return a + b;
  }
}

}  // namespace

template <simt::detail::AtomicNumber T>
T atomicAdd(T* address, Value<T> value, Where where) {
  return modify(address, where, [&](T old) { return wrapped_sum(old, value); });
}
template <simt::detail::AtomicExchanged T>
T atomicExch(T* address, Value<T> value, Where where) {
  return modify(address, where, [&](T) { return value; });
}
template <simt::detail::OneOf<int, unsigned> T>
T atomicSub(T* address, Value<T> value, Where where) {
  return modify(address, where, [&](T old) {
    return static_cast<T>(static_cast<unsigned>(old) - static_cast<unsigned>(value));
  });
}
template <simt::detail::AtomicOrdered T>
T atomicMin(T* address, Value<T> value, Where where) {
  return modify(address, where, [&](T old) { return std::min(old, value); });
}
template <simt::detail::AtomicOrdered T>
T atomicMax(T* address, Value<T> value, Where where) {
  return modify(address, where, [&](T old) { return std::max(old, value); });
}
template <simt::detail::AtomicInteger T>
T atomicAnd(T* address, Value<T> value, Where where) {
  return modify(address, where, [&](T old) { return old & value; });
}
template <simt::detail::AtomicInteger T>
T atomicOr(T* address, Value<T> value, Where where) {
  return modify(address, where, [&](T old) { return old | value; });
}
template <simt::detail::AtomicInteger T>
T atomicXor(T* address, Value<T> value, Where where) {
  return modify(address, where, [&](T old) { return old ^ value; });
}
template <simt::detail::AtomicCompared T>
T atomicCAS(T* address, Value<T> expected, Value<T> desired, Where where) {
  return modify(address, where, [&](T old) { return old == expected ? desired : old; });
}
unsigned atomicInc(unsigned* address, unsigned limit, Where where) {
  return modify(address, where, [&](unsigned old) { return old >= limit ? 0 : old + 1; });
}
unsigned atomicDec(unsigned* address, unsigned limit, Where where) {
  return modify(address, where,
                [&](unsigned old) { return old == 0 || old > limit ? limit : old - 1; });
}

#define SIMT_INSTANTIATE(name, T) template T name(T*, Value<T>, Where);
#define SIMT_INSTANTIATE_INTEGERS(name) \
  SIMT_INSTANTIATE(name, int)           \
  SIMT_INSTANTIATE(name, unsigned)      \
  SIMT_INSTANTIATE(name, unsigned long long)
SIMT_INSTANTIATE_INTEGERS(atomicAdd)
SIMT_INSTANTIATE(atomicAdd, float)
SIMT_INSTANTIATE(atomicAdd, double)
SIMT_INSTANTIATE_INTEGERS(atomicExch)
SIMT_INSTANTIATE(atomicExch, float)
SIMT_INSTANTIATE(atomicSub, int)
SIMT_INSTANTIATE(atomicSub, unsigned)
SIMT_INSTANTIATE_INTEGERS(atomicMin)
SIMT_INSTANTIATE(atomicMin, long long)
SIMT_INSTANTIATE_INTEGERS(atomicMax)
SIMT_INSTANTIATE(atomicMax, long long)
SIMT_INSTANTIATE_INTEGERS(atomicAnd)
SIMT_INSTANTIATE_INTEGERS(atomicOr)
SIMT_INSTANTIATE_INTEGERS(atomicXor)
template int atomicCAS(int*, int, int, Where);
template unsigned atomicCAS(unsigned*, unsigned, unsigned, Where);
template unsigned long long atomicCAS(unsigned long long*, unsigned long long, unsigned long long,
                                      Where);
template unsigned short atomicCAS(unsigned short*, unsigned short, unsigned short, Where);

void __threadfence() {
  const simt::detail::RuntimeCall call;
  if (simt::detail::hooks.fence) simt::detail::hooks.fence();
}
void __threadfence_block() {}  // threads of a block are ordered by its barriers
void __threadfence_system() { __threadfence(); }
