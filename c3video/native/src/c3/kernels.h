// SPDX-License-Identifier: MIT
// The kernels of the C3 model, chosen by instruction set: see shared/dispatch.h.
#pragma once
#include "c3/fit_latents.h"
#include "c3/fit_rate.h"
#include "c3/fit_synthesis.h"
#include "c3/latents.h"
#include "c3/synthesis.h"
#include "shared/dispatch.h"

namespace c3 {

#define C3_DECODE_KERNELS(KERNEL)   \
    KERNEL(DecodeGrid, decode_grid) \
    KERNEL(GridMemory, grid_memory) \
    KERNEL(Synthesise, synthesise)  \
    KERNEL(SynthesisMemory, synthesis_memory)

C3_DOMAIN(C3DecodeKernels, C3_DECODE_KERNELS)

#define C3_FIT_KERNELS(KERNEL)                    \
    KERNEL(FitRate, fit_rate)                     \
    KERNEL(AddNoise, add_noise)                   \
    KERNEL(StraightThrough, straight_through)     \
    KERNEL(Upsample, upsample)                    \
    KERNEL(UpsampleBackward, upsample_backward)   \
    KERNEL(Pointwise, pointwise)                  \
    KERNEL(PointwiseBackward, pointwise_backward) \
    KERNEL(Residual, residual)                    \
    KERNEL(ResidualBackward, residual_backward)   \
    KERNEL(ClippedMse, clipped_mse)

C3_FLOAT_DOMAIN(C3FitKernels, C3_FIT_KERNELS)

}  // namespace c3
