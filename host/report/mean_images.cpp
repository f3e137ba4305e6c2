#include "host/report/mean_images.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "culatent/error.hpp"
#include "host/report/axis.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

// Keeps the page below two megabytes with images of 128 x 128.
constexpr std::size_t kMaxImages = 64;

double block_mean(std::span<const double> values, std::int64_t height, std::int64_t width,
                  std::int64_t top, std::int64_t left, std::int64_t block) {
  double sum = 0.0;
  std::int64_t count = 0;
  for (std::int64_t i = top; i < std::min(top + block, height); ++i) {
    for (std::int64_t j = left; j < std::min(left + block, width); ++j, ++count) {
      sum += values[static_cast<std::size_t>(i * width + j)];
    }
  }
  return sum / static_cast<double>(count);
}

std::string captioned_image(const Image& image, const std::string& strong,
                            const std::string& text) {
  return fmt::format(
      "<div><img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{}\"><b>{}</b>{}</div>\n",
      png_data_uri(image), image.width, image.height, escape(text), escape(strong), escape(text));
}

std::string grey_scale(const Range& range) {
  std::vector<double> ramp(64);
  for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<double>(i);
  return fmt::format("<div class=\"scale\">{} <img src=\"{}\" alt=\"grey scale\"> {}</div>\n",
                     format_number(range.low, 3), png_data_uri(grey_image(ramp, 1, 64, 0.0, 63.0)),
                     format_number(range.high, 3));
}

}  // namespace

Image grey_image(std::span<const double> values, std::int64_t height, std::int64_t width,
                 double low, double high, std::int64_t max_side) {
  if (height < 1 || width < 1 || height * width != static_cast<std::int64_t>(values.size())) {
    throw invalid_argument(
        fmt::format("{} values for an image of {}x{}", values.size(), height, width), "grey_image",
        "give height times width values");
  }
  const std::int64_t block = (std::max(height, width) + max_side - 1) / max_side;
  Image image{(width + block - 1) / block, (height + block - 1) / block, 1, {}};
  for (std::int64_t top = 0; top < height; top += block) {
    for (std::int64_t left = 0; left < width; left += block) {
      const double value = block_mean(values, height, width, top, left, block);
      const double grey = high > low ? (value - low) / (high - low) : 0.5;
      image.pixels.push_back(static_cast<std::uint8_t>(
          std::isnan(grey) ? 0 : std::lround(255.0 * std::clamp(grey, 0.0, 1.0))));
    }
  }
  return image;
}

std::string row_images(const Matrix<double>& rows, std::span<const ImageOfRow> order,
                       const PageInput& input, const std::string& caption) {
  Range range;
  range.include({rows.data(), static_cast<std::size_t>(rows.size())});
  std::string out = "<div class=\"images\">\n";
  const std::size_t count = std::min(kMaxImages, order.size());
  for (const ImageOfRow& item : order.first(count)) {
    const std::span<const double> row(rows.view().row(item.row),
                                      static_cast<std::size_t>(rows.cols()));
    out += captioned_image(
        grey_image(row, input.image_height, input.image_width, range.low, range.high),
        format_percent(item.share), item.name);
  }
  out += "</div>\n" + grey_scale(range);
  return figure(out, count == order.size()
                         ? caption
                         : fmt::format("{} The {} heaviest of {}.", caption, count, order.size()));
}

std::string mean_images(const MixtureScene& scene) {
  std::vector<ImageOfRow> order;
  for (const std::int64_t k : scene.by_weight) {
    order.push_back({k, scene.weight(k), fmt::format("component {}", k)});
  }
  return row_images(scene.model.means, order, scene.input,
                    "Mean of every component as an image, all on one grey scale.");
}

std::string direction_images(const Directions& directions, const PageInput& input) {
  const double most = directions.directions.cwiseAbs().maxCoeff();
  std::string out = "<div class=\"images\">\n";
  for (std::int64_t j = 0; j < directions.directions.cols(); ++j) {
    const auto column = directions.directions.col(j);
    const std::vector<double> values(column.begin(), column.end());
    out += captioned_image(grey_image(values, input.image_height, input.image_width, -most, most),
                           format_percent(directions.share(j)), fmt::format("direction {}", j + 1));
  }
  out += "</div>\n" + grey_scale({-most, most});
  return figure(out,
                "The directions as images: rows far along a direction are brighter where it is "
                "bright and darker where it is dark; middle grey has no part in it.");
}

}  // namespace culatent::report
