#pragma once

#include <cstdio>
#include <string>

#include "culatent/context.hpp"

namespace culatent::cli {

enum class ProgressStyle {
  automatic,  ///< a bar on a terminal, otherwise plain lines
  bar,
  json,  ///< one object a line, for every call
  none,
};

/// Throws invalid_argument for a word that is none of auto, bar, json, none.
ProgressStyle parse_progress_style(const std::string& text);

/// Tells a person, or a program, on stderr how a fit gets on. A bar is redrawn ten times a second
/// at most, plain lines come every five seconds.
class ProgressReporter {
 public:
  /// `objective`: what Progress::objective is called. `n_init`: restarts in all.
  ProgressReporter(ProgressStyle style, std::string objective, std::int64_t n_init);
  ~ProgressReporter() { clear(); }
  ProgressReporter(const ProgressReporter&) = delete;
  ProgressReporter& operator=(const ProgressReporter&) = delete;

  void show(const Progress& progress);
  /// Takes the bar off the screen, so that other text can be written.
  void clear();

 private:
  enum class Form { bar, lines, json, none };

  Form form_;
  std::string objective_;
  std::int64_t n_init_;
  double last_shown_ = 0.0;
  bool on_screen_ = false;
};

/// What a terminal of `columns` columns shows; 0: a line of any length, without a bar.
std::string progress_line(const Progress& progress, const std::string& objective,
                          std::int64_t n_init, std::size_t columns);

}  // namespace culatent::cli
