#pragma once

#include <cstdint>
#include <string>

/// Numbers as options spell them: plain decimal, the whole text, in range. Anything else is an
/// invalid_argument that names `option`.
namespace culatent::cli {

std::int64_t parse_integer(const std::string& text, const std::string& option, std::int64_t low,
                           std::int64_t high);
std::uint64_t parse_seed(const std::string& text, const std::string& option);
/// Finite, and at least `low`.
double parse_real(const std::string& text, const std::string& option, double low);

}  // namespace culatent::cli
