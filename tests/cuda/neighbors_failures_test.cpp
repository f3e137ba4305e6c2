#include "culatent/error.hpp"
#include "culatent/neighbors.hpp"
#include "simt/simt.hpp"
#include "tests/core/neighbors_case.hpp"
#include "tests/cuda/cuda_test.hpp"

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
    const std::uint64_t launches = simt::stats().launches, allocations = simt::allocations();
    const Neighbors whole = run();
    const std::uint64_t n_launches = simt::stats().launches - launches;
    const std::uint64_t n_allocations = simt::allocations() - allocations;
    const std::uint64_t live = simt::live_allocations(), handles = simt::live_handles();
    ASSERT_GE(n_launches, 5u);
    ASSERT_GE(n_allocations, 10u);
    for (std::uint64_t i = 1; i <= n_allocations; ++i) {
      simt::fail_allocation(i);
      EXPECT_THROW(run(), out_of_memory) << "allocation " << i;
      simt::fail_allocation(0);
      EXPECT_EQ(simt::live_allocations(), live) << "allocation " << i << " leaks";
      EXPECT_EQ(simt::live_handles(), handles) << "allocation " << i << " leaks";
    }
    for (std::uint64_t i = 1; i <= n_launches; ++i) {
      simt::fail_launch(i);
      EXPECT_THROW(run(), device_error) << "launch " << i;
      simt::fail_launch(0);
      EXPECT_EQ(simt::live_allocations(), live) << "launch " << i << " leaks";
    }
    EXPECT_TRUE(neighbors_case::same(run(), whole)) << "the context is not what it was";
  }
}

}  // namespace
}  // namespace culatent::neighbors
