// SPDX-License-Identifier: MIT
// The motion field of one frame and its symbols: docs/c3v.md, section 16.
#pragma once
#include <cstdint>
#include <vector>

#include "hybrid/context_network.h"
#include "shared/ans.h"
#include "shared/sparse_tables.h"

namespace c3 {

constexpr int kMaxMotionVector = 4096;                             // hybrid/compensation.py
constexpr int kWhole = 0, kRows = 1, kColumns = 2, kQuarters = 3;  // the same
constexpr int kMostUnit = 2;                                       // of vectors, in quarters of a sample

// A block or a part of it, or of several blocks, in quarters of blocks.
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

// Where a frame stands in time, and what is known of its motion: ranges are checked where it is made.
struct MotionFrame {
    int height, width;   // in blocks
    int num_references;  // 1 or 2
    int times[2];        // frames since each reference: at least 1; not 0, and negative for a later one
    // Motion of a frame that was coded before, of the same shape; null where there is none.
    const int32_t* earlier_vectors;  // (references, 2, 2 height, 2 width)
    const int32_t* earlier_modes;    // (2 height, 2 width)
    int earlier_times[2];            // as `times`, of that frame; 0 for a second reference that it lacks
    int earlier_reference;           // the one of its references whose vectors say more
};

struct MotionField {
    int32_t* unit;     // (1) quarters of a sample that all vectors are multiples of: 1 or 2
    int32_t* offsets;  // (references, 2), added to what an earlier frame's motion lets expect
    int32_t* vectors;  // (references, 2, 2 height, 2 width)
    int32_t* modes;    // (2 height, 2 width)
    int32_t* splits;   // (height, width)
};

struct MotionSymbol {
    int symbol_class, symbol;
    int16_t features[kMotionInputs];
};

// Fills in the field. Throws Corrupt.
using ReadMotion = void(Reader& reader, const SparseTables& tables, const ContextNetwork& network,
                        const MotionFrame& frame, int depth, MotionField field);
// The symbols of a field in coding order.
using ListMotion = void(const MotionFrame& frame, MotionField field, std::vector<MotionSymbol>& symbols);

}  // namespace c3
