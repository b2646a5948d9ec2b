// SPDX-License-Identifier: MIT
// The tables of docs/c3v.md, section 13 (coding/sparse_tables.py): 1024 of symbols, and behind them 64 of flags; and
// 1024 of magnitudes, whose signs are coded apart.
#pragma once
#include <cstdint>
#include <vector>

#include "shared/ans.h"

namespace c3 {

constexpr int kNumZeros = 64, kNumTails = 16, kSparseRadius = 15;
constexpr int kSparseBounds = 2 * kSparseRadius + 4;  // of a table
constexpr int kMagnitudeBounds = kSparseRadius + 3;
constexpr int kZeroSlot = kSparseRadius + 1;
constexpr int kSparseMinWidth = 1 << 4;
constexpr int kCostRange = 64;  // magnitudes whose costs are tabulated (coding/sparse_tables.all_costs)
constexpr int kFirstFlagTable = kNumZeros * kNumTails, kNumSparseTables = kFirstFlagTable + kNumZeros;

// Of a flag that is as likely not set as a symbol of a table is zero.
inline unsigned flag_table(unsigned table) { return kFirstFlagTable + table / kNumTails; }

struct SparseTables {
    std::vector<int32_t> bounds;      // (64 * 16 + 64, 34)
    std::vector<int32_t> magnitudes;  // (64 * 16, 18)
    std::vector<uint32_t> zeros;  // (64 * 16,) their slots of zero, by themselves, so that they stay in the first cache

    // From the probabilities 0 < p < 2^30 of zero by i and of one more by k.
    SparseTables(const int32_t* zero, const int32_t* tail) {
        constexpr int64_t spread = (1 << kPrecisionBits) - (kSparseBounds - 1) * kSparseMinWidth;
        zeros.reserve(kNumZeros * kNumTails);
        magnitudes.resize(kNumZeros * kNumTails * kMagnitudeBounds);
        bounds.resize(kNumSparseTables * kSparseBounds);
        for (int table = 0; table < kNumZeros * kNumTails; table++) {
            int32_t* bound = bounds.data() + table * kSparseBounds;
            int64_t rest = (1ll << 30) - zero[table / kNumTails];
            int64_t widths[kSparseRadius + 1];  // of magnitudes 1..16, the last for what is larger
            for (int m = 0; m < kSparseRadius; m++) {
                const int64_t faded = rest * tail[table % kNumTails] >> 30;
                widths[m] = ((rest - faded) * spread >> 31) + kSparseMinWidth;
                rest = faded;
            }
            widths[kSparseRadius] = (rest * spread >> 31) + kSparseMinWidth;
            bound[0] = 0;
            for (int slot = 0; slot < kZeroSlot; slot++)
                bound[slot + 1] = bound[slot] + (int32_t)widths[kSparseRadius - slot];
            bound[kSparseBounds - 1] = 1 << kPrecisionBits;
            for (int slot = kSparseBounds - 2; slot > kZeroSlot; slot--)
                bound[slot] = bound[slot + 1] - (int32_t)widths[slot - kZeroSlot - 1];
            set_magnitudes(table, (1ll << 30) - zero[table / kNumTails], tail[table % kNumTails]);
        }
        for (int i = 0; i < kNumZeros; i++) {
            int32_t* bound = bounds.data() + (kFirstFlagTable + i) * kSparseBounds;
            const int64_t set_width = ((1ll << 30) - zero[i]) * spread >> 30;
            for (int slot = 0; slot + 1 < kSparseBounds; slot++) {
                const int64_t more = slot == kZeroSlot ? spread - set_width : slot == kZeroSlot + 1 ? set_width : 0;
                bound[slot + 1] = bound[slot] + (int32_t)more + kSparseMinWidth;
            }
        }
    }

    const int32_t* bounds_of(unsigned table) const { return bounds.data() + table * kSparseBounds; }
    const int32_t* magnitudes_of(unsigned table) const { return magnitudes.data() + table * kMagnitudeBounds; }

    int read(Cursor& cursor, unsigned table) const {
        const int32_t* bound = bounds_of(table);
        const uint32_t low = cursor.low();
        int slot = kZeroSlot;
        while ((int32_t)low < bound[slot]) slot--;
        while ((int32_t)low >= bound[slot + 1]) slot++;
        return step(cursor, table, slot, low);
    }

    // Steps over the symbol in a slot, and over what escapes from it.
    int step(Cursor& cursor, unsigned table, int slot, uint32_t low) const {
        const int32_t* bound = bounds_of(table) + slot;
        cursor.advance((uint32_t)bound[0], (uint32_t)(bound[1] - bound[0]), low);
        const int symbol = slot - kZeroSlot;
        if (symbol > kSparseRadius) return kSparseRadius + cursor.excess();
        if (symbol < -kSparseRadius) return -kSparseRadius - cursor.excess();
        return symbol;
    }

    // Steps over a magnitude and what escapes from it.
    int step_magnitude(Cursor& cursor, unsigned table, int magnitude, uint32_t low) const {
        const int32_t* bound = magnitudes_of(table) + magnitude;
        cursor.advance((uint32_t)bound[0], (uint32_t)(bound[1] - bound[0]), low);
        return magnitude > kSparseRadius ? kSparseRadius + cursor.excess() : magnitude;
    }

private:
    void set_magnitudes(int table, int64_t rest, int64_t tail) {
        constexpr int64_t spread = (1 << kPrecisionBits) - (kMagnitudeBounds - 1) * kSparseMinWidth;
        int32_t* bound = magnitudes.data() + table * kMagnitudeBounds;
        bound[0] = 0, bound[kMagnitudeBounds - 1] = 1 << kPrecisionBits;
        int64_t widths[kSparseRadius + 2];
        for (int m = 1; m <= kSparseRadius + 1; m++) {
            const int64_t faded = m <= kSparseRadius ? rest * tail >> 30 : 0;
            widths[m] = ((rest - faded) * spread >> 30) + kSparseMinWidth;
            rest = faded;
        }
        for (int m = kSparseRadius + 1; m > 0; m--) bound[m] = bound[m + 1] - (int32_t)widths[m];
        zeros.push_back((uint32_t)bound[1]);
    }
};

}  // namespace c3
