#include "host/report/text.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace culatent::report {
namespace {

std::string encoded(std::string_view text) {
  return base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

// The vectors of RFC 4648, section 10.
TEST(Base64, MatchesTheRfcVectors) {
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foo"), "Zm9v");
  EXPECT_EQ(encoded("foob"), "Zm9vYg==");
  EXPECT_EQ(encoded("fooba"), "Zm9vYmE=");
  EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
  EXPECT_EQ(encoded("\xFB\xFF\xFE"), "+//+");
}

TEST(Escape, LeavesNoMarkup) {
  EXPECT_EQ(escape("<script>alert('1' & \"2\")</script>.npy"),
            "&lt;script&gt;alert(&#39;1&#39; &amp; &quot;2&quot;)&lt;/script&gt;.npy");
}

TEST(Escape, KeepsValidUtf8AndReplacesTheRest) {
  const std::string replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(escape("Größe µm 日本 🙂"), "Größe µm 日本 🙂");
  EXPECT_EQ(printable("\xFF"), replaced);
  EXPECT_EQ(printable("a\xC3"), "a" + replaced) << "cut sequence";
  EXPECT_EQ(printable("\xC0\xAF"), replaced + replaced) << "overlong slash";
  EXPECT_EQ(printable("\xED\xA0\x80"), replaced + replaced + replaced) << "surrogate";
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), replaced + replaced + replaced + replaced);
  EXPECT_EQ(printable("\xEF\xBF\xBF"), replaced + replaced + replaced) << "not a character in XML";
}

TEST(Escape, ReplacesWhatTerminalsObey) {
  EXPECT_EQ(printable("\x1B[2J\tx\n"), "\xEF\xBF\xBD[2J\tx\n");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(printable("\xC2\x9B"), "\xEF\xBF\xBD") << "the one-byte CSI as UTF-8";
}

TEST(Length, CountsCharactersNotBytes) {
  EXPECT_EQ(length(""), 0U);
  EXPECT_EQ(length("−4.5"), 4U);
}

TEST(FormatNumber, KeepsSignificantDigits) {
  EXPECT_EQ(format_number(4.28753), "4.288");
  EXPECT_EQ(format_number(-0.5), "−0.5");
  EXPECT_EQ(format_number(9.9996), "10");
  EXPECT_EQ(format_number(99996.4, 4), "99996");
  EXPECT_EQ(format_number(1.2e-7), "1.2×10⁻⁷");
  EXPECT_EQ(format_number(-3.0e12), "−3×10¹²");
  EXPECT_EQ(format_number(0.0), "0");
  EXPECT_EQ(format_number(-0.0), "0");
  EXPECT_EQ(format_number(std::numeric_limits<double>::quiet_NaN()), "–");
  EXPECT_EQ(format_number(std::numeric_limits<double>::infinity()), "∞");
  EXPECT_EQ(format_number(-std::numeric_limits<double>::infinity()), "−∞");
  EXPECT_EQ(format_number(std::numeric_limits<double>::max(), 3), "1.8×10³⁰⁸");
}

TEST(FormatFixed, RoundsAndHasNoNegativeZero) {
  EXPECT_EQ(format_fixed(80.04, 1), "80.0");
  EXPECT_EQ(format_fixed(-0.04, 1), "0.0");
  EXPECT_EQ(format_fixed(-2.5, 2), "−2.50");
  EXPECT_EQ(format_fixed(1e300, 2), "1×10³⁰⁰");
}

TEST(DecimalsFor, FollowTheSpread) {
  EXPECT_EQ(decimals_for(6.0), 0);
  EXPECT_EQ(decimals_for(0.41), 2);
  EXPECT_EQ(decimals_for(1000.0), 0);
  EXPECT_EQ(decimals_for(0.0), 2);
  EXPECT_EQ(decimals_for(std::numeric_limits<double>::quiet_NaN()), 2);
}

TEST(FormatCount, GroupsThousands) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1797), "1,797");
  EXPECT_EQ(format_count(10'000'000), "10,000,000");
  EXPECT_EQ(format_count(-1234), "-1,234");
  EXPECT_EQ(format_count(-123), "-123");
}

TEST(FormatPercent, NeverSaysAllOrNothingOfASmallPart) {
  EXPECT_EQ(format_percent(0.644), "64 %");
  EXPECT_EQ(format_percent(0.0731), "7.3 %");
  EXPECT_EQ(format_percent(0.0004), "< 0.1 %");
  EXPECT_EQ(format_percent(0.0), "0 %");
  EXPECT_EQ(format_percent(1.0), "100 %");
  EXPECT_EQ(format_percent(0.9986), "99.9 %");
  EXPECT_EQ(format_percent(0.99999), "> 99.9 %");
  EXPECT_EQ(format_percent(std::nan("")), "–");
}

TEST(FormatSeconds, PicksTheUnit) {
  EXPECT_EQ(format_seconds(0.0008), "0.8 ms");
  EXPECT_EQ(format_seconds(2.34), "2.34 s");
  EXPECT_EQ(format_seconds(250.0), "4 min 10 s");
  EXPECT_EQ(format_seconds(59.99), "1 min 0 s");
  EXPECT_EQ(format_seconds(7500.0), "2 h 5 min");
  EXPECT_EQ(format_seconds(-1.0), "–");
}

TEST(Quantity, SplitsOffTheUnit) {
  EXPECT_EQ(quantity("waiting (min)").name, "waiting");
  EXPECT_EQ(quantity("waiting (min)").unit, "min");
  EXPECT_EQ(quantity("speed[m/s]").unit, "m/s");
  EXPECT_EQ(quantity("plain").name, "plain");
  EXPECT_EQ(quantity("plain").unit, "");
  EXPECT_EQ(quantity("(min)").name, "(min)");
  EXPECT_EQ(quantity("odd ()").name, "odd ()");
  EXPECT_EQ(quantity("f(x) (mm)").name, "f(x)");
  EXPECT_EQ(quantity("").name, "");
}

TEST(ColumnName, CountsFromOneWhereThereAreNoNames) {
  EXPECT_EQ(column_name({}, 0), "x1");
  const std::vector<std::string> names = {"a", "b"};
  EXPECT_EQ(column_name(names, 1), "b");
}

TEST(ColumnName, CutsBetweenCharacters) {
  std::string umlauts;
  for (int i = 0; i < 70; ++i) umlauts += "ü";
  const std::vector<std::string> names = {umlauts, "\xFF"};
  EXPECT_EQ(column_name(names, 0), umlauts.substr(0, 120) + "…");
  EXPECT_EQ(column_name(names, 1), "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace culatent::report
