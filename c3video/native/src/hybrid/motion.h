// SPDX-License-Identifier: MIT
// Reading the motion field of one frame: docs/c3v.md, section 16.
#pragma once
#include <cstdint>

#include "hybrid/context_network.h"
#include "shared/ans.h"
#include "shared/sparse_tables.h"

namespace c3 {

constexpr int kMaxMotionVector = 4096;                             // hybrid/compensation.py
constexpr int kWhole = 0, kRows = 1, kColumns = 2, kQuarters = 3;  // the same

// A block or a part of it, in quarters of blocks.
struct Part {
    int y, x, height, width;
};

struct Split {
    int count;
    Part parts[4];
};

// By split, in coding order: motion_symbols.PARTS.
constexpr Split kSplits[] = {
    {1, {{0, 0, 2, 2}}},
    {2, {{0, 0, 1, 2}, {1, 0, 1, 2}}},
    {2, {{0, 0, 2, 1}, {0, 1, 2, 1}}},
    {4, {{0, 0, 1, 1}, {0, 1, 1, 1}, {1, 0, 1, 1}, {1, 1, 1, 1}}},
};

// Ranges are checked where a job is made (context_bindings.cpp).
struct MotionJob {
    int height, width;  // in blocks
    int level;
    int num_references;  // 1 or 2
    int first, second;   // frames since each reference: at least 1; not 0, and negative for a later one
    int32_t* vectors;    // (references, 2, 2 height, 2 width), to be filled
    int32_t* modes;      // (2 height, 2 width), to be filled
    int32_t* splits;     // (height, width), to be filled
};

// Throws Corrupt.
using ReadMotion = void(Reader& reader, const SparseTables& tables, const ContextNetwork& network,
                        const MotionJob& job);

}  // namespace c3
