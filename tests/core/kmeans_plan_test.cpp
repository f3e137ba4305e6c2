#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "culatent/kmeans.hpp"
#include "tests/core/kmeans_case.hpp"
#include "tests/core/peak.hpp"
#include "tests/io/files.hpp"

namespace culatent {
namespace {

struct Shape {
  std::int64_t n, d;
  int k, n_threads;
  std::int64_t mini_batch = 0;
  bool weights = false, checkpoint = false;
};

std::string name_of(const Shape& s) {
  return "n" + std::to_string(s.n) + "_d" + std::to_string(s.d) + "_k" + std::to_string(s.k) +
         "_t" + std::to_string(s.n_threads) + (s.mini_batch > 0 ? "_batches" : "") +
         (s.weights ? "_weights" : "") + (s.checkpoint ? "_checkpoint" : "");
}

std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << name_of(s); }

class KmeansPlan : public testing::TestWithParam<Shape> {};

template <class T>
void stays_within_the_plan(const Shape& s, kmeans::Init init) {
  const io::testing::Folder folder;
  const Matrix<T> data = kmeans_case::cast<T>(kmeans_case::uniform_rows(s.n, s.d, 1));
  memory::Peak* peak = nullptr;
  const auto look = [&] {
    if (peak != nullptr) peak->look();
  };
  const GeneratedRows<T> rows(s.n, s.d, [&](std::int64_t first, MatrixView<T> out) {
    look();
    for (std::int64_t i = 0; i < out.rows; ++i) std::copy_n(&data(first + i, 0), s.d, out.row(i));
  });
  const Context context({.n_threads = s.n_threads, .observer = [&](const Progress&) {
                           look();
                           return true;
                         }});
  const std::vector<double> weights(kmeans_case::at(s.weights ? s.n : 0), 0.5);
  kmeans::Options options{.n_clusters = s.k, .init = init, .n_init = 2, .max_iter = 3, .tol = 0.0};
  options.mini_batch = s.mini_batch;
  options.seed = 1;
  options.weights = weights;
  if (s.checkpoint) options.checkpoint = {.path = folder.path("c"), .every_iterations = 1};
  const std::int64_t planned = kmeans::plan<T>(context, rows, options).host_bytes;
  memory::Peak watch;
  peak = &watch;
  kmeans::fit<T>(context, rows, options);
  const std::int64_t most = watch.stop();
  peak = nullptr;
  // What does not grow with the shape (names, options, the heads of small vectors) is not planned.
  constexpr std::int64_t kSmall = 64 << 10;
  EXPECT_LE(most, planned + kSmall) << kmeans::name(init);
  EXPECT_GE(3 * most, planned) << kmeans::name(init) << ": three times what is needed";
}

TEST_P(KmeansPlan, IsAnUpperBoundAndNotAWideOne) {
  if (!memory::kHasMallinfo) GTEST_SKIP() << "a sanitizer's allocator keeps no such count";
  for (const auto init :
       {kmeans::Init::kmeans_plus, kmeans::Init::kmeans_parallel, kmeans::Init::random}) {
    stays_within_the_plan<float>(GetParam(), init);
    stays_within_the_plan<double>(GetParam(), init);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, KmeansPlan,
                         testing::Values(Shape{60000, 16, 20, 2}, Shape{6000, 100, 300, 3},
                                         Shape{40000, 2, 400, 2, 0, true, true},
                                         Shape{20000, 64, 40, 1, 0, false, true},
                                         Shape{60000, 16, 20, 2, 4096},
                                         Shape{60000, 16, 20, 2, 4096, true, true}),
                         [](const auto& test) { return name_of(test.param); });

}  // namespace
}  // namespace culatent
