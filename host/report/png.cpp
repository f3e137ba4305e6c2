#include "host/report/png.hpp"

#include <png.h>

#include <string_view>

#include "culatent/error.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

constexpr std::int64_t kMaxSide = 16384;

// Not the colour-mapped or linear formats: what goes in comes out, byte by byte.
png_uint_32 format_of(int channels) {
  if (channels == 1) return PNG_FORMAT_GRAY;
  if (channels == 3) return PNG_FORMAT_RGB;
  if (channels == 4) return PNG_FORMAT_RGBA;
  throw invalid_argument("an image of " + std::to_string(channels) + " channels", "encode_png",
                         "give 1, 3 or 4");
}

void check(const Image& image) {
  const bool side_ok =
      image.width >= 1 && image.height >= 1 && image.width <= kMaxSide && image.height <= kMaxSide;
  if (!side_ok || image.width * image.height * image.channels !=
                      static_cast<std::int64_t>(image.pixels.size())) {
    throw invalid_argument("an image of " + std::to_string(image.width) + "x" +
                               std::to_string(image.height) + " with " +
                               std::to_string(image.pixels.size()) + " bytes",
                           "encode_png", "give 1 to 16384 pixels a side and all their bytes");
  }
}

}  // namespace

std::vector<std::uint8_t> encode_png(const Image& image) {
  const png_uint_32 format = format_of(image.channels);
  check(image);
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = format;
  const auto fail = [&] {
    const std::string message = header.message;
    png_image_free(&header);
    return invalid_argument(message, "encode_png", "report this as a defect");
  };
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(header);  // an upper bound: one call, not two
  std::vector<std::uint8_t> out(bytes);
  if (png_image_write_to_memory(&header, out.data(), &bytes, 0, image.pixels.data(), 0, nullptr) ==
      0) {
    throw fail();
  }
  out.resize(bytes);
  return out;
}

std::string png_data_uri(const Image& image) {
  return "data:image/png;base64," + base64(encode_png(image));
}

}  // namespace culatent::report
