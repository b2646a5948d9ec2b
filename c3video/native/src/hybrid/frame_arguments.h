// SPDX-License-Identifier: MIT
// What the seams of the frame kernels share: the arrays that they take, and their checks.
#pragma once
#include <nanobind/stl/pair.h>

#include "hybrid/kernels.h"
#include "shared/arguments.h"

using Plane = nb::ndarray<const uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Centred = nb::ndarray<const int16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

inline void require_size(int64_t height, int64_t width) {
    require(height >= 1 && height <= c3::kMaxSide && width >= 1 && width <= c3::kMaxSide,
            "sides of a plane must be 1..32768");
}

inline void require_settings(int block_size, int bit_depth, int num_threads) {
    require(block_size == 8 || block_size == 16 || block_size == 32, "block_size must be 8, 16 or 32");
    require(bit_depth == 8 || bit_depth == 10 || bit_depth == 12, "bit_depth must be 8, 10 or 12");
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
}

template <typename Vectors>
void require_vectors(const Vectors& vectors) {
    bool good = true;
    for (size_t i = 0; i < vectors.size(); i++)
        good &= vectors.data()[i] >= -c3::kMaxVector && vectors.data()[i] <= c3::kMaxVector;
    require(good, "a component of a vector must be -4096..4096");
}
