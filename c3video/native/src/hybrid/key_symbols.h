// SPDX-License-Identifier: MIT
// Symbols of a key picture from its samples: c3video/hybrid/key_picture.py, `plane_symbols`.
#pragma once
#include <cstdint>
#include <vector>

namespace c3 {

// Checked where a job is made (frame_bindings.cpp).
struct KeyJob {
    int height, width, bit_depth, levels;
    const uint16_t* samples;      // (h, w)
    std::vector<int> steps;       // of each subband, in coding order
    std::vector<int32_t*> bands;  // to be filled likewise
};

using MakeKeySymbols = void(const KeyJob& job);

}  // namespace c3
