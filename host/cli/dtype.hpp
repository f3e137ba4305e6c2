#pragma once

#include <utility>

#include "culatent/dataset.hpp"

namespace culatent::cli {

/// The type that a command computes in and writes.
enum class Dtype { float32, float64 };

inline const char* name(Dtype dtype) { return dtype == Dtype::float32 ? "float32" : "float64"; }

inline ElementType element_type(Dtype dtype) {
  return dtype == Dtype::float32 ? ElementType::f4 : ElementType::f8;
}

/// float64 for elements of 8 bytes (CSV among them), otherwise float32.
inline Dtype default_dtype(const Dataset& data) {
  return element_size(data.type()) == 8 ? Dtype::float64 : Dtype::float32;
}

/// Calls work.operator()<float>() or <double>().
template <class Work>
decltype(auto) with_dtype(Dtype dtype, Work&& work) {
  if (dtype == Dtype::float32) return std::forward<Work>(work).template operator()<float>();
  return std::forward<Work>(work).template operator()<double>();
}

}  // namespace culatent::cli
