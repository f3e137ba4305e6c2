#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "culatent/context.hpp"
#include "host/report/page_input.hpp"
#include "host/report/text.hpp"

namespace culatent::report {

/// The report of a run, or null when there is none. Throws invalid_argument when it is not JSON.
nlohmann::json parse_report(const PageInput& input);

/// A number of the report's options, or `fallback`.
double option_number(const nlohmann::json& report, const std::string& name, double fallback);

/// How the result was made: command line, options, device, memory, seconds, version.
std::string run_details(const nlohmann::json& report, const PageInput& input);

/// "converged after 8 iterations", "stopped at the limit of 100 iterations, not converged", …, of
/// any method's Fit; `step`: what it counts.
template <class Fit>
std::string ending(const Fit& fit, std::string_view step = "iteration") {
  const std::string steps = plural(fit.n_iter, step);
  if (fit.interrupted) return "interrupted after " + steps + ", not converged";
  if (fit.converged) return "converged after " + steps;
  return "stopped at the limit of " + steps + ", not converged";
}

/// A box for each of a fit's remarks.
std::string warning_boxes(std::span<const Warning> warnings);

/// The title of a page: the caller's, otherwise "METHOD of FILE".
std::string page_title(const PageInput& input, const std::string& method);

}  // namespace culatent::report
