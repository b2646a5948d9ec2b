// SPDX-License-Identifier: MIT
// The kernels of the pyramid model, chosen by instruction set: see shared/dispatch.h.
#pragma once
#include "pyramid/fit_elements.h"
#include "pyramid/fit_plan.h"
#include "pyramid/latents.h"
#include "pyramid/synthesis.h"
#include "shared/dispatch.h"

namespace c3 {

#define PYRAMID_DECODE_KERNELS(KERNEL)    \
    KERNEL(DecodePyramid, decode_pyramid) \
    KERNEL(SynthesisePyramid, synthesise_pyramid)

C3_DOMAIN(PyramidDecodeKernels, PYRAMID_DECODE_KERNELS)

namespace pyramid {

#define PYRAMID_FIT_KERNELS(KERNEL)       \
    KERNEL(FitRate, fit_rate)             \
    KERNEL(FitDistortion, fit_distortion) \
    KERNEL(FitElements, fit_elements)

C3_FLOAT_DOMAIN(FitKernels, PYRAMID_FIT_KERNELS)

}  // namespace pyramid

}  // namespace c3
