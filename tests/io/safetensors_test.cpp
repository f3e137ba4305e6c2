#include "host/io/safetensors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "host/io/safetensors_parser.hpp"
#include "tests/io/files.hpp"

namespace culatent::io::testing {
namespace {

TensorFile example() {
  TensorFile file;
  file.tensors["means"] = {{2, 2}, {1.5, -2, 3e300, 0.1}};
  file.tensors["weights"] = {{2}, {0.25, 0.75}};
  file.tensors["noise"] = {{}, {7}};
  file.tensors["none"] = {{0, 5}, {}};
  file.metadata = {{"culatent.method", "gaussian-mixture"},
                   {"culatent.options", "{\"tol\":1e-3,\"path\":\"a\\\\b\"}"},
                   {"note", "tab\t, control \x1f\x1b and µ"}};
  return file;
}

std::string written(const TensorFile& file) {
  const Folder folder;
  write_tensors(folder.path("m.safetensors"), file);
  return read_file(folder.path("m.safetensors"));
}

/// A file as another program may write it.
std::string made(const std::string& header, const std::string& data) {
  return little<std::uint64_t>({header.size()}) + header + data;
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const Folder folder;
  const std::string path = folder.path("m.safetensors");
  const TensorFile file = example();
  write_tensors(path, file);
  EXPECT_TRUE(is_tensor_file(path));
  const TensorFile back = read_tensors(path);
  ASSERT_EQ(back.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    EXPECT_EQ(back.tensors.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(back.tensors.at(name).values, tensor.values) << name;
  }
  for (const auto& [key, text] : file.metadata) EXPECT_EQ(back.metadata.at(key), text);
  // Written again, with the checksums of the first time among the metadata: the same bytes.
  write_tensors(folder.path("again"), back);
  EXPECT_EQ(read_file(folder.path("again")), read_file(path));
}

TEST(Safetensors, TheChecksumIsXxh3OfTheData) {
  // XXH3-128 of nothing, as published with xxHash's test vectors.
  const std::string empty = written({});
  expect_contains(empty, "\"culatent.checksum\":\"99aa06d3014798d86001c324468d497f\"");
  EXPECT_EQ(empty.size() % 8, 0u);
}

TEST(Safetensors, RefusesEveryFlippedByte) {
  const std::string good = written(example());
  parse_tensors(bytes_of(good));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      if (static_cast<char>(value) == good[at]) continue;
      std::string damaged = good;
      damaged[at] = static_cast<char>(value);
      try {
        parse_tensors(bytes_of(damaged));
        ADD_FAILURE() << "byte " << at << " '" << good[at] << "' as " << value << " is accepted";
      } catch (const io_error&) {
        // as it must be
      }
    }
  }
}

TEST(Safetensors, RefusesEveryCutAndEveryExtraByte) {
  const std::string good = written(example());
  expect_every_cut_refused(good, parse_tensors);
  EXPECT_THROW(parse_tensors(bytes_of(good + '\0')), io_error);
  EXPECT_THROW(parse_tensors(bytes_of(good + good)), io_error);
}

TEST(Safetensors, ReadsEveryTypeOfOthers) {
  const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                             R"("b":{"dtype":"F16","shape":[5],"data_offsets":[8,18]},)"
                             R"("c":{"dtype":"BF16","shape":[1],"data_offsets":[18,20]},)"
                             R"("d":{"dtype":"I64","shape":[1],"data_offsets":[20,28]},)"
                             R"("e":{"dtype":"U8","shape":[2,1],"data_offsets":[28,30]},)"
                             R"("f":{"dtype":"I16","shape":[1],"data_offsets":[30,32]},)"
                             R"("g":{"dtype":"U32","shape":[1],"data_offsets":[32,36]},)"
                             R"("h":{"dtype":"BOOL","shape":[1],"data_offsets":[36,37]},)"
                             R"("i":{"dtype":"I8","shape":[1],"data_offsets":[37,38]}}   )";
  // Halves: 1, −2, the least subnormal 2^-24, infinity, the greatest 65504.
  const std::string data = little<float>({0.5f, -3}) +
                           little<std::uint16_t>({0x3c00, 0xc000, 0x0001, 0x7c00, 0x7bff}) +
                           little<std::uint16_t>({0x4049}) + little<std::int64_t>({-5000000000}) +
                           little<std::uint8_t>({255, 1}) + little<std::int16_t>({-2}) +
                           little<std::uint32_t>({4000000000}) + little<std::int8_t>({1, -1});
  const TensorFile file = parse_tensors(bytes_of(made(header, data)));
  using Values = std::vector<double>;
  EXPECT_EQ(file.tensors.at("a").values, (Values{0.5, -3}));
  EXPECT_EQ(file.tensors.at("b").values, (Values{1, -2, std::ldexp(1, -24), INFINITY, 65504}));
  EXPECT_EQ(file.tensors.at("c").values, Values{3.140625});
  EXPECT_EQ(file.tensors.at("d").values, Values{-5e9});
  EXPECT_EQ(file.tensors.at("e").values, (Values{255, 1}));
  EXPECT_EQ(file.tensors.at("f").values, Values{-2});
  EXPECT_EQ(file.tensors.at("g").values, Values{4e9});
  EXPECT_EQ(file.tensors.at("h").values, Values{1});
  EXPECT_EQ(file.tensors.at("i").values, Values{-1});
}

struct Bad {
  const char* header;
  const char* says;
};

TEST(Safetensors, RefusesHeadersThatDoNotDescribeTheFile) {
  // Each before 16 bytes of data.
  const std::vector<Bad> cases = {
      {"", "begin with '{'"},
      {"[]", "begin with '{'"},
      {"{", "does not end"},
      {"{}", "take 0 bytes"},
      {"{}\n", "does not end"},
      {"{]}", "not JSON"},
      {"{\"a\xff\":1}", "not JSON"},
      {R"({"a":1})", "lacks dtype"},
      {R"({"a":{"dtype":"F64","shape":[2]}})", "lacks dtype"},
      {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16],"x":1}})", "lacks dtype"},
      {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16,16]}})", "lacks dtype"},
      {R"({"a":{"dtype":"F64","shape":[3],"data_offsets":[0,16]}})", "shape of tensor"},
      {R"({"a":{"dtype":"F64","shape":[-2],"data_offsets":[0,16]}})", "63-bit"},
      {R"({"a":{"dtype":"F64","shape":[2.0],"data_offsets":[0,16]}})", "63-bit"},
      {R"({"a":{"dtype":"F64","shape":["2"],"data_offsets":[0,16]}})", "63-bit"},
      {R"({"a":{"dtype":"F64","shape":[18446744073709551615],"data_offsets":[0,16]}})", "63-bit"},
      {R"({"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,16]}})", "shape"},
      {R"({"a":{"dtype":"Q64","shape":[2],"data_offsets":[0,16]}})", "unknown type"},
      {R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})", "take 8 bytes"},
      {R"({"a":{"dtype":"F64","shape":[3],"data_offsets":[0,24]}})", "take 24 bytes"},
      {R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[8,16]}})", "begins at 8"},
      {R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[16,8]}})", "begins at 16"},
      {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},)"
       R"("b":{"dtype":"F64","shape":[1],"data_offsets":[8,16]}})",
       "the one before it ends at 16"},
      {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},)"
       R"("a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}})",
       "twice"},
      {R"({"__metadata__":[],"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}})", "no object"},
      {R"({"__metadata__":{"x":1},"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}})",
       "no text"},
      {R"({"__metadata__":{"culatent.checksum":"00"},)"
       R"("a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}})",
       "do not match their checksum"},
  };
  for (const Bad& bad : cases) {
    SCOPED_TRACE(bad.header);
    const std::string content = made(bad.header, std::string(16, 'x'));
    const std::string error =
        io_error_of([&] { parse_tensors(bytes_of(content, "m.safetensors")); });
    expect_contains(error, bad.says);
    expect_contains(error, "m.safetensors");
  }
}

TEST(Safetensors, RefusesHeaderLengthsBeyondTheFile) {
  for (const std::uint64_t length : {std::uint64_t{3}, std::uint64_t{100'000'001}, UINT64_MAX}) {
    const std::string content = little<std::uint64_t>({length}) + "{}";
    EXPECT_THROW(parse_tensors(bytes_of(content)), io_error) << length;
  }
}

TEST(Safetensors, SurvivesDeepNesting) {
  std::string header = "{\"a\":";
  header += std::string(200000, '[') + std::string(200000, ']') + "}";
  EXPECT_THROW(parse_tensors(bytes_of(made(header, ""))), io_error);
}

// Another program that keeps the tensors and metadata may order and space the JSON as it likes.
TEST(Safetensors, AcceptsTheSameContentInAnotherSpelling) {
  const std::string good = written(example());
  const auto length = static_cast<std::size_t>(little_endian<std::uint64_t>(bytes_of(good), 0));
  const auto header = nlohmann::ordered_json::parse(good.substr(8, length));
  nlohmann::ordered_json reversed;
  std::vector<std::string> keys;
  for (const auto& item : header.items()) keys.insert(keys.begin(), item.key());
  for (const std::string& key : keys) reversed[key] = header[key];
  const std::string other = made(reversed.dump(1, ' ', true), good.substr(8 + length));
  EXPECT_EQ(parse_tensors(bytes_of(other)).tensors.at("means").values,
            example().tensors.at("means").values);
}

TEST(Safetensors, RefusesToWriteWhatNobodyCouldRead) {
  const Folder folder;
  const std::string path = folder.path("m.safetensors");
  TensorFile shape;
  shape.tensors["a"] = {{3}, {1, 2}};
  EXPECT_THROW(write_tensors(path, shape), invalid_argument);
  TensorFile name;
  name.tensors["__metadata__"] = {{1}, {1}};
  EXPECT_THROW(write_tensors(path, name), invalid_argument);
  TensorFile text;
  text.metadata["a"] = "\xff";
  EXPECT_THROW(write_tensors(path, text), invalid_argument);
  EXPECT_TRUE(folder.names().empty());
}

TEST(Safetensors, IsTensorFileKnowsOthersApart) {
  const Folder folder;
  EXPECT_FALSE(is_tensor_file(folder.file("a.npy", npy(npy_header("<f4", "(0,)"), ""))));
  EXPECT_FALSE(is_tensor_file(folder.file("empty", "")));
  EXPECT_THROW(is_tensor_file(folder.path("missing")), io_error);
}

// The package that wrote the format's specification reads our file to the same values.
TEST(Safetensors, ThePythonPackageReadsOurs) {
  if (std::system("python3 -c 'import numpy, safetensors.numpy' 2>/dev/null") != 0) {
    GTEST_SKIP() << "python3 has no numpy and safetensors";
  }
  const Folder folder;
  const std::string path = folder.path("m.safetensors");
  write_tensors(path, example());
  const std::string script = folder.file("check.py", R"(
import sys
import numpy
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
t = load_file(sys.argv[1])
assert sorted(t) == ['means', 'noise', 'none', 'weights'], sorted(t)
assert all(a.dtype == numpy.float64 for a in t.values())
assert numpy.array_equal(t['means'], [[1.5, -2], [3e300, 0.1]])
assert numpy.array_equal(t['weights'], [0.25, 0.75])
assert t['noise'].shape == () and t['noise'] == 7
assert t['none'].shape == (0, 5)
with safe_open(sys.argv[1], 'np') as f:
    metadata = f.metadata()
assert metadata['note'] == 'tab\t, control \x1f\x1b and \u00b5'
save_file(t, sys.argv[1] + '.resaved', metadata=metadata)
save_file(t, sys.argv[1] + '.bare')
)");
  ASSERT_EQ(std::system(("python3 " + script + " " + path).c_str()), 0);
  for (const char* suffix : {".resaved", ".bare"}) {
    const TensorFile back = read_tensors(path + suffix);
    EXPECT_EQ(back.tensors.at("means").values, example().tensors.at("means").values) << suffix;
    EXPECT_EQ(back.tensors.at("noise").shape.size(), 0u) << suffix;
  }
}

}  // namespace
}  // namespace culatent::io::testing
