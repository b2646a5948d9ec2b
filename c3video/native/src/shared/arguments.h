// SPDX-License-Identifier: MIT
// Arrays of 32-bit integers as bindings take them.
#pragma once
#include <cstdint>

#include "shared/seam.h"

using Ints1 = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ints2 = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Ints3 = nb::ndarray<const int32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Ints4 = nb::ndarray<const int32_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
