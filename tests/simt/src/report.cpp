#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "internal.hpp"

namespace simt {
namespace {

std::vector<Diagnostic> found;
std::set<std::string> texts_found;
constexpr std::size_t kMostSaid = 20;
constexpr std::size_t kMostKept = 1000;

std::string variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value ? value : otherwise;
}
bool flag(const char* name, bool otherwise) { return variable(name, otherwise ? "1" : "0") != "0"; }

Order order_of(const std::string& name) {
  if (name == "forward") return Order::kForward;
  if (name == "reverse") return Order::kReverse;
  if (name == "random") return Order::kRandom;
  std::fprintf(stderr, "simt: SIMT_ORDER is '%s': use forward, reverse or random\n", name.c_str());
  std::exit(2);
}

Options from_environment() {
  Options result;
  result.order = order_of(variable("SIMT_ORDER", "forward"));
  result.seed = std::strtoull(variable("SIMT_SEED", "1").c_str(), nullptr, 10);
  result.random_blocks = flag("SIMT_RANDOM_BLOCKS", result.order == Order::kRandom);
  result.poison = flag("SIMT_POISON", true);
  result.strict_exit = flag("SIMT_STRICT_EXIT", true);
  result.protect = flag("SIMT_PROTECT", true);
  result.deferred = flag("SIMT_DEFERRED", false);
  if (const char* value = std::getenv("SIMT_SHARED_MEMORY")) {
    result.shared_memory = std::strtoull(value, nullptr, 10);
  }
  result.preempt = std::strtod(variable("SIMT_PREEMPT", "0").c_str(), nullptr);
  return result;
}

std::string thread_text() {
  if (detail::self == nullptr) return "";
  const uint3 thread = detail::self->index;
  char text[96];
  std::snprintf(text, sizeof text, " [block (%u,%u,%u) thread (%u,%u,%u)]", blockIdx.x, blockIdx.y,
                blockIdx.z, thread.x, thread.y, thread.z);
  return text;
}

}  // namespace

Options& options() {
  static Options values = from_environment();
  return values;
}

const std::vector<Diagnostic>& diagnostics() { return found; }
void clear_diagnostics() {
  found.clear();
  texts_found.clear();
}
bool has_diagnostic(const std::string& kind) {
  return std::any_of(found.begin(), found.end(),
                     [&](const Diagnostic& diagnostic) { return diagnostic.kind == kind; });
}

Stats& stats() {
  static constinit Stats values;
  return values;
}

bool is_check_build() { return detail::hooks.access != nullptr; }

namespace detail {

constinit Hooks hooks;

void report(const char* kind, const char* format, ...) {
  const RuntimeCall call;
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (!texts_found.insert(std::string(kind) + text).second) return;
  const std::string whole = text + thread_text();
  if (found.size() < kMostSaid) std::fprintf(stderr, "simt: %s: %s\n", kind, whole.c_str());
  if (found.size() < kMostKept) found.push_back({kind, whole});
}

void trap(Where where) {
  const RuntimeCall call;
  report("trap", "__trap at %s:%u", where.file_name(), where.line());
  abandon(cudaErrorLaunchFailure);
}

void note_access(const void* begin, std::size_t bytes, Access access, Where where) {
  if (!hooks.access) return;
  const RuntimeCall call;
  hooks.access(begin, bytes, access, where);
}

}  // namespace detail
}  // namespace simt
