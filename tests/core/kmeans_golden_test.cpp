#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "culatent/kmeans.hpp"
#include "tests/core/golden.hpp"
#include "tests/device.hpp"

namespace culatent {
namespace {

class KmeansGolden : public testing::TestWithParam<std::string> {};

template <class T>
void check_case(const std::string& name) {
  const bool is_float = sizeof(T) == 4;
  const golden::Case c("kmeans/" + name);
  const Matrix<double> wide = c.input("X");
  Matrix<T> rows(wide.rows(), wide.cols());
  std::copy(wide.data(), wide.data() + wide.size(), rows.data());
  const Context context(on_device({.n_threads = 2}));
  kmeans::Options options;
  options.start = c.input("C0");
  options.n_clusters = c.params().at("n_clusters").get<int>();
  options.tol = 0.0;
  const kmeans::Fit fit = kmeans::fit<T>(context, rows.view(), options);

  EXPECT_TRUE(fit.converged);
  EXPECT_EQ(fit.n_iter + 1, c.expected("n_iter").at(0));  // it counts passes
  std::vector<double> trace;
  for (const kmeans::TraceEntry& entry : fit.trace) trace.push_back(entry.inertia);
  expect_near(c, "trace", trace, is_float);
  EXPECT_EQ(fit.trace.back().moved, 0);
  EXPECT_GT(fit.trace[1].moved, 0);
  expect_near(c, "inertia", {fit.inertia}, is_float);
  expect_near(c, "centers",
              {fit.model.centroids.data(), fit.model.centroids.data() + fit.model.centroids.size()},
              is_float);
  EXPECT_EQ(fit.model.counts, c.expected("counts"));

  std::vector<std::int32_t> labels(static_cast<std::size_t>(rows.rows()));
  kmeans::predict<T>(context, fit.model, rows.view(), labels);
  const std::vector<double> expected = c.expected("labels");
  EXPECT_TRUE(std::equal(labels.begin(), labels.end(), expected.begin(), expected.end()));
  expect_near(c, "inertia", {kmeans::score<T>(context, fit.model, rows.view())}, is_float);
}

TEST_P(KmeansGolden, AgreesWithScikitLearnInDouble) { check_case<double>(GetParam()); }
TEST_P(KmeansGolden, AgreesWithScikitLearnInFloat) { check_case<float>(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Cases, KmeansGolden, testing::Values("digits", "faithful"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace culatent
