// SPDX-License-Identifier: MIT
// What happens to each latent of a fit by itself: noise, and Adam.
#pragma once
#include <cstddef>
#include <cstdint>

namespace c3 {
namespace pyramid {

struct QuantiseJob {
    int64_t count;
    const float* latents;
    float temperature;
    float* steps;   // out: noisy
    float* slopes;  // out: their derivative by the latents; may be null
};

struct NoiseJob {
    float deviation;  // standard deviation of Gaussian noise
    uint64_t seed;
    const float* given;  // noise to use in place of it, or null
};

struct AdamJob {
    int64_t count;
    const float *grad, *slopes;  // the gradient is their product; slopes may be null
    float *parameter, *mean, *square;
    // add_: what a new value weighs in its mean, 1 - beta; step_size and root_scale hold the corrections of the first
    // steps. No step is longer than `longest`.
    float add_mean, keep_square, add_square, step_size, root_scale, epsilon, longest;
};

}  // namespace pyramid

using PyramidAddNoise = void(const pyramid::QuantiseJob& job, const pyramid::NoiseJob& noise, int num_threads);
using PyramidAdam = void(const pyramid::AdamJob& job, int num_threads);

}  // namespace c3
