#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>

#include "check.hpp"

namespace simt::detail {
namespace {

// Sites from here on are source locations, those below addresses within the program.
constexpr Site kFirstLocation = 0x80000000u;

struct Location {
  const char* file;  // compared as a pointer: a constant of the program
  unsigned line;
};

struct Program {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

Program find_program() {
  Program program;
  // The first object is the program itself.
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        auto& found = *static_cast<Program*>(result);
        found.begin = info->dlpi_addr;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD) continue;
          found.end = std::max<std::uintptr_t>(found.end,
                                               info->dlpi_addr + segment.p_vaddr + segment.p_memsz);
        }
        return 1;
      },
      &program);
  return program;
}

[[gnu::init_priority(200)]] const Program program = find_program();
[[gnu::init_priority(200)]] std::vector<Location> locations;
[[gnu::init_priority(200)]] std::map<Site, std::string> texts;

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// addr2line gives a line of text a frame, the innermost function that was inlined first:
// "/path/file.cu:12 (discriminator 3)".
std::vector<std::string> frames_at(Site address) {
  char command[128];
  std::snprintf(command, sizeof command, "addr2line -i -e /proc/%d/exe 0x%x 2>/dev/null",
                static_cast<int>(getpid()), address - 1);  // within the call, not after it
  std::vector<std::string> frames;
  FILE* output = popen(command, "r");
  if (output == nullptr) return frames;
  char line[1024];
  while (std::fgets(line, sizeof line, output) != nullptr) {
    std::string frame = base_name(std::string(line, std::strcspn(line, "\n ")));
    if (frame.find('?') == std::string::npos) frames.push_back(std::move(frame));
  }
  pclose(output);
  return frames;
}

bool in_kernel_source(const std::string& frame) { return frame.find(".cu:") != std::string::npos; }

std::string text_of_address(Site address) {
  const std::vector<std::string> frames = frames_at(address);
  if (frames.empty()) return "an unknown place (no addr2line, or built without -g)";
  const auto kernel = std::find_if(frames.begin(), frames.end(), in_kernel_source);
  if (kernel == frames.begin() || kernel == frames.end()) return frames.front();
  return frames.front() + " (inlined at " + *kernel + ")";
}

}  // namespace

bool in_program(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return address >= program.begin && address < program.end;
}

Site site_of(const void* return_address) {
  return static_cast<Site>(reinterpret_cast<std::uintptr_t>(return_address) - program.begin);
}

Site site_of(const char* file, unsigned line) {
  const auto found = std::find_if(locations.begin(), locations.end(), [&](const Location& other) {
    return other.line == line && other.file == file;
  });
  const auto number = static_cast<Site>(found - locations.begin());
  if (found == locations.end()) locations.push_back({file, line});
  return kFirstLocation + number;
}

std::string site_text(Site site) {
  if (site >= kFirstLocation) {
    const Location& location = locations[site - kFirstLocation];
    return base_name(location.file) + ":" + std::to_string(location.line);
  }
  std::string& text = texts[site];
  if (text.empty()) text = text_of_address(site);
  return text;
}

}  // namespace simt::detail
