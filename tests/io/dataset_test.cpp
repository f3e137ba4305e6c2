#include "culatent/dataset.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <thread>

#include "host/io/elements.hpp"
#include "tests/io/files.hpp"

namespace culatent::io::testing {
namespace {

// 4 x 3: value 10 i + j.
std::string table_f4(const Folder& folder) {
  std::string data;
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 3; ++j) data += little<float>({static_cast<float>(10 * i + j)});
  }
  std::string header = npy_header("<f4", "(4, 3)");
  header.resize(128 - 11, ' ');  // data at byte 128
  return folder.file("t.npy", npy(header, data));
}

TEST(Dataset, RangesAreViewsInTheFile) {
  const Folder folder;
  const std::string path = table_f4(folder);
  const Dataset part = open_dataset(path, {.rows = {1, 3}, .columns = {1, {}}});
  EXPECT_EQ(part.rows(), 2);
  EXPECT_EQ(part.cols(), 2);
  EXPECT_EQ(values(part), (std::vector<double>{11, 12, 21, 22}));
  const auto source = part.source<float>();
  ASSERT_TRUE(source->in_place());
  float unused[2] = {-1, -1};
  const auto row = source->read(1, {unused, 1, 2});
  EXPECT_NE(row.data, unused);
  EXPECT_EQ(row(0, 1), 22);
  EXPECT_EQ(unused[0], -1);
  EXPECT_EQ(part.bytes_in_memory(), 0);
  EXPECT_EQ(part.bytes_on_disk(), 128 + 48);
  EXPECT_EQ(open_dataset(path, {.rows = {2, 2}}).rows(), 0);
}

TEST(Dataset, ScaleIsAppliedWhenRead) {
  const Folder folder;
  const Dataset dataset = open_dataset(table_f4(folder), {.rows = {3, 4}, .scale = 0.1});
  EXPECT_EQ(values(dataset), (std::vector<double>{30 * 0.1, 31 * 0.1, 32 * 0.1}));
  EXPECT_FALSE(dataset.source<float>()->in_place());
  EXPECT_THROW(open_dataset(dataset.path(), {.scale = INFINITY}), invalid_argument);
}

TEST(Dataset, BinarizesWhatItReads) {
  const Folder folder;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string path = folder.file("b.csv", "0.5,1.5\n2,\n-3,1\n");
  const Dataset dataset = open_dataset(path, {.scale = 2.0, .binarize = 2.0, .missing = true});
  const std::vector<double> expected = {0, 1, 1, nan, 0, 0};  // 2 is not greater than 2
  const std::vector<double> read = values(dataset);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_TRUE(read[i] == expected[i] || (std::isnan(read[i]) && std::isnan(expected[i]))) << i;
  }
  EXPECT_FALSE(dataset.source<double>()->in_place());
  EXPECT_THROW(open_dataset(path, {.binarize = INFINITY, .missing = true}), invalid_argument);
}

TEST(Dataset, UnalignedRowsAreCopied) {
  const Folder folder;
  const std::string content = npy(npy_header("<f4", "(2,)") + " ", little<float>({1, 2}));
  const std::string odd = content.size() % 4 == 0
                              ? npy(npy_header("<f4", "(2,)") + "  ", little<float>({1, 2}))
                              : content;
  const Dataset dataset = open_dataset(folder.file("odd.npy", odd));
  EXPECT_FALSE(dataset.source<float>()->in_place());
  EXPECT_EQ(values<float>(dataset), (std::vector<float>{1, 2}));
}

TEST(Elements, RowsThatNoStrideOfTReachesAreCopied) {
  alignas(8) const unsigned char bytes[40] = {};
  Elements elements = row_major(bytes, ElementType::f4, 3, 2);
  EXPECT_TRUE(is_in_place<float>(elements));
  EXPECT_FALSE(is_in_place<double>(elements));
  elements.row_stride = 10;
  EXPECT_FALSE(is_in_place<float>(elements));
  elements.row_stride = 12;
  EXPECT_TRUE(is_in_place<float>(elements));
  elements.swapped = true;
  EXPECT_FALSE(is_in_place<float>(elements));
}

TEST(Dataset, BuffersWithAStrideKeepTheirMargins) {
  const Folder folder;
  const auto source = open_dataset(table_f4(folder)).source<double>();
  std::vector<double> buffer(2 * 5, NAN);
  source->read(2, {buffer.data(), 2, 3, 5});
  EXPECT_EQ(buffer[5 + 2], 32);
  for (const std::size_t margin : {3u, 4u, 8u, 9u}) EXPECT_TRUE(std::isnan(buffer[margin]));
}

TEST(Dataset, TheSourceKeepsTheFileOpen) {
  const Folder folder;
  const auto source = [&] {
    const Dataset dataset = open_dataset(table_f4(folder));
    return dataset.source<float>();
  }();
  std::filesystem::remove(folder.path("t.npy"));
  float buffer[3];
  EXPECT_EQ(source->read(3, {buffer, 1, 3})(0, 2), 32);
}

TEST(Dataset, ManyThreadsReadAtOnce) {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 10000; ++i) text += std::to_string(i) + ";" + std::to_string(-i) + "\n";
  const auto source = open_dataset(folder.file("t.csv", text)).source<float>();
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      std::vector<float> buffer(200);
      for (std::int64_t first = 0; first < 10000; first += 100) {
        const auto rows = source->read(first, {buffer.data(), 100, 2});
        for (std::int64_t i = 0; i < 100; ++i) {
          wrong[t] += rows(i, 0) != static_cast<float>(first + i) || rows(i, 1) != -rows(i, 0);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(Dataset, RefusesRangesAndReadsOutOfBounds) {
  const Folder folder;
  const std::string path = table_f4(folder);
  const std::vector<Range> rows = {{5, {}}, {0, 5}, {3, 2}, {-1, {}}, {0, INT64_MAX}};
  for (const Range& range : rows) {
    const std::string error = io_error_of([&] { open_dataset(path, {.rows = range}); });
    expect_contains(error, path);
    expect_contains(error, "4 rows");
  }
  expect_contains(io_error_of([&] { open_dataset(path, {.columns = {0, 4}}); }), "3 columns");
  const auto source = open_dataset(path).source<double>();
  double buffer[6];
  EXPECT_THROW(source->read(3, {buffer, 2, 3}), invalid_argument);
  EXPECT_THROW(source->read(-1, {buffer, 1, 3}), invalid_argument);
  EXPECT_THROW(source->read(INT64_MAX, {buffer, 2, 3}), invalid_argument);
}

struct Bad {
  std::string path;
  const char* says;
};

TEST(Dataset, NamesFilesThatCannotBeRead) {
  const Folder folder;
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  const std::string csv = folder.file("x.csv", "1\n");
  const std::vector<Bad> cases = {
      {folder.path("missing.npy"), "No such file"},
      {folder.path("missing.npz:a"), "No such file"},
      {folder.path(""), "is a folder"},
      {"", "No such file"},
      {folder.path("pipe"), "not a regular file"},
      {folder.file("empty.npy", ""), "the file is empty"},
      {folder.file("empty.csv", ""), "the file is empty"},
      {folder.file("a.npy", "hello"), "does not begin like a .npy"},
      {folder.file("a.npz", "hello"), "no end record"},
      {folder.file("a.fvecs", "hel"), "the first row is cut"},
      {folder.file("unknown", "\x01\x02\x03\x04"), "format is not known"},
      {folder.file("a.raw", "\x01\x02\x03\x04"), "--shape"},
      {folder.file("a.h5", "\x89HDF\r\n\x1a\n"), "no HDF5"},
      {folder.path("a.h5") + ":/data", "no HDF5"},
      {csv + ":a", "only .npz files have members"},
  };
  for (const Bad& bad : cases) {
    SCOPED_TRACE(bad.path);
    const std::string error = io_error_of([&] { open_dataset(bad.path); });
    expect_contains(error, bad.says);
    expect_contains(error, bad.path.substr(0, bad.path.rfind(':')));
  }
}

TEST(Dataset, NamesAFileWithoutPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const Folder folder;
  const std::string csv = folder.file("x.csv", "1\n");
  ::chmod(csv.c_str(), 0);
  expect_contains(io_error_of([&] { open_dataset(csv); }), "Permission denied");
}

TEST(Dataset, AFileNameMayHoldAColon) {
  const Folder folder;
  EXPECT_EQ(open_dataset(folder.file("a:b.csv", "1\n2\n")).rows(), 2);
}

TEST(Dataset, TextIsRecognisedWithoutItsName) {
  const Folder folder;
  EXPECT_EQ(open_dataset(folder.file("points", "x y\n1 2\n")).format(), "csv");
  EXPECT_EQ(open_dataset(folder.file("points.dat", "1 2\n")).format(), "csv");
}

TEST(ReadVector, IsOneColumn) {
  const Folder folder;
  EXPECT_EQ(read_vector(folder.file("w.csv", "1\n2.5\n")), (std::vector<double>{1, 2.5}));
  const std::string wide = folder.file("wide.csv", "1,2\n");
  expect_contains(io_error_of([&] { read_vector(wide); }), "2 columns instead of 1");
  expect_contains(io_error_of([&] { read_labels(wide); }), "2 columns instead of 1");
}

TEST(ReadLabels, AreIntegersToTheLastBit) {
  const Folder folder;
  const std::int64_t large = (std::int64_t{1} << 62) + 1;
  const std::string path =
      folder.file("l.npy", npy(npy_header("<i8", "(2,)"), little<std::int64_t>({large, -1})));
  EXPECT_EQ(read_labels(path), (std::vector<std::int64_t>{large, -1}));
  EXPECT_EQ(read_labels(folder.file("l.csv", "3\n-4\n")), (std::vector<std::int64_t>{3, -4}));
  for (const char* text : {"1\n2.5\n", "1\ninf\n", "1\n1e300\n"}) {
    const std::string bad = folder.file("bad.csv", text);
    expect_contains(io_error_of([&] { read_labels(bad); }), "row 1");
  }
}

}  // namespace
}  // namespace culatent::io::testing
