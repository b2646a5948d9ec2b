// SPDX-License-Identifier: MIT
// Decoding one latent grid: docs/c3v.md, section 8.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shared/ans.h"
#include "shared/layer.h"

namespace c3 {

struct Tap {
    int dy, dx;
    bool previous;  // of the latent frame before
};

struct GridShape {
    int num_frames, height, width;
    int row_slope, frame_slope;  // position (t, y, x) is in wave x + row_slope * y + frame_slope * t
};

struct GridJob {
    GridShape shape;
    int q_step_256;
    std::vector<Tap> taps;
    std::vector<Layer> layers;  // the last one has two outputs
};

// Fills symbols (num_frames, height, width). Throws Corrupt.
using DecodeGrid = void(Reader& reader, const Tables& tables, const GridJob& job, int32_t* symbols);

// Most bytes that it takes beside the symbols.
using GridMemory = size_t(const GridShape& shape, const std::vector<Tap>& taps);

}  // namespace c3
