#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "culatent/error.hpp"
#include "culatent/kmeans.hpp"
#include "culatent/tsne.hpp"
#include "tests/core/tsne_case.hpp"
#include "tests/errors.hpp"
#include "tests/io/files.hpp"

namespace culatent::tsne {
namespace {

using errors::error_of;
using errors::expect_contains;
using io::testing::Folder;
using io::testing::read_file;

class TsneCheckpoint : public testing::Test {
 protected:
  // Interval ends at 10, 20, 25 (the exaggeration's), 30, 40, 50 and 58.
  static Options quick() {
    Options options;
    options.perplexity = {8.0};
    options.affinities = Affinities::sparse;
    options.exaggeration_iter = 25;
    options.max_iter = 58;
    options.interval = 10;
    options.seed = 3;
    return options;
  }
  Options kept(Options options) const {
    options.checkpoint.path = path_;
    options.checkpoint.every_iterations = 1;
    return options;
  }
  Options resumed(Options options) const {
    options = kept(options);
    options.checkpoint.resume = true;
    return options;
  }
  // Ends when so many updates are done, as a kill would: nothing is tidied up.
  void kill_at(int iteration, const Options& options, const Matrix<float>& rows) const {
    const Context context({.n_threads = 2, .observer = [&](const Progress& progress) -> bool {
                             const bool fit = std::string(progress.phase) == "fit";
                             if (fit && progress.iteration == iteration) throw iteration;
                             return true;
                           }});
    EXPECT_THROW(tsne::fit(context, rows.view(), options), int);
  }
  static Fit fit(const Options& options, const Matrix<float>& rows, int n_threads = 2) {
    return tsne::fit(Context({.n_threads = n_threads}), rows.view(), options);
  }
  static void expect_equal(const Fit& fit, const Fit& expected) {
    EXPECT_TRUE(same_bits(fit.embedding, expected.embedding));
    EXPECT_EQ(fit.kl, expected.kl);
    EXPECT_EQ(fit.n_iter, expected.n_iter);
    EXPECT_EQ(fit.converged, expected.converged);
    EXPECT_EQ(fit.seed, expected.seed);
    ASSERT_EQ(fit.trace.size(), expected.trace.size());
    // NaN where there is no divergence: bits.
    EXPECT_EQ(
        std::memcmp(fit.trace.data(), expected.trace.data(), fit.trace.size() * sizeof(TraceEntry)),
        0);
    ASSERT_EQ(fit.warnings.size(), expected.warnings.size());
    for (std::size_t i = 0; i < fit.warnings.size(); ++i) {
      EXPECT_EQ(fit.warnings[i].text, expected.warnings[i].text);
    }
  }

  const Folder folder_;
  const std::string path_ = folder_.path("embedding.state");
  const Matrix<float> rows_ = planted(300, 6, 3, 3.0);
};

TEST_F(TsneCheckpoint, ResumesToTheSameBitsFromEveryInterval) {
  for (const Repulsion repulsion : {Repulsion::exact, Repulsion::fft}) {
    for (const int q : {1, 2, 3}) {
      if (repulsion == Repulsion::fft && q == 3) continue;
      Options options = quick();
      options.n_dimensions = q;
      options.repulsion = repulsion;
      const Fit undisturbed = fit(options, rows_);
      for (const int last : {10, 20, 25, 30, 40, 50, 58}) {
        std::filesystem::remove(path_);
        kill_at(last, kept(options), rows_);
        EXPECT_EQ(std::filesystem::exists(path_), last > 10);  // a kill comes before the writing
        expect_equal(fit(resumed(options), rows_, 1), undisturbed);
      }
    }
  }
}

// Grids grow with the embedding, and keep their size while they can: that is passed on as well.
TEST_F(TsneCheckpoint, ResumesOnTheGridThatWas) {
  Options options = quick();
  options.repulsion = Repulsion::fft;
  options.exaggeration_iter = 20;
  options.max_iter = 260;
  options.learning_rate = 200.0;
  const Fit undisturbed = fit(options, rows_);
  Options rarely = kept(options);
  rarely.checkpoint.every_iterations = 30;
  for (int last = 40; last < 260; last += 30) {
    std::filesystem::remove(path_);
    kill_at(last, rarely, rows_);
    expect_equal(fit(resumed(options), rows_), undisturbed);
  }
}

TEST_F(TsneCheckpoint, IsWrittenWhenTheFitIsStopped) {
  const Options options = quick();
  const Fit undisturbed = fit(options, rows_);
  for (const int last : {0, 10, 25, 50}) {
    std::filesystem::remove(path_);
    Options stopped = resumed(options);
    stopped.checkpoint.every_iterations = 0;  // by the clock: none is due
    stopped.snapshot = [&](const Snapshot& snapshot) { return snapshot.iteration < last; };
    const Fit first = fit(stopped, rows_);
    EXPECT_TRUE(first.interrupted);
    EXPECT_EQ(first.n_iter, last);
    EXPECT_TRUE(std::filesystem::exists(path_));
    std::vector<int> seen;
    stopped.snapshot = [&](const Snapshot& snapshot) {
      seen.push_back(snapshot.iteration);
      if (snapshot.iteration == last) {
        EXPECT_TRUE(std::equal(first.embedding.data(),
                               first.embedding.data() + first.embedding.size(),
                               snapshot.embedding.data));
      }
      return true;
    };
    expect_equal(fit(stopped, rows_), undisturbed);
    EXPECT_EQ(seen.front(), last);
    EXPECT_EQ(seen.back(), 58);
  }
}

TEST_F(TsneCheckpoint, AStopBeforeItGoesOnGivesWhatItHolds) {
  const Options options = quick();
  Options stopped = kept(options);
  stopped.snapshot = [&](const Snapshot& snapshot) { return snapshot.iteration < 30; };
  const Fit first = fit(stopped, rows_);
  const std::string state = read_file(path_);
  const Context never({.n_threads = 1, .observer = [](const Progress&) { return false; }});
  const Fit second = tsne::fit(never, rows_.view(), resumed(options));
  EXPECT_TRUE(second.interrupted);
  EXPECT_EQ(second.n_iter, 30);
  EXPECT_EQ(second.trace.size(), 31u);
  EXPECT_TRUE(same_bits(second.embedding, first.embedding));
  EXPECT_EQ(read_file(path_), state);
}

TEST_F(TsneCheckpoint, IsWrittenAsOftenAsToldAndNotAtTheEnd) {
  Options options = quick();
  options.checkpoint = {.path = path_, .every_iterations = 15};
  std::vector<int> written;
  options.snapshot = [&](const Snapshot& snapshot) {
    if (std::filesystem::exists(path_)) {
      written.push_back(snapshot.iteration);
      std::filesystem::remove(path_);
    }
    return true;
  };
  fit(options, rows_);
  // Seen an interval later: those of 20 and 40.
  EXPECT_EQ(written, (std::vector<int>{25, 50}));
  EXPECT_FALSE(std::filesystem::exists(path_));
  options.checkpoint.every_iterations = 0;
  options.checkpoint.every_seconds = 0.0;
  options.snapshot = {};
  fit(options, rows_);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(TsneCheckpoint, ResumesTheDrawnSeed) {
  Options options = quick();
  options.init = Init::random;
  options.seed.reset();
  Options stopped = kept(options);
  stopped.snapshot = [](const Snapshot& snapshot) { return snapshot.iteration < 30; };
  const Fit first = fit(stopped, rows_);
  const Fit second = fit(resumed(options), rows_);
  EXPECT_EQ(second.seed, first.seed);
  options.seed = first.seed;
  expect_equal(second, fit(options, rows_));
}

TEST_F(TsneCheckpoint, StartsAfreshWithoutAFile) {
  expect_equal(fit(resumed(quick()), rows_), fit(quick(), rows_));
}

TEST_F(TsneCheckpoint, OfOtherDataOrOptionsIsRefused) {
  kill_at(50, kept(quick()), rows_);
  const std::string state = read_file(path_);
  const auto refused = [&](const char* what,
                           const std::function<void(Options&, Matrix<float>&)>& change) {
    Options options = resumed(quick());
    Matrix<float> rows = rows_;
    change(options, rows);
    expect_contains(error_of<data_error>([&] { fit(options, rows); }), path_);
    EXPECT_EQ(read_file(path_), state) << what;
  };
  refused("one value",
          [](Options&, Matrix<float>& rows) { rows(100, 1) = std::nextafter(rows(100, 1), 9.0f); });
  refused("two rows swapped", [](Options&, Matrix<float>& rows) {
    std::swap_ranges(rows.data(), rows.data() + 6, rows.data() + 600);
  });
  refused("fewer rows", [](Options&, Matrix<float>& rows) { rows = planted(299, 6, 3, 3.0); });
  const std::pair<const char*, void (*)(Options&)> others[] = {
      {"dimensions", [](Options& o) { o.n_dimensions = 1; }},
      {"perplexity", [](Options& o) { o.perplexity = {8.5}; }},
      {"perplexities",
       [](Options& o) {
         o.perplexity = {8.0, 8.0};
       }},
      {"sigma", [](Options& o) { o.sigma = 1.0; }},
      {"affinities", [](Options& o) { o.affinities = Affinities::dense; }},
      {"neighbors", [](Options& o) { o.neighbors = neighbors::Method::ivf; }},
      {"repulsion", [](Options& o) { o.repulsion = Repulsion::fft; }},
      {"early_exaggeration", [](Options& o) { o.early_exaggeration = 11.0; }},
      {"exaggeration_iter", [](Options& o) { o.exaggeration_iter = 26; }},
      {"learning_rate", [](Options& o) { o.learning_rate = 50.0; }},
      {"early_momentum", [](Options& o) { o.early_momentum = 0.4; }},
      {"momentum", [](Options& o) { o.momentum = 0.7; }},
      {"max_iter", [](Options& o) { o.max_iter = 59; }},
      {"min_gradient", [](Options& o) { o.min_gradient = 1e-8; }},
      {"init", [](Options& o) { o.init = Init::random; }},
      {"start", [](Options& o) { o.start = scattered(300, 2, 1.0); }},
      {"interval", [](Options& o) { o.interval = 11; }},
      {"seed", [](Options& o) { o.seed = 4; }}};
  for (const auto& [what, change] : others) {
    refused(what, [change](Options& options, Matrix<float>&) { change(options); });
  }
  // What was chosen may be said as well.
  Options same = resumed(quick());
  same.repulsion = Repulsion::exact;
  expect_equal(fit(same, rows_), fit(quick(), rows_));
}

TEST_F(TsneCheckpoint, EveryDamagedByteAndCutIsRefusedBeforeWork) {
  const Matrix<float> rows = planted(40, 3, 2, 3.0);
  kill_at(50, kept(quick()), rows);
  const std::string good = read_file(path_);
  const Context untouched({.n_threads = 1, .observer = [](const Progress& progress) {
                             ADD_FAILURE() << "began with " << progress.phase;
                             return false;
                           }});
  const auto refused = [&](const std::string& content, std::size_t where) {
    folder_.file("embedding.state", content);
    EXPECT_THROW(tsne::fit(untouched, rows.view(), resumed(quick())), io_error) << where;
  };
  for (std::size_t i = 0; i < good.size(); i += 7) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    refused(bad, i);
    refused(good.substr(0, i), i);
  }
  folder_.file("embedding.state", good);
  expect_equal(fit(resumed(quick()), rows), fit(quick(), rows));
}

TEST_F(TsneCheckpoint, OfAnotherMethodIsRefused) {
  const Matrix<double> points(60, 2);
  kmeans::Options options{.n_clusters = 1, .max_iter = 1, .seed = 1};
  options.checkpoint = {.path = path_, .every_iterations = 1};
  kmeans::fit<double>(Context({.n_threads = 1}), points.view(), options);
  expect_contains(error_of<io_error>([&] { fit(resumed(quick()), rows_); }), path_);
  kmeans::save({.centroids = points, .counts = std::vector<double>(60, 1.0)}, path_);
  expect_contains(error_of<io_error>([&] { fit(resumed(quick()), rows_); }), path_);
}

TEST_F(TsneCheckpoint, ThatCannotBeWrittenIsAnError) {
  Options options = kept(quick());
  options.checkpoint.path = "/nowhere/at/all";
  expect_contains(error_of<io_error>([&] { fit(options, rows_); }), "/nowhere/at/all");
}

TEST_F(TsneCheckpoint, IsInThePlan) {
  const Context context({.n_threads = 1});
  const MatrixRows<float> source(rows_.view());
  const std::int64_t without = plan(context, source, quick()).host_bytes;
  // At least the arrays that it holds, in double.
  EXPECT_GE(plan(context, source, kept(quick())).host_bytes, without + 300 * 2 * 3 * 8);
}

TEST_F(TsneCheckpoint, ANegativeIntervalIsRefused) {
  Options options = kept(quick());
  options.checkpoint.every_iterations = -1;
  EXPECT_THROW(fit(options, rows_), invalid_argument);
  options = kept(quick());
  options.checkpoint.every_seconds = std::nan("");
  EXPECT_THROW(fit(options, rows_), invalid_argument);
}

}  // namespace
}  // namespace culatent::tsne
