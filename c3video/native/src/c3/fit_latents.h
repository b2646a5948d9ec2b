// SPDX-License-Identifier: MIT
// What happens to the flat latents in each step of a fit: quantisation noise or rounding.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace c3 {

// Grid by grid the number of latents and the steps that a unit of them makes.
struct LatentScales {
    std::vector<int64_t> sizes;
    std::vector<float> steps;
};

struct QuantiseJob {
    LatentScales scales;
    int64_t count;
    const float* latents;
    float temperature;
    float* steps;   // out: noisy or rounded
    float* slopes;  // out: their derivative by the latents; may be null
};

struct NoiseJob {
    float a;                // of the Kumaraswamy distribution
    const float* uniforms;  // on (0, 1), or null: then they follow from seed and position alone
    uint64_t seed;
};

using AddNoise = void(const QuantiseJob& job, const NoiseJob& noise, int num_threads);
using StraightThrough = void(const QuantiseJob& job, int num_threads);

}  // namespace c3
