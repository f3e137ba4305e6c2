#include "tests/io/archives.hpp"

#include <gtest/gtest.h>

#include "host/io/inflate.hpp"
#include "host/io/readers.hpp"

namespace culatent::io::testing {
namespace {

const std::string kA = npy(npy_header("<f4", "(3, 1)"), little<float>({1, 2, 3}));
const std::string kB = npy(npy_header("<i4", "(2,)"), little<std::int32_t>({7, 8}));

TEST(Npz, ReadsStoredAndDeflatedMembersWithAndWithoutZip64) {
  const Folder folder;
  for (const bool deflate : {false, true}) {
    for (const bool zip64 : {false, true}) {
      SCOPED_TRACE(std::to_string(deflate) + std::to_string(zip64));
      const std::string path =
          folder.file("x.npz", zip({{"a.npy", kA, deflate}, {"b.npy", kB, deflate}}, zip64));
      const Dataset a = open_dataset(path + ":a");
      EXPECT_EQ(values(a), (std::vector<double>{1, 2, 3}));
      EXPECT_EQ(a.format(), "npz");
      EXPECT_EQ(a.bytes_in_memory(), deflate ? static_cast<std::int64_t>(kA.size()) : 0);
      EXPECT_EQ(values(open_dataset(path + ":b.npy")), (std::vector<double>{7, 8}));
      EXPECT_EQ(read_labels(path + ":b"), (std::vector<std::int64_t>{7, 8}));
    }
  }
}

TEST(Npz, TheNameOfAnOnlyMemberIsOptional) {
  const Folder folder;
  const std::string one = folder.file("one.npz", zip({{"a.npy", kA}}));
  EXPECT_EQ(open_dataset(one).rows(), 3);
  const std::string two = folder.file("two.npz", zip({{"a.npy", kA}, {"b.npy", kB}}));
  const std::string error = io_error_of([&] { open_dataset(two); });
  expect_contains(error, "2 arrays");
  expect_contains(error, two + ":NAME");
  expect_contains(error, "a, b");
  expect_contains(io_error_of([&] { open_dataset(two + ":c"); }), "no array 'c'");
  const std::string none = folder.file("none.npz", zip({}));
  expect_contains(io_error_of([&] { open_dataset(none); }), "no array");
  const std::string twice = folder.file("twice.npz", zip({{"a.npy", kA}, {"a.npy", kA}}));
  expect_contains(io_error_of([&] { open_dataset(twice + ":a"); }), "two arrays");
}

TEST(Npz, RefusesEveryCut) {
  const auto read = [](const Bytes& bytes) { read_npz(bytes, "a", 0); };
  expect_every_cut_refused(zip({{"a.npy", kA}}), read);
  expect_every_cut_refused(zip({{"a.npy", kA, true}, {"b.npy", kB}}, true), read);
}

// A byte of a zip file may be of no consequence (times, versions); but what is read is either
// refused or the right array, never another.
TEST(Npz, ADamagedByteIsRefusedOrHarmless) {
  for (const bool zip64 : {false, true}) {
    const std::string good = zip({{"a.npy", kA, true}}, zip64);
    int refused = 0;
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string damaged = good;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
      try {
        const Table table = read_npz(bytes_of(damaged), "", 1 << 20);
        std::vector<double> read(3);
        ASSERT_EQ(table.elements.rows, 3);
        convert<double>(table.elements, 1.0, 0, {read.data(), 3, 1});
        EXPECT_EQ(read, (std::vector<double>{1, 2, 3})) << "byte " << at;
      } catch (const io_error&) {
        ++refused;
      } catch (const out_of_memory&) {
        ++refused;
      }
    }
    EXPECT_GT(refused, 100);  // the deflated data alone are longer
  }
}

TEST(Npz, RefusesWhatItCannotRead) {
  std::string encrypted = zip({{"a.npy", kA}});
  const std::size_t central = encrypted.find("PK\x01\x02");
  encrypted[central + 8] = 1;
  expect_contains(io_error_of([&] { read_npz(bytes_of(encrypted), "", 0); }), "encrypted");
  std::string method = zip({{"a.npy", kA}});
  method[central + 10] = 12;
  expect_contains(io_error_of([&] { read_npz(bytes_of(method), "", 0); }), "method 12");
  const std::string text = zip({{"readme.txt", "hello"}});
  expect_contains(io_error_of([&] { read_npz(bytes_of(text), "", 0); }), "readme.txt");
}

TEST(Gzip, ReadsEveryFormatThatFits) {
  const Folder folder;
  const std::string idx = little<std::uint8_t>({0, 0, 8, 1}) + big<std::uint32_t>({3}) + "\1\2\3";
  const std::vector<double> expected = {1, 2, 3};
  EXPECT_EQ(values(open_dataset(folder.file("t-labels-idx1-ubyte.gz", gzip(idx)))), expected);
  EXPECT_EQ(values(open_dataset(folder.file("a.npy.gz", gzip(kA)))), expected);
  EXPECT_EQ(values(open_dataset(folder.file("a.csv.gz", gzip("x\n1\n2\n3\n")))), expected);
  const Dataset dataset = open_dataset(folder.path("a.npy.gz"));
  EXPECT_EQ(dataset.bytes_in_memory(), static_cast<std::int64_t>(kA.size()));
  expect_contains(io_error_of([&] { open_dataset(folder.file("e.csv.gz", gzip(""))); }), "empty");
}

TEST(Gzip, ReadsMembersOneAfterTheOtherAndPadding) {
  const std::string both = gzip("1,2\n3,") + gzip("4\n") + std::string(512, '\0');
  const Bytes bytes = read_gzip(bytes_of(both), 0);
  EXPECT_EQ(bytes.text(0, bytes.size), "1,2\n3,4\n");
  EXPECT_THROW(read_gzip(bytes_of(both + "x"), 0), io_error);
}

TEST(Gzip, RefusesEveryCut) {
  const auto read = [](const Bytes& bytes) { read_gzip(bytes, 0); };
  expect_every_cut_refused(gzip("1,2,3\n4,5,6\n"), read);
}

// Some bits carry no data (the writer's time and system, the padding of the last block); damage to
// any other is found by the checksum.
TEST(Gzip, ADamagedByteIsRefusedOrHarmless) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += std::to_string(i * i) + "\n";
  const std::string good = gzip(text);
  int accepted = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    try {
      const Bytes bytes = read_gzip(bytes_of(damaged), 0);
      EXPECT_EQ(bytes.text(0, bytes.size), text) << "byte " << at;
      ++accepted;
    } catch (const io_error&) {
      // as it should be
    }
  }
  EXPECT_LE(accepted, 7);  // 6 bytes of the header, and the padding
}

TEST(Gzip, ABombStopsAtTheMemoryLimit) {
  const std::string bomb = gzip(std::string(std::size_t{64} << 20, '\0'));
  ASSERT_LT(bomb.size(), std::size_t{100000});
  EXPECT_THROW(read_gzip(bytes_of(bomb), 1 << 20), out_of_memory);
  const std::string exact = gzip(std::string(1 << 20, 'x'));
  EXPECT_EQ(read_gzip(bytes_of(exact), 1 << 20).size, 1 << 20);
  EXPECT_THROW(read_gzip(bytes_of(exact), (1 << 20) - 1), out_of_memory);
}

}  // namespace
}  // namespace culatent::io::testing
