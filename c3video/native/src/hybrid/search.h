// SPDX-License-Identifier: MIT
// The encoder's search for the motion of a frame, block by block in the order in which it is coded. Decides no bit of
// decoding.
#pragma once
#include <cstdint>

#include "hybrid/block_errors.h"

namespace c3 {

struct SearchJob {
    const int16_t* current;  // (height, width)
    int height, width, block_size;
    int num_references;  // 1 or 2
    const Phases* phases[2];
    const int32_t* starts;        // (references, 2, block_rows, block_columns)
    float slope;                  // squared error that a bit is worth
    const float* component_bits;  // by size of a component's difference
    int num_component_bits;
    float mode_bits[3], split_bits[4];
    int numerator, denominator;  // of a difference in the second reference to that in the first, in mode both
    int passes, num_threads;

    int block_rows() const { return (height + block_size - 1) / block_size; }
    int block_columns() const { return (width + block_size - 1) / block_size; }
};

// Of quarters of blocks, `vectors`: (references, 2, 2 block_rows, 2 block_columns), `modes`: (2 block_rows, 2
// block_columns); `splits`: (block_rows, block_columns)
using SearchField = void(const SearchJob& job, int32_t* vectors, int32_t* modes, int32_t* splits);

}  // namespace c3
