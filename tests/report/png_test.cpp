#include "host/report/png.hpp"

#include <gtest/gtest.h>
#include <png.h>

#include <cstdint>
#include <vector>

#include "culatent/error.hpp"

namespace culatent::report {
namespace {

// Decoded by libpng itself, into the same layout.
std::vector<std::uint8_t> decode(const std::vector<std::uint8_t>& bytes, int channels,
                                 std::int64_t width, std::int64_t height) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()), 0)
      << image.message;
  EXPECT_EQ(image.width, width);
  EXPECT_EQ(image.height, height);
  image.format = channels == 1 ? PNG_FORMAT_GRAY : channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
  std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0) << image.message;
  return pixels;
}

class PngRoundTrip : public ::testing::TestWithParam<int> {};

TEST_P(PngRoundTrip, GivesEveryByteBack) {
  const int channels = GetParam();
  for (const std::int64_t width : {1, 2, 7, 64, 301}) {
    for (const std::int64_t height : {1, 5, 64}) {
      Image image{width, height, channels, {}};
      std::uint32_t state = 12345;
      for (std::int64_t i = 0; i < width * height * channels; ++i) {
        state = state * 1664525U + 1013904223U;
        image.pixels.push_back(static_cast<std::uint8_t>(state >> 24U));
      }
      EXPECT_EQ(decode(encode_png(image), channels, width, height), image.pixels)
          << width << "x" << height;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Channels, PngRoundTrip, ::testing::Values(1, 3, 4));

TEST(Png, StartsWithTheSignature) {
  const std::vector<std::uint8_t> bytes = encode_png({1, 1, 1, {7}});
  const std::vector<std::uint8_t> signature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  EXPECT_EQ(std::vector<std::uint8_t>(bytes.begin(), bytes.begin() + 8), signature);
}

TEST(Png, RefusesSizesThatDoNotSuitThePixels) {
  EXPECT_THROW(encode_png({0, 1, 1, {}}), invalid_argument);
  EXPECT_THROW(encode_png({1, 0, 1, {}}), invalid_argument);
  EXPECT_THROW(encode_png({2, 2, 1, {1, 2, 3}}), invalid_argument);
  EXPECT_THROW(encode_png({1, 1, 2, {1, 2}}), invalid_argument);
  EXPECT_THROW(encode_png({20000, 1, 1, std::vector<std::uint8_t>(20000)}), invalid_argument);
  EXPECT_THROW(encode_png({-1, -1, 1, {1}}), invalid_argument);
}

TEST(PngDataUri, IsBase64OfTheFile) {
  const std::string uri = png_data_uri({1, 1, 1, {0}});
  EXPECT_EQ(uri.substr(0, 33), "data:image/png;base64,iVBORw0KGgo");
}

}  // namespace
}  // namespace culatent::report
