#include "host/cli/tsne_snapshots.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "culatent/error.hpp"
#include "host/io/npy_writer.hpp"
#include "host/report/sample_rows.hpp"

namespace culatent::cli {
namespace {

[[noreturn]] void fail(const char* what, const std::string& path) {
  throw io_error(std::string(what) + ": " + std::strerror(errno), path,
                 errno == ENOSPC || errno == EDQUOT || errno == EFBIG
                     ? "make room or choose another folder"
                     : "check the folder and its permissions");
}

}  // namespace

PageFrames::PageFrames(const EmbedOptions& options, std::int64_t n_rows) {
  std::int64_t n_frames = 1;
  if (options.snapshot_every > 0) {
    // Start, end of the exaggeration, and end come besides.
    n_frames = std::min(options.max_iter / options.snapshot_every + 3, report::kMostFrames + 1);
  }
  rows_ = report::rows_shown(n_rows, options.dimensions, n_frames);
  if (options.shows_frames()) bytes_ = 2 * options.dimensions * rows_ * n_frames;
}

void PageFrames::add(const tsne::Snapshot& snapshot) {
  if (seen_++ % stride_ != 0) return;
  frames_.push_back(
      report::quantise(report::sample_rows(MatrixRows<float>(snapshot.embedding), rows_).rows,
                       snapshot.iteration, snapshot.kl));
  if (static_cast<std::int64_t>(frames_.size()) <= report::kMostFrames) return;
  for (std::size_t i = 1; 2 * i < frames_.size(); ++i) frames_[i] = std::move(frames_[2 * i]);
  frames_.resize((frames_.size() + 1) / 2);
  stride_ *= 2;
}

SnapshotFile::SnapshotFile(const std::string& path) : path_(path) {
  if (!wanted()) return;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::string name = (folder / ".culatent-XXXXXX").string();
  fd_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd_ < 0) fail("cannot keep snapshots", path);
  ::unlink(name.c_str());
}

SnapshotFile::~SnapshotFile() {
  if (fd_ >= 0) ::close(fd_);
}

void SnapshotFile::add(const tsne::Snapshot& snapshot) {
  const auto* next = reinterpret_cast<const char*>(snapshot.embedding.data);
  auto left =
      static_cast<std::size_t>(snapshot.embedding.rows * snapshot.embedding.cols) * sizeof(float);
  while (left > 0) {
    const ssize_t written = ::write(fd_, next, std::min(left, std::size_t{1} << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("cannot write a snapshot", path_);
    next += written;
    left -= static_cast<std::size_t>(written);
  }
  iterations_.push_back(snapshot.iteration);
}

void SnapshotFile::commit(std::int64_t n_rows, std::int64_t n_columns) {
  const auto n_snapshots = static_cast<std::int64_t>(iterations_.size());
  io::NpyWriter out(path_, ElementType::f4, {n_snapshots, n_rows, n_columns});
  std::vector<char> buffer(std::size_t{1} << 20);
  std::int64_t left = n_snapshots * n_rows * n_columns * static_cast<std::int64_t>(sizeof(float));
  for (off_t at = 0; left > 0;) {
    const auto wanted = std::min(buffer.size(), static_cast<std::size_t>(left));
    const ssize_t got = ::pread(fd_, buffer.data(), wanted, at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("cannot read the snapshots again", path_);
    out.append(buffer.data(), got);
    at += got;
    left -= got;
  }
  out.commit();
}

}  // namespace culatent::cli
