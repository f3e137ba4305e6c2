#pragma once

#include <string>
#include <string_view>

/// Drawings as inline SVG. Colours and fonts come from the page's style sheet through classes, so
/// one drawing serves light, dark and print.
namespace culatent::report {

/// In user units (pixels at full size), y downwards.
struct Point {
  double x = 0.0;
  double y = 0.0;
};

struct Box {
  double x = 0.0;
  double y = 0.0;
  double width = 0.0;
  double height = 0.0;
};

/// A coordinate to a tenth of a unit, clamped to ±99999; what is not finite becomes 0.
std::string coordinate(double value);

/// The `d` of a path, piece by piece.
class PathData {
 public:
  void move_to(Point p);
  void line_to(Point p);
  void dot(Point p);  ///< of no length: round line ends make it a disc
  void close();
  bool empty() const { return data_.empty(); }
  const std::string& str() const { return data_; }

 private:
  std::string data_;
};

/// One <svg> element. Texts are escaped here; classes, ids and path data are ours.
class Svg {
 public:
  /// `id` must be unique in the page: it ties title and description to the drawing for those who
  /// hear it read.
  Svg(double width, double height, std::string_view id, std::string_view title,
      std::string_view description);

  void line(Point a, Point b, std::string_view css_class);
  void rect(const Box& box, std::string_view css_class, std::string_view tooltip = {});
  void path(const PathData& data, std::string_view css_class, std::string_view tooltip = {});
  void text(Point at, std::string_view text, std::string_view css_class);
  void vertical_text(Point at, std::string_view text, std::string_view css_class);
  /// Half axes along x' and y' of a frame turned by `degrees` clockwise.
  void ellipse(Point centre, double rx, double ry, double degrees, std::string_view css_class,
               std::string_view tooltip = {});
  void image(const Box& box, std::string_view uri);
  /// What follows, up to close_clip(), is cut at the box.
  void open_clip(const Box& box);
  void close_clip();

  std::string str() const { return body_ + "</svg>\n"; }

 private:
  void element(std::string_view opening, std::string_view tag, std::string_view tooltip);
  std::string body_;
};

}  // namespace culatent::report
