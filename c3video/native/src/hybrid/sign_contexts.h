// SPDX-License-Identifier: MIT
// What the sign of a subband's symbol is told from: docs/c3v.md, section 15 (hybrid/signs.py). Compiled once for each
// instruction set.
//
// Few symbols are not zero, and few of those around them: each one that is adds its weights, all 64 at once.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

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
    // `symbols` by subband of the plane. Those of `band` must be known before the place that is asked for.
    SignContexts(const SignNetwork& network, const SliceJob& job, const int32_t* const* symbols, int plane, int band)
        : network_(network) {
        const std::vector<FeaturePlane>& bands = job.own->planes[plane];
        const int orientation = (band + 2) % 3, levels = (int)bands.size() / 3;
        const auto view = [&](int index) { return View{symbols[index], bands[index].height, bands[index].width}; };
        own_ = view(band);
        if (band > 0 && orientation > 0) hl_ = view(band - orientation);
        if (band > 0 && orientation > 1) lh_ = view(band - 1);
        if (band > 3) parent_ = view(band - 3);
        const int place = band == 0 ? 0 : 1 + 3 * (levels - 1 - (band - 1) / 3) + orientation;
        last_ = network.last.data() + (place + (plane ? kSubbandClasses / 2 : 0)) * kSignWidth;
    }

    // Table of the flag that is set where the symbol at (y, x) is negative.
    unsigned table(int y, int x) const {
        alignas(64) int32_t sums[kSignWidth] = {};
        const int16_t* weights = network_.first.data();
        for (const auto& [dy, dx] : kSignCausal) weights = own_.add(y + dy, x + dx, weights, sums);
        for (const View* beside : {&hl_, &lh_}) weights = beside->add_square(y, x, weights, sums);
        if (parent_.height > 0 && parent_.width > 0) {
            weights += (2 * (y % 2) + x % 2) * 9 * kSignWidth;
            parent_.add_square(std::min(y / 2, parent_.height - 1), std::min(x / 2, parent_.width - 1), weights, sums);
        }
        int32_t expected = 0;
        for (int o = 0; o < kSignWidth; o++)
            expected += std::clamp(sums[o], -(1 << kSignWeightBits), 1 << kSignWeightBits) * last_[o];
        constexpr int shift = 2 * kSignWeightBits - 2;
        const int index = ((expected + (1 << (shift - 1))) >> shift) + kSignEvenTable;
        return kFirstFlagTable + std::clamp(index, 0, 2 * kSignEvenTable);
    }

private:
    struct View {
        const int32_t* symbols = nullptr;
        int height = 0, width = 0;

        // Returns the weights of the next input.
        const int16_t* add(int y, int x, const int16_t* weights, int32_t* __restrict sums) const {
            if (y >= 0 && y < height && x >= 0 && x < width) {
                const int32_t symbol = symbols[(size_t)y * width + x];
                if (symbol != 0) {
                    const int32_t held = std::clamp(symbol, -kSignMaxInput, kSignMaxInput);
                    for (int o = 0; o < kSignWidth; o++) sums[o] += weights[o] * held;
                }
            }
            return weights + kSignWidth;
        }

        const int16_t* add_square(int y, int x, const int16_t* weights, int32_t* sums) const {
            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++) weights = add(y + dy, x + dx, weights, sums);
            return weights;
        }
    };

    const SignNetwork& network_;
    View own_, hl_, lh_, parent_;
    const int32_t* last_;
};

}  // namespace C3_ISA
}  // namespace c3
