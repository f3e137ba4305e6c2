#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/backend.hpp"

/// The search for nearest neighbours on a CUDA device: what neighbors::Candidates does, with the
/// same results, as (squared_distance, row) decides whatever the order of the work. Pointers are to
/// device memory, calls are ordered on the stream and do not wait. k neighbours.
///
/// Rows have positions, in tiles; tiles of queries meet tiles of rows:
///
///   prepare_screen   rows as they are multiplied, and bounds of what products are worth
///   collect          keeps, for every query, the rows that its bounds do not rule out
///   finish           measures these, and writes the nearest
namespace culatent::neighbors {

/// What products of rows are formed in.
enum class Products {
  fp32,
  bf16,  ///< on tensor cores, see can_multiply_bf16(); bounds are wider
};

inline constexpr int kTileRows = 128;        ///< positions of a tile
inline constexpr int kSliceBytes = 8 << 10;  ///< of a tile's operands that are loaded at a time

/// Features of a slice; the last one is filled up with zeros.
constexpr int slice_features(Products products) {
  return kSliceBytes / kTileRows / (products == Products::fp32 ? 4 : 2);
}
constexpr std::int64_t count_slices(Products products, std::int64_t n_features) {
  return (n_features + slice_features(products) - 1) / slice_features(products);
}
constexpr std::int64_t operand_bytes(Products products, std::int64_t n_tiles,
                                     std::int64_t n_features) {
  return n_tiles * count_slices(products, n_features) * kSliceBytes;
}

/// Row i at data + i * stride. Values are finite.
struct SearchRows {
  const float* data = nullptr;
  std::int64_t n_rows = 0;
  std::int64_t stride = 0;
  std::int64_t n_features = 0;
};

/// Rows as collect() reads them. In the coordinates y = (x − centre) scale, half the squared
/// distance of the rows at positions p and q is between low[p] + low[q] − dot and
/// high[p] + high[q] − dot. The caller's memory; prepare_screen() fills the last three.
struct DeviceScreen {
  SearchRows rows;
  const std::int32_t* order =
      nullptr;  ///< [positions] the row of each, −1: none; null: p has row p
  std::int64_t n_tiles = 0;
  Products products = Products::fp32;
  double scale = 1.0;
  std::uint32_t* operands = nullptr;  ///< [operand_bytes() / 4]
  float* low = nullptr;               ///< [positions] kNowhere where there is no row
  float* high = nullptr;              ///< [positions] +inf: no bound
};
inline constexpr float kNowhere = 0x1p126f;

/// What bounds allow for, see kernels/cuda/neighbors_prepare.cu.
struct ProductSlack {
  double rounding;  ///< of half a row's square
  double share;     ///< bf16: what its rounding leaves counts for 1 / share, and all for share
};
ProductSlack product_slack(Products products, std::int64_t n_features);

/// Whether the device has tensor cores of bf16 (compute capability 8.0 or more) and the bounds of
/// products of so many features are of use.
bool can_multiply_bf16(const CudaBackend& backend, std::int64_t n_features);

/// *cell = the first row * D + column with a value that is not finite; −1: there is none.
///   bytes: 4 N D
void find_bad_cell(const CudaBackend& backend, const SearchRows& rows, std::int64_t* cell);

/// `centre`: [D].
///   bytes: 4 N D read and, of the operands, once written
void prepare_screen(const CudaBackend& backend, const double* centre, const ProductSlack& slack,
                    const DeviceScreen& screen);

/// A row that may be a neighbour.
struct Candidate {
  float score;  ///< its dot with the query less its low
  std::int32_t position;
};

/// Candidates of a query: when there are more than `full` they are cut back before the next tile of
/// rows, of which each may be one.
struct Capacity {
  explicit Capacity(int n_neighbors)
      : k(n_neighbors),
        spare(2 * n_neighbors + kTileRows),
        full(k + spare),
        total(full + kTileRows) {}
  int k, spare, full;
  std::int64_t total;
};

/// The state of the queries of a wave: n_splits tiles of it for each tile of queries, side by side.
struct SearchBuffers {
  Candidate* candidates = nullptr;  ///< [tiles kTileRows, total]
  std::int32_t* counts = nullptr;   ///< [tiles kTileRows]
  float* reaches = nullptr;         ///< [tiles kTileRows] half the squared distance of the k-th, at
                                    ///< most, in the coordinates
  double* squares = nullptr;        ///< [tiles kTileWarps, total] scratch of a warp
};
inline constexpr int kTileWarps = 8;  ///< that work on a tile of queries, at most
inline std::int64_t buffer_bytes(std::int64_t n_tiles, const Capacity& capacity) {
  return n_tiles * (kTileRows * (capacity.total * 8 + 8) + kTileWarps * capacity.total * 8);
}

struct TileRange {
  std::int32_t first, count;
};

/// Which tiles of rows a tile of queries meets: ranges [begins[l], begins[l + 1]), which do not
/// overlap, of its list l. Among them are k rows or more that it may have as neighbours.
struct TileLists {
  const TileRange* ranges = nullptr;
  const std::int32_t* begins = nullptr;
  /// [tiles of queries] the list of each. Null: list s is for split s of any tile.
  const std::int32_t* of_tile = nullptr;
};

/// What a search did, beside its results; for those who choose how to do it.
struct SearchCounters {
  unsigned long long n_settled = 0;   ///< times that bounds did not tell enough candidates apart
  unsigned long long n_measured = 0;  ///< pairs measured then
  unsigned long long n_finished = 0;  ///< pairs measured at the end
};

/// A wave: tiles [first_tile, first_tile + n_tiles) of queries.
struct SearchWave {
  DeviceScreen queries;
  DeviceScreen rows;
  bool same = false;                  ///< queries are the rows: none is its own neighbour
  const std::int32_t* own = nullptr;  ///< [queries] else: a row that each one leaves out; or null
  TileLists lists;
  int n_splits = 1;  ///< 1 with TileLists::of_tile
  Capacity capacity{1};
  SearchBuffers buffers;
  SearchCounters* counters = nullptr;
  std::int64_t first_tile = 0;
  std::int64_t n_tiles = 0;
};

/// `screen`s of the same products and scale.
///   flops: 2 D a pair of positions
void collect(const CudaBackend& backend, const SearchWave& wave);

/// indices[to k + r], squares[to k + r]: the r-th nearest row, and its squared distance. `to` is
/// the query's row or, without `by_row`, its position in the wave; −1 and +inf where that has no
/// row.
void finish(const CudaBackend& backend, const SearchWave& wave, bool by_row, std::int32_t* indices,
            double* squares);

}  // namespace culatent::neighbors
