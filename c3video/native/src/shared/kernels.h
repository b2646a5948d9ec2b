// SPDX-License-Identifier: MIT
// The kernels that belong to no model, chosen by instruction set: see shared/dispatch.h.
#pragma once
#include "shared/dispatch.h"
#include "shared/peak.h"

namespace c3 {

#define SHARED_KERNELS(KERNEL) KERNEL(Peak, integer_peak)

C3_DOMAIN(SharedKernels, SHARED_KERNELS)

}  // namespace c3
