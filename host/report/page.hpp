#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The frame of every page and the pieces of HTML that sections are made of. Arguments named
/// `html` are markup already; all others are texts and are escaped here.
namespace culatent::report {

/// A script of ours that comes last in a page.
struct Script {
  std::string_view text;
  std::string sha256;  ///< of the text, in base64
};

/// A whole document that fetches nothing and runs nothing but `script` (its own content policy says
/// so, and knows the script by its hash).
std::string html_document(std::string_view title, std::string_view body_html,
                          const Script& script = {});

/// The head of a page: what it is about, how that was made, and what stands out.
std::string page_header(const std::string& method, std::string_view title, std::string_view lead,
                        const std::string& html);

std::string section(std::string_view heading, std::string_view html);
std::string paragraph(std::string_view text, std::string_view css_class = {});
std::string figure(std::string_view html, std::string_view caption);
std::string details(std::string_view summary, std::string_view html);

/// What stands out: a label, a number, a remark.
struct Fact {
  std::string label;
  std::string value;
  std::string remark;
};
std::string facts(std::span<const Fact> items);

/// One entry of a legend: css_class gives the colour.
struct LegendItem {
  std::string css_class;
  std::string text;
};
std::string legend(std::span<const LegendItem> items);

/// A table whose first column names the row; `numeric` aligns the others to the right.
struct Table {
  std::string caption;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  bool numeric = true;
};
std::string table(const Table& content);

}  // namespace culatent::report
