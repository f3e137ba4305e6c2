#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

#include "host/io/readers.hpp"
#include "tests/io/files.hpp"

namespace culatent::io::testing {
namespace {

Table read(const std::string& text, const CsvOptions& options = {}) {
  return read_csv(bytes_of(text, "t.csv"), options);
}

std::vector<double> numbers(const Table& table) {
  const Elements& e = table.elements;
  std::vector<double> all(static_cast<std::size_t>(e.rows * e.cols));
  convert<double>(e, 1.0, 0, {all.data(), e.rows, e.cols});
  return all;
}

std::vector<double> numbers(const std::string& text, const CsvOptions& options = {}) {
  return numbers(read(text, options));
}

const std::vector<double> kOneToSix = {1, 2, 3, 4, 5, 6};

TEST(Csv, DetectsTheSeparator) {
  for (const char* text : {"1,2,3\n4,5,6\n", "1;2;3\n4;5;6\n", "1\t2\t3\n4\t5\t6\n",
                           "1 2 3\n4 5 6\n", "  1   2 3 \n 4 5    6\n", "1, 2, 3\n4, 5, 6\n"}) {
    SCOPED_TRACE(text);
    const Table table = read(text);
    EXPECT_EQ(table.elements.rows, 2);
    EXPECT_EQ(table.elements.cols, 3);
    EXPECT_EQ(numbers(table), kOneToSix);
    EXPECT_TRUE(table.column_names.empty());
  }
}

TEST(Csv, AcceptsEveryLineEndAndSkipsWhatIsNoRow) {
  for (const char* text :
       {"1,2,3\n4,5,6", "1,2,3\r\n4,5,6\r\n", "\n\n1,2,3\n\n4,5,6\n\n",
        "\xef\xbb\xbf"
        "1,2,3\n4,5,6\n",
        "# from savetxt\n1,2,3\n# and again\n4,5,6\n", "1,2,3\r\n  \r\n4,5,6\r\n"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(numbers(text), kOneToSix);
  }
}

TEST(Csv, DetectsAHeader) {
  const Table table = read("x,\"y, \"\"wide\"\"\",z\n1,2,3\n4,5,6\n");
  EXPECT_EQ(table.column_names, (std::vector<std::string>{"x", "y, \"wide\"", "z"}));
  EXPECT_EQ(numbers(table), kOneToSix);
  EXPECT_EQ(read("eruption length\n1.5\n2\n").column_names,
            std::vector<std::string>{"eruption length"});
  EXPECT_EQ(read("a b\n1 2\n").column_names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(read(",a,b\n0,1,2\n").column_names, (std::vector<std::string>{"", "a", "b"}));
  EXPECT_EQ(read("only,a,header\n").elements.rows, 0);
}

TEST(Csv, NeverTakesADamagedFirstRowForAHeader) {
  expect_contains(io_error_of([] { read("1.0,2.O,3.0\n4,5,6\n"); }), "line 1, column 2");
}

TEST(Csv, ReadsQuotedNumbers) {
  EXPECT_EQ(numbers("\"1\",\"2\",\"3\"\n\"4\",5,\" 6 \"\n"), kOneToSix);
}

TEST(Csv, ReadsNumbersToTheLastBit) {
  const std::vector<std::pair<const char*, double>> cases = {
      {"0.1", 0.1},
      {"+0.25", 0.25},
      {"-0", -0.0},
      {".5", 0.5},
      {"5.", 5.0},
      {"1e3", 1000.0},
      {"1E+3", 1000.0},
      {"-1.5e-3", -0.0015},
      {"2.2250738585072014e-308", std::numeric_limits<double>::min()},
      {"4.9406564584124654e-324", std::numeric_limits<double>::denorm_min()},
      {"1.7976931348623157e308", std::numeric_limits<double>::max()},
      {"9007199254740993", 9007199254740992.0},
      {"123456789012345678901234567890", 123456789012345678901234567890.0},
      {"1e-400", 0.0},
      {"1e-99999", 0.0},
      {"inf", INFINITY},
      {"-Infinity", -INFINITY}};
  for (const auto& [text, value] : cases) {
    SCOPED_TRACE(text);
    const double read_value = numbers(std::string(text) + "\n")[0];
    EXPECT_EQ(read_value, value);
    EXPECT_EQ(std::signbit(read_value), std::signbit(value));
  }
}

TEST(Csv, AgreesWithStrtodToTheLastBit) {
  std::mt19937_64 generator(3);
  const auto below = [&](std::uint64_t n) { return generator() % n; };
  std::string text;
  std::vector<double> expected;
  for (int i = 0; i < 100000; ++i) {
    std::string number = below(2) == 0 ? "-" : "";
    const std::uint64_t whole = below(21), decimals = below(21);
    for (std::uint64_t d = 0; d < whole; ++d) number.push_back(static_cast<char>('0' + below(10)));
    if (decimals > 0) number.push_back('.');
    for (std::uint64_t d = 0; d < decimals; ++d) {
      number.push_back(static_cast<char>('0' + below(10)));
    }
    if (whole + decimals == 0) number.push_back('7');
    if (below(4) == 0) number += "e" + std::to_string(static_cast<int>(below(80)) - 40);
    text += number + "\n";
    expected.push_back(std::strtod(number.c_str(), nullptr));
  }
  const std::vector<double> read_values = numbers(text);
  ASSERT_EQ(read_values.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(read_values[i], expected[i]) << i;
}

TEST(Csv, MissingFieldsAreNanOnlyWhenAskedFor) {
  for (const char* field : {"", " ", "NA", "na", "N/A", "nan", "NaN", "null", "?", "\"\""}) {
    SCOPED_TRACE(field);
    const std::string text = "a,b,c\n1,2,3\n4," + std::string(field) + ",6\n";
    const std::vector<double> all = numbers(text, {.missing = true});
    EXPECT_TRUE(std::isnan(all[4]));
    EXPECT_EQ(all[5], 6);
    const std::string error = io_error_of([&] { read(text); });
    expect_contains(error, "missing");
    expect_contains(error, "t.csv, line 3, column 2");
  }
  const std::vector<double> last = numbers("1,2,3\n4,5,\n", {.missing = true});
  EXPECT_TRUE(std::isnan(last[5]));
}

TEST(Csv, ARowOfMissingTabsIsARow) {
  EXPECT_EQ(read("1\t2\n\t\n3\t4\n", {.missing = true}).elements.rows, 3);
}

struct Bad {
  const char* text;
  const char* where;
  const char* says;
};

TEST(Csv, NamesLineAndColumnOfEveryError) {
  const std::vector<Bad> cases = {
      {"1,2\n3\n", "line 2", "1 field instead of 2"},
      {"1,2\n3,4,5\n", "line 2", "3 fields instead of 2"},
      {"a,b\n\n# c\n1,2\n1,2,\n", "line 5", "3 fields"},
      {"1 2\n3\n", "line 2", "1 field instead of 2"},
      {"1,2\n3,x\n", "line 2, column 2", "'x' is not a number"},
      {"1,2\n3,0x10\n", "line 2, column 2", "not a number"},
      {"1,2\n3,1e400\n", "line 2, column 2", "too large"},
      {"1e400\n1\n", "line 1, column 1", "too large"},
      {"1,2\n3,1-2\n", "line 2, column 2", "not a number"},
      {"1,2\n3,--2\n", "line 2, column 2", "not a number"},
      {"1,2\n3,+-2\n", "line 2, column 2", "not a number"},
      {"1,2\n3,nan(1)\n", "line 2, column 2", "not a number"},
      {"1;2\n3;4,5\n", "line 2, column 2", "with a point"},
      {"1,2\n3,\"4\n", "line 2", "quote does not end"},
      {"1,2\n3,\"4\"5\n", "line 2, column 2", "not a number"},
      {"5.1,setosa\n4.9,setosa\n", "line 1, column 2", "names and numbers"},
      {"a,b\nc,d\n", "line 2, column 1", "'c' is not a number"},
      {"", "t.csv", "no rows"},
      {"\n\n", "t.csv", "no rows"},
      {"# only a comment\n", "t.csv", "no rows"},
      {"\xff\xfe"
       "1,2",
       "byte 0", "UTF-16"},
  };
  for (const Bad& bad : cases) {
    SCOPED_TRACE(bad.text);
    const std::string error = io_error_of([&] { read(bad.text); });
    expect_contains(error, "t.csv");
    expect_contains(error, bad.where);
    expect_contains(error, bad.says);
  }
}

TEST(Csv, ErrorsShowNoControlCharacters) {
  const std::string error = io_error_of([] { read("1,2\n3,\x1b[2Jboo\n"); });
  EXPECT_EQ(error.find('\x1b'), std::string::npos);
}

TEST(Csv, OnlyTheChosenColumnsNeedToBeNumbers) {
  const std::string text = "w,h,name\n1,2,\"a, b\"\n4,5,c\n";
  const Table table = read(text, {.columns = {0, 2}});
  EXPECT_EQ(numbers(table), (std::vector<double>{1, 2, 4, 5}));
  EXPECT_EQ(table.column_names, (std::vector<std::string>{"w", "h"}));
  EXPECT_EQ(numbers("5.1,setosa\n4.9,setosa\n", {.columns = {0, 1}}),
            (std::vector<double>{5.1, 4.9}));
  EXPECT_EQ(numbers(text, {.rows = {1, 2}, .columns = {1, 2}}), std::vector<double>{5});
  expect_contains(io_error_of([&] { read(text, {.columns = {2, 4}}); }), "out of bounds");
  expect_contains(io_error_of([&] { read(text, {.rows = {0, 3}}); }), "has 2 rows");
}

TEST(Csv, ChunksAndThreadsChangeNothing) {
  // Above 4 MiB the file is cut into chunks: rows of different lengths fall across the cuts.
  std::string text = "a,b,c\n";
  std::vector<double> expected;
  for (int i = 0; i < 400000; ++i) {
    for (const double value : {i * 0.5, 1.0 / (i + 1), -static_cast<double>(i) * i}) {
      char buffer[40];
      std::snprintf(buffer, sizeof(buffer), "%.17g", value);
      text += buffer;
      text += ',';
      expected.push_back(value);
    }
    text.back() = '\n';
  }
  ASSERT_GT(text.size(), std::size_t{12} << 20);
  for (const int n_threads : {1, 2, 3}) {
    EXPECT_TRUE(numbers(text, {.n_threads = n_threads}) == expected) << n_threads << " threads";
  }
  // The first error of the file is reported, whatever thread met one first.
  text.insert(text.rfind('\n', text.size() - 2) + 1, "x");
  text.insert(text.find("\n1.5,") + 1, "y");
  expect_contains(io_error_of([&] { read(text, {.n_threads = 3}); }), "line 5, column 1");
}

TEST(Csv, StopsAtTheMemoryLimit) {
  const std::string text = "1,2,3\n4,5,6\n";
  EXPECT_THROW(read(text, {.memory_limit = 47}), out_of_memory);
  EXPECT_EQ(read(text, {.memory_limit = 48}).bytes_in_memory, 48);
}

TEST(Csv, ALongFirstLineTakesNoMemoryForRowsThatAreShort) {
  std::string text(1 << 20, ',');
  text += "\n";
  for (int i = 0; i < (1 << 20); ++i) text += "1\n";
  expect_contains(io_error_of([&] { read(text, {.missing = true, .memory_limit = 1 << 24}); }),
                  "line 2");
}

}  // namespace
}  // namespace culatent::io::testing
