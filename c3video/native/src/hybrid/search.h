// SPDX-License-Identifier: MIT
// The encoder's search for the motion of a frame: where blocks may come from, then the tree that is cheapest to code.
// Decides no bit of decoding.
#pragma once
#include <cstdint>

#include "hybrid/block_errors.h"
#include "hybrid/motion.h"

namespace c3 {

constexpr int kMotionBlock = 16;  // hybrid/compensation.BLOCK_SIZE
constexpr int kCosts = kCostRange + 1;

struct SearchJob {
    const int16_t* current;  // (height, width)
    int height, width;
    const Phases* phases[2];
    const int32_t* starts;  // (references, 2, block rows, block columns)
    MotionFrame frame;      // its height and width: blocks
    const ContextNetwork* network;
    const float* costs;  // (64, 17, 65) bits of magnitudes, by table
    int depth;
    float slope;                  // squared error that a bit is worth
    const float* component_bits;  // by size of a component's difference: a guess, before contexts are known
    int num_component_bits;
    float mode_bits[3];
    int units[2];  // of vectors in quarters of a sample, the least and the largest that is tried
    int passes, num_threads;
};

// Fills in the field.
using SearchField = void(const SearchJob& job, MotionField field);

struct CoarseJob {
    const int16_t *current, *reference;  // (height, width)
    int height, width;
};

// Vectors (2, block rows, block columns) in quarters of a sample.
using CoarseVectors = void(const CoarseJob& job, int32_t* vectors);

}  // namespace c3
