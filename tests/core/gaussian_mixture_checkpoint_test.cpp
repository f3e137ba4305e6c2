#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/planted.hpp"
#include "tests/device.hpp"
#include "tests/io/files.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;
using io::testing::Folder;
using io::testing::read_file;
using planted::error_of;
using planted::expect_contains;

class GaussianMixtureCheckpoint : public testing::TestWithParam<gm::Covariance> {
 protected:
  gm::Options options(bool resume) const {
    return {.n_components = 4,
            .covariance = GetParam(),
            .max_iter = 4,
            .tol = 0.0,
            .n_init = 2,
            .seed = 2,
            .checkpoint = {.path = path_, .every_iterations = 1, .resume = resume}};
  }
  template <class T>
  gm::Fit fit(const gm::Options& options, Observer observer = {}, int n_threads = 2) const {
    const Context context(on_device({.n_threads = n_threads, .observer = std::move(observer)}));
    return gm::fit<T>(context, planted::cast<T>(rows_).view(), options);
  }
  // Ends at the n-th call of the observer by an exception, as a kill would: nothing is tidied up.
  template <class T>
  bool killed_at_call(int n) const {
    int calls = 0;
    try {
      fit<T>(options(false), [&](const Progress&) -> bool {
        if (++calls == n) throw n;
        return true;
      });
      return false;
    } catch (int) {
      return true;
    }
  }
  template <class T>
  void resumes_to_the_same_bits(int step) const {
    const gm::Fit undisturbed = fit<T>(options(false));
    int n = 1;
    for (;; n += step) {
      std::filesystem::remove(path_);
      if (!killed_at_call<T>(n)) break;
      EXPECT_TRUE(planted::same_bits(fit<T>(options(true), {}, 3), undisturbed)) << n;
    }
    EXPECT_GT(n, 2 * 5) << "every pass of every restart was interrupted";
  }

  const Folder folder_;
  const std::string path_ = folder_.path("fit.checkpoint");
  const Matrix<double> rows_ = planted::rows(planted::model(GetParam(), 4, 3, 1.0, 1), 2100, 2);
};

TEST_P(GaussianMixtureCheckpoint, ResumesToTheSameBitsFromAnyMoment) {
  resumes_to_the_same_bits<double>(2);
  resumes_to_the_same_bits<float>(5);
}

// With the clock's default no interval passes here: what is resumed is what the stop itself wrote,
// and a start that was cut short must not be among it.
TEST_P(GaussianMixtureCheckpoint, IsWrittenWhenTheObserverStopsTheFit) {
  gm::Options o = options(false);
  o.max_iter = 12;
  o.checkpoint.every_iterations = 0;
  o.checkpoint.resume = true;
  const gm::Fit undisturbed = fit<double>(o);
  std::filesystem::remove(path_);
  int n_written = 0;
  for (int last = 0; last < 60; last += 3) {
    int calls = 0;
    fit<double>(o, [&](const Progress&) { return calls++ < last; });
    n_written += std::filesystem::exists(path_) ? 1 : 0;
    EXPECT_TRUE(planted::same_bits(fit<double>(o), undisturbed)) << "stopped at call " << last;
    std::filesystem::remove(path_);
  }
  EXPECT_GE(n_written, 4) << "one in three of the first restart's twelve passes";
}

TEST_P(GaussianMixtureCheckpoint, ResumesWithMissingValuesAndDroppedComponents) {
  Matrix<double> rows = rows_;
  planted::remove_values(rows, 0.05, 3);
  for (std::int64_t j = 0; j < 3; ++j) rows(7, j) = 1e4;  // drops the component that takes it
  gm::Options o = options(false);
  o.n_init = 1;
  o.missing = true;
  o.reg_covar = 0.0;
  o.collapse = gm::Collapse::drop;
  const Context plain(on_device({.n_threads = 2}));
  const gm::Fit undisturbed = gm::fit<double>(plain, rows.view(), o);
  EXPECT_EQ(undisturbed.model.n_components(), GetParam() == gm::Covariance::tied ? 4 : 3);
  for (int last = 0; last < 5; ++last) {
    const Context stopping(on_device({.n_threads = 2, .observer = [&](const Progress& p) {
                                        return std::string(p.phase) != "fit" || p.iteration < last;
                                      }}));
    std::filesystem::remove(path_);
    o.checkpoint.resume = false;
    EXPECT_TRUE(gm::fit<double>(stopping, rows.view(), o).interrupted);
    o.checkpoint.resume = true;
    EXPECT_TRUE(planted::same_bits(gm::fit<double>(plain, rows.view(), o), undisturbed)) << last;
  }
}

TEST_P(GaussianMixtureCheckpoint, ResumesTheDrawnSeed) {
  gm::Options o = options(false);
  o.seed.reset();
  const gm::Fit stopped = fit<double>(
      o, [](const Progress& p) { return std::string(p.phase) != "fit" || p.iteration < 2; });
  o.checkpoint.resume = true;
  const gm::Fit resumed = fit<double>(o);
  EXPECT_EQ(resumed.seed, stopped.seed);
  o.seed = stopped.seed;
  o.checkpoint = {};
  EXPECT_TRUE(planted::same_bits(resumed, fit<double>(o)));
}

TEST_P(GaussianMixtureCheckpoint, OfAFinishedFitGivesItAgain) {
  gm::Options o = options(false);
  o.n_init = 1;
  o.tol = 1e-3;
  o.max_iter = 200;
  const gm::Fit first = fit<double>(o);
  EXPECT_TRUE(first.converged);
  o.checkpoint.resume = true;
  EXPECT_TRUE(planted::same_bits(fit<double>(o), first));
}

INSTANTIATE_TEST_SUITE_P(Covariances, GaussianMixtureCheckpoint,
                         testing::ValuesIn(oracle::kCovariances),
                         [](const auto& test) { return gm::name(test.param); });

struct Resumed {
  Matrix<double> rows = planted::rows(planted::model(gm::Covariance::full, 2, 2, 2.0, 1), 300, 2);
  std::vector<double> weights = std::vector<double>(300, 1.0);
  gm::Options options{.n_components = 2, .max_iter = 5, .tol = 0.0, .seed = 3};
};

TEST(GaussianMixtureResume, StartsAfreshWithoutAFile) {
  const Folder folder;
  Resumed r;
  const Context context(on_device());
  const gm::Fit plain = gm::fit<double>(context, r.rows.view(), r.options);
  r.options.checkpoint = {.path = folder.path("none"), .resume = true};
  EXPECT_TRUE(planted::same_bits(gm::fit<double>(context, r.rows.view(), r.options), plain));
}

TEST(GaussianMixtureResume, RefusesOtherDataAndOptions) {
  const Folder folder;
  const Context context(on_device());
  const CheckpointOptions checkpoint{.path = folder.path("c"), .every_iterations = 2};
  Resumed good;
  good.options.weights = good.weights;
  good.options.checkpoint = checkpoint;
  gm::fit<double>(context, good.rows.view(), good.options);
  const auto refused = [&](const char* what, const auto& change) {
    Resumed other;
    other.options.checkpoint = checkpoint;
    other.options.checkpoint.resume = true;
    change(other);
    other.options.weights = other.weights;
    const std::string text =
        error_of<data_error>([&] { gm::fit<double>(context, other.rows.view(), other.options); });
    EXPECT_NE(text.find(checkpoint.path), std::string::npos) << what << ": " << text;
  };
  refused("one value", [](Resumed& r) { r.rows(100, 1) = std::nextafter(r.rows(100, 1), 9.0); });
  refused("two rows swapped",
          [](Resumed& r) { std::swap_ranges(&r.rows(3, 0), &r.rows(3, 0) + 2, &r.rows(200, 0)); });
  refused("one weight", [](Resumed& r) { r.weights[7] = 2.0; });
  refused("fewer rows", [](Resumed& r) {
    Matrix<double> fewer(299, 2);
    std::copy_n(r.rows.data(), fewer.size(), fewer.data());
    r.rows = fewer;
    r.weights.pop_back();
  });
  refused("components", [](Resumed& r) { r.options.n_components = 3; });
  refused("covariance", [](Resumed& r) { r.options.covariance = gm::Covariance::tied; });
  refused("reg_covar", [](Resumed& r) { r.options.reg_covar = 1e-5; });
  refused("tol", [](Resumed& r) { r.options.tol = 1e-9; });
  refused("init", [](Resumed& r) { r.options.init = gm::Init::random; });
  refused("seed", [](Resumed& r) { r.options.seed = 4; });
  refused("n_init", [](Resumed& r) { r.options.n_init = 2; });
  refused("collapse", [](Resumed& r) { r.options.collapse = gm::Collapse::drop; });
  if (on_cpu()) refused("missing", [](Resumed& r) { r.options.missing = true; });
  refused("start", [](Resumed& r) { r.options.start.weights = {0.5, 0.5}; });
  Resumed narrow = good;
  narrow.options.weights = narrow.weights;
  narrow.options.checkpoint.resume = true;
  error_of<data_error>(
      [&] { gm::fit<float>(context, planted::cast<float>(narrow.rows).view(), narrow.options); });
}

TEST(GaussianMixtureResume, RefusesEveryDamagedByteAndCut) {
  const Folder folder;
  const Context context(on_device());
  Resumed r;
  const std::string path = folder.path("c");
  r.options.checkpoint = {.path = path, .every_iterations = 2};
  gm::fit<double>(context, r.rows.view(), r.options);
  r.options.checkpoint.resume = true;
  const std::string good = read_file(path);
  const auto refused = [&](const std::string& content, std::size_t where) {
    folder.file("c", content);
    try {
      gm::fit<double>(context, r.rows.view(), r.options);
      ADD_FAILURE() << "taken, byte " << where;
    } catch (const io_error&) {
    }
  };
  for (std::size_t i = 0; i < good.size(); i += 3) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    refused(bad, i);
    refused(good.substr(0, i), i);
  }
  folder.file("c", good);
  gm::fit<double>(context, r.rows.view(), r.options);
}

TEST(GaussianMixtureResume, RefusesAModelFile) {
  const Folder folder;
  const Context context(on_device());
  Resumed r;
  const std::string path = folder.path("model");
  gm::save(planted::model(gm::Covariance::full, 2, 2, 1.0, 1), path);
  r.options.checkpoint = {.path = path, .resume = true};
  expect_contains(error_of<io_error>([&] { gm::fit<double>(context, r.rows.view(), r.options); }),
                  path);
}

TEST(GaussianMixtureResume, ACheckpointThatCannotBeWrittenIsAnError) {
  const Context context(on_device());
  Resumed r;
  r.options.checkpoint = {.path = "/nowhere/at/all", .every_iterations = 1};
  expect_contains(error_of<io_error>([&] { gm::fit<double>(context, r.rows.view(), r.options); }),
                  "/nowhere/at/all");
}

}  // namespace
}  // namespace culatent
