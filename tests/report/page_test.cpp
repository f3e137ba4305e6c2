#include <gtest/gtest.h>

#include <string>

#include "culatent/error.hpp"
#include "host/report/describe.hpp"
#include "host/report/gaussian_mixture_page.hpp"
#include "host/report/groups.hpp"
#include "host/report/kde_page.hpp"
#include "host/report/mean_images.hpp"
#include "tests/report/page_cases.hpp"

namespace culatent::report {
namespace {

using gaussian_mixture::Covariance;

class Page : public ::testing::Test {
 protected:
  std::string page(const cases::Case& c) { return gaussian_mixture_page(context_, c.fit, c.input); }
  cases::Case faithful() {
    return cases::fitted(context_, "faithful", cases::data("old_faithful"), {.n_components = 2});
  }
  Context context_;
};

TEST_F(Page, IsTheSameTextForTheSameFit) {
  const cases::Case c = faithful();
  EXPECT_EQ(page(c), page(c));
}

TEST_F(Page, ShowsEveryWarning) {
  cases::Case c = faithful();
  c.fit.warnings = {{"code_one", "first remark"}, {"code_two", "second remark"}};
  const std::string text = page(c);
  for (const char* part : {"code_one", "first remark", "code_two", "second remark"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
}

TEST_F(Page, WarnsOfAFitThatDidNotConvergeEvenWithoutAWarning) {
  cases::Case c = faithful();
  c.fit.warnings.clear();
  EXPECT_EQ(page(c).find("class=\"warning\""), std::string::npos);
  c.fit.converged = false;
  EXPECT_NE(page(c).find("class=\"warning\""), std::string::npos);
}

TEST_F(Page, AddsTheDrawnSeedToTheCommand) {
  cases::Case c = faithful();
  c.input.command = "culatent fit gaussian-mixture f.npy";
  c.input.report_json = R"({"seed": 18446744073709551615})";
  EXPECT_NE(
      page(c).find("<pre>culatent fit gaussian-mixture f.npy --seed 18446744073709551615</pre>"),
      std::string::npos);
  c.input.command += " --seed 4";
  EXPECT_NE(page(c).find("<pre>culatent fit gaussian-mixture f.npy --seed 4</pre>"),
            std::string::npos);
}

TEST_F(Page, RefusesInputThatDoesNotSuitTheModel) {
  const cases::Case good = faithful();
  cases::Case c = good;
  c.input.sample = Matrix<double>(5, 3);
  EXPECT_THROW(page(c), invalid_argument);
  c = good;
  c.input.labels = {1, 2, 3};
  EXPECT_THROW(page(c), invalid_argument);
  c = good;
  c.input.column_names = {"one"};
  EXPECT_THROW(page(c), invalid_argument);
  for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{2, 2},
                                      {-1, -2},
                                      {0, 2},
                                      {std::int64_t{1} << 62, 4}}) {
    c = good;
    c.input.image_height = height;
    c.input.image_width = width;
    EXPECT_THROW(page(c), invalid_argument) << height << "x" << width;
  }
  c = good;
  c.input.report_json = "{\"options\": ";
  EXPECT_THROW(page(c), invalid_argument);
  c.input.report_json = "[1]";
  EXPECT_THROW(page(c), invalid_argument);
}

TEST_F(Page, RefusesAKernelDensityOfOtherWidth) {
  kde::Model model;
  model.rows = Matrix<double>(4, 2);
  model.bandwidth = {1.0};
  EXPECT_THROW(kde_page(context_, model, {}), invalid_argument);
  EXPECT_THROW(kde_page(context_, {}, {}), invalid_argument);
}

TEST(GreyImage, MapsTheScaleToBytes) {
  const std::vector<double> values = {0.0, 1.0, 0.5, -3.0, 7.0, std::nan("")};
  const Image image = grey_image(values, 2, 3, 0.0, 1.0);
  EXPECT_EQ(image.pixels, (std::vector<std::uint8_t>{0, 255, 128, 0, 255, 0}));
}

TEST(GreyImage, ShrinksByWholeBlocks) {
  const std::vector<double> values = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};  // 2 x 5
  const Image image = grey_image(values, 2, 5, 0.0, 9.0, 3);
  // Blocks of two: {0,1,5,6}, {2,3,7,8}, {4,9}; means 3, 5, 6.5 of 9.
  EXPECT_EQ(image.width, 3);
  EXPECT_EQ(image.height, 1);
  EXPECT_EQ(image.pixels, (std::vector<std::uint8_t>{85, 142, 184}));
}

TEST(GreyImage, IsMiddleGreyWithoutContrast) {
  EXPECT_EQ(grey_image(std::vector<double>{4.0}, 1, 1, 4.0, 4.0).pixels[0], 128);
  EXPECT_THROW(grey_image(std::vector<double>{4.0}, 2, 1, 0.0, 1.0), invalid_argument);
}

gaussian_mixture::Fit two_groups() {
  gaussian_mixture::Fit fit;
  fit.model.covariance = Covariance::diagonal;
  fit.model.weights = {0.356, 0.644};
  fit.model.means = Matrix<double>(2, 2);
  fit.model.means(0, 0) = 2.036;
  fit.model.means(0, 1) = 54.48;
  fit.model.means(1, 0) = 4.2897;
  fit.model.means(1, 1) = 79.97;
  fit.model.covariances = {0.0692, 33.7, 0.17, 36.05};
  fit.n_iter = 8;
  fit.converged = true;
  fit.trace = {{.log_likelihood = -4.155, .elbo = -4.155, .entropy = 0.0025, .free_energy = 4.155}};
  return fit;
}

TEST(Describe, SaysWhatWasFound) {
  const std::vector<std::string> names = {"eruptions (min)", "waiting (min)"};
  EXPECT_EQ(describe(two_groups(), names),
            "2 groups, converged after 8 iterations\n"
            "     64 %  eruptions 4.29 ± 0.41 min, waiting 80 ± 6 min\n"
            "     36 %  eruptions 2.04 ± 0.26 min, waiting 54 ± 6 min\n"
            "The groups are clearly apart (entropy of membership 0.0025 of at most 0.693 nats).\n");
}

TEST(Describe, SaysWhenAFitIsNotDone) {
  gaussian_mixture::Fit fit = two_groups();
  fit.converged = false;
  EXPECT_NE(describe(fit, {}).find("stopped at the limit of 8 iterations"), std::string::npos);
  fit.interrupted = true;
  EXPECT_NE(describe(fit, {}).find("interrupted after 8 iterations"), std::string::npos);
}

TEST(Describe, KeepsNamesOnTheirLine) {
  const std::vector<std::string> names = {"a\n\x1B[31mb", "c\td"};
  const std::string text = describe(two_groups(), names);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  EXPECT_EQ(text.find('\x1B'), std::string::npos);
}

TEST(Describe, NamesTenGroupsAndCountsTheRest) {
  gaussian_mixture::Fit fit;
  fit.model.covariance = Covariance::spherical;
  fit.model.weights.assign(16, 1.0 / 16);
  fit.model.means = Matrix<double>(16, 1);
  fit.model.covariances.assign(16, 1.0);
  const std::string text = describe(fit, {});
  EXPECT_NE(text.find("38 %  in 6 more\n"), std::string::npos) << text;
}

TEST(Whereabouts, NamesWhatSetsAGroupApart) {
  gaussian_mixture::Model model;
  model.covariance = Covariance::spherical;
  model.weights = {0.5, 0.5};
  model.means = Matrix<double>(2, 6);
  model.means(0, 4) = 30.0;
  model.means(0, 1) = -10.0;
  model.covariances = {4.0, 4.0};
  EXPECT_EQ(whereabouts(model, 0, {}), "x5 high (30.0 ± 2.0), x2 low (−10.0 ± 2.0)");
  model.means = Matrix<double>(2, 6);
  EXPECT_EQ(whereabouts(model, 0, {}), "near the middle in every feature");
}

}  // namespace
}  // namespace culatent::report
