// SPDX-License-Identifier: MIT
// Latent symbols to samples: docs/c3v.md, sections 9 and 10.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shared/layer.h"

namespace c3 {

struct LatentPlane {
    int num_frames, height, width;
    int time_exponent, space_exponent;
    const int32_t* symbols;  // (num_frames, height, width)
};

struct SynthesisJob {
    int num_frames, height, width;  // of the patch, in cells
    int q_step_256;
    int max_value;
    int residual_time_size;  // 1 or 3
    std::vector<LatentPlane> planes;
    std::vector<Layer> pointwise;
    std::vector<Layer> residual;  // inputs in the order (channel, dt, dy, dx)
};

// Fills samples (channels, num_frames, height, width).
using Synthesise = void(const SynthesisJob& job, uint16_t* samples);

// Most bytes that it takes beside its arguments; looks at no symbol and no weight.
using SynthesisMemory = size_t(const SynthesisJob& job, int channels);

}  // namespace c3
