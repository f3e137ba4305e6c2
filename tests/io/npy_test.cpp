#include <gtest/gtest.h>

#include "host/io/npy_writer.hpp"
#include "host/io/readers.hpp"
#include "tests/io/files.hpp"

namespace culatent::io::testing {
namespace {

const std::string kSixFloats = little<float>({1, 2, 3, 4, 5, 6});

struct TypeCase {
  const char* descr;
  std::string data;
  ElementType type;
};

TEST(Npy, ReadsEveryTypeInEitherByteOrder) {
  const std::vector<TypeCase> cases = {
      {"<f4", little<float>({-1.5f, 2, 100}), ElementType::f4},
      {">f4", big<float>({-1.5f, 2, 100}), ElementType::f4},
      {"<f8", little<double>({-1.5, 2, 100}), ElementType::f8},
      {">f8", big<double>({-1.5, 2, 100}), ElementType::f8},
      {"<i2", little<std::int16_t>({-300, 2, 100}), ElementType::i2},
      {">i2", big<std::int16_t>({-300, 2, 100}), ElementType::i2},
      {"<i4", little<std::int32_t>({-70000, 2, 100}), ElementType::i4},
      {">i4", big<std::int32_t>({-70000, 2, 100}), ElementType::i4},
      {"<i8", little<std::int64_t>({-5000000000, 2, 100}), ElementType::i8},
      {">i8", big<std::int64_t>({-5000000000, 2, 100}), ElementType::i8},
      {"|i1", little<std::int8_t>({-128, 2, 100}), ElementType::i1},
      {"<i1", little<std::int8_t>({-128, 2, 100}), ElementType::i1},
      {"|u1", little<std::uint8_t>({255, 2, 100}), ElementType::u1},
      {"|b1", little<std::uint8_t>({1, 0, 1}), ElementType::u1},
  };
  const std::vector<double> first = {-1.5,   -1.5, -1.5, -1.5, -300, -300, -70000,
                                     -70000, -5e9, -5e9, -128, -128, 255,  1};
  const Folder folder;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(cases[i].descr);
    const std::string path =
        folder.file("a.npy", npy(npy_header(cases[i].descr, "(3, 1)"), cases[i].data));
    const Dataset dataset = open_dataset(path);
    EXPECT_EQ(dataset.type(), cases[i].type);
    EXPECT_EQ(dataset.format(), "npy");
    const double second = i + 1 == cases.size() ? 0 : 2, third = i + 1 == cases.size() ? 1 : 100;
    EXPECT_EQ(values(dataset), (std::vector<double>{first[i], second, third}));
    EXPECT_EQ(values<float>(dataset),
              (std::vector<float>{static_cast<float>(first[i]), static_cast<float>(second),
                                  static_cast<float>(third)}));
  }
}

TEST(Npy, ReadsVersionsOneToThree) {
  for (const int major : {1, 2, 3}) {
    const std::string content = npy(npy_header("<f4", "(2, 3)"), kSixFloats, major);
    const Table table = read_npy(bytes_of(content));
    EXPECT_EQ(table.elements.rows, 2);
    EXPECT_EQ(table.elements.cols, 3);
  }
}

TEST(Npy, FortranOrderGivesTheSameRows) {
  const Folder folder;
  const std::string c = folder.file("c.npy", npy(npy_header("<f4", "(2, 3)"), kSixFloats));
  const std::string f = folder.file(
      "f.npy", npy(npy_header("<f4", "(2, 3)", "True"), little<float>({1, 4, 2, 5, 3, 6})));
  EXPECT_EQ(values(open_dataset(c)), values(open_dataset(f)));
  EXPECT_TRUE(open_dataset(c, {.rows = {1, {}}}).source<float>()->rows() == 1);
  EXPECT_EQ(values(open_dataset(f, {.rows = {1, {}}, .columns = {1, 3}})),
            (std::vector<double>{5, 6}));
}

TEST(Npy, FlattensTrailingDimensions) {
  const auto shape_of = [](const std::string& shape) {
    const std::string content = npy(npy_header("<f4", shape), kSixFloats);
    const Elements e = read_npy(bytes_of(content)).elements;
    return std::pair(e.rows, e.cols);
  };
  EXPECT_EQ(shape_of("(6,)"), (std::pair<std::int64_t, std::int64_t>(6, 1)));
  EXPECT_EQ(shape_of("(1, 2, 3)"), (std::pair<std::int64_t, std::int64_t>(1, 6)));
  EXPECT_EQ(shape_of("(3, 2, 1)"), (std::pair<std::int64_t, std::int64_t>(3, 2)));
  const std::string scalar = npy(npy_header("<f4", "()"), little<float>({7}));
  EXPECT_EQ(read_npy(bytes_of(scalar)).elements.rows, 1);
  const std::string empty = npy(npy_header("<f4", "(0, 3)"), "");
  EXPECT_EQ(read_npy(bytes_of(empty)).elements.rows, 0);
}

TEST(Npy, AcceptsTheSpellingsThatPythonAllows) {
  for (const char* header : {"{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (2, 3)}",
                             "{'shape': (2L, 3L), 'fortran_order': False, 'descr': '<f4'}",
                             "{'descr':'<f4','fortran_order':False,'shape':(2,3,),}      "}) {
    SCOPED_TRACE(header);
    const std::string content = npy(header, kSixFloats);
    EXPECT_EQ(read_npy(bytes_of(content)).elements.cols, 3);
  }
}

struct BadHeader {
  const char* header;
  const char* says;
};

TEST(Npy, RefusesHeadersThatAreNotExactlyRight) {
  const std::vector<BadHeader> cases = {
      {"", "expected '{'"},
      {"{}", "lacks one of"},
      {"['descr']", "expected '{'"},
      {"{'descr': '<f4', 'fortran_order': False}", "lacks one of"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}", "unexpected"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", "repeated"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}", "neither True nor False"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': 6}", "expected '('"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}", "expected a number"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3.0)}", "expected ')'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", "expected '}'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x", "after the header"},
      {"{'descr': '<f4, 'fortran_order': False, 'shape': (2, 3)}", "expected '}'"},
      {"{'descr': '<f4", "does not end"},
      {"{'descr' '<f4', 'fortran_order': False, 'shape': (2, 3)}", "expected ':'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "64 bits"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "2^63"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693951,)}", "2^63"},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 2305843009213693951)}", "2^63"},
      {"{'descr': '<f8', 'fortran_order': True, 'shape': (2305843009213693951, 0)}", "2^63"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4)}", "needs 32 bytes"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3)}", "the file has 24"},
      {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2, 3)}", "ascontiguousarray"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "Python objects"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}", "named fields"},
      {"{'descr': '<f2', 'fortran_order': False, 'shape': (12,)}", "'<f2' are not understood"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}", "not understood"},
      {"{'descr': '|S4', 'fortran_order': False, 'shape': (6,)}", "not understood"},
      {"{'descr': '|f4', 'fortran_order': False, 'shape': (6,)}", "not understood"},
      {"{'descr': '', 'fortran_order': False, 'shape': (6,)}", "not understood"},
  };
  for (const BadHeader& bad : cases) {
    SCOPED_TRACE(bad.header);
    const std::string content = npy(bad.header, kSixFloats);
    const std::string text = io_error_of([&] { read_npy(bytes_of(content, "bad.npy")); });
    expect_contains(text, bad.says);
    expect_contains(text, "bad.npy");
  }
}

TEST(Npy, RefusesWrongMagicAndVersion) {
  std::string content = npy(npy_header("<f4", "(2, 3)"), kSixFloats);
  for (const std::size_t at : {0u, 3u, 5u, 7u}) {
    std::string damaged = content;
    damaged[at] ^= 1;
    EXPECT_THROW(read_npy(bytes_of(damaged)), io_error) << "byte " << at;
  }
  for (const char version : {'\0', '\4', '\xff'}) {
    content[6] = version;
    expect_contains(io_error_of([&] { read_npy(bytes_of(content)); }), "version");
  }
}

TEST(Npy, RefusesEveryCutAndEveryExtraByte) {
  for (const int major : {1, 2}) {
    const std::string content = npy(npy_header("<f4", "(2, 3)"), kSixFloats, major);
    expect_every_cut_refused(content, read_npy);
    EXPECT_THROW(read_npy(bytes_of(content + "x")), io_error);
  }
}

TEST(Npy, RefusesAHeaderLengthBeyondTheFile) {
  std::string content = npy(npy_header("<f4", "(2, 3)"), kSixFloats, 2);
  content.replace(8, 4, "\xff\xff\xff\xff");
  EXPECT_THROW(read_npy(bytes_of(content)), io_error);
}

TEST(NpyWriter, WritesWhatTheReaderReads) {
  const Folder folder;
  const std::string path = folder.path("out.npy");
  const std::vector<double> rows = {1, 2, 3, 4, 5, 6};
  NpyWriter writer(path, ElementType::f8, 3, 2);
  writer.append(rows.data(), 4 * 8);
  EXPECT_FALSE(std::filesystem::exists(path));
  writer.append(rows.data() + 4, 2 * 8);
  writer.commit();
  EXPECT_EQ(values(open_dataset(path)), rows);
  // The header ends at a multiple of 64, as NumPy's own: rows are used where they lie.
  EXPECT_TRUE(open_dataset(path).source<double>()->in_place());
}

TEST(NpyWriter, AShapeOfOneDimensionIsATuple) {
  const Folder folder;
  const std::string path = folder.path("out.npy");
  const std::vector<std::int32_t> labels = {3, 1, 2};
  NpyWriter writer(path, ElementType::i4, 3, 0);
  writer.append(labels.data(), 12);
  writer.commit();
  expect_contains(read_file(path), "'shape': (3,)");
  EXPECT_EQ(read_labels(path), (std::vector<std::int64_t>{3, 1, 2}));
}

TEST(NpyWriter, AShapeMayHaveThreeDimensionsAndNoElements) {
  const Folder folder;
  const std::string path = folder.path("out.npy");
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  NpyWriter writer(path, ElementType::f4, {2, 3, 2});
  writer.append(values.data(), 48);
  writer.commit();
  const std::string content = read_file(path);
  expect_contains(content, "'shape': (2, 3, 2), }");
  ASSERT_EQ(content.size() % 64, 48u);
  EXPECT_EQ(std::memcmp(content.data() + content.size() - 48, values.data(), 48), 0);
  NpyWriter none(path, ElementType::f4, {0, 3, 2});
  none.commit();
  expect_contains(read_file(path), "'shape': (0, 3, 2), }");
  EXPECT_EQ(read_file(path).size() % 64, 0u);
}

TEST(NpyWriter, RefusesTooFewAndTooManyRows) {
  const Folder folder;
  const std::vector<float> rows(6);
  NpyWriter writer(folder.path("out.npy"), ElementType::f4, 2, 3);
  writer.append(rows.data(), 12);
  EXPECT_THROW(writer.commit(), invalid_argument);
  EXPECT_THROW(writer.append(rows.data(), 16), invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(folder.path("out.npy")));
}

}  // namespace
}  // namespace culatent::io::testing
