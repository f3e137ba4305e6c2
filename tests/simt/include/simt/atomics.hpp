#pragma once

#include <type_traits>

#include "simt/kernel.hpp"

/// Atomic functions on global and shared memory. They are defined in the library, never inline, so
/// that the checker sees an atomic access and not a plain one.

namespace simt::detail {

template <class T, class... Choices>
concept OneOf = (std::is_same_v<T, Choices> || ...);
template <class T>
concept AtomicInteger = OneOf<T, int, unsigned, unsigned long long>;
template <class T>
concept AtomicOrdered = AtomicInteger<T> || std::is_same_v<T, long long>;
template <class T>
concept AtomicNumber = AtomicInteger<T> || OneOf<T, float, double>;
template <class T>
concept AtomicExchanged = AtomicInteger<T> || std::is_same_v<T, float>;
template <class T>
concept AtomicCompared = AtomicInteger<T> || std::is_same_v<T, unsigned short>;
template <class T>
using Value = std::type_identity_t<T>;  // converts as an argument of a plain function does

}  // namespace simt::detail

template <simt::detail::AtomicNumber T>
T atomicAdd(T* address, simt::detail::Value<T> value, simt::Where where = simt::Where::current());
template <simt::detail::AtomicExchanged T>
T atomicExch(T* address, simt::detail::Value<T> value, simt::Where where = simt::Where::current());
template <simt::detail::OneOf<int, unsigned> T>
T atomicSub(T* address, simt::detail::Value<T> value, simt::Where where = simt::Where::current());
template <simt::detail::AtomicOrdered T>
T atomicMin(T* address, simt::detail::Value<T> value, simt::Where where = simt::Where::current());
template <simt::detail::AtomicOrdered T>
T atomicMax(T* address, simt::detail::Value<T> value, simt::Where where = simt::Where::current());
template <simt::detail::AtomicInteger T>
T atomicAnd(T* address, simt::detail::Value<T> value, simt::Where where = simt::Where::current());
template <simt::detail::AtomicInteger T>
T atomicOr(T* address, simt::detail::Value<T> value, simt::Where where = simt::Where::current());
template <simt::detail::AtomicInteger T>
T atomicXor(T* address, simt::detail::Value<T> value, simt::Where where = simt::Where::current());
template <simt::detail::AtomicCompared T>
T atomicCAS(T* address, simt::detail::Value<T> expected, simt::detail::Value<T> desired,
            simt::Where where = simt::Where::current());
/// Counts 0, 1, …, limit, 0, … and limit, …, 1, 0, limit, … round the clock.
unsigned atomicInc(unsigned* address, unsigned limit, simt::Where where = simt::Where::current());
unsigned atomicDec(unsigned* address, unsigned limit, simt::Where where = simt::Where::current());
