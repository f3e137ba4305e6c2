#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>

#include "culatent/error.hpp"
#include "culatent/gaussian_mixture.hpp"
#include "tests/core/peak.hpp"
#include "tests/core/planted.hpp"
#include "tests/io/files.hpp"

namespace culatent {
namespace {

namespace gm = gaussian_mixture;

using memory::kHasMallinfo;
using memory::Peak;

struct Shape {
  gm::Covariance covariance;
  std::int64_t n, d;
  int k, n_threads;
  bool missing, checkpoint;
};

std::string name_of(const Shape& s) {
  return std::string(gm::name(s.covariance)) + "_n" + std::to_string(s.n) + "_d" +
         std::to_string(s.d) + "_k" + std::to_string(s.k) + "_t" + std::to_string(s.n_threads) +
         (s.missing ? "_missing" : "") + (s.checkpoint ? "_checkpoint" : "");
}

std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << name_of(s); }

class GaussianMixturePlan : public testing::TestWithParam<Shape> {};

template <class T>
void stays_within_the_plan(const Shape& s, gm::Init init) {
  const io::testing::Folder folder;
  Matrix<T> data(s.n, s.d);
  planted::Draws draws(1);
  for (std::int64_t i = 0; i < s.n; ++i) {
    for (std::int64_t j = 0; j < s.d; ++j) {
      data(i, j) = static_cast<T>(draws.uniform() + 10.0 * static_cast<double>(i % s.k));
      if (s.missing && draws.uniform() < 0.05) data(i, j) = std::numeric_limits<T>::quiet_NaN();
    }
  }
  Peak* peak = nullptr;
  const GeneratedRows<T> rows(s.n, s.d, [&](std::int64_t first, MatrixView<T> out) {
    if (peak != nullptr) peak->look();
    for (std::int64_t i = 0; i < out.rows; ++i) std::copy_n(&data(first + i, 0), s.d, out.row(i));
  });
  const Context context({.n_threads = s.n_threads, .observer = [&](const Progress&) {
                           if (peak != nullptr) peak->look();
                           return true;
                         }});
  gm::Options options{.n_components = s.k,
                      .covariance = s.covariance,
                      .max_iter = 3,
                      .tol = 0.0,
                      .init = init,
                      .n_init = 2,
                      .missing = s.missing,
                      .seed = 1};
  if (s.checkpoint) options.checkpoint = {.path = folder.path("c"), .every_iterations = 1};
  const std::int64_t planned = gm::plan<T>(context, rows, options).host_bytes;
  Peak watch;
  peak = &watch;
  gm::fit<T>(context, rows, options);
  const std::int64_t most = watch.stop();
  peak = nullptr;
  // What does not grow with the shape (names, options, the heads of small vectors) is not planned.
  constexpr std::int64_t kSmall = 64 << 10;
  EXPECT_LE(most, planned + kSmall) << gm::name(init);
  if (init != gm::Init::kmeans) return;  // the others need less
  EXPECT_GE(3 * most, planned) << "the plan asks for three times what is needed";
}

TEST_P(GaussianMixturePlan, IsAnUpperBoundAndNotAWideOne) {
  if (!kHasMallinfo) GTEST_SKIP() << "a sanitizer's allocator keeps no such count";
  stays_within_the_plan<float>(GetParam(), gm::Init::kmeans);
  stays_within_the_plan<double>(GetParam(), gm::Init::kmeans);
  stays_within_the_plan<double>(GetParam(), gm::Init::random);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GaussianMixturePlan,
    testing::Values(Shape{gm::Covariance::full, 6000, 48, 20, 2, false, false},
                    Shape{gm::Covariance::full, 6000, 48, 20, 2, false, true},
                    Shape{gm::Covariance::full, 3000, 40, 4, 2, true, false},
                    Shape{gm::Covariance::full, 1500, 200, 3, 3, false, false},
                    Shape{gm::Covariance::tied, 6000, 100, 10, 3, false, false},
                    Shape{gm::Covariance::tied, 2000, 40, 4, 2, true, true},
                    Shape{gm::Covariance::diagonal, 20000, 64, 40, 2, false, false},
                    Shape{gm::Covariance::diagonal, 20000, 2, 400, 2, false, true},
                    Shape{gm::Covariance::spherical, 40000, 16, 10, 4, false, false}),
    [](const auto& test) { return name_of(test.param); });

TEST(GaussianMixturePlan, FewerThreadsFitALimit) {
  const Matrix<double> rows(5000, 30);
  const MatrixRows<double> source(rows.view());
  const gm::Options options{.n_components = 10};
  std::int64_t last = 0;
  for (const int n_threads : {1, 2, 5}) {
    const std::int64_t bytes =
        gm::plan<double>(Context({.n_threads = n_threads}), source, options).host_bytes;
    EXPECT_GT(bytes, last);
    const Context limited({.n_threads = 8, .memory_limit = bytes});
    const Plan plan = gm::plan<double>(limited, source, options);
    EXPECT_EQ(plan.n_workers, n_threads);
    EXPECT_LE(plan.host_bytes, bytes);
    EXPECT_EQ(plan.rows, 5000);
    EXPECT_EQ(plan.columns, 30);
    last = bytes;
  }
}

TEST(GaussianMixturePlan, ALimitThatIsTooSmallThrowsBeforeAnythingIsRead) {
  int reads = 0;
  const GeneratedRows<double> rows(5000, 30, [&](std::int64_t, MatrixView<double>) { ++reads; });
  const gm::Options options{.n_components = 10};
  const Context free({.n_threads = 1});
  const std::int64_t least = gm::plan<double>(free, rows, options).host_bytes;
  const Context limited({.n_threads = 4, .memory_limit = least - 1});
  for (const bool fitting : {false, true}) {
    const std::string text = planted::error_of<out_of_memory>([&] {
      if (fitting) {
        gm::fit<double>(limited, rows, options);
      } else {
        gm::plan<double>(limited, rows, options);
      }
    });
    planted::expect_contains(text, std::to_string(least));
    planted::expect_contains(text, "--memory-limit");
  }
  EXPECT_EQ(reads, 0);
}

TEST(GaussianMixturePlan, AShapeBeyondInt64IsOutOfMemory) {
  const GeneratedRows<double> rows(5000, std::int64_t{1} << 40,
                                   [](std::int64_t, MatrixView<double>) {});
  const Context context;
  EXPECT_THROW(gm::plan<double>(context, rows, {.n_components = 10}), out_of_memory);
  EXPECT_THROW(gm::fit<double>(context, rows, {.n_components = 10}), out_of_memory);
}

TEST(GaussianMixturePlan, DoesNotGrowWithTheRows) {
  const auto bytes = [](std::int64_t n) {
    const GeneratedRows<float> rows(n, 16, [](std::int64_t, MatrixView<float>) {});
    return gm::plan<float>(Context({.n_threads = 2}), rows, {.n_components = 16}).host_bytes;
  };
  EXPECT_EQ(bytes(1'000'000), bytes(1'000'000'000'000));
}

}  // namespace
}  // namespace culatent

int main(int argc, char** argv) {
  mallopt(M_ARENA_MAX, 1);  // mallinfo2 counts the first arena only
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
