#pragma once

#include <string>

#include "host/io/bytes.hpp"

namespace culatent::io {

/// Maps a regular file for reading; the last copy of the owner unmaps it. An empty file is no
/// error here: its size is 0. Throws io_error for what is missing, unreadable or no regular file.
/// The file must not be cut while it is mapped: the system answers such a read with SIGBUS.
Bytes map_file(const std::string& path);

/// The text of an errno value.
std::string errno_text(int code);

}  // namespace culatent::io
