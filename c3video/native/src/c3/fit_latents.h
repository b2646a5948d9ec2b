// SPDX-License-Identifier: MIT
// What happens to the flat latents in each step of a fit: quantisation noise or rounding, and Adam.
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

struct AdamJob {
    int64_t count;
    const float* grad;
    float *parameter, *mean, *square;  // mean of gradients, and of their squares
    // `add_`: what a new value weighs in its mean, 1 - beta; the step and root factors hold the corrections of the first steps
    float grad_scale, add_mean, keep_square, add_square, step_size, root_scale, epsilon;
};

struct FitLatents {
    void (*add_noise)(const QuantiseJob& job, const NoiseJob& noise, int num_threads);
    void (*straight_through)(const QuantiseJob& job, int num_threads);
    void (*adam)(const AdamJob& job, int num_threads);
    double (*sum_of_squares)(const float* values, int64_t count, int num_threads);
};

}  // namespace c3
