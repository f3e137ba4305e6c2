#include <gtest/gtest.h>

#include <cmath>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "host/io/safetensors.hpp"
#include "tests/core/planted.hpp"
#include "tests/io/files.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;
using io::testing::Folder;
using io::testing::read_file;
using planted::error_of;
using planted::expect_contains;

class GaussianMixtureFile : public testing::TestWithParam<gm::Covariance> {
 protected:
  const Folder folder_;
  const std::string path_ = folder_.path("model.safetensors");
  const gm::Model model_ = planted::model(GetParam(), 3, 2, 2.0, 1);
};

TEST_P(GaussianMixtureFile, ReadsBackTheSameBits) {
  gm::Model model = model_;
  model.reg_covar = 0.1 + 0.2;
  gm::save(model, path_, "{\"tol\": 0.001}");
  const gm::Model back = gm::load(path_);
  EXPECT_EQ(back.covariance, GetParam());
  EXPECT_EQ(back.reg_covar, model.reg_covar);
  EXPECT_TRUE(planted::same_bits(back.weights, model_.weights));
  EXPECT_TRUE(planted::same_bits(planted::values(back.means), planted::values(model_.means)));
  EXPECT_TRUE(planted::same_bits(back.covariances, model_.covariances));
  gm::save(back, folder_.path("again"), "{\"tol\": 0.001}");
  EXPECT_EQ(read_file(path_), read_file(folder_.path("again")));
}

TEST_P(GaussianMixtureFile, HasTheTensorsAndMetadataOfTheContract) {
  gm::save(model_, path_, "{\"tol\": 0.001}");
  const io::TensorFile file = io::read_tensors(path_);
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(file.tensors.at("weights").shape, (Shape{3}));
  EXPECT_EQ(file.tensors.at("means").shape, (Shape{3, 2}));
  const Shape expected = GetParam() == gm::Covariance::full       ? Shape{3, 2, 2}
                         : GetParam() == gm::Covariance::tied     ? Shape{2, 2}
                         : GetParam() == gm::Covariance::diagonal ? Shape{3, 2}
                                                                  : Shape{3};
  EXPECT_EQ(file.tensors.at("covariances").shape, expected);
  EXPECT_EQ(file.metadata.at("culatent.method"), "gaussian-mixture");
  EXPECT_EQ(file.metadata.at("culatent.format"), "1");
  EXPECT_EQ(file.metadata.at("culatent.options"), "{\"tol\": 0.001}");
  EXPECT_EQ(file.metadata.at("culatent.n_features"), "2");
  EXPECT_EQ(file.metadata.at("covariance"), gm::name(GetParam()));
  EXPECT_TRUE(file.metadata.contains("culatent.version"));
  EXPECT_TRUE(file.metadata.contains("culatent.checksum"));
}

// A file as another program writes it: tensors, no metadata.
TEST_P(GaussianMixtureFile, OfOthersIsKnownByItsShapes) {
  gm::save(model_, path_);
  io::TensorFile file = io::read_tensors(path_);
  file.metadata.clear();
  io::write_tensors(path_, file);
  EXPECT_EQ(gm::load(path_).covariance, GetParam());
}

TEST_P(GaussianMixtureFile, IsAStartCompleteOrInPart) {
  gm::save(model_, path_);
  const gm::Start all = gm::load_start(path_, GetParam());
  EXPECT_EQ(all.weights, model_.weights);
  EXPECT_EQ(planted::values(all.means), planted::values(model_.means));
  EXPECT_EQ(all.covariances, model_.covariances);
  io::TensorFile file = io::read_tensors(path_);
  file.tensors.erase("covariances");
  io::write_tensors(path_, file);
  const gm::Start part = gm::load_start(path_, GetParam());
  EXPECT_TRUE(part.covariances.empty());
  EXPECT_EQ(part.weights, model_.weights);
  file.tensors.erase("means");
  io::write_tensors(path_, file);
  EXPECT_EQ(gm::load_start(path_, GetParam()).means.rows(), 0);
  expect_contains(error_of<io_error>([&] { gm::load(path_); }), "means");
}

TEST_P(GaussianMixtureFile, TakesPrecisionsForCovariances) {
  gm::save(model_, path_);
  io::TensorFile file = io::read_tensors(path_);
  io::Tensor tensor = file.tensors.at("covariances");
  file.tensors.erase("covariances");
  const bool matrices = tensor.shape.back() == 2 && tensor.shape.size() >= 2 &&
                        GetParam() != gm::Covariance::diagonal;
  for (std::size_t i = 0; i < tensor.values.size(); i += matrices ? 4 : 1) {
    double* v = tensor.values.data() + i;
    if (!matrices) {
      v[0] = 1.0 / v[0];
      continue;
    }
    const double det = v[0] * v[3] - v[1] * v[2];
    std::swap(v[0], v[3]);
    v[0] /= det;
    v[1] /= -det;
    v[2] /= -det;
    v[3] /= det;
  }
  file.tensors["precisions"] = tensor;
  io::write_tensors(path_, file);
  planted::expect_near(gm::load_start(path_, GetParam()).covariances, model_.covariances, 1e-13,
                       "covariances");
}

TEST_P(GaussianMixtureFile, OfTensorsThatAreNoMixtureIsRefused) {
  gm::save(model_, path_);
  const io::TensorFile good = io::read_tensors(path_);
  const auto refused = [&](const auto& change) {
    io::TensorFile bad = good;
    change(bad);
    io::write_tensors(path_, bad);
    expect_contains(error_of<data_error>([&] { gm::load(path_); }), path_);
  };
  refused([](io::TensorFile& f) { f.tensors["weights"].values[0] = -0.5; });
  refused([](io::TensorFile& f) { f.tensors["weights"].values[0] = std::nan(""); });
  refused([](io::TensorFile& f) { f.tensors["weights"] = {{2}, {0.5, 0.5}}; });
  refused([](io::TensorFile& f) { f.tensors["means"].values[0] = HUGE_VAL; });
  refused([](io::TensorFile& f) { f.tensors["means"].shape = {6}; });
  refused([](io::TensorFile& f) { f.tensors["covariances"].values[0] = std::nan(""); });
  refused([](io::TensorFile& f) { f.tensors["covariances"] = {{5}, {1, 1, 1, 1, 1}}; });
  refused([](io::TensorFile& f) {
    f.metadata["culatent.covariance"] = f.metadata["covariance"] = "round";
  });
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureFile, testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

TEST(GaussianMixtureFiles, OfAnAmbiguousShapeNeedTheMetadata) {
  const Folder folder;
  const std::string path = folder.path("m");
  const gm::Model model = planted::model(gm::Covariance::diagonal, 2, 2, 2.0, 1);
  gm::save(model, path);
  EXPECT_EQ(gm::load(path).covariance, gm::Covariance::diagonal);
  io::TensorFile file = io::read_tensors(path);
  file.metadata.clear();
  io::write_tensors(path, file);  // [2, 2]: tied or diagonal
  expect_contains(error_of<data_error>([&] { gm::load(path); }), "metadata covariance");
  file.metadata["covariance"] = "tied";
  file.tensors["covariances"].values = {2.0, 0.5, 0.5, 1.0};
  io::write_tensors(path, file);
  EXPECT_EQ(gm::load(path).covariance, gm::Covariance::tied);
}

TEST(GaussianMixtureFiles, OfAnotherMethodAreRefused) {
  const Folder folder;
  const std::string path = folder.path("m");
  gm::save(planted::model(gm::Covariance::full, 2, 2, 2.0, 1), path);
  io::TensorFile file = io::read_tensors(path);
  file.metadata["culatent.method"] = "kmeans";
  io::write_tensors(path, file);
  expect_contains(error_of<io_error>([&] { gm::load(path); }), "kmeans");
  expect_contains(error_of<io_error>([&] { gm::load_start(path, gm::Covariance::full); }),
                  "kmeans");
  io::write_tensors(path, {{{"centroids", {{1, 1}, {0.0}}}}, {}});
  expect_contains(error_of<io_error>([&] { gm::load(path); }), "no tensors of a mixture");
}

TEST(GaussianMixtureFiles, ThatCannotBeWrittenLeaveNothing) {
  const Folder folder;
  const gm::Model model = planted::model(gm::Covariance::full, 2, 2, 2.0, 1);
  expect_contains(error_of<io_error>([&] { gm::save(model, folder.path("no/such/place")); }),
                  "no/such/place");
  gm::Model bad = model;
  bad.weights[0] = std::nan("");
  EXPECT_THROW(gm::save(bad, folder.path("bad")), data_error);
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace culatent
