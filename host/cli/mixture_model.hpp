#pragma once

#include <memory>
#include <string>

#include "host/cli/method.hpp"

namespace culatent::cli {

/// A mixture from a file. Each throws as load() of its method.
std::unique_ptr<LoadedModel> load_bernoulli_mixture(const std::string& path);
std::unique_ptr<LoadedModel> load_gaussian_mixture(const std::string& path);

}  // namespace culatent::cli
