#include "bench/cuda/results.hpp"

#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "culatent/context.hpp"
#include "culatent/error.hpp"

namespace culatent::bench {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json text(const std::string& value) { return value.empty() ? Json() : Json(value); }

double value_or_unknown(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? kUnknown : found->get<double>();
}

std::string in_words(double seconds) {
  char out[32];
  if (!std::isfinite(seconds)) return "not measured";
  if (seconds >= 1.0) {
    std::snprintf(out, sizeof(out), "%.3f s", seconds);
  } else if (seconds >= 1e-3) {
    std::snprintf(out, sizeof(out), "%.3f ms", 1e3 * seconds);
  } else {
    std::snprintf(out, sizeof(out), "%.2f us", 1e6 * seconds);
  }
  return out;
}

}  // namespace

Results::Results(const std::string& floors, const std::string& json) {
  std::ifstream file(floors);
  Json list;
  try {
    list = Json::parse(file);
    for (const Json& entry : list.at("entries")) {
      references_[{entry.at("name"), entry.at("case")}] = {
          value_or_unknown(entry, "floor_seconds"), value_or_unknown(entry, "aim_seconds"),
          value_or_unknown(entry, "aim_ratio"), value_or_unknown(entry, "rate")};
    }
  } catch (const Json::exception& error) {
    throw io_error(error.what(), floors, "put floors.json of this build beside the program");
  }
  if (json.empty()) return;
  json_.open(json);
  if (!json_) throw io_error("cannot be written", json, "name a file in a folder that is there");
}

double Results::assumed_rate(const std::string& name, const std::string& workload) const {
  const auto found = references_.find({name, workload});
  if (found == references_.end() || !std::isfinite(found->second.rate)) {
    throw io_error("no rate of " + name + " " + workload, "floors.json",
                   "use the file of this build");
  }
  return found->second.rate;
}

void Results::add(const Entry& entry) {
  Reference reference;
  const auto found = references_.find({entry.name, entry.workload});
  if (found != references_.end()) reference = found->second;
  const double floor = std::isfinite(reference.floor) ? reference.floor : entry.floor;
  const double aim =
      std::isfinite(reference.aim) ? reference.aim : entry.peer_seconds / reference.aim_ratio;
  const bool is_rate = !entry.unit.empty();
  const double percent = 100.0 * (is_rate ? entry.rate / reference.rate : floor / entry.seconds);
  Json line = {{"name", entry.name},
               {"case", entry.workload},
               {"seconds", number(entry.seconds)},
               {"floor_seconds", number(floor)},
               {"aim_seconds", number(aim)},
               {"percent_of_floor", number(percent)},
               {"peer", text(entry.peer)},
               {"peer_seconds", number(entry.peer_seconds)},
               {"ratio", number(entry.peer_seconds / entry.seconds)}};
  if (is_rate) {
    line["rate"] = number(entry.rate);
    line["unit"] = entry.unit;
    line["assumed_rate"] = number(reference.rate);
  }
  if (!entry.note.empty()) line["note"] = entry.note;
  if (json_.is_open()) {
    json_ << line.dump() << '\n' << std::flush;
    if (!json_) throw io_error("cannot be written", "--json", "look for room on the disk");
  }

  std::string words = in_words(entry.seconds);
  char out[64];
  if (is_rate && std::isfinite(entry.rate)) {
    std::snprintf(out, sizeof(out), ", %.4g %s", entry.rate, entry.unit.c_str());
    words += out;
  }
  if (std::isfinite(percent)) {
    std::snprintf(out, sizeof(out), ", %.0f %% of the floor", percent);
    words += out;
  }
  if (std::isfinite(entry.peer_seconds)) {
    std::snprintf(out, sizeof(out), ", %.2f times as fast as ", entry.peer_seconds / entry.seconds);
    words += out + entry.peer;
  }
  if (!entry.note.empty()) words += " (" + entry.note + ")";
  std::printf("%-32s %-36s %s\n", entry.name.c_str(), entry.workload.c_str(), words.c_str());
  std::fflush(stdout);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  std::error_code ignored;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  arguments.floors = (program.parent_path() / "floors.json").string();
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick") {
      arguments.quick = true;
    } else if (word == "--describe") {
      arguments.describe = true;
    } else if ((word == "--json" || word == "--only") && i + 1 < argc) {
      (word == "--json" ? arguments.json : arguments.filter) = argv[++i];
    } else {
      throw invalid_argument("'" + word + "' is not known or lacks its value", "arguments",
                             "use --quick, --json FILE, --only TEXT, --describe");
    }
  }
  return arguments;
}

void require_device() {
  std::string reason = "this build has no CUDA backend";
  for (const Device& device : devices()) {
    if (!device.name.starts_with("cuda")) continue;
    if (device.available) return;
    reason = device.reason;
  }
  throw device_error("no CUDA device", reason, "run it on a machine that has one");
}

int run(const char* program, int argc, char** argv, void (*body)(const Arguments&)) {
  try {
    body(parse(argc, argv));
    return 0;
  } catch (const invalid_argument& error) {
    std::fprintf(stderr, "%s: error: %s\n", program, error.what());
    return 2;
  } catch (const device_error& error) {
    std::fprintf(stderr, "%s: error: %s\n", program, error.what());
    return 5;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: error: %s\n", program, error.what());
    return 1;
  }
}

}  // namespace culatent::bench
