// SPDX-License-Identifier: MIT
// The kernels of the pyramid model, chosen by instruction set: see shared/dispatch.h. Those of its fit: fit_kernels.h.
#pragma once
#include "pyramid/latents.h"
#include "pyramid/synthesis.h"
#include "shared/dispatch.h"

namespace c3 {

#define PYRAMID_KERNELS(KERNEL)                          \
    KERNEL(CodePyramid, code_pyramid)                    \
    KERNEL(PyramidLatentsMemory, pyramid_latents_memory) \
    KERNEL(SynthesisePyramid, synthesise_pyramid)        \
    KERNEL(PyramidSynthesisMemory, pyramid_synthesis_memory)

C3_DOMAIN(PyramidKernels, PYRAMID_KERNELS)

}  // namespace c3
