#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "culatent/error.hpp"
#include "host/neighbors_cuda.hpp"
#include "tests/core/neighbors_case.hpp"
#include "tests/cuda/cuda_test.hpp"

// What the host makes of the search on a device: lists, waves, limits, results that stay there.
namespace culatent::neighbors {
namespace {

namespace nc = neighbors_case;
using nc::at;
using nc::clusters;
using nc::Real;

class NeighborLists : public CudaTest {
 protected:
  static Context cuda(std::int64_t memory_limit = 0, Observer observer = {}) {
    return Context({.n_threads = 1,
                    .memory_limit = memory_limit,
                    .observer = std::move(observer),
                    .device = "cuda"});
  }

  // Whatever is missed: distances are true, in order, of other rows, each once. The share that is
  // not missed, of all queries.
  static double expect_consistent(const Matrix<float>& rows, const Matrix<float>& queries,
                                  bool self, const Neighbors& found) {
    std::int64_t hits = 0;
    for (std::int64_t i = 0; i < queries.rows(); ++i) {
      const auto all =
          nc::nearest(rows.view(), &queries(i, 0), self ? i : -1, rows.rows() - (self ? 1 : 0));
      std::size_t next = 0;  // neighbours come in the order of all
      for (std::int64_t m = 0; m < found.n_neighbors(); ++m) {
        while (next < all.size() && all[next].row != found.indices(i, m)) ++next;
        if (next == all.size()) {
          ADD_FAILURE() << "row " << i << ", neighbour " << m;
          return 0.0;
        }
        const Real tolerance = (static_cast<Real>(rows.cols()) / 8 + 6) * 0x1p-53L;
        EXPECT_LE(std::abs(static_cast<Real>(found.squared_distances(i, m)) - all[next].squared),
                  tolerance * all[next].squared);
        if (next < static_cast<std::size_t>(found.n_neighbors())) ++hits;
        ++next;
      }
    }
    return static_cast<double>(hits) / static_cast<double>(found.indices.size());
  }
};

TEST_F(NeighborLists, AreExactWhereTheyLook) {
  const Matrix<float> rows = clusters(700, 5, 12, 1);
  for (const int probes : {1, 2, 0}) {
    const Context context = cuda();
    const auto found = search(context, rows.view(),
                              {.n_neighbors = 6,
                               .method = Method::ivf,
                               .n_lists = 12,
                               .n_probes = probes,
                               .recall_rows = 700,
                               .seed = 3});
    EXPECT_DOUBLE_EQ(found.recall, expect_consistent(rows, rows, true, found));
    EXPECT_GT(found.recall, 0.5);
    EXPECT_EQ(found.n_lists, 12);
    if (probes > 0) {
      EXPECT_EQ(found.n_probes, probes);
    } else {
      EXPECT_GE(found.recall, 0.95);
    }
    EXPECT_EQ(found.seed, 3u);
    EXPECT_LE(context.peak_device_bytes(), found.plan.device_bytes);
  }
}

TEST_F(NeighborLists, ThatAreAllLookedAtFindAll) {
  const Matrix<float> rows = clusters(400, 9, 5, 2), queries = clusters(150, 9, 5, 2);
  const Context context = cuda();
  const MatrixRows<float> source(rows.view()), asked(queries.view());
  Options options{.n_neighbors = 4, .method = Method::ivf, .n_lists = 7, .n_probes = 7, .seed = 1};
  const Neighbors lists = search(context, source, options);
  const Neighbors apart = search(context, source, asked, options);
  // Few probes have too few rows for so many.
  options.n_neighbors = 390;
  options.n_probes = 1;
  const Neighbors most = search(context, source, options);
  options.method = Method::exact;
  EXPECT_TRUE(nc::same(most, search(context, source, options)));
  options.n_neighbors = 4;
  EXPECT_TRUE(nc::same(lists, search(context, source, options)));
  EXPECT_TRUE(nc::same(apart, search(context, source, asked, options)));
  EXPECT_EQ(lists.recall, 1.0);
  EXPECT_EQ(apart.recall, 1.0);
}

TEST_F(NeighborLists, OfQueriesThatAreNoRows) {
  const Matrix<float> rows = clusters(600, 6, 10, 4), queries = clusters(200, 6, 10, 4);
  const Context context = cuda();
  const auto found = search(
      context, MatrixRows<float>(rows.view()), MatrixRows<float>(queries.view()),
      {.n_neighbors = 5, .method = Method::ivf, .n_lists = 10, .recall_rows = 200, .seed = 2});
  EXPECT_DOUBLE_EQ(found.recall, expect_consistent(rows, queries, false, found));
  EXPECT_GE(found.recall, 0.95);
}

TEST_F(NeighborLists, StayOnTheDeviceWhereTheyAreWanted) {
  const Matrix<float> rows = clusters(500, 8, 6, 5);
  const MatrixRows<float> source(rows.view());
  for (const Method method : {Method::exact, Method::ivf}) {
    const Options options{.n_neighbors = 7, .method = method, .n_lists = 6, .seed = 4};
    const Context context = cuda();
    const Neighbors expected = search(context, source, options);
    const Context other = cuda();
    const ActiveDevice active(*other.cuda());
    DeviceNeighbors found = search_on_device(other, source, options);
    EXPECT_EQ(found.rest.recall, expected.recall);
    EXPECT_LE(other.peak_device_bytes(), found.rest.plan.device_bytes);
    found.rest.indices = Matrix<std::int32_t>(500, 7);
    found.rest.squared_distances = Matrix<double>(500, 7);
    found.indices.download(found.rest.indices.data(), found.indices.size());
    found.squared_distances.download(found.rest.squared_distances.data(), found.indices.size());
    EXPECT_TRUE(nc::same(found.rest, expected));
  }
}

TEST_F(NeighborLists, FitUnderAMemoryLimitOrAreRefused) {
  const Matrix<float> rows = clusters(900, 40, 6, 6);
  const MatrixRows<float> source(rows.view());
  const Options options{.n_neighbors = 12};
  const Context whole = cuda();
  const Neighbors expected = search(whole, source, options);
  bool refused = false;
  int n_smaller = 0;
  for (std::int64_t limit = whole.peak_device_bytes() - 1; !refused; limit = limit * 3 / 4) {
    const Context context = cuda(limit);
    try {
      const Neighbors found = search(context, source, options);
      EXPECT_TRUE(nc::same(found, expected)) << limit;
      EXPECT_LE(context.peak_device_bytes(), limit);
      EXPECT_LE(context.peak_device_bytes(), found.plan.device_bytes);
      ++n_smaller;
    } catch (const out_of_memory&) {
      EXPECT_EQ(context.peak_device_bytes(), 0) << "work began";
      refused = true;
    }
  }
  EXPECT_GE(n_smaller, 2);
}

TEST_F(NeighborLists, EndWhenTheObserverSaysSo) {
  const Matrix<float> rows = clusters(600, 10, 6, 7);
  for (const Method method : {Method::exact, Method::ivf}) {
    int n_calls = 0, most = -1;
    const auto look = [&](const Progress& progress) {
      EXPECT_STREQ(progress.phase, "neighbors");
      EXPECT_GE(progress.iteration, most);
      most = progress.iteration;
      ++n_calls;
      return true;
    };
    const Options options{.n_neighbors = 3, .method = method, .n_lists = 5, .seed = 1};
    const Context patient = cuda(0, look);
    const Neighbors whole = search(patient, rows.view(), options);
    EXPECT_FALSE(whole.interrupted);
    EXPECT_EQ(most, 100);
    for (int stop = 1; stop <= n_calls; ++stop) {
      int calls = 0;
      const Context context = cuda(0, [&](const Progress&) { return ++calls < stop; });
      const Neighbors found = search(context, rows.view(), options);
      EXPECT_TRUE(found.interrupted);
      EXPECT_EQ(found.indices.size(), 0);
      EXPECT_EQ(found.squared_distances.size(), 0);
    }
  }
}

}  // namespace
}  // namespace culatent::neighbors
