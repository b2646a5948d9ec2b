// SPDX-License-Identifier: MIT
// What the seams of the frame kernels share: the arrays that they take, and their checks.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "dispatch.h"

namespace nb = nanobind;

using Plane = nb::ndarray<const uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Centred = nb::ndarray<const int16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Ints2 = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Ints3 = nb::ndarray<const int32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Ints4 = nb::ndarray<const int32_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

inline void require(bool good, const char* what) {
    if (!good) throw nb::value_error(what);
}

inline const c3::Kernels& kernels(const std::string& name) {
    static const std::vector<c3::Kernels> usable = c3::usable_kernels();
    for (const auto& kernel : usable)
        if (name.empty() || name == kernel.name) return kernel;
    throw nb::value_error("this processor or build has no such kernels");
}

template <typename T, typename... Size>
auto new_array(Size... sizes) {
    const size_t shape[] = {(size_t)sizes...};
    size_t count = 1;
    for (size_t size : shape) count *= size;
    T* data = new T[count];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::ndarray<nb::numpy, T>(data, sizeof...(Size), shape, owner);
}

inline void require_size(int64_t height, int64_t width) {
    require(height >= 1 && height <= c3::kMaxSide && width >= 1 && width <= c3::kMaxSide, "sides of a plane must be 1..32768");
}

inline void require_settings(int block_size, int bit_depth, int num_threads) {
    require(block_size == 8 || block_size == 16 || block_size == 32, "block_size must be 8, 16 or 32");
    require(bit_depth == 8 || bit_depth == 10, "bit_depth must be 8 or 10");
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
}

template <typename Vectors>
void require_vectors(const Vectors& vectors) {
    bool good = true;
    for (size_t i = 0; i < vectors.size(); i++) good &= vectors.data()[i] >= -c3::kMaxVector && vectors.data()[i] <= c3::kMaxVector;
    require(good, "a component of a vector must be -4096..4096");
}
