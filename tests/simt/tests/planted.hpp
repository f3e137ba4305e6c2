#pragma once

#include <ostream>
#include <vector>

#include "array.hpp"

/// Kernels with a bug planted in them, and the same kernels without: the first must be reported,
/// the second never.

/// One bug. `run` runs its kernel with or without it and tells whether the result was right. `kind`
/// is the diagnostic that must come; null: the result alone shows it.
struct Planted {
  const char* name;
  const char* kind;
  bool (*run)(bool with_bug);
};
std::vector<Planted> tile_bugs();
std::vector<Planted> reduce_bugs();
std::vector<Planted> pipeline_bugs();
std::vector<Planted> memory_bugs();

inline std::ostream& operator<<(std::ostream& stream, const Planted& planted) {
  return stream << planted.name;
}
