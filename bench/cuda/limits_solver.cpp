#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cmath>
#include <string>
#include <vector>

#include "bench/cuda/limits.hpp"
#include "bench/cuda/timing.hpp"
#include "culatent/error.hpp"

// cuSOLVER is not part of the build: it is looked for at run time, by the names of its C functions,
// whose arguments are those of its manual (every enumeration is an int).

namespace culatent::bench {
namespace {

constexpr int kVectors = 1, kLower = 0;  // CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER

class Library {
 public:
  Library() {
    for (const char* name : {"libcusolver.so.12", "libcusolver.so.11", "libcusolver.so"}) {
      handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (handle_ != nullptr) return;
    }
  }
  ~Library() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  bool found() const { return handle_ != nullptr; }

  template <class F>
  F* function(const char* name) const {
    void* const address = dlsym(handle_, name);
    if (address == nullptr) throw device_error("no function in libcusolver", name, "update it");
    return reinterpret_cast<F*>(address);
  }

 private:
  void* handle_ = nullptr;
};

void check(int status, const char* what) {
  if (status == 0) return;
  throw device_error("cuSOLVER returned " + std::to_string(status), what, "see its manual");
}

// Smooth, symmetric, of full rank: a kernel matrix of points on a line.
std::vector<double> matrix(int n) {
  std::vector<double> values;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      values.push_back(std::exp(-0.1 * std::abs(i - j)) + (i == j ? 1.0 : 0.0));
    }
  }
  return values;
}

using Create = int(void**);
using SetStream = int(void*, CUstream_st*);
using BufferSize = int(void*, int, int, int, const double*, int, const double*, int*);
using Syevd = int(void*, int, int, int, double*, int, double*, double*, int, int*);

void measure_syevd(const Limits& limits, const Library& library, void* handle, int n) {
  const std::vector<double> values = matrix(n);
  DeviceArray<double> original(limits.device, std::int64_t{n} * n, "a matrix");
  DeviceArray<double> work(limits.device, std::int64_t{n} * n, "a matrix");
  const DeviceArray<double> eigenvalues(limits.device, n, "eigenvalues");
  DeviceArray<int> status(limits.device, 1, "a status");
  original.upload(values.data(), original.size());
  int size = 0;
  check(library.function<BufferSize>("cusolverDnDsyevd_bufferSize")(
            handle, kVectors, kLower, n, work.data(), n, eigenvalues.data(), &size),
        "cusolverDnDsyevd_bufferSize");
  const DeviceArray<double> scratch(limits.device, size, "scratch of cuSOLVER");
  auto* const syevd = library.function<Syevd>("cusolverDnDsyevd");
  Entry entry{.name = "limits.syevd", .workload = "float64, " + std::to_string(n)};
  entry.seconds = median_seconds(limits.device.stream(), limits.budget, [&] {
    check(cudaMemcpyAsync(work.data(), original.data(), values.size() * sizeof(double),
                          cudaMemcpyDeviceToDevice, limits.device.stream()),
          "cudaMemcpyAsync");
    check(syevd(handle, kVectors, kLower, n, work.data(), n, eigenvalues.data(), scratch.data(),
                size, status.data()),
          "cusolverDnDsyevd");
  });
  int failed = 0;
  status.download(&failed, 1);
  if (failed != 0) {
    entry.seconds = kUnknown;
    entry.note = "cuSOLVER found no eigenvalues";
  }
  limits.add(entry);
}

}  // namespace

void measure_solver(const Limits& limits) {
  const Library library;
  void* handle = nullptr;
  if (library.found()) {
    check(library.function<Create>("cusolverDnCreate")(&handle), "cusolverDnCreate");
    check(library.function<SetStream>("cusolverDnSetStream")(handle, limits.device.stream()),
          "cusolverDnSetStream");
  }
  for (const int n : {256, 512, 1024}) {
    if (library.found()) {
      measure_syevd(limits, library, handle, n);
    } else {
      limits.add({.name = "limits.syevd",
                  .workload = "float64, " + std::to_string(n),
                  .note = "libcusolver is not on the library path"});
    }
  }
  if (handle != nullptr) {
    check(library.function<int(void*)>("cusolverDnDestroy")(handle), "cusolverDnDestroy");
  }
}

}  // namespace culatent::bench
