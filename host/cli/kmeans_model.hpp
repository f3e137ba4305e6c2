#pragma once

#include <memory>
#include <string>

#include "host/cli/method.hpp"

namespace culatent::cli {

/// A clustering from a file. Throws as kmeans::load().
std::unique_ptr<LoadedModel> load_kmeans(const std::string& path);

}  // namespace culatent::cli
