#include "culatent/error.hpp"

namespace culatent {

std::string error_text(std::string_view what, std::string_view where, std::string_view remedy) {
  std::string text(what);
  if (!where.empty()) text.append(" (").append(where).append(")");
  if (!remedy.empty()) text.append(": ").append(remedy);
  return text;
}

invalid_argument::invalid_argument(std::string_view what, std::string_view where,
                                   std::string_view remedy)
    : std::invalid_argument(error_text(what, where, remedy)) {}

data_error::data_error(std::string_view what, std::string_view where, std::string_view remedy)
    : std::runtime_error(error_text(what, where, remedy)) {}

io_error::io_error(std::string_view what, std::string_view where, std::string_view remedy)
    : std::runtime_error(error_text(what, where, remedy)) {}

out_of_memory::out_of_memory(std::string_view what, std::string_view where, std::string_view remedy)
    : text_(error_text(what, where, remedy)) {}

device_error::device_error(std::string_view what, std::string_view where, std::string_view remedy)
    : std::runtime_error(error_text(what, where, remedy)) {}

}  // namespace culatent
