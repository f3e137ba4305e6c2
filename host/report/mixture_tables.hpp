#pragma once

#include <string>

#include "host/report/mixture_scene.hpp"

namespace culatent::report {

/// Weight and mean ± standard deviation of the first features, heaviest component first.
std::string parameter_table(const MixtureScene& scene);

/// How many sampled rows of every label went to every component. Empty without labels, or with more
/// than a table can show.
std::string label_table(const MixtureScene& scene);

}  // namespace culatent::report
