#include "host/cli/exit_code.hpp"
#include "host/cli/json.hpp"
#include "host/cli/manual.hpp"
#include "host/cli/verbs.hpp"

namespace culatent::cli {

int devices_verb(const Arguments& arguments) {
  CLI::App app;
  set_manual(app, {.name = "culatent devices",
                   .summary = "list the devices that work can run on",
                   .synopsis = "",
                   .description = "Lists the processor and the CUDA devices that this build and "
                                  "machine have, with the reason for each that cannot be used.",
                   .files = "stdout receives one JSON object: backends, and devices, a list of "
                            "{name, text, available, reason}. `name` is what --device takes.",
                   .examples = " culatent devices"});
  if (!parse(app, arguments)) return kDone;
  Json list = Json::array();
  for (const Device& device : devices()) {
    list.push_back({{"name", device.name},
                    {"text", device.text},
                    {"available", device.available},
                    {"reason", device.reason}});
  }
  print_result({{"backends", backends()}, {"devices", list}});
  return kDone;
}

}  // namespace culatent::cli
