#include "host/parallel.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "culatent/context.hpp"
#include "culatent/error.hpp"

namespace culatent {
namespace {

class ParallelFor : public testing::TestWithParam<int> {};

TEST_P(ParallelFor, RunsEveryTaskOnce) {
  ThreadPool pool(GetParam());
  for (const std::int64_t n : {0, 1, 2, 3, 7, 64, 1000}) {
    for (const int n_workers : {1, 2, GetParam(), GetParam() + 5}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n));
      pool.parallel_for(n, n_workers,
                        [&](std::int64_t task, int) { ++runs[static_cast<std::size_t>(task)]; });
      for (const auto& count : runs) ASSERT_EQ(count, 1) << n << " tasks, " << n_workers;
    }
  }
}

TEST_P(ParallelFor, GivesAWorkerOneTaskAtATime) {
  ThreadPool pool(GetParam());
  std::vector<std::atomic<int>> busy(static_cast<std::size_t>(GetParam()));
  std::atomic<bool> wrong = false;
  pool.parallel_for(200, GetParam(), [&](std::int64_t, int worker) {
    if (worker < 0 || worker >= GetParam() || ++busy[static_cast<std::size_t>(worker)] != 1) {
      wrong = true;
      return;
    }
    std::this_thread::yield();
    --busy[static_cast<std::size_t>(worker)];
  });
  EXPECT_FALSE(wrong);
}

TEST_P(ParallelFor, UsesNoMoreWorkersThanAskedFor) {
  ThreadPool pool(GetParam());
  std::atomic<int> highest = 0;
  pool.parallel_for(500, 2, [&](std::int64_t, int worker) {
    int seen = highest;
    while (worker > seen && !highest.compare_exchange_weak(seen, worker)) {
    }
  });
  EXPECT_LT(highest, 2);
}

TEST_P(ParallelFor, RethrowsTheFirstExceptionAndWorksAgain) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 50; ++round) {
    // A loop that went on after the exception would take hours: the test's time limit is the claim.
    EXPECT_THROW(pool.parallel_for(INT64_MAX / 2, GetParam(),
                                   [&](std::int64_t task, int) {
                                     if (task == 3) throw std::runtime_error("task 3");
                                   }),
                 std::runtime_error);
    std::atomic<int> runs = 0;
    pool.parallel_for(17, GetParam(), [&](std::int64_t, int) { ++runs; });
    ASSERT_EQ(runs, 17);
  }
}

TEST_P(ParallelFor, SurvivesExceptionsInEveryTask) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(pool.parallel_for(8, GetParam(), [](std::int64_t, int) { throw 1; }), int);
  }
}

TEST_P(ParallelFor, MakesWritesOfTheTasksVisible) {
  ThreadPool pool(GetParam());
  std::vector<std::int64_t> plain(1000, 0);  // not atomic: TSan checks the hand-over
  for (int round = 1; round <= 100; ++round) {
    pool.parallel_for(1000, GetParam(), [&](std::int64_t task, int) {
      plain[static_cast<std::size_t>(task)] += task;
    });
    for (std::size_t i = 0; i < plain.size(); ++i) {
      ASSERT_EQ(plain[i], round * static_cast<std::int64_t>(i));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ParallelFor, testing::Values(1, 2, 3, 8),
                         testing::PrintToStringParamName());

TEST(ThreadPool, WorksInParallel) {
  ThreadPool pool(2);
  std::atomic<int> inside = 0;
  std::atomic<bool> met = false;
  pool.parallel_for(2, 2, [&](std::int64_t, int) {
    ++inside;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (inside < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    met = met || inside == 2;
  });
  EXPECT_TRUE(met);
}

TEST(ThreadPool, HasAtLeastTheCaller) {
  ThreadPool pool(0);
  EXPECT_EQ(pool.size(), 1);
  std::thread::id id;
  pool.parallel_for(1, 1, [&](std::int64_t, int) { id = std::this_thread::get_id(); });
  EXPECT_EQ(id, std::this_thread::get_id());
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// In a process of its own: room for the stacks of some threads, not of all.
[[noreturn]] void ask_for_too_many_threads() {
  const rlimit limit{1ul << 30, 1ul << 30};
  setrlimit(RLIMIT_AS, &limit);
  try {
    const Context context({.n_threads = 4096});
  } catch (const out_of_memory& error) {
    std::_Exit(std::string(error.what()).find("threads") != std::string::npos ? 0 : 3);
  }
  std::_Exit(2);
}

TEST(ThreadPoolDeathTest, ThreadsThatCannotBeHadAreAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ask_for_too_many_threads(), testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace culatent
