#include "culatent/neighbors.hpp"
#include "tests/core/neighbors_case.hpp"
#include "tests/cuda/cuda_test.hpp"
#include "tests/cuda/failing.hpp"

// What a search leaves behind where the device fails; only the stand-in can be told to fail.
namespace culatent::neighbors {
namespace {

class NeighborsFailures : public CudaTest {};

TEST_F(NeighborsFailures, ASearchThatFailsAnywhereLosesNothing) {
  const Matrix<float> rows = neighbors_case::normal_rows(140, 9, 1);
  const Context context({.n_threads = 1, .device = "cuda"});
  for (const Method method : {Method::exact, Method::ivf}) {
    const auto run = [&] {
      return search(context, rows.view(),
                    {.n_neighbors = 3, .method = method, .n_lists = 4, .seed = 1});
    };
    const Neighbors whole = run();
    expect_nothing_lost([&] { run(); });
    EXPECT_TRUE(neighbors_case::same(run(), whole)) << "the context is not what it was";
  }
}

}  // namespace
}  // namespace culatent::neighbors
