#include "host/report/mixture_charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/report/charts.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

constexpr std::size_t kMaxTableRows = 200;

}  // namespace

std::string trace_figures(const gaussian_mixture::Fit& fit, double tol) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> likelihood, gain, entropy, energy;
  Table numbers{"Means over the rows, in nats; entry t is at the parameters after t updates",
                {"iteration", "log-likelihood", "gain", "entropy", "free energy"},
                {},
                true};
  for (std::size_t t = 0; t < fit.trace.size(); ++t) {
    const gaussian_mixture::TraceEntry& entry = fit.trace[t];
    const double change = t == 0 ? kNone : entry.log_likelihood - fit.trace[t - 1].log_likelihood;
    likelihood.push_back(entry.log_likelihood);
    gain.push_back(change > 0.0 ? std::log10(change) : kNone);
    entropy.push_back(entry.entropy);
    energy.push_back(entry.free_energy);
    // Both ends of a long trace; what lies between is in the report.
    if (t < kMaxTableRows / 2 || t + kMaxTableRows / 2 >= fit.trace.size()) {
      numbers.rows.push_back({std::to_string(t), format_number(entry.log_likelihood, 9),
                              format_number(change, 3), format_number(entry.entropy, 6),
                              format_number(entry.free_energy, 9)});
    }
  }
  const double limit = tol > 0.0 ? std::log10(tol) : kNone;
  return "<div class=\"pair\">\n" +
         trace_chart({"trace-likelihood", "Mean log-likelihood", "nats per row", likelihood, false,
                      kNone}) +
         trace_chart({"trace-gain", "Gain in log-likelihood", "nats per row", gain, true, limit}) +
         trace_chart({"trace-entropy", "Entropy of the memberships", "nats per row", entropy, false,
                      kNone}) +
         trace_chart({"trace-energy", "Free energy", "nats per row", energy, false, kNone}) +
         "</div>\n" + details("The numbers", table(numbers));
}

std::string weights_figure(const MixtureScene& scene) {
  std::vector<ShareBar> bars;
  for (const std::int64_t k : scene.by_weight) {
    bars.push_back({fmt::format("component {}", k), scene.weight(k),
                    scene.labelled ? "soft" : scene.component_class(k)});
  }
  return share_bars({"weights", "Weights of the components", "weight (%)",
                     "Share of the rows that each component stands for.", "components"},
                    bars);
}

}  // namespace culatent::report
