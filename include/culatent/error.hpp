#pragma once

#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

/// Typed errors. Every text reads "what went wrong (where): what to do", so a caller may print
/// `what()` as it is. After any of these the Context is usable and no file is half written.
namespace culatent {

/// "what (where): remedy"; the parts that are empty are left out.
std::string error_text(std::string_view what, std::string_view where, std::string_view remedy);

/// An option or argument that no data could make right (n_components = 0, a view of the wrong
/// size).
class invalid_argument : public std::invalid_argument {
 public:
  invalid_argument(std::string_view what, std::string_view where, std::string_view remedy);
};

/// Data that the method cannot work on (NaN, fewer rows than components, no spread).
class data_error : public std::runtime_error {
 public:
  data_error(std::string_view what, std::string_view where, std::string_view remedy);
};

/// A file that cannot be read, understood or written; `where` names the path and the byte or line.
class io_error : public std::runtime_error {
 public:
  io_error(std::string_view what, std::string_view where, std::string_view remedy);
};

/// The plan does not fit the memory limit, or an allocation failed.
class out_of_memory : public std::bad_alloc {
 public:
  out_of_memory(std::string_view what, std::string_view where, std::string_view remedy);
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

/// The device is not there, or failed.
class device_error : public std::runtime_error {
 public:
  device_error(std::string_view what, std::string_view where, std::string_view remedy);
};

}  // namespace culatent
