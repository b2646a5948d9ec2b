// SPDX-License-Identifier: MIT
// The last choice of a fit's integers: each latent by what it costs and what it spoils.
#pragma once
#include "pyramid/fit_plan.h"

namespace c3 {
namespace pyramid {

constexpr int kLongestChoice = 32;  // side of a rectangle that is given one value; pyramid/config.py

struct ChoiceJob {
    float* latents;  // whole numbers, in and out
    const float *weights, *targets;
    const float* slopes;          // of the errors' part of the loss by each latent
    double bits_weight;           // of a bit in the loss
    const double* error_weights;  // of a squared error in each plane
    const float* importance;      // and of each sample, or null
    int num_grids;                // whose latents are chosen, from the finest
    int longest;                  // side of such a rectangle in the finest grid; a quarter in each coarser one
    // Out: latents that changed, and by how much less the loss is.
    int64_t changes;
    double gain;
};

}  // namespace pyramid

using PyramidChoose = void(const pyramid::Plan& plan, pyramid::ChoiceJob& job, int num_threads);

}  // namespace c3
