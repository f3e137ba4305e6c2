#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "culatent/matrix.hpp"

namespace culatent::report {

/// What a page shows beside the model. Every text is shown as it is: pages escape it.
struct PageInput {
  std::string title;    ///< empty: the method and the name of the data file
  std::string source;   ///< the data file as the user named it
  std::string command;  ///< the command line that makes this fit again; empty: left out
  std::string dtype;    ///< "float32" or "float64": the type of the fit
  std::int64_t n_rows = 0;
  Matrix<double> sample;                  ///< some of the rows [m, D], see sample_rows()
  std::vector<std::int64_t> labels;       ///< one a row of `sample`: classes known beforehand
  std::vector<std::string> column_names;  ///< [D] or empty; "waiting (min)" carries its unit
  std::int64_t image_height = 0;          ///< rows are images of height x width = D pixels
  std::int64_t image_width = 0;
  std::string report_json;  ///< the JSON report of the run: options, device, memory; may be empty
  bool missing = false;     ///< NaN in the sample marks missing values
};

}  // namespace culatent::report
