#include <gtest/gtest.h>

#include "host/io/readers.hpp"
#include "tests/io/files.hpp"

namespace culatent::io::testing {
namespace {

std::string idx(int type, std::initializer_list<std::uint32_t> shape, const std::string& data) {
  std::string bytes = little<std::uint8_t>(
      {0, 0, static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(shape.size())});
  return bytes + big<std::uint32_t>(shape) + data;
}

TEST(Idx, ReadsEveryType) {
  const Folder folder;
  const std::vector<std::pair<std::string, ElementType>> cases = {
      {idx(0x08, {2, 1}, little<std::uint8_t>({200, 7})), ElementType::u1},
      {idx(0x09, {2, 1}, little<std::int8_t>({-56, 7})), ElementType::i1},
      {idx(0x0b, {2, 1}, big<std::int16_t>({-1000, 7})), ElementType::i2},
      {idx(0x0c, {2, 1}, big<std::int32_t>({-100000, 7})), ElementType::i4},
      {idx(0x0d, {2, 1}, big<float>({0.5f, 7})), ElementType::f4},
      {idx(0x0e, {2, 1}, big<double>({0.1, 7})), ElementType::f8}};
  const std::vector<double> first = {200, -56, -1000, -100000, 0.5, 0.1};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Dataset dataset = open_dataset(folder.file("x.idx", cases[i].first));
    EXPECT_EQ(dataset.format(), "idx");
    EXPECT_EQ(dataset.type(), cases[i].second);
    EXPECT_EQ(values(dataset), (std::vector<double>{first[i], 7}));
  }
}

TEST(Idx, FlattensImages) {
  const Folder folder;
  const std::string path =
      folder.file("train-images-idx3-ubyte",
                  idx(8, {2, 2, 3}, little<std::uint8_t>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255})));
  const Dataset dataset = open_dataset(path, {.rows = {1, {}}, .scale = 1 / 255.0});
  EXPECT_EQ(dataset.rows(), 1);
  EXPECT_EQ(dataset.cols(), 6);
  EXPECT_EQ(values(dataset)[5], 1.0);
  EXPECT_EQ(values<float>(dataset)[0], static_cast<float>(6 / 255.0));
}

TEST(Idx, RefusesEveryCutAndEveryDamagedHeaderByte) {
  const std::string content = idx(8, {2, 2, 1}, "abcd");
  expect_every_cut_refused(content, read_idx);
  EXPECT_THROW(read_idx(bytes_of(content + "e")), io_error);
  for (std::size_t at = 0; at < 16; ++at) {
    for (int flip = 1; flip < 256; flip += flip) {
      std::string damaged = content;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      if (at == 2 && damaged[at] == 9) continue;  // signed bytes: as good a file
      EXPECT_THROW(read_idx(bytes_of(damaged)), io_error) << "byte " << at << " ^ " << flip;
    }
  }
  const std::string huge = idx(14, {0xffffffff, 0xffffffff, 0xffffffff}, "abcd");
  expect_contains(io_error_of([&] { read_idx(bytes_of(huge)); }), "2^63");
  const std::string no_rows = idx(12, {0, 0x80000000, 0x80000000}, "");  // a row of 2^64 bytes
  expect_contains(io_error_of([&] { read_idx(bytes_of(no_rows)); }), "2^63");
  EXPECT_THROW(read_idx(bytes_of(idx(8, {}, ""))), io_error);
}

const std::string kFvecs = little<std::int32_t>({2}) + little<float>({1, 2}) +
                           little<std::int32_t>({2}) + little<float>({3, 4});

TEST(Vecs, ReadsFvecsInPlaceAndBvecsAndIvecs) {
  const Folder folder;
  const std::vector<double> expected = {1, 2, 3, 4};
  const Dataset f = open_dataset(folder.file("x.fvecs", kFvecs));
  EXPECT_EQ(f.format(), "fvecs");
  EXPECT_EQ(values(f), expected);
  EXPECT_EQ(values<float>(f), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_TRUE(f.source<float>()->in_place());
  EXPECT_FALSE(f.source<double>()->in_place());
  std::string content;
  for (const int i : {1, 3}) {
    content += little<std::int32_t>({2});
    content.push_back(static_cast<char>(i));
    content.push_back(static_cast<char>(i + 1));
  }
  EXPECT_EQ(values(open_dataset(folder.file("x.bvecs", content))), expected);
  const std::string i = little<std::int32_t>({2, 1, 2, 2, 3, 4});
  EXPECT_EQ(values(open_dataset(folder.file("x.ivecs", i))), expected);
}

TEST(Vecs, RefusesCutsAndRowsOfAnotherLength) {
  const auto read = [](const Bytes& bytes) { return read_vecs(bytes, ElementType::f4); };
  for (std::size_t length = 0; length < kFvecs.size(); ++length) {
    if (length == kFvecs.size() / 2) continue;  // one row alone is a good file
    const std::string cut = kFvecs.substr(0, length);
    EXPECT_THROW(read(bytes_of(cut)), io_error) << length;
  }
  for (const std::int32_t length : {0, -1, 1, 3, 2147483647}) {
    std::string first = kFvecs, second = kFvecs;
    first.replace(0, 4, little<std::int32_t>({length}));
    second.replace(12, 4, little<std::int32_t>({length}));
    EXPECT_THROW(read(bytes_of(first)), io_error) << length;
    expect_contains(io_error_of([&] { read(bytes_of(second, "v")); }), "v, byte 12");
  }
}

TEST(Raw, NeedsItsShape) {
  const Folder folder;
  const std::string path = folder.file("x.bin", little<float>({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(values(open_dataset(path, {.raw_rows = 2, .raw_cols = 3})),
            (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(open_dataset(path, {.raw_cols = 2}).rows(), 3);
  EXPECT_EQ(open_dataset(path, {.raw_rows = 24, .raw_type = ElementType::u1}).rows(), 24);
  expect_contains(io_error_of([&] { open_dataset(path); }), "--shape");
  using Shape = std::pair<std::int64_t, std::int64_t>;
  for (const auto& [rows, cols] : {Shape{2, 2}, Shape{3, 3}, Shape{2, 0}, Shape{-3, 3},
                                   Shape{2, -3}, Shape{INT64_MAX, 2}, Shape{2, INT64_MAX}}) {
    SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(cols));
    DatasetOptions options;
    options.raw_rows = rows;
    options.raw_cols = cols;
    EXPECT_THROW(open_dataset(path, options), io_error);
  }
}

}  // namespace
}  // namespace culatent::io::testing
