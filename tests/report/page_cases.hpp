#pragma once

#include <string>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "host/report/page_input.hpp"

/// Fits and inputs that pages are tested with.
namespace culatent::report::cases {

struct Case {
  std::string name;
  gaussian_mixture::Fit fit;
  PageInput input;
};

/// tests/data/<name>.npy.
Matrix<double> data(const std::string& name);

/// A case of rows, fitted by the library with K components.
Case fitted(const Context& context, const std::string& name, Matrix<double> rows,
            gaussian_mixture::Options options);

/// Names that would be markup, commands or errors if they were not escaped.
extern const char* const kEvilName;

/// Everything a page must be able to show: one, two and many features, labels, images, one
/// component and forty, warnings, gaps in the trace, constant data, huge and tiny values, no rows.
std::vector<Case> all(const Context& context);

}  // namespace culatent::report::cases
