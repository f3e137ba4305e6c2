#include "host/report/embedding_viewer.hpp"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>

#include "embedding_viewer_script.hpp"
#include "host/report/text.hpp"

namespace culatent::report {
namespace {

static_assert(std::endian::native == std::endian::little, "browsers read little-endian");

template <class T>
std::string packed(const std::vector<T>& values) {
  return base64({reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T)});
}

nlohmann::json frame_json(const EmbeddingFrame& frame) {
  return {{"iteration", frame.iteration},
          {"kl", std::isfinite(frame.kl) ? nlohmann::json(frame.kl) : nlohmann::json()},
          {"low", frame.low},
          {"high", frame.high},
          {"at", packed(frame.at)}};
}

// Numbers and base64 only: nothing in it can end the element that holds it.
std::string data_json(const PageInput& input, const EmbeddingShown& shown,
                      const LabelGroups& labels, int exaggerated) {
  nlohmann::json data = {{"shown", input.sample.rows()},
                         {"dimensions", input.sample.cols()},
                         {"exaggerated", exaggerated},
                         {"frames", nlohmann::json::array()}};
  for (const EmbeddingFrame& frame : shown.frames) data["frames"].push_back(frame_json(frame));
  if (input.sample.rows() < input.n_rows) {
    data["rows"] = packed(std::vector<std::uint32_t>(shown.rows.begin(), shown.rows.end()));
  }
  if (!labels.values.empty()) {
    data["labels"] = labels.values;
    data["group"] = packed(std::vector<std::uint16_t>(labels.group.begin(), labels.group.end()));
  }
  return data.dump();
}

constexpr std::string_view kPlayer = R"(<div class="player"><button type="button">Play</button>
<input type="range" min="0" step="1" value="0" aria-label="Moment of the fit"><output></output></div>
)";

}  // namespace

std::string embedding_viewer(const PageInput& input, const EmbeddingShown& shown,
                             const LabelGroups& labels, int exaggerated,
                             const std::string& still_html) {
  const std::string spoken =
      fmt::format("Map of {}. Plus and minus zoom, arrow keys move, 0 resets.",
                  sample_text(input.sample.rows(), input.n_rows));
  return fmt::format(
      "<div id=\"map\">\n<div class=\"still\">\n{}</div>\n"
      "<div class=\"live\" hidden>\n<div class=\"stage\"><canvas tabindex=\"0\" role=\"img\" "
      "aria-label=\"{}\"></canvas>\n<div class=\"tip\" role=\"status\" hidden></div>\n"
      "<div class=\"tools\"><button type=\"button\" data-do=\"in\" aria-label=\"Zoom "
      "in\">+</button>"
      "<button type=\"button\" data-do=\"out\" aria-label=\"Zoom out\">−</button>"
      "<button type=\"button\" data-do=\"reset\">Reset</button></div>\n</div>\n{}</div>\n{}</div>\n"
      "<script type=\"application/json\" id=\"map-data\">{}</script>\n",
      still_html, escape(spoken), shown.frames.size() > 1 ? kPlayer : "",
      legend(label_legend(labels)), data_json(input, shown, labels, exaggerated));
}

Script embedding_script() {
  const std::string_view hex = kViewerSha256;
  std::vector<std::uint8_t> digest(hex.size() / 2);
  for (std::size_t i = 0; i < digest.size(); ++i) {
    std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, digest[i], 16);
  }
  return {kViewerScript, base64(digest)};
}

}  // namespace culatent::report
