#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "host/report/mixture_geometry.hpp"
#include "host/report/mixture_scene.hpp"
#include "host/report/png.hpp"

namespace culatent::report {

/// Values as grey, low black and high white, clamped; NaN is black. A side above `max_side` is
/// shrunk by averaging whole blocks. Throws invalid_argument when the size does not suit the
/// values.
Image grey_image(std::span<const double> values, std::int64_t height, std::int64_t width,
                 double low, double high, std::int64_t max_side = 128);

/// A row to show as an image, with the share of the data that it stands for.
struct ImageOfRow {
  std::int64_t row;
  double share;
  std::string name;
};
/// Rows as images on one grey scale, the first 64 of `order`.
std::string row_images(const Matrix<double>& rows, std::span<const ImageOfRow> order,
                       const PageInput& input, const std::string& caption);

/// The means as images on one grey scale, heaviest component first, the first 64 of them.
std::string mean_images(const MixtureScene& scene);

/// Directions as images on one grey scale around zero, with their share of the variance.
std::string direction_images(const Directions& directions, const PageInput& input);

}  // namespace culatent::report
