#include "culatent/context.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <climits>
#include <string>

#include "culatent/error.hpp"

namespace culatent {
namespace {

TEST(Context, UsesAsManyThreadsAsTheProcessMay) {
  cpu_set_t set;
  CPU_ZERO(&set);
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  EXPECT_EQ(Context().n_threads(), CPU_COUNT(&set));

  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) {
      CPU_SET(cpu, &one);
      break;
    }
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(Context().n_threads(), 1);
  sched_setaffinity(0, sizeof(set), &set);
}

TEST(Context, KeepsItsOptions) {
  const Context context({.n_threads = 3, .memory_limit = 1000, .chunk_rows = 7});
  EXPECT_EQ(context.n_threads(), 3);
  EXPECT_EQ(context.options().memory_limit, 1000);
  EXPECT_EQ(context.options().chunk_rows, 7);
}

TEST(Context, RefusesOptionsThatMakeNoSense) {
  for (const int n_threads : {-1, 4097, INT_MAX, INT_MIN}) {
    EXPECT_THROW(Context({.n_threads = n_threads}), invalid_argument) << n_threads;
  }
  EXPECT_THROW(Context({.memory_limit = -1}), invalid_argument);
  EXPECT_THROW(Context({.chunk_rows = -5}), invalid_argument);
  try {
    Context({.n_threads = -3});
  } catch (const invalid_argument& error) {
    EXPECT_EQ(std::string(error.what()),
              "n_threads is -3 (Context): give 1 to 4096, or 0 for all processors");
  }
}

TEST(ErrorText, LeavesOutWhatIsEmpty) {
  EXPECT_EQ(error_text("bad", "here", "fix it"), "bad (here): fix it");
  EXPECT_EQ(error_text("bad", "", "fix it"), "bad: fix it");
  EXPECT_EQ(error_text("bad", "here", ""), "bad (here)");
}

TEST(Errors, AreStandardExceptions) {
  EXPECT_THROW(throw invalid_argument("a", "b", "c"), std::invalid_argument);
  EXPECT_THROW(throw data_error("a", "b", "c"), std::runtime_error);
  EXPECT_THROW(throw io_error("a", "b", "c"), std::runtime_error);
  EXPECT_THROW(throw device_error("a", "b", "c"), std::runtime_error);
  EXPECT_THROW(throw out_of_memory("a", "b", "c"), std::bad_alloc);
}

TEST(Devices, BeginWithTheProcessor) {
  ASSERT_FALSE(devices().empty());
  EXPECT_EQ(devices()[0].name, "cpu");
  EXPECT_TRUE(devices()[0].available);
  EXPECT_FALSE(devices()[0].text.empty());
  EXPECT_EQ(backends().substr(0, 3), "cpu");
}

}  // namespace
}  // namespace culatent
