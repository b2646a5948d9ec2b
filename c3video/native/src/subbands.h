// SPDX-License-Identifier: MIT
// Reading the subbands of a slice of one frame: docs/c3v.md, section 15.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ans.h"
#include "context_network.h"
#include "sparse_tables.h"

namespace c3 {

constexpr int kMaxSubbandSymbol = 1 << 15;
constexpr int kMaxSubbandLevels = 5, kMaxSubbandPlanes = 4;

// Features of one subband, with a margin of zeros: two rows above, one below, four columns on either side, so that
// every tap, and its neighbour to the right, may be read. One bit a place tells where they are not zero.
struct FeaturePlane {
    static constexpr int kAbove = 2, kBelow = 1, kBeside = 4;

    int height = 0, width = 0;

    void resize(int h, int w) {
        height = h, width = w;
        values_.assign((size_t)(kAbove + h + kBelow) * stride(), 0);
        bits_.assign((size_t)(kAbove + h + kBelow) * words(), 0);
    }
    size_t stride() const { return width + 2 * kBeside; }
    size_t words() const { return (width + 63) / 64 + 2; }
    int16_t* values(int y) { return values_.data() + (y + kAbove) * stride() + kBeside; }
    uint64_t* bits(int y) { return bits_.data() + (y + kAbove) * words() + 1; }

private:
    std::vector<int16_t> values_;
    std::vector<uint64_t> bits_;
};

// Shapes of a slice and the features of its frame in hand; the next frame reuses them.
struct Slice {
    std::vector<std::vector<FeaturePlane>> planes;  // by plane and subband
    FeaturePlane siblings[2], before;               // cut to a subband's shape, where it is not theirs
    FeaturePlane reference;                         // four rows, used in turn
};

// Sizes are checked where a job is made (context_bindings.cpp).
struct SliceJob {
    int level;
    std::vector<const int32_t*> references[2];  // by subband of all planes, as many of the two as there are
    std::vector<int32_t*> symbols;              // to be filled, all zero before
};

// Throws Corrupt.
using ReadSlice = void (*)(
    Reader& reader, const SparseTables& tables, const ContextNetwork& network, Slice& slice, const SliceJob& job);

}  // namespace c3
