// SPDX-License-Identifier: MIT
// The contexts of a subband's symbols, a row at a time: what reading them and choosing them share. Compiled once for
// each instruction set.
//
// Of a place's 26 features only the two to the left are not known before its row begins. The first layer's sums over
// all the others are made for many places at once, a place's 16 sums in one vector. Most places have no feature that is
// not zero: those share one table, and bits tell where they are.
#pragma once
#include <algorithm>
#include <cstdint>

#include "hybrid/predict.h"
#include "hybrid/subbands.h"

namespace c3 {
namespace C3_ISA {

constexpr int kChunk = 64;
constexpr int kCausalTaps = 4, kCrossTaps = 4;  // pairs of features
constexpr int kMaxCrosses = 2;                  // of HL and of references
constexpr int kMaxTaps = kCausalTaps + kMaxCrosses * kCrossTaps + 2;
constexpr int kReferenceRows = 4;

// Bits of the first `count` places of a word, or all.
inline uint64_t first_places(int count) { return ~0ull >> (kChunk - std::min(kChunk, count)); }

struct RowView {
    const int16_t* values;
    const uint64_t* bits;
};

inline RowView row_of(FeaturePlane& plane, int y) { return {plane.values(y), plane.bits(y)}; }

inline uint64_t word_left_of(uint64_t here, uint64_t before) { return here << 1 | before >> 63; }
inline uint64_t word_right_of(uint64_t here, uint64_t after) { return here >> 1 | after << 63; }
// A word of bits and what lies on its sides, so that it can be made wider.
struct Wide3 {
    uint64_t before, here, after;

    void add(const uint64_t* bits, long word) { before |= bits[word - 1], here |= bits[word], after |= bits[word + 1]; }
    uint64_t spread1() const { return here | word_left_of(here, before) | word_right_of(here, after); }
    uint64_t spread2() const { return spread1() | here << 2 | before >> 62 | here >> 2 | after << 62; }
};

// Each of 32 bits twice.
inline uint64_t doubled(uint64_t x) {
    x = (x | x << 16) & 0x0000FFFF0000FFFF;
    x = (x | x << 8) & 0x00FF00FF00FF00FF;
    x = (x | x << 4) & 0x0F0F0F0F0F0F0F0F;
    x = (x | x << 2) & 0x3333333333333333;
    x = (x | x << 1) & 0x5555555555555555;
    return x | x << 1;
}

// Weights of two inputs; -1: none.
inline void set_pair(const ContextNetwork& network, int first, int second, int16_t* weights) {
    for (int o = 0; o < kFirstWidth; o++) {
        const int32_t* row = network.first.data() + o * network.num_inputs;
        weights[Sums::weight_place(o, 0)] = first < 0 ? 0 : (int16_t)row[first];
        weights[Sums::weight_place(o, 1)] = second < 0 ? 0 : (int16_t)row[second];
    }
}

// `plane` as a subband of `height` x `width` sees it; copied to `cut` where the widths differ (known_row has the rows).
inline FeaturePlane* fitted(FeaturePlane* plane, int height, int width, FeaturePlane& cut) {
    if (plane == nullptr || plane->width == width) return plane;
    cut.resize(std::min(height, plane->height), width);
    for (int y = 0; y < cut.height; y++)
        for (int x = 0; x < std::min(width, plane->width); x++)
            if ((cut.values(y)[x] = plane->values(y)[x])) cut.bits(y)[x / 64] |= 1ull << x % 64;
    return &cut;
}

// Weights of pairs of a cross: left and middle, then right, above and below.
using CrossWeights = int16_t[kCrossTaps][2 * kFirstWidth];

class SubbandContexts {
public:
    // Where the features of a row's contexts lie.
    struct Row {
        const int16_t *taps[kMaxTaps], *parent_taps[kCrossTaps];
        const uint64_t *above, *middle[kMaxCrosses], *lh, *same[2 * kMaxCrosses + 2], *parent_bits[3];
    };

    SubbandContexts(const ContextNetwork& network, SliceScratch& scratch, const SliceJob& job, int plane, int band)
        : scratch_(scratch), own_(job.own->planes[plane][band]), height_(own_.height), width_(own_.width),
          layers_(network, symbol_class(job.own->planes, plane, band)) {
        std::vector<FeaturePlane>& bands = job.own->planes[plane];
        const int orientation = (band + 2) % 3;
        Layers::first_bias(network, symbol_class(job.own->planes, plane, band), job.depth, bias_);
        set_pair(network, 6, 7, left_);
        set_pair(network, 0, -1, add_tap());
        set_pair(network, 1, 2, add_tap());
        set_pair(network, 3, 4, add_tap());
        set_pair(network, 5, -1, add_tap());
        if (band > 3 && bands[band - 3].height > 0 && bands[band - 3].width > 0) {
            parent_ = &bands[band - 3];
            set_cross(network, 8, parent_weights_);
        }
        if (band > 0 && orientation > 0)
            add_cross(network, 13, fitted(&bands[band - orientation], height_, width_, scratch.hl));
        for (int i = 0; i < job.num_references; i++) references_[i] = &job.references[i]->planes[plane][band];
        if (job.num_references == 1) add_cross(network, 20, references_[0]);
        if (job.num_references == 2) {
            scratch.references.resize(kReferenceRows, width_);
            add_cross(network, 20, &scratch.references);
            sums_references_ = true;
        }
        if (band > 0 && orientation > 1) {
            lh_ = fitted(&bands[band - 1], height_, width_, scratch.lh);
            set_pair(network, 18, 19, add_tap());
        }
        if (plane > 0 && band < (int)job.own->planes[plane - 1].size())
            before_ = fitted(&job.own->planes[plane - 1][band], height_, width_, scratch.before);
        set_pair(network, 25, -1, add_tap());
        has_copies_ = cross_[0] == &scratch.hl || lh_ == &scratch.lh || before_ == &scratch.before;
        blank_table_ = layers_.table(bias_, left_, 0);
        if (sums_references_) sum_references(0);
    }

    // With two references rows are asked for in order, each once.
    Row row(int y) {
        if (sums_references_ && y + 1 < height_) sum_references(y + 1);
        Row row;
        int tap = 0, num_same = 0;
        const RowView own_two_above = row_of(own_, y - 2), own_above = row_of(own_, y - 1);
        row.taps[tap++] = own_two_above.values;
        row.same[num_same++] = own_two_above.bits;
        for (int dx : {-2, 0, 2}) row.taps[tap++] = own_above.values + dx;
        row.above = own_above.bits;
        for (int cross = 0; cross < num_crosses_; cross++) {
            FeaturePlane& plane = *cross_[cross];
            const RowView above = known_row(plane, y - 1), here = known_row(plane, y), below = known_row(plane, y + 1);
            for (const int16_t* at : {here.values - 1, here.values + 1, above.values, below.values})
                row.taps[tap++] = at;
            row.middle[cross] = here.bits;
            for (const uint64_t* bits : {above.bits, below.bits}) row.same[num_same++] = bits;
        }
        if (lh_ != nullptr) {
            const RowView here = known_row(*lh_, y);
            row.taps[tap++] = here.values;
            row.lh = here.bits;
        }
        const RowView before = before_ != nullptr && y < before_->height ? row_of(*before_, y) : row_of(own_, -1);
        row.taps[tap++] = before.values;
        row.same[num_same++] = before.bits;
        if (parent_ != nullptr) {
            const int py = std::min(y / 2, parent_->height - 1);
            const RowView above = row_of(*parent_, py - 1), here = row_of(*parent_, py);
            const RowView below = row_of(*parent_, py + 1 < parent_->height ? py + 1 : -1);
            const int16_t* taps[] = {here.values - 1, here.values + 1, above.values, below.values};
            std::copy(taps, taps + kCrossTaps, row.parent_taps);
            row.parent_bits[0] = here.bits, row.parent_bits[1] = above.bits, row.parent_bits[2] = below.bits;
        }
        return row;
    }

    // Where a feature that is known before the row is not zero, and perhaps some more places.
    uint64_t busy_places(const Row& row, long word) const {
        Wide3 above{0, 0, 0}, middle{0, 0, 0};
        above.add(row.above, word);
        for (int i = 0; i < num_crosses_; i++) middle.add(row.middle[i], word);
        uint64_t busy = above.spread2() | middle.spread1();
        for (int i = 0; i < 2 * num_crosses_ + 2; i++) busy |= row.same[i][word];
        if (lh_ != nullptr) busy |= row.lh[word] | word_right_of(row.lh[word], row.lh[word + 1]);
        return parent_ == nullptr ? busy : busy | busy_parents(row, word);
    }

    // Sums of the places from x0 on that have a bit: all but those of the features to the left.
    void make_sums(const Row& row, uint64_t places, int x0, int32_t (*__restrict sums)[kFirstWidth]) const {
        switch (num_taps_) {
            case kCausalTaps + 1: return make_sums_of<kCausalTaps + 1>(row, places, x0, sums);
            case kCausalTaps + kCrossTaps + 1: return make_sums_of<kCausalTaps + kCrossTaps + 1>(row, places, x0, sums);
            case kCausalTaps + kCrossTaps + 2: return make_sums_of<kCausalTaps + kCrossTaps + 2>(row, places, x0, sums);
            case kMaxTaps - 1: return make_sums_of<kMaxTaps - 1>(row, places, x0, sums);
            default: return make_sums_of<kMaxTaps>(row, places, x0, sums);
        }
    }

    // Table 16 i + k of sums and the features of the places two and one to the left, the nearer one above.
    __attribute__((always_inline)) unsigned table(const int32_t* sums, uint32_t left) const {
        return layers_.table(sums, left_, (int32_t)left);
    }

    // Where no feature counts.
    unsigned blank_table() const { return blank_table_; }
    const int32_t* blank_sums() const { return bias_; }

    // Of pairs of causal features: one of the row two above, then three of the row above.
    const int16_t* causal_weights(int pair) const { return weights_[pair]; }
    // Of a subband that contexts hold a cross of, or null.
    const CrossWeights* cross_weights(const FeaturePlane& plane) const {
        for (int cross = 0; cross < num_crosses_; cross++)
            if (cross_[cross] == &plane) return (const CrossWeights*)weights_[kCausalTaps + cross * kCrossTaps];
        return nullptr;
    }
    // Of LH at a place and to its right, or null where the subband is not the LH of these contexts.
    const int16_t* lh_weights(const FeaturePlane& plane) const {
        return lh_ == &plane ? weights_[kCausalTaps + num_crosses_ * kCrossTaps] : nullptr;
    }
    const CrossWeights* parent_weights(const FeaturePlane& plane) const {
        return parent_ == &plane ? &parent_weights_ : nullptr;
    }

    // Whether features of other subbands were copied, which then may have changed.
    bool has_copies() const { return has_copies_; }

private:
    static int symbol_class(const std::vector<std::vector<FeaturePlane>>& planes, int plane, int band) {
        const int levels = (int)planes[plane].size() / 3;
        const int place = band == 0 ? 0 : 1 + 3 * (levels - 1 - (band - 1) / 3) + (band - 1) % 3;
        return place + (plane ? kSubbandClasses / 2 : 0);
    }

    int16_t* add_tap() { return weights_[num_taps_++]; }

    void set_cross(const ContextNetwork& network, int first, int16_t (*weights)[2 * kFirstWidth]) {
        set_pair(network, first + 1, first + 2, weights[0]);  // left and middle, then right, above and below
        set_pair(network, first + 3, -1, weights[1]);
        set_pair(network, first, -1, weights[2]);
        set_pair(network, first + 4, -1, weights[3]);
    }

    void add_cross(const ContextNetwork& network, int first, FeaturePlane* features) {
        set_cross(network, first, weights_ + num_taps_);
        num_taps_ += kCrossTaps;
        cross_[num_crosses_++] = features;
    }

    RowView known_row(FeaturePlane& plane, int y) {
        if (y < 0 || y >= height_) return row_of(own_, -1);
        if (&plane == &scratch_.references) return row_of(plane, y % kReferenceRows);
        return row_of(plane, y < plane.height ? y : -1);
    }

    // Features of a row of both references' magnitudes together.
    void sum_references(int y) {
        int16_t* sums = scratch_.references.values(y % kReferenceRows);
        uint64_t* bits = scratch_.references.bits(y % kReferenceRows);
        std::fill_n(sums, width_, (int16_t)0);
        const RowView first = row_of(*references_[0], y), second = row_of(*references_[1], y);
        for (int word = 0; word < (width_ + 63) / 64; word++) {
            bits[word] = first.bits[word] | second.bits[word];
            for (uint64_t rest = bits[word]; rest; rest &= rest - 1) {
                const int x = 64 * word + __builtin_ctzll(rest);
                const int sum = kFeatureMagnitudes[first.values[x]] + kFeatureMagnitudes[second.values[x]];
                sums[x] = kMagnitudeFeatures[std::min(sum, kMaxMagnitude)];
            }
        }
    }

    uint64_t busy_parents(const Row& row, long word) const {
        const auto places = [&](long parent_word) {
            Wide3 here{0, 0, 0};
            here.add(row.parent_bits[0], parent_word);
            return here.spread1() | row.parent_bits[1][parent_word] | row.parent_bits[2][parent_word];
        };
        const long last = parent_->width - 1, first = word * (kChunk / 2);  // places of the parent
        uint64_t busy = first <= last ? doubled(places(first / 64) >> first % 64 & 0xFFFFFFFF) : 0;
        const long beyond = 2 * (last + 1) - word * kChunk;  // from here on the last one counts
        if (beyond < kChunk && places(last / 64) >> last % 64 & 1) busy |= beyond > 0 ? ~0ull << beyond : ~0ull;
        return busy;
    }

    template <int num_taps>
    void make_sums_of(const Row& row, uint64_t places, int x0, int32_t (*__restrict all_sums)[kFirstWidth]) const {
        Sums start = Sums::from(bias_);
        int parent_x = -1;
        while (places) {
            const int i = __builtin_ctzll(places), x = x0 + i;
            places &= places - 1;
            if (parent_ != nullptr) {
                const int px = std::min(x / 2, parent_->width - 1);
                if (px != parent_x) {
                    start = Sums::from(bias_);
                    for (int k = 0; k < kCrossTaps; k++)
                        start.add(parent_weights_[k], load_pair(row.parent_taps[k] + px));
                    parent_x = px;
                }
            }
            Sums sums = start;
#pragma GCC unroll 20
            for (int k = 0; k < num_taps; k++) sums.add(weights_[k], load_pair(row.taps[k] + x));
            sums.to(all_sums[i]);
        }
    }

    SliceScratch& scratch_;
    FeaturePlane& own_;
    const int height_, width_;
    const Layers layers_;
    unsigned blank_table_;

    FeaturePlane *parent_ = nullptr, *lh_ = nullptr, *before_ = nullptr, *cross_[kMaxCrosses] = {},
                 *references_[2] = {};
    int num_taps_ = 0, num_crosses_ = 0;
    bool sums_references_ = false, has_copies_ = false;

    alignas(64) int32_t bias_[kFirstWidth];
    alignas(64) int16_t left_[2 * kFirstWidth];
    alignas(64) int16_t weights_[kMaxTaps][2 * kFirstWidth];
    alignas(64) CrossWeights parent_weights_;
};

}  // namespace C3_ISA
}  // namespace c3
