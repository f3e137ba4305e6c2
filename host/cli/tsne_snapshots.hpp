#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "culatent/tsne.hpp"
#include "host/cli/tsne.hpp"
#include "host/report/embedding_frames.hpp"

/// Where the snapshots of an embedding go.
namespace culatent::cli {

/// The snapshots of a fit, of the rows that the page shows. When there are too many for a page
/// every other one goes, and from then on twice as many are passed over.
class PageFrames {
 public:
  PageFrames(const EmbedOptions& options, std::int64_t n_rows);

  std::int64_t rows() const { return rows_; }
  std::int64_t bytes() const { return bytes_; }
  void add(const tsne::Snapshot& snapshot);
  std::vector<report::EmbeddingFrame> take() { return std::move(frames_); }

 private:
  std::int64_t rows_ = 0, bytes_ = 0, stride_ = 1, seen_ = 0;
  std::vector<report::EmbeddingFrame> frames_;
};

/// Whole embeddings, one after the other in a .npy [snapshots, n, q] that appears when the fit is
/// done. Until then they lie on the disk beside it, in a file without a name: however the process
/// ends, nothing is left, and memory holds none of them.
class SnapshotFile {
 public:
  /// `path` empty: none is kept. Throws io_error where there can be no file.
  explicit SnapshotFile(const std::string& path);
  ~SnapshotFile();
  SnapshotFile(const SnapshotFile&) = delete;
  SnapshotFile& operator=(const SnapshotFile&) = delete;

  bool wanted() const { return !path_.empty(); }
  void add(const tsne::Snapshot& snapshot);
  /// Puts the file of n_rows x n_columns embeddings in place.
  void commit(std::int64_t n_rows, std::int64_t n_columns);
  const std::vector<int>& iterations() const { return iterations_; }

 private:
  std::string path_;
  int fd_ = -1;
  std::vector<int> iterations_;
};

}  // namespace culatent::cli
