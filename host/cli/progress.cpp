#include "host/cli/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "culatent/error.hpp"
#include "host/cli/clock.hpp"
#include "host/cli/json.hpp"

namespace culatent::cli {
namespace {

constexpr double kBarSeconds = 0.1;
constexpr double kLineSeconds = 5.0;

std::size_t terminal_columns() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// "0:07", "12:30", "3:05:00"
std::string clock_text(double seconds) {
  const auto s = static_cast<std::int64_t>(std::ceil(std::min(seconds, 1e9)));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string numbers_text(const Progress& progress, const std::string& objective) {
  std::string text;
  if (std::isfinite(progress.objective)) {
    text += fmt::format("  {} {:.7g}", objective, progress.objective);
  }
  if (std::isfinite(progress.change)) text += fmt::format("  change {:+.1e}", progress.change);
  if (std::isfinite(progress.eta_seconds) && progress.eta_seconds > 0.0) {
    text += "  ETA " + clock_text(progress.eta_seconds);  // at most: it may converge before
  }
  return text;
}

}  // namespace

ProgressStyle parse_progress_style(const std::string& text) {
  if (text == "auto") return ProgressStyle::automatic;
  if (text == "bar") return ProgressStyle::bar;
  if (text == "json") return ProgressStyle::json;
  if (text == "none") return ProgressStyle::none;
  throw invalid_argument(fmt::format("'{}' is not known", text), "--progress",
                         "give auto, bar, json or none");
}

std::string progress_line(const Progress& progress, const std::string& objective,
                          std::int64_t n_init, std::size_t columns) {
  std::string head = progress.phase;
  if (n_init > 1) head += fmt::format("  start {}/{}", progress.restart + 1, n_init);
  head += fmt::format("  {}/{}", progress.iteration, progress.max_iter);
  const std::string tail = numbers_text(progress, objective);
  constexpr std::size_t kNarrowest = 8, kWidest = 30;
  std::string bar;
  if (head.size() + tail.size() + kNarrowest + 4 <= columns && progress.max_iter > 0) {
    const std::size_t width = std::min(kWidest, columns - head.size() - tail.size() - 4);
    const double share = static_cast<double>(progress.iteration) / progress.max_iter;
    const auto done =
        static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(width));
    bar = " [" + std::string(done, '#') + std::string(width - done, '.') + "]";
  }
  const std::string line = head + bar + tail;
  // The last column stays free: some terminals wrap when it is written.
  return columns == 0 ? line : line.substr(0, columns - 1);
}

ProgressReporter::ProgressReporter(ProgressStyle style, std::string objective, std::int64_t n_init)
    : form_(Form::none), objective_(std::move(objective)), n_init_(n_init) {
  if (style == ProgressStyle::bar) form_ = Form::bar;
  if (style == ProgressStyle::json) form_ = Form::json;
  if (style == ProgressStyle::automatic) {
    form_ = isatty(STDERR_FILENO) != 0 ? Form::bar : Form::lines;
  }
  last_shown_ = seconds_since_start();
}

void ProgressReporter::show(const Progress& progress) {
  if (form_ == Form::none) return;
  if (form_ == Form::json) {
    Json line = {{"event", "progress"},
                 {"phase", progress.phase},
                 {"restart", progress.restart},
                 {"iteration", progress.iteration},
                 {"max_iter", progress.max_iter},
                 {"objective", progress.objective},
                 {"change", progress.change},
                 {"seconds", progress.seconds},
                 {"eta_seconds", progress.eta_seconds}};
    fmt::print(stderr, "{}\n", to_line(line));
    return;
  }
  const double now = seconds_since_start();
  if (now - last_shown_ < (form_ == Form::bar ? kBarSeconds : kLineSeconds)) return;
  last_shown_ = now;
  if (form_ == Form::bar) {
    fmt::print(stderr, "\r\033[K{}",
               progress_line(progress, objective_, n_init_, terminal_columns()));
    on_screen_ = true;
  } else {
    fmt::print(stderr, "culatent: {}\n", progress_line(progress, objective_, n_init_, 0));
  }
  std::fflush(stderr);
}

void ProgressReporter::clear() {
  if (!on_screen_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  on_screen_ = false;
}

}  // namespace culatent::cli
