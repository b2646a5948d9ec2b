// SPDX-License-Identifier: MIT
// What all bindings of kernels share: a check of what comes from Python, and new arrays.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

namespace nb = nanobind;

inline void require(bool good, const char* what) {
    if (!good) throw nb::value_error(what);
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

// Of zeros, which cost nothing until they are written.
template <typename T, typename... Size>
auto new_zeros(Size... sizes) {
    const size_t shape[] = {(size_t)sizes...};
    size_t count = 1;
    for (size_t size : shape) count *= size;
    T* data = static_cast<T*>(std::calloc(std::max<size_t>(count, 1), sizeof(T)));
    if (data == nullptr) throw std::bad_alloc();
    nb::capsule owner(data, [](void* p) noexcept { std::free(p); });
    return nb::ndarray<nb::numpy, T>(data, sizeof...(Size), shape, owner);
}
