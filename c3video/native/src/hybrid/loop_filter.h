// SPDX-License-Identifier: MIT
// The filter in the loop: a small network on the neighbours of each sample.
#pragma once
#include <cstdint>

#include "pyramid/dense.h"

namespace c3 {

constexpr int kFilterRadius = 2, kFilterNeighbours = 24;
constexpr int kFilterFirst = 12, kFilterSecond = 8;

// Ranges and sizes are checked where a job is made (frame_bindings.cpp). `first` has the hidden units and, as its last
// output, the linear path.
struct FilterJob {
    int height, width, bit_depth, step;
    const uint16_t* samples;
    const Dense *first, *second, *last;
    int num_threads;
};

using FilterPlane = void(const FilterJob& job, uint16_t* filtered);

}  // namespace c3
