// SPDX-License-Identifier: MIT
// The pyramid model's kernels of each instruction set.
#pragma once
#include <string>

#include "latents.h"
#include "synthesis.h"

namespace c3 {

struct PyramidKernels {
    CodePyramid code;
    SynthesisePyramid synthesise;
};

// Those of an instruction set that was compiled in, by its name in dispatch.h.
PyramidKernels pyramid_kernels(const std::string& instruction_set);

}  // namespace c3
