#pragma once

#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <utility>

/// What a benchmark on a GPU leaves: a line for people on stdout, a JSON object a line in a file.
namespace culatent::bench {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// One measurement. kUnknown stands where there is none, and `note` says why.
struct Entry {
  std::string name;           ///< the step, "gaussian_mixture.log_joint"
  std::string workload;       ///< "full 1000000x64 K=64 float32"
  double seconds = kUnknown;  ///< of one run, the median
  double floor = kUnknown;    ///< the least time that the step can take
  double rate = kUnknown;     ///< units a second, where the rate is what was asked
  std::string unit = {};      ///< of the rate: "B/s"
  std::string peer = {};      ///< whom it is compared with
  double peer_seconds = kUnknown;
  std::string note = {};
};

/// The figures to hold a measurement against, from floors.json beside the program.
class Results {
 public:
  /// `json` empty: no file. Throws io_error.
  Results(const std::string& floors, const std::string& json);

  /// Floor and aim come from floors.json where it has the entry.
  void add(const Entry& entry);
  /// The rate that floors.json assumes for this machine; throws io_error when it has none.
  double assumed_rate(const std::string& name, const std::string& workload) const;

 private:
  struct Reference {
    double floor = kUnknown;
    double aim = kUnknown;
    double aim_ratio = kUnknown;  // of peer_seconds to seconds
    double rate = kUnknown;
  };

  std::map<std::pair<std::string, std::string>, Reference> references_;
  std::ofstream json_;
};

/// What the command line of a benchmark says.
struct Arguments {
  std::string json;       ///< --json FILE
  std::string floors;     ///< floors.json beside the program
  std::string filter;     ///< --only TEXT: the entries whose name or case holds it
  bool quick = false;     ///< --quick: smaller, fewer
  bool describe = false;  ///< --describe: the device alone, for scripts
};

/// Throws invalid_argument for what it does not know.
Arguments parse(int argc, char** argv);

/// Runs `body` and turns what it throws into a sentence and an exit code: 5 without a device.
int run(const char* program, int argc, char** argv, void (*body)(const Arguments&));

/// Throws device_error, with the reason, when no CUDA device can be used.
void require_device();

}  // namespace culatent::bench
