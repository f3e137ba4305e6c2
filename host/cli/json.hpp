#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "culatent/context.hpp"

namespace culatent::cli {

/// Keys stay in the order in which they were added.
using Json = nlohmann::ordered_json;

/// Text of `value`: floating-point numbers with 17 significant digits, non-finite ones as null. A
/// container that is short, or of plain values only, takes one line, any other one line an element.
/// Ends with a newline.
std::string to_text(const Json& value);

/// One line, the same numbers.
std::string to_line(const Json& value);

/// Every number of `value` that is not finite becomes null; one warning for each key path (indices
/// left out: "trace.elbo") with the number of times.
std::vector<Warning> replace_non_finite(Json& value);

/// [{code, text}, …]
Json to_json(const std::vector<Warning>& warnings);

/// Writes `value` to stdout, its non-finite numbers as null and announced: on stderr and under its
/// key `warnings`. Throws io_error when stdout cannot take it.
void print_result(Json value);

/// As print_result() without the printing: what goes to a report file.
void announce_non_finite(Json& value);

/// "culatent: warning: TEXT" on stderr.
void print_warning(const std::string& text);

}  // namespace culatent::cli
