// SPDX-License-Identifier: MIT
// What the sign of a subband's symbol is told from: docs/c3v.md, section 15 (hybrid/signs.py). Compiled once for each
// instruction set.
//
// The symbols of a plane are kept once more, clipped and with a margin of zeros around each subband, so that all inputs
// of a place may be read in pairs: a pair of neighbours goes to 16 hidden units at once, like the features of
// magnitudes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "hybrid/predict.h"
#include "hybrid/subbands.h"

namespace c3 {
namespace C3_ISA {

// Calls `take` with the places of a row that have a bit.
template <typename Take>
inline void for_each_place(const uint64_t* bits, int width, Take&& take) {
    for (int word = 0; word < (width + 63) / 64; word++)
        for (uint64_t rest = bits[word]; rest; rest &= rest - 1) take(64 * word + __builtin_ctzll(rest));
}

// Calls `take` with each subband that is not empty: plane, number, features, symbols of all subbands of the plane.
template <typename Take>
inline void for_each_subband(const SliceJob& job, Take&& take) {
    int32_t* const* symbols = job.symbols.data();
    for (int plane = 0; plane < (int)job.own->planes.size(); plane++) {
        std::vector<FeaturePlane>& bands = job.own->planes[plane];
        for (int band = 0; band < (int)bands.size(); band++)
            if (bands[band].height > 0 && bands[band].width > 0) take(plane, band, bands[band], symbols);
        symbols += bands.size();
    }
}

class SignContexts {
public:
    // Subbands are gone through in their order, and of those that are not empty `put` tells all symbols.
    SignContexts(const SignNetwork& network, SliceScratch& scratch, const SliceJob& job, int plane, int band) {
        const std::vector<FeaturePlane>& bands = job.own->planes[plane];
        const int orientation = (band + 2) % 3, levels = (int)bands.size() / 3;
        set_weights(network, scratch);
        weights_ = scratch.sign_weights.data();
        if (scratch.sign_planes.size() < bands.size()) scratch.sign_planes.resize(bands.size());
        own_ = &scratch.sign_planes[band];
        // The other subbands of a level may be larger by a row or a column; the room is that of the largest.
        int height = 0, width = 0;
        for (int i = band ? band - orientation : 0; i <= (band ? band - orientation + 2 : 0); i++)
            height = std::max(height, bands[i].height), width = std::max(width, bands[i].width);
        own_->resize(height, width);
        const auto known = [&](int index) {
            const bool is_empty = bands[index].height == 0 || bands[index].width == 0;
            return is_empty ? nullptr : &scratch.sign_planes[index];
        };
        if (band > 0 && orientation > 0) hl_ = known(band - orientation);
        if (band > 0 && orientation > 1) lh_ = known(band - 1);
        if (band > 3 && (parent_ = known(band - 3)) != nullptr)
            last_row_ = bands[band - 3].height - 1, last_column_ = bands[band - 3].width - 1;
        const int place = band == 0 ? 0 : 1 + 3 * (levels - 1 - (band - 1) / 3) + orientation;
        last_ = network.last.data() + (place + (plane ? kSubbandClasses / 2 : 0)) * kSignWidth;
    }

    void put(int y, int x, int symbol) { own_->row(y)[x] = (int16_t)std::clamp(symbol, -kSignMaxInput, kSignMaxInput); }

    // Table of the flag that is set where the symbol at (y, x) is negative.
    unsigned table(int y, int x) const {
        alignas(64) int32_t sums[kSignWidth] = {};
        Sums groups[kGroups];
        for (int g = 0; g < kGroups; g++) groups[g] = Sums::from(sums);
        const int16_t* weights = weights_;
        const auto add = [&](const int16_t* pair) {
            const int32_t inputs = load_pair(pair);
            for (int g = 0; g < kGroups; g++) groups[g].add(weights + g * kPairWeights, inputs);
            weights += kGroups * kPairWeights;
        };
        const auto add_square = [&](const SignPlane& plane, int row, int column) {
            for (int dy = -1; dy <= 1; dy++)
                add(plane.row(row + dy) + column - 1), add(plane.row(row + dy) + column + 1);
        };
        add(own_->row(y - 3) + x);
        add(own_->row(y - 2) + x - 1), add(own_->row(y - 2) + x + 1);
        add(own_->row(y - 1) + x - 2), add(own_->row(y - 1) + x), add(own_->row(y - 1) + x + 2);
        add(own_->row(y) + x - 3), add(own_->row(y) + x - 1);
        if (hl_ != nullptr) add_square(*hl_, y, x);
        weights = weights_ + kLhPair * kGroups * kPairWeights;
        if (lh_ != nullptr) add_square(*lh_, y, x);
        if (parent_ != nullptr) {
            weights = weights_ + (kParentPair + kSquarePairs * (2 * (y % 2) + x % 2)) * kGroups * kPairWeights;
            add_square(*parent_, std::min(y / 2, last_row_), std::min(x / 2, last_column_));
        }
        for (int g = 0; g < kGroups; g++) groups[g].to(sums + g * kFirstWidth);
        int32_t expected = 0;
        for (int o = 0; o < kSignWidth; o++)
            expected += std::clamp(sums[o], -(1 << kSignWeightBits), 1 << kSignWeightBits) * last_[o];
        constexpr int shift = 2 * kSignWeightBits - 2;
        const int index = ((expected + (1 << (shift - 1))) >> shift) + kSignEvenTable;
        return kFirstFlagTable + std::clamp(index, 0, 2 * kSignEvenTable);
    }

private:
    static constexpr int kGroups = kSignWidth / kFirstWidth, kPairWeights = 2 * kFirstWidth;
    static constexpr int kOwnPairs = 8, kSquarePairs = 6;
    static constexpr int kLhPair = kOwnPairs + kSquarePairs, kParentPair = kLhPair + kSquarePairs;
    static constexpr int kNumPairs = kParentPair + 4 * kSquarePairs;

    // The first layer as sums want it, made once: by pairs of inputs, -1 where a place is read that does not count.
    static void set_weights(const SignNetwork& network, SliceScratch& scratch) {
        static const char layout = 0;  // one for each instruction set
        if (scratch.sign_network == network.number && scratch.sign_layout == &layout) return;
        scratch.sign_network = network.number, scratch.sign_layout = &layout;
        scratch.sign_weights.assign((size_t)kNumPairs * kGroups * kPairWeights, 0);
        int pairs[kNumPairs][2] = {{0, -1}, {1, 2}, {3, -1}, {4, 5}, {6, 7}, {8, -1}, {9, 10}, {11, -1}};
        for (int pair = kOwnPairs, input = (int)kSignCausal.size(); pair < kNumPairs; pair += 2, input += 3) {
            pairs[pair][0] = input, pairs[pair][1] = input + 1;
            pairs[pair + 1][0] = input + 2, pairs[pair + 1][1] = -1;
        }
        int16_t* weights = scratch.sign_weights.data();
        for (const auto& pair : pairs)
            for (int g = 0; g < kGroups; g++, weights += kPairWeights)
                for (int o = 0; o < kFirstWidth; o++)
                    for (int k = 0; k < 2; k++)
                        if (pair[k] >= 0)
                            weights[Sums::weight_place(o, k)] =
                                network.first[pair[k] * kSignWidth + g * kFirstWidth + o];
    }

    const int16_t* weights_;
    SignPlane *own_, *hl_ = nullptr, *lh_ = nullptr, *parent_ = nullptr;
    int last_row_ = 0, last_column_ = 0;  // of the parent
    const int32_t* last_;
};

}  // namespace C3_ISA
}  // namespace c3
