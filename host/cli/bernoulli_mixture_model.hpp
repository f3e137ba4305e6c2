#pragma once

#include <memory>
#include <string>

#include "host/cli/method.hpp"

namespace culatent::cli {

/// A mixture from a file. Throws as bernoulli_mixture::load().
std::unique_ptr<LoadedModel> load_bernoulli_mixture(const std::string& path);

}  // namespace culatent::cli
