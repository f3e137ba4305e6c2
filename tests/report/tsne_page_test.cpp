#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "culatent/error.hpp"
#include "host/report/embedding_viewer.hpp"
#include "tests/report/tsne_cases.hpp"

namespace culatent::report {
namespace {

std::string page(const cases::TsneCase& c) { return tsne_page(c.fit, c.input, c.shown); }

TEST(EmbeddingFrames, HoldPositionsToHalfAStep) {
  Matrix<double> at(1000, 2);
  for (std::int64_t i = 0; i < at.rows(); ++i) {
    at(i, 0) = std::sin(static_cast<double>(i)) * 1e-4;
    at(i, 1) = 1e6 + static_cast<double>(i);
  }
  const EmbeddingFrame frame = quantise(at, 50, 1.5);
  EXPECT_EQ(frame.iteration, 50);
  EXPECT_EQ(frame.kl, 1.5);
  for (int j = 0; j < 2; ++j) {
    const double step = (frame.high[std::size_t(j)] - frame.low[std::size_t(j)]) / 65535.0;
    for (std::int64_t i = 0; i < at.rows(); ++i) {
      const double back = frame.low[std::size_t(j)] + step * frame.at[std::size_t(2 * i + j)];
      // Half a step, and the rounding of a sum of this size.
      EXPECT_LE(std::abs(back - at(i, j)), 0.5 * step + 4e-16 * std::abs(at(i, j)));
    }
  }
}

TEST(EmbeddingFrames, HoldPointsThatAreAllEqual) {
  const EmbeddingFrame frame = quantise(Matrix<double>(5, 3), 0, 0.0);
  EXPECT_EQ(frame.at, std::vector<std::uint16_t>(15, 0));
  EXPECT_EQ(frame.low, frame.high);
}

TEST(EmbeddingFrames, KeepAPageBelow20Megabytes) {
  for (const std::int64_t n : {1LL, 1000LL, 100'000LL, 1'000'000'000LL}) {
    for (const std::int64_t q : {1, 2, 3}) {
      for (const std::int64_t frames : {1, 21, 201}) {
        const std::int64_t m = rows_shown(n, q, frames);
        EXPECT_LE(m, n);
        EXPECT_GE(m, std::min<std::int64_t>(n, 10'000));
        EXPECT_LE(4 * (2 * q * m * frames + 2) / 3 + 4 * m, 20'500'000);
      }
    }
  }
  EXPECT_EQ(rows_shown(70'000, 2, 1), 70'000);
}

TEST(TsnePage, IsTheSameTextForTheSameFit) {
  const cases::TsneCase c = cases::planted_embedding("x", 500, 2, 3, 4);
  EXPECT_EQ(page(c), page(c));
}

TEST(TsnePage, SaysWhatWasDone) {
  cases::TsneCase c = cases::planted_embedding("x", 2400, 2, 3, 0, 4);
  std::string text = page(c);
  for (const char* part :
       {"2,400 rows of 64 features placed in 2 dimensions: stopped after 1,000 iterations",
        "600 of 2,400 rows, spread evenly", "3 given labels", "over all pairs", "10, 100",
        "exaggeration ends", "--seed 7"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(text.find("class=\"player\""), std::string::npos) << "one frame does not play";
  c.fit.interrupted = true;
  c.fit.repulsion = tsne::Repulsion::fft;
  c.fit.exact_kl = false;
  text = page(c);
  for (const char* part : {"interrupted after 1,000 iterations", "through a grid", "FFT"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
}

TEST(TsnePage, WarnsOfAllButTheOrdinaryEnd) {
  cases::TsneCase c = cases::planted_embedding("x", 50, 2, 3);
  c.fit.warnings = {{"not_converged", "the limit came first"}};
  EXPECT_EQ(page(c).find("class=\"warning\""), std::string::npos);
  c.fit.warnings.push_back({"low_recall", "neighbours are missed"});
  EXPECT_NE(page(c).find("neighbours are missed"), std::string::npos);
}

TEST(TsnePage, PlaysTheSnapshotsAndEndsWithTheEmbedding) {
  cases::TsneCase c = cases::planted_embedding("x", 50, 2, 3, 4);
  // The last snapshot of a fit may be its end.
  c.shown.frames.push_back(quantise(c.input.sample, c.fit.n_iter, c.fit.kl));
  const std::string text = page(c);
  EXPECT_NE(text.find("class=\"player\""), std::string::npos);
  std::size_t n_frames = 0;
  for (std::size_t at = text.find("\"iteration\":"); at != std::string::npos;
       at = text.find("\"iteration\":", at + 1)) {
    ++n_frames;
  }
  EXPECT_EQ(n_frames, 5U);
}

TEST(TsnePage, RefusesPartsThatDoNotBelongTogether) {
  const cases::TsneCase good = cases::planted_embedding("x", 50, 2, 3, 2);
  cases::TsneCase c = good;
  c.input.sample = Matrix<double>(50, 3);
  EXPECT_THROW(page(c), invalid_argument);
  c = good;
  c.input.labels.pop_back();
  EXPECT_THROW(page(c), invalid_argument);
  c = good;
  c.shown.rows.pop_back();
  EXPECT_THROW(page(c), invalid_argument);
  c = good;
  c.shown.frames[1].at.pop_back();
  EXPECT_THROW(page(c), invalid_argument);
}

TEST(TsnePage, IsDescribedInALine) {
  const cases::TsneCase c = cases::planted_embedding("x", 1797, 2, 3);
  EXPECT_EQ(describe(c.fit),
            "1,797 rows in 2 dimensions, stopped after 1,000 iterations, divergence 0.7202\n");
}

}  // namespace
}  // namespace culatent::report
