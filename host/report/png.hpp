#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// Small images for pages.
namespace culatent::report {

/// Eight bits a channel, rows end to end, no padding.
struct Image {
  std::int64_t width = 0;
  std::int64_t height = 0;
  int channels = 1;                  ///< 1 grey, 3 RGB, 4 RGB and alpha (not premultiplied)
  std::vector<std::uint8_t> pixels;  ///< height * width * channels
};

/// The bytes of a PNG file, without loss. Throws invalid_argument for an empty image, one of more
/// than 16384 pixels a side, or one whose pixels do not match its size.
std::vector<std::uint8_t> encode_png(const Image& image);

/// "data:image/png;base64,…".
std::string png_data_uri(const Image& image);

}  // namespace culatent::report
