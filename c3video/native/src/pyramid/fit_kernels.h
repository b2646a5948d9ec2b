// SPDX-License-Identifier: MIT
// The kernels of a fit of the pyramid model, chosen by instruction set: see shared/dispatch.h.
#pragma once
#include "pyramid/fit_choice.h"
#include "pyramid/fit_elements.h"
#include "pyramid/fit_plan.h"
#include "shared/dispatch.h"

namespace c3 {

#define PYRAMID_FIT_KERNELS(KERNEL)               \
    KERNEL(PyramidRate, pyramid_rate)             \
    KERNEL(PyramidDistortion, pyramid_distortion) \
    KERNEL(PyramidChoose, pyramid_choose)         \
    KERNEL(PyramidAddNoise, pyramid_add_noise)    \
    KERNEL(PyramidAdam, pyramid_adam)

C3_FLOAT_DOMAIN(PyramidFitKernels, PYRAMID_FIT_KERNELS)

}  // namespace c3
