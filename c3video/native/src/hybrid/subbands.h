// SPDX-License-Identifier: MIT
// Reading the subbands of a slice of one frame: docs/c3v.md, section 15.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hybrid/context_network.h"
#include "shared/ans.h"
#include "shared/sparse_tables.h"

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

// The network of signs as Python hands it over (hybrid/signs.py). Weights fit 16 bits and no sum leaves 32: checked
// where one is made (context_bindings.cpp).
constexpr int kSignWidth = 64, kSignWeightBits = 10, kSignMaxInput = 2, kSignEvenTable = 16;
// (dy, dx) in a symbol's own subband; squares of 9 in HL and LH follow, then one in the coarser subband for each
// parity.
constexpr std::array<std::array<int, 2>, 12> kSignCausal = {
    {{-3, 0}, {-2, -1}, {-2, 0}, {-2, 1}, {-1, -2}, {-1, -1}, {-1, 0}, {-1, 1}, {-1, 2}, {0, -3}, {0, -2}, {0, -1}}};
constexpr int kSignInputs = (int)kSignCausal.size() + 9 * (2 + 4);

struct SignNetwork {
    std::vector<int16_t> first;  // (inputs, 64)
    std::vector<int32_t> last;   // (classes, 64)
    int number;                  // no other one has it
};

// Features of one frame's slice.
struct SliceFeatures {
    std::vector<std::vector<FeaturePlane>> planes;  // by plane and subband
};

// Symbols of a subband, clipped to what the network of signs is told, with a margin of zeros.
class SignPlane {
public:
    void resize(int height, int width) {
        stride_ = width + 2 * kMargin;
        values_.assign((size_t)(height + 2 * kMargin) * stride_, 0);
    }
    int16_t* row(int y) { return values_.data() + (y + kMargin) * stride_ + kMargin; }
    const int16_t* row(int y) const { return values_.data() + (y + kMargin) * stride_ + kMargin; }

private:
    static constexpr int kMargin = 4;

    ptrdiff_t stride_ = 0;
    std::vector<int16_t> values_;
};

// What a walk needs beside them; of no meaning between two planes but for the weights.
struct SliceScratch {
    FeaturePlane hl, lh, before;  // cut to a subband's shape, where it is not theirs
    FeaturePlane references;      // four rows, used in turn, of the sum of two references

    std::vector<SignPlane> sign_planes;  // of the subbands of the plane in hand
    std::vector<int16_t> sign_weights;   // of the network of that number, in a layout
    int sign_network = 0;
    const void* sign_layout = nullptr;
};

// All features have the same shapes, and `own` is none of the references: checked where a job is made
// (context_bindings.cpp).
struct SliceJob {
    int depth;
    int num_references;  // 0, 1 or 2
    SliceFeatures* references[2];
    SliceFeatures* own;             // to be filled
    std::vector<int32_t*> symbols;  // to be filled, by subband of all planes
};

// Throws Corrupt.
using ReadSlice = void(Reader& reader, const SparseTables& tables, const ContextNetwork& network,
                       const SignNetwork& signs, SliceScratch& scratch, const SliceJob& job);

}  // namespace c3
