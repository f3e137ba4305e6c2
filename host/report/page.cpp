#include "host/report/page.hpp"

#include <fmt/format.h>

#include "culatent/version.hpp"
#include "host/report/style.hpp"
#include "host/report/text.hpp"

namespace culatent::report {

std::string html_document(std::string_view title, std::string_view body_html,
                          const Script& script) {
  std::string policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
  std::string element;
  if (!script.text.empty()) {
    policy += "; script-src 'sha256-" + script.sha256 + "'";
    element = fmt::format("<script>{}</script>\n", script.text);
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"generator\" content=\"cuLatent {}\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n{}{}</body>\n</html>\n",
      policy, CULATENT_VERSION, escape(title), style_sheet(), body_html, element);
}

std::string page_header(const std::string& method, std::string_view title, std::string_view lead,
                        const std::string& html) {
  return "<header>\n" + paragraph("cuLatent · " + method, "eyebrow") +
         fmt::format("<h1>{}</h1>\n", escape(title)) + paragraph(lead, "lead") + html +
         "</header>\n";
}

std::string section(std::string_view heading, std::string_view html) {
  return fmt::format("<section>\n<h2>{}</h2>\n{}</section>\n", escape(heading), html);
}

std::string paragraph(std::string_view text, std::string_view css_class) {
  return fmt::format("<p class=\"{}\">{}</p>\n", css_class, escape(text));
}

std::string figure(std::string_view html, std::string_view caption) {
  return fmt::format("<figure>\n{}<figcaption>{}</figcaption>\n</figure>\n", html, escape(caption));
}

std::string details(std::string_view summary, std::string_view html) {
  return fmt::format("<details>\n<summary>{}</summary>\n{}</details>\n", escape(summary), html);
}

std::string facts(std::span<const Fact> items) {
  std::string out = "<div class=\"facts\">\n";
  for (const Fact& item : items) {
    out += fmt::format("<div class=\"fact\"><span>{}</span><b>{}</b><span>{}</span></div>\n",
                       escape(item.label), escape(item.value), escape(item.remark));
  }
  return out + "</div>\n";
}

std::string legend(std::span<const LegendItem> items) {
  std::string out = "<ul class=\"legend\">\n";
  for (const LegendItem& item : items) {
    out += fmt::format("<li class=\"{}\">{}</li>\n", item.css_class, escape(item.text));
  }
  return out + "</ul>\n";
}

std::string table(const Table& content) {
  std::string out = fmt::format("<div class=\"scroll\"><table class=\"{}\">\n",
                                content.numeric ? "numeric" : "plain");
  if (!content.caption.empty()) {
    out += fmt::format("<caption>{}</caption>\n", escape(content.caption));
  }
  if (!content.head.empty()) {
    out += "<thead><tr>";
    for (const std::string& cell : content.head) {
      out += fmt::format("<th scope=\"col\">{}</th>", escape(cell));
    }
    out += "</tr></thead>\n";
  }
  out += "<tbody>\n";
  for (const std::vector<std::string>& row : content.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += i == 0 ? fmt::format("<th scope=\"row\">{}</th>", escape(row[i]))
                    : fmt::format("<td>{}</td>", escape(row[i]));
    }
    out += "</tr>\n";
  }
  return out + "</tbody>\n</table></div>\n";
}

}  // namespace culatent::report
