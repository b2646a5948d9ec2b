// SPDX-License-Identifier: MIT
// What all bindings of kernels share: a check of what comes from Python, the kernels of an instruction set, new arrays.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "shared/dispatch.h"

namespace nb = nanobind;

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
