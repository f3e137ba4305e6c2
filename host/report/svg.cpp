#include "host/report/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/report/text.hpp"

namespace culatent::report {

std::string coordinate(double value) {
  if (!std::isfinite(value)) return "0";
  std::string out = fmt::format("{:.1f}", std::clamp(value, -99999.0, 99999.0));
  if (out.ends_with(".0")) out.resize(out.size() - 2);
  return out == "-0" ? "0" : out;
}

void PathData::move_to(Point p) {
  data_ += fmt::format("M{} {}", coordinate(p.x), coordinate(p.y));
}
void PathData::line_to(Point p) {
  data_ += fmt::format("L{} {}", coordinate(p.x), coordinate(p.y));
}
void PathData::dot(Point p) {
  move_to(p);
  data_ += "h0";
}
void PathData::close() { data_ += "Z"; }

Svg::Svg(double width, double height, std::string_view id, std::string_view title,
         std::string_view description) {
  body_ = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {0} {1}\" "
      "style=\"max-width:{0}px\" aria-labelledby=\"{2}-title {2}-desc\">\n"
      "<title id=\"{2}-title\">{3}</title>\n<desc id=\"{2}-desc\">{4}</desc>\n",
      coordinate(width), coordinate(height), escape(id), escape(title), escape(description));
}

void Svg::element(std::string_view opening, std::string_view tag, std::string_view tooltip) {
  if (tooltip.empty()) {
    body_ += fmt::format("{}/>\n", opening);
  } else {
    body_ += fmt::format("{}><title>{}</title></{}>\n", opening, escape(tooltip), tag);
  }
}

void Svg::line(Point a, Point b, std::string_view css_class) {
  element(fmt::format("<line class=\"{}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"", css_class,
                      coordinate(a.x), coordinate(a.y), coordinate(b.x), coordinate(b.y)),
          "line", {});
}

void Svg::rect(const Box& box, std::string_view css_class, std::string_view tooltip) {
  element(fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", css_class,
                      coordinate(box.x), coordinate(box.y), coordinate(std::max(0.0, box.width)),
                      coordinate(std::max(0.0, box.height))),
          "rect", tooltip);
}

void Svg::path(const PathData& data, std::string_view css_class, std::string_view tooltip) {
  if (data.empty()) return;
  element(fmt::format("<path class=\"{}\" d=\"{}\"", css_class, data.str()), "path", tooltip);
}

void Svg::text(Point at, std::string_view text, std::string_view css_class) {
  body_ += fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\">{}</text>\n", css_class,
                       coordinate(at.x), coordinate(at.y), escape(text));
}

void Svg::vertical_text(Point at, std::string_view text, std::string_view css_class) {
  body_ +=
      fmt::format("<text class=\"{0}\" transform=\"translate({1} {2}) rotate(-90)\">{3}</text>\n",
                  css_class, coordinate(at.x), coordinate(at.y), escape(text));
}

void Svg::ellipse(Point centre, double rx, double ry, double degrees, std::string_view css_class,
                  std::string_view tooltip) {
  element(fmt::format("<ellipse class=\"{}\" rx=\"{}\" ry=\"{}\" "
                      "transform=\"translate({} {}) rotate({})\"",
                      css_class, coordinate(rx), coordinate(ry), coordinate(centre.x),
                      coordinate(centre.y), coordinate(degrees)),
          "ellipse", tooltip);
}

void Svg::image(const Box& box, std::string_view uri) {
  element(fmt::format("<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" "
                      "preserveAspectRatio=\"none\" href=\"{}\"",
                      coordinate(box.x), coordinate(box.y), coordinate(box.width),
                      coordinate(box.height), uri),
          "image", {});
}

void Svg::open_clip(const Box& box) {
  const std::string x = coordinate(box.x), y = coordinate(box.y);
  const std::string width = coordinate(box.width), height = coordinate(box.height);
  // A nested <svg> cuts at its edge; unlike a clip path it needs no id.
  body_ += fmt::format(
      "<svg x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\" viewBox=\"{0} {1} {2} {3}\">\n", x, y,
      width, height);
}

void Svg::close_clip() { body_ += "</svg>\n"; }

}  // namespace culatent::report
