// SPDX-License-Identifier: MIT
// Bits of the latents of a patch under its entropy networks, with the gradient of every latent and weight.
#pragma once
#include <cstddef>
#include <vector>

namespace c3 {

constexpr int kMaxContextSize = 9, kMaxPreviousSize = 9, kMaxHiddenLayers = 3, kMaxHiddenWidth = 64;

struct RateGrid {
    int num_frames, height, width;
    bool has_previous;
    int dy, dx;  // of the previous frame's top left tap from the latent
};

// What stays the same from step to step of a fit. Sizes are checked where a plan is made (fit_rate_bindings.cpp).
struct RatePlan {
    std::vector<RateGrid> grids;
    int context_size, previous_size;
    float q_step;
    std::vector<int> hidden;  // widths of the hidden layers

    int num_causal() const { return context_size * context_size / 2; }
    int num_taps(const RateGrid& grid) const {
        return num_causal() + (grid.has_previous ? previous_size * previous_size : 0);
    }
    size_t num_latents() const {
        size_t count = 0;
        for (const auto& grid : grids) count += (size_t)grid.num_frames * grid.height * grid.width;
        return count;
    }
    size_t num_weights(const RateGrid& grid) const {  // of its network: each layer's weights, then its biases
        size_t count = 0, inputs = num_taps(grid);
        for (size_t width : hidden) {
            count += (inputs + 1) * width;
            inputs = width;
        }
        return count + (inputs + 1) * 2;
    }
    size_t num_weights() const {
        size_t count = 0;
        for (const auto& grid : grids) count += num_weights(grid);
        return count;
    }
};

// All grids in a row in each array; latents in steps. The gradients, of the sum of all bits, may both be null.
struct RateJob {
    const float* latents;
    const float* weights;
    double* bits;  // one a grid
    float* grad_latents;
    float* grad_weights;
};

using FitRate = void(const RatePlan& plan, const RateJob& job, int num_threads);

}  // namespace c3
