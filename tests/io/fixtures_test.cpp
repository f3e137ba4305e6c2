#include <gtest/gtest.h>

#include <cmath>

#include "host/io/safetensors.hpp"
#include "tests/io/files.hpp"

// Files written by numpy and the safetensors package; make_fixtures.py says how.
namespace culatent::io::testing {
namespace {

std::string fixture(const std::string& name) {
  return std::string(CULATENT_TEST_DATA) + "/io/data/" + name;
}

template <class Value>
std::vector<double> five_by_three(const Value& value) {
  std::vector<double> all;
  for (int i = 0; i < 5; ++i) {
    for (int j = 0; j < 3; ++j) all.push_back(value(i, j));
  }
  return all;
}

double real(int i, int j) { return i * 1.5 - j / 7.0; }
double single(int i, int j) { return static_cast<double>(static_cast<float>(real(i, j))); }
double whole(int i, int j) { return 100 * i + j; }
double byte(int i, int j) { return (100 * i + j) % 256; }

struct Fixture {
  const char* name;
  const char* format;
  ElementType type;
  double (*value)(int, int);
};

TEST(Fixtures, AreReadToTheLastBit) {
  const std::vector<Fixture> all = {
      {"c_f8.npy", "npy", ElementType::f8, real},
      {"fortran_f4.npy", "npy", ElementType::f4, single},
      {"big_i4.npy", "npy", ElementType::i4, whole},
      {"v2_i2.npy", "npy", ElementType::i2, whole},
      {"v3_i8.npy", "npy", ElementType::i8, whole},
      {"cube_u1.npy", "npy", ElementType::u1, byte},
      {"stored.npz:real", "npz", ElementType::f8, real},
      {"stored.npz:whole", "npz", ElementType::i8, whole},
      {"deflated.npz", "npz", ElementType::f8, real},
      {"deflated.npz:arr_0", "npz", ElementType::f8, real},
      {"savetxt.csv", "csv", ElementType::f8, real},
      {"savetxt.txt", "csv", ElementType::f8, real},
      {"whole-idx2-short.gz", "idx", ElementType::i2, whole},
  };
  for (const Fixture& one : all) {
    SCOPED_TRACE(one.name);
    const Dataset dataset = open_dataset(fixture(one.name));
    EXPECT_EQ(dataset.format(), one.format);
    EXPECT_EQ(dataset.type(), one.type);
    EXPECT_EQ(dataset.rows(), 5);
    EXPECT_EQ(values(dataset), five_by_three(one.value));
  }
}

TEST(Fixtures, AnArrayOfObjectsIsRefusedWithTheWayOut) {
  expect_contains(io_error_of([] { open_dataset(fixture("objects.npy")); }), "astype('float64')");
}

TEST(Fixtures, TensorsOfThePackageAreRead) {
  const TensorFile file = read_tensors(fixture("package.safetensors"));
  EXPECT_EQ(file.metadata.at("note"), "written by the safetensors package");
  EXPECT_EQ(file.tensors.at("real").values, five_by_three(real));
  EXPECT_EQ(file.tensors.at("single").values, five_by_three(single));
  EXPECT_EQ(file.tensors.at("whole").values, five_by_three(whole));
  EXPECT_EQ(file.tensors.at("whole").shape, (std::vector<std::int64_t>{5, 3}));
  EXPECT_EQ(file.tensors.at("half").values, (std::vector<double>{0.5, -65504, std::ldexp(1, -24)}));
  EXPECT_EQ(file.tensors.at("scalar").values, std::vector<double>{3.25});
}

}  // namespace
}  // namespace culatent::io::testing
