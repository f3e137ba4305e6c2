#pragma once

/// What nvcc's cuda_runtime.h gives a kernel source and a host source.
#include "simt/api.hpp"
#include "simt/async_copy.hpp"
#include "simt/atomics.hpp"
#include "simt/kernel.hpp"
#include "simt/launch.hpp"
#include "simt/math.hpp"
#include "simt/tensor.hpp"
#include "simt/warp.hpp"
