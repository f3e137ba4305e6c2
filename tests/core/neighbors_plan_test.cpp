#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "culatent/error.hpp"
#include "tests/core/neighbors_case.hpp"
#include "tests/core/peak.hpp"
#include "tests/errors.hpp"

namespace culatent {
namespace {

using namespace neighbors_case;
using neighbors::Method;

struct Shape {
  std::int64_t n, d;
  int k, n_threads;
  Method method;
  bool in_place;
};

std::string name_of(const Shape& s) {
  return "n" + std::to_string(s.n) + "_d" + std::to_string(s.d) + "_k" + std::to_string(s.k) +
         "_t" + std::to_string(s.n_threads) + "_" + neighbors::name(s.method) +
         (s.in_place ? "_in_place" : "");
}

std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << name_of(s); }

class NeighborsPlan : public testing::TestWithParam<Shape> {};

TEST_P(NeighborsPlan, IsAnUpperBoundAndNotAWideOne) {
  if (!memory::kHasMallinfo) GTEST_SKIP() << "a sanitizer's allocator keeps no such count";
  const Shape s = GetParam();
  const Matrix<float> data = normal_rows(s.n, s.d, 1);
  const GeneratedRows<float> generated(s.n, s.d, [&](std::int64_t first, MatrixView<float> out) {
    for (std::int64_t i = 0; i < out.rows; ++i) {
      std::copy_n(&data(first + i, 0), s.d, out.row(i));
    }
  });
  const MatrixRows<float> held(data.view());
  const RowSource<float>& rows =
      s.in_place ? static_cast<const RowSource<float>&>(held) : generated;
  memory::Peak* peak = nullptr;
  const Context context({.n_threads = s.n_threads, .observer = [&](const Progress&) {
                           if (peak != nullptr) peak->look();
                           return true;
                         }});
  const neighbors::Options options{.n_neighbors = s.k, .method = s.method, .seed = 1};
  const std::int64_t planned = neighbors::plan(context, rows, options).host_bytes;
  memory::Peak watch;
  peak = &watch;
  const auto found = neighbors::search(context, rows, options);
  const std::int64_t most = watch.stop();
  // What does not grow with the shape (threads, options, heads of small vectors) is not planned.
  constexpr std::int64_t kSmall = 128 << 10;
  EXPECT_LE(most, planned + kSmall);
  EXPECT_GE(3 * most, planned) << "three times what is needed";
  EXPECT_EQ(found.plan.host_bytes, planned);
}

INSTANTIATE_TEST_SUITE_P(Shapes, NeighborsPlan,
                         testing::Values(Shape{20000, 16, 15, 2, Method::exact, true},
                                         Shape{20000, 16, 15, 2, Method::exact, false},
                                         Shape{3000, 300, 90, 1, Method::exact, false},
                                         Shape{60000, 2, 1, 3, Method::exact, true},
                                         Shape{20000, 16, 15, 2, Method::ivf, true},
                                         Shape{6000, 100, 40, 1, Method::ivf, false}),
                         [](const auto& test) { return name_of(test.param); });

TEST(NeighborsMemory, TheLimitTakesThreadsAwayFirst) {
  const Matrix<float> data = normal_rows(3000, 8, 1);
  const MatrixRows<float> rows(data.view());
  const neighbors::Options options{.n_neighbors = 5};
  const std::int64_t one = neighbors::plan(Context({.n_threads = 1}), rows, options).host_bytes;
  const std::int64_t four = neighbors::plan(Context({.n_threads = 4}), rows, options).host_bytes;
  ASSERT_LT(one, four);
  const Context limited({.n_threads = 4, .memory_limit = (one + four) / 2});
  const auto found = neighbors::search(limited, rows, options);
  EXPECT_LE(found.plan.host_bytes, (one + four) / 2);
  EXPECT_LT(found.plan.n_workers, 4);
  EXPECT_TRUE(same(found, neighbors::search(Context(), rows, options)));
}

TEST(NeighborsMemory, TooSmallALimitIsAnErrorBeforeAnyWork) {
  const GeneratedRows<float> rows(
      100000, 8, [](std::int64_t, MatrixView<float>) { FAIL() << "no row is to be read"; });
  const Context limited({.n_threads = 2, .memory_limit = 1 << 20});
  for (const Method method : {Method::exact, Method::ivf}) {
    const std::string text = errors::error_of<out_of_memory>(
        [&] { neighbors::search(limited, rows, {.n_neighbors = 5, .method = method}); });
    errors::expect_contains(text, "the limit is 1048576");
  }
}

}  // namespace
}  // namespace culatent
