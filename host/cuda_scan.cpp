#include "host/cuda_scan.hpp"

#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "host/device_feed.hpp"
#include "kernels/cuda/scan.hpp"

namespace culatent {
namespace {

// Enough blocks at a time to fill any device.
constexpr std::int64_t kMostWaveBlocks = 4096;

std::int64_t record_bytes(std::int64_t d) { return checked_product(32, d) + 8; }

// What a scan holds on the device: the records of some blocks, and what they tell together.
class Scan {
 public:
  Scan(CudaDevice& device, std::int64_t n_blocks, std::int64_t d, std::int64_t device_budget)
      : wave_blocks_(wave_blocks(n_blocks, d, device_budget)),
        minima_(device, wave_blocks_ * d, kWhat),
        maxima_(device, wave_blocks_ * d, kWhat),
        sums_(device, wave_blocks_ * 2 * d, kWhat),
        bad_cells_(device, wave_blocks_, kWhat),
        minimum_(device, d, kWhat),
        maximum_(device, d, kWhat),
        total_(device, 2 * d, kWhat),
        bad_cell_(device, 1, kWhat),
        n_missing_(device, 1, kWhat) {}

  template <class T>
  void run(const CudaBackend& backend, const DeviceRows<T>& rows, const ScanOptions& options,
           ColumnScan& out) {
    const std::int64_t none = -1;
    minimum_.upload(out.minimum.data(), minimum_.size());
    maximum_.upload(out.maximum.data(), maximum_.size());
    bad_cell_.upload(&none, 1);
    total_.fill_zero();
    n_missing_.fill_zero();
    const DeviceScan records{minima_.data(), maxima_.data(), sums_.data(), bad_cells_.data(),
                             options.missing ? n_missing_.data() : nullptr};
    const DeviceScanTotals totals{minimum_.data(), maximum_.data(), total_.data(),
                                  bad_cell_.data()};
    const std::int64_t d = rows.n_features;
    for (std::int64_t at = 0; at < rows.n_rows; at += wave_blocks_ * kBlockRows) {
      const std::int64_t count = std::min(wave_blocks_ * kBlockRows, rows.n_rows - at);
      scan_columns(backend, rows.data + at * rows.stride, count, d, rows.stride,
                   rows.weights != nullptr ? rows.weights + at : nullptr, records,
                   options.weightless);
      merge_scans(backend, records, (count + kBlockRows - 1) / kBlockRows, d, at, totals);
    }
    std::vector<DeviceSum> bins(static_cast<std::size_t>(total_.size()));
    std::int64_t cell = none;
    minimum_.download(out.minimum.data(), minimum_.size());
    maximum_.download(out.maximum.data(), maximum_.size());
    total_.download(bins.data(), total_.size());
    bad_cell_.download(&cell, 1);
    n_missing_.download(&out.n_missing, 1);
    out.sums.merge(bins);
    if (cell < 0) return;
    out.bad_row = cell / d;
    out.bad_column = cell % d;
  }

 private:
  static constexpr const char* kWhat = "ranges of the columns";

  static std::int64_t wave_blocks(std::int64_t n_blocks, std::int64_t d, std::int64_t budget) {
    const std::int64_t spare = std::max<std::int64_t>(budget - cuda_scan_bytes(d), 0);
    return std::min({n_blocks, kMostWaveBlocks, 1 + spare / record_bytes(d)});
  }

  std::int64_t wave_blocks_;
  DeviceArray<double> minima_, maxima_, sums_;
  DeviceArray<std::int64_t> bad_cells_;
  DeviceArray<double> minimum_, maximum_;
  DeviceArray<DeviceSum> total_;
  DeviceArray<std::int64_t> bad_cell_, n_missing_;
};

}  // namespace

std::int64_t cuda_scan_bytes(std::int64_t n_features) {
  return record_bytes(n_features) + 16 +
         n_features * (16 + 2 * static_cast<std::int64_t>(sizeof(DeviceSum)));
}

template <class T>
ColumnScan cuda_scan_columns(const Context& context, const CudaBackend& backend,
                             const FitRows<T>& rows, const ScanOptions& options,
                             std::int64_t device_budget) {
  const std::int64_t d = rows.source.cols();
  ColumnScan scan(d);
  if (rows.source.space() == MemorySpace::host) {
    const CpuBackend host{backend.threads, backend.n_workers};
    std::vector<Matrix<T>> buffers;
    for (int worker = 0; worker < host.n_workers; ++worker) {
      buffers.emplace_back(rows.source.in_place() ? 0 : kBlockRows, d);
    }
    row_pass(context, Communicator(), rows, scan.sums, [&](const RowChunk<T>& chunk) {
      scan_columns(host, buffers, chunk, options.missing, scan, options.weightless);
    });
    return scan;
  }
  const auto shape =
      DeviceFeed<T>::shape(rows.source, !rows.weights.empty(), {.chunk_rows = rows.source.rows()});
  DeviceFeed<T> feed(backend, rows, shape);
  const std::int64_t n_blocks = (rows.source.rows() + kBlockRows - 1) / kBlockRows;
  Scan on_device(backend.device, n_blocks, d, device_budget - shape.device_bytes);
  feed.for_each_chunk([&](const DeviceRows<T>& all, std::int64_t) {
    on_device.run(backend, all, options, scan);
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
                      std::span<const double> weights, const ScanOptions& options,
                      std::int64_t device_budget) {
  if (rows.space() == MemorySpace::host) {
    return scan(context, CpuBackend{backend.threads, backend.n_workers}, rows, weights, options);
  }
  const FitRows<T> fit_rows{rows, weights, weight_scale(weights, rows.rows())};
  const ColumnScan columns = cuda_scan_columns(context, backend, fit_rows, options, device_budget);
  std::vector<double> seen = columns.minimum;
  seen.insert(seen.end(), columns.maximum.begin(), columns.maximum.end());
  for (std::int64_t i = 0; i < columns.sums.size(); ++i) seen.push_back(columns.sums.value(i));
  return summarise<T>(columns, weights, rows.rows(),
                      XXH3_64bits(seen.data(), seen.size() * sizeof(double)), options);
}

#define CULATENT_INSTANTIATE(T)                                                                \
  template ColumnScan cuda_scan_columns(const Context&, const CudaBackend&, const FitRows<T>&, \
                                        const ScanOptions&, std::int64_t);                     \
  template DataSummary cuda_scan(const Context&, const CudaBackend&, const RowSource<T>&,      \
                                 std::span<const double>, const ScanOptions&, std::int64_t);
CULATENT_INSTANTIATE(float)
CULATENT_INSTANTIATE(double)
#undef CULATENT_INSTANTIATE

}  // namespace culatent
