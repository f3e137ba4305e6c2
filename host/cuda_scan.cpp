#include "host/cuda_scan.hpp"

#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "host/device_feed.hpp"
#include "kernels/cuda/scan.hpp"

namespace culatent {
namespace {

constexpr std::int64_t kWaveBlocks = 4096;

// The records of a wave's blocks, on the device and on the host.
struct Records {
  Records(CudaDevice& device, std::int64_t n_blocks, std::int64_t d)
      : minimum(device, n_blocks * d, "ranges of the columns"),
        maximum(device, n_blocks * d, "ranges of the columns"),
        sums(device, n_blocks * 2 * d, "sums of the columns"),
        bad_cell(device, n_blocks, "ranges of the columns"),
        host_minimum(static_cast<std::size_t>(n_blocks * d)),
        host_maximum(host_minimum.size()),
        host_sums(2 * host_minimum.size()),
        host_bad_cell(static_cast<std::size_t>(n_blocks)) {}

  void download(std::int64_t n_blocks, std::int64_t d) {
    minimum.download(host_minimum.data(), n_blocks * d);
    maximum.download(host_maximum.data(), n_blocks * d);
    sums.download(host_sums.data(), n_blocks * 2 * d);
    bad_cell.download(host_bad_cell.data(), n_blocks);
  }

  DeviceArray<double> minimum, maximum, sums;
  DeviceArray<std::int64_t> bad_cell;
  std::vector<double> host_minimum, host_maximum, host_sums;
  std::vector<std::int64_t> host_bad_cell;
};

void merge(const Records& records, std::int64_t n_blocks, std::int64_t first_row, std::int64_t d,
           ColumnScan& scan) {
  for (std::int64_t b = 0; b < n_blocks; ++b) {
    for (std::int64_t j = 0; j < d; ++j) {
      const auto at = static_cast<std::size_t>(b * d + j);
      const auto column = static_cast<std::size_t>(j);
      scan.minimum[column] = std::min(scan.minimum[column], records.host_minimum[at]);
      scan.maximum[column] = std::max(scan.maximum[column], records.host_maximum[at]);
    }
    scan.sums.add(
        std::span(records.host_sums)
            .subspan(static_cast<std::size_t>(b * 2 * d), static_cast<std::size_t>(2 * d)));
    const std::int64_t cell = records.host_bad_cell[static_cast<std::size_t>(b)];
    if (cell >= 0 && scan.bad_row < 0) {
      scan.bad_row = first_row + b * kBlockRows + cell / d;
      scan.bad_column = cell % d;
    }
  }
}

}  // namespace

template <class T>
ColumnScan cuda_scan_columns(const Context& context, const CudaBackend& backend,
                             const FitRows<T>& rows) {
  const std::int64_t d = rows.source.cols();
  ColumnScan scan(d);
  if (rows.source.space() == MemorySpace::host) {
    const CpuBackend host{backend.threads, backend.n_workers};
    std::vector<Matrix<T>> buffers;
    for (int worker = 0; worker < host.n_workers; ++worker) {
      buffers.emplace_back(rows.source.in_place() ? 0 : kBlockRows, d);
    }
    row_pass(context, Communicator(), rows, scan.sums,
             [&](const RowChunk<T>& chunk) { scan_columns(host, buffers, chunk, false, scan); });
    return scan;
  }
  DeviceFeed<T> feed(backend, rows,
                     DeviceFeed<T>::shape(context, rows.source, !rows.weights.empty(), 0));
  const std::int64_t n_blocks = (rows.source.rows() + kBlockRows - 1) / kBlockRows;
  Records records(backend.device, std::min(n_blocks, kWaveBlocks), d);
  feed.for_each_chunk([&](const gaussian_mixture::DeviceRows<T>& all, std::int64_t) {
    for (std::int64_t at = 0; at < all.n_rows; at += kWaveBlocks * kBlockRows) {
      const std::int64_t count = std::min(kWaveBlocks * kBlockRows, all.n_rows - at);
      scan_columns(backend, all.data + at * all.stride, count, d, all.stride,
                   all.weights != nullptr ? all.weights + at : nullptr,
                   DeviceScan{records.minimum.data(), records.maximum.data(), records.sums.data(),
                              records.bad_cell.data()});
      const std::int64_t blocks = (count + kBlockRows - 1) / kBlockRows;
      records.download(blocks, d);
      merge(records, blocks, at, d, scan);
    }
    if (scan.bad_row < 0) return;
    T value{};
    backend.device.to_host(&value, all.data + scan.bad_row * all.stride + scan.bad_column,
                           sizeof(T));
    scan.bad_value = static_cast<double>(value);
  });
  return scan;
}

template <class T>
DataSummary cuda_scan(const Context& context, const CudaBackend& backend, const RowSource<T>& rows,
                      std::span<const double> weights, const ScanOptions& options) {
  if (rows.space() == MemorySpace::host) {
    return scan(context, CpuBackend{backend.threads, backend.n_workers}, rows, weights, options);
  }
  const FitRows<T> fit_rows{rows, weights, weight_scale(weights, rows.rows())};
  const ColumnScan columns = cuda_scan_columns(context, backend, fit_rows);
  std::vector<double> seen = columns.minimum;
  seen.insert(seen.end(), columns.maximum.begin(), columns.maximum.end());
  for (std::int64_t i = 0; i < columns.sums.size(); ++i) seen.push_back(columns.sums.value(i));
  return summarise<T>(columns, weights, rows.rows(),
                      XXH3_64bits(seen.data(), seen.size() * sizeof(double)), options);
}

#define CULATENT_INSTANTIATE(T)                                                                 \
  template ColumnScan cuda_scan_columns(const Context&, const CudaBackend&, const FitRows<T>&); \
  template DataSummary cuda_scan(const Context&, const CudaBackend&, const RowSource<T>&,       \
                                 std::span<const double>, const ScanOptions&);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent
