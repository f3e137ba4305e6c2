#include "host/io/safetensors_parser.hpp"

#include <set>
#include <vector>

namespace culatent::io {
namespace {

using nlohmann::json;
constexpr const char* kRemedy = "the file is damaged; copy it again or fit the model again";

}  // namespace

json parse_header(const Bytes& bytes, std::int64_t first, std::int64_t last) {
  std::string_view text = bytes.text(first, last - first);
  if (text.empty() || text[0] != '{') {
    fail_at_byte(bytes, first, "the header does not begin with '{'",
                 "the file is cut or no safetensors file");
  }
  const auto closing = text.find_last_not_of(' ');
  if (text[closing] != '}') {
    fail_at_byte(bytes, first + static_cast<std::int64_t>(closing),
                 "the header does not end with '}' and spaces", kRemedy);
  }
  std::vector<std::set<std::string>> open_objects;
  const auto refuse_repeated_keys = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == json::parse_event_t::object_end) open_objects.pop_back();
    if (event == json::parse_event_t::key &&
        !open_objects.back().insert(value.get<std::string>()).second) {
      fail_at_byte(bytes, first, "the header has a key twice: " + value.dump(), kRemedy);
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), refuse_repeated_keys);
  } catch (const json::parse_error& error) {
    fail_at_byte(bytes, first + static_cast<std::int64_t>(error.byte), "the header is not JSON",
                 kRemedy);
  } catch (const json::exception&) {
    fail_at_byte(bytes, first, "the header is not JSON", kRemedy);
  }
}

void check_spelling(const Bytes& bytes, std::int64_t first, std::int64_t last) {
  for (std::int64_t i = first; i + 5 < last; ++i) {
    if (bytes.data[i] != '\\') continue;
    ++i;  // the escaped character, so that \\u is no escape of u
    if (bytes.data[i] != 'u') continue;
    for (std::int64_t digit = i + 1; digit <= i + 4; ++digit) {
      if (bytes.data[digit] >= 'A' && bytes.data[digit] <= 'F') {
        fail_at_byte(bytes, digit, "the header does not match its checksum", kRemedy);
      }
    }
  }
}

}  // namespace culatent::io
