#pragma once

#include "kernels/cuda/kmeans_assign.hpp"

/// nearest() of float rows by tensor cores: products of bf16 screen the centroids, and what they
/// leave in doubt is looked at again, so that the labels are the same.
namespace culatent::kmeans {

/// Elements of DeviceScreen::fragments.
CULATENT_HOST_DEVICE constexpr std::int64_t screen_elements(std::int64_t n_clusters,
                                                            std::int64_t n_features) {
  return packed_clusters(n_clusters) * ((n_features + 15) / 16 * 16);
}

/// Centroids as a screen multiplies them; the caller's memory, of which prepare_screen() fills all
/// but `doubts`.
struct DeviceScreen {
  std::uint32_t* fragments = nullptr;  // [screen_elements(K, D)] −c, each as two of bf16
  float* starts = nullptr;             // [packed_clusters(K)] |c|² / 2, a little less
  float* lengths = nullptr;            // [packed_clusters(K)] |c|, a little more
  float* spreads =
      nullptr;          // [2] the most that one of bf16, and two, leave of a c, as shares of |c|
  DeviceDoubts doubts;  // of the first look
};

/// Whether screen_nearest() works on the device: for tensor cores of bf16 it takes compute
/// capability 8.0.
bool can_screen(const CudaBackend& backend, std::int64_t n_features);

/// After prepare_centroids().
///   bytes: 8 K D
void prepare_screen(const CudaBackend& backend, std::int64_t n_features,
                    const DeviceCentroids<float>& centroids, const DeviceScreen& screen);

/// What nearest() does, with the same labels, on a device that can_screen(). The first look takes
/// `n_products` of bf16 for one of float:
///
///   1   tells scores apart that differ by about 2⁻⁷ |x'| |c|; rows in doubt get a look with 3
///   3   by about 2⁻¹³ |x'| |c| (D = 128)
///
/// and then differences in double decide. counters->n_screened: rows that 1 product left in doubt
/// (0 for 3), from which the caller can choose for the next pass: 3 are cheaper when that is more
/// than two thirds of them. counters->n_refined: rows that were looked at in double; nearest() is
/// cheaper than 3 products when these are more than about a tenth.
///   flops: 2 N K D of each product
///   bytes: 4 N D, and from the L2 cache N K D / 64 (1 product) or N K D / 32 (3)
void screen_nearest(const CudaBackend& backend, const ClusterRows<float>& rows,
                    const DeviceCentroids<float>& centroids, const DeviceScreen& screen,
                    int n_products, const DeviceDoubts& doubts, std::int32_t* labels,
                    PassCounters* counters);

}  // namespace culatent::kmeans
