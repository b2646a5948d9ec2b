// SPDX-License-Identifier: MIT
// Forward and backward of the synthesis of a fit, in floats: upsampling, pointwise layers, residual convolutions and
// the distortion. For a given instruction set and number of threads the results repeat bit for bit.
#pragma once
#include <cstdint>
#include <vector>

namespace c3 {

// Grids of latents, one after the other in one flat array, to the resolution of the cells.
struct UpsampleJob {
    struct Grid {
        int num_frames, height, width;
        int time_exponent, space_exponent;
    };
    int num_frames, height, width;  // of the patch, in cells
    float scale;                    // what a latent is multiplied by
    std::vector<Grid> grids;
    int num_threads;
};

// Columns through layers of `widths[0]` inputs and `widths[l + 1]` outputs, the activation between them.
struct PointwiseJob {
    std::vector<int> widths;
    std::vector<const float*> weights;  // (outputs, inputs) each
    std::vector<const float*> biases;
    int64_t num_columns;
    int num_threads;
};

// x + convolution(x), 3x3 (x3 in time) with repeated edges, where x is the input, through the activation if
// `active_input`: the activation between two layers is left to the second, so that only its argument is ever stored.
struct ResidualJob {
    int num_channels, num_frames, height, width;
    int time_size;  // 1 or 3
    bool active_input;
    const float* weight;  // (outputs, inputs, time_size, 3, 3)
    const float* bias;
    int num_threads;
};

constexpr int kMaxResidualChannels = 6;

// latents: all grids; planes: (grids, T, H, W).
using Upsample = void(const UpsampleJob& job, const float* latents, float* planes);
using UpsampleBackward = void(const UpsampleJob& job, const float* grad_planes, float* grad_latents);

// inputs (widths.front(), N), outputs (widths.back(), N). grad_weights: per layer weight, then bias.
// grad_inputs may be null.
using Pointwise = void(const PointwiseJob& job, const float* inputs, float* outputs);
using PointwiseBackward = void(const PointwiseJob& job, const float* inputs, const float* grad_outputs,
                               float* grad_inputs, const std::vector<float*>& grad_weights);

// All (C, T, H, W). grad_inputs may be null.
using Residual = void(const ResidualJob& job, const float* inputs, float* outputs);
using ResidualBackward = void(const ResidualJob& job, const float* inputs, const float* grad_outputs,
                              float* grad_inputs, float* grad_weight, float* grad_bias);

// Mean of (clip(samples, 0, 1) - target)^2, and its derivative by the samples (may be null).
using ClippedMse = double(const float* samples, const float* target, int64_t count, float* grad, int num_threads);

}  // namespace c3
