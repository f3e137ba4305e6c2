#include "check.hpp"

// What the compiler calls, under -fsanitize=alignment,bounds, where an address is not aligned for
// its type and where an index is outside its array: the interface of libubsan, which is not linked.
// Both are found here even where the access itself lands in memory that is the block's own.

namespace {

using namespace simt::detail;

struct SourceLocation {
  const char* file;
  std::uint32_t line;
  std::uint32_t column;
};
struct Type {
  std::uint16_t kind;
  std::uint16_t bits;
  char name[1];  // in quotes, as long as it is
};
struct TypeMismatch {
  SourceLocation where;
  const Type& type;
  unsigned char log_alignment;
  unsigned char access;
};
struct OutOfBounds {
  SourceLocation where;
  const Type& array;
  const Type& index;
};

}  // namespace

extern "C" {

void __ubsan_handle_type_mismatch_v1(const TypeMismatch* found, std::uintptr_t) {
  if (!in_kernel) return;
  const RuntimeCall call;
  const std::string place = site_text(site_of(found->where.file, found->where.line));
  report("misaligned", "%s at %s: an address is not a multiple of %u", found->type.name,
         place.c_str(), 1u << found->log_alignment);
  abandon(cudaErrorMisalignedAddress);
}

void __ubsan_handle_out_of_bounds(const OutOfBounds* found, std::uintptr_t) {
  if (!in_kernel) return;
  const RuntimeCall call;
  const std::string place = site_text(site_of(found->where.file, found->where.line));
  report("out-of-bounds", "index outside an array %s at %s", found->array.name, place.c_str());
}

}  // extern "C"
