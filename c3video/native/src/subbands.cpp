// SPDX-License-Identifier: MIT
// The walk over a slice's subbands. Compiled once for each instruction set.
//
// Of a place's 33 features only the two to the left are not known before its row begins. For 64 places at a time, the
// first layer's sums over all the others are made at once, a place's 16 sums in one vector; then the places are gone
// through one by one. Most have no feature that is not zero: those share one table, and bits tell where they are.
#include "subbands.h"

#include <cstdlib>

#include "predict.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kChunk = 64;
constexpr int kGroupTaps = 4;                // pairs of features of a cross
constexpr int kCausalTaps = 6, kMaxGroups = 3;
constexpr int kReferenceRows = 4;
constexpr int kMaxTaps = kCausalTaps + kMaxGroups * kGroupTaps + 1;

struct Row {
    const int16_t* values;
    const uint64_t* bits;
};

inline Row row_of(FeaturePlane& plane, int y) { return {plane.values(y), plane.bits(y)}; }

inline uint64_t word_left_of(uint64_t here, uint64_t before) { return here << 1 | before >> 63; }
inline uint64_t word_right_of(uint64_t here, uint64_t after) { return here >> 1 | after << 63; }
// A word of bits and what lies on its sides, so that it can be made wider.
struct Wide3 {
    uint64_t before, here, after;

    void add(const uint64_t* bits, long word) {
        before |= bits[word - 1], here |= bits[word], after |= bits[word + 1];
    }
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
void set_pair(const ContextNetwork& network, int first, int second, int16_t* weights) {
    for (int o = 0; o < kFirstWidth; o++) {
        const int32_t* row = network.first.data() + o * network.num_inputs;
        weights[Sums::weight_place(o, 0)] = first < 0 ? 0 : (int16_t)row[first];
        weights[Sums::weight_place(o, 1)] = second < 0 ? 0 : (int16_t)row[second];
    }
}

// `plane` as a subband of `height` x `width` sees it; copied to `cut` where the widths differ (rows_within has the rows).
FeaturePlane* fitted(FeaturePlane* plane, int height, int width, FeaturePlane& cut) {
    if (plane == nullptr || plane->width == width) return plane;
    cut.resize(std::min(height, plane->height), width);
    for (int y = 0; y < cut.height; y++)
        for (int x = 0; x < std::min(width, plane->width); x++)
            if ((cut.values(y)[x] = plane->values(y)[x])) cut.bits(y)[x / 64] |= 1ull << x % 64;
    return &cut;
}

class SubbandWalk {
public:
    SubbandWalk(const SparseTables& tables, const ContextNetwork& network, SliceScratch& scratch, const SliceJob& job, int plane,
                int band)
        : tables_(tables), scratch_(scratch), own_(job.own->planes[plane][band]), height_(own_.height), width_(own_.width),
          layers_(network, symbol_class(job.own->planes, plane, band)) {
        std::vector<FeaturePlane>& bands = job.own->planes[plane];
        const int orientation = (band + 2) % 3;
        Layers::first_bias(network, symbol_class(job.own->planes, plane, band), job.level, bias_);
        set_pair(network, 10, 11, left_);
        for (int r = 0; r < 2; r++) {
            set_pair(network, 5 * r, 5 * r + 1, add_tap());
            set_pair(network, 5 * r + 2, 5 * r + 3, add_tap());
            set_pair(network, 5 * r + 4, -1, add_tap());
        }
        if (band > 3 && bands[band - 3].height > 0 && bands[band - 3].width > 0) {
            parent_ = &bands[band - 3];
            set_cross(network, 12, parent_weights_);
        }
        for (int i = 0; band > 0 && i < orientation; i++)
            add_group(network, 17 + 5 * i, fitted(&bands[band - orientation + i], height_, width_, scratch.siblings[i]));
        for (int i = 0; i < job.num_references; i++) references_[i] = &job.references[i]->planes[plane][band];
        if (job.num_references == 1) add_group(network, 27, references_[0]);
        if (job.num_references == 2) {
            scratch.references.resize(kReferenceRows, width_);
            add_group(network, 27, &scratch.references);
            sums_references_ = true;
        }
        if (plane > 0 && band < (int)job.own->planes[plane - 1].size())
            before_ = fitted(&job.own->planes[plane - 1][band], height_, width_, scratch.before);
        set_pair(network, 32, -1, add_tap());
        blank_table_ = layers_.table(bias_, left_, 0);
    }

    void read(Cursor& shared, int32_t* symbols) {
        Cursor cursor = shared;
        if (sums_references_) sum_references(0);
        for (int y = 0; y < height_; y++) {
            if (sums_references_ && y + 1 < height_) sum_references(y + 1);
            begin_row(y);
            std::fill_n(symbols + (size_t)y * width_, width_, 0);
            uint32_t left = 0;  // features of the places two and one to the left, the nearer one above
            for (int x = 0; x < width_; x += kChunk) {
                const uint64_t busy = busy_places(x / kChunk) & (~0ull >> (kChunk - std::min(kChunk, width_ - x)));
                if (busy) make_sums(busy, x);
                left = read_chunk(cursor, busy, left, x, symbols + (size_t)y * width_ + x);
            }
        }
        shared = cursor;
    }

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

    void add_group(const ContextNetwork& network, int first, FeaturePlane* features) {
        set_cross(network, first, weights_ + num_taps_);
        num_taps_ += kGroupTaps;
        group_[num_groups_++] = features;
    }

    Row group_row(FeaturePlane& plane, int y) {
        if (y < 0 || y >= height_) return row_of(own_, -1);
        if (&plane == &scratch_.references) return row_of(plane, y % kReferenceRows);
        return row_of(plane, y < plane.height ? y : -1);
    }

    // Features of a row of both references' magnitudes together.
    void sum_references(int y) {
        int16_t* sums = scratch_.references.values(y % kReferenceRows);
        uint64_t* bits = scratch_.references.bits(y % kReferenceRows);
        std::fill_n(sums, width_, (int16_t)0);
        const Row first = row_of(*references_[0], y), second = row_of(*references_[1], y);
        for (int word = 0; word < (width_ + 63) / 64; word++) {
            bits[word] = first.bits[word] | second.bits[word];
            for (uint64_t rest = bits[word]; rest; rest &= rest - 1) {
                const int x = 64 * word + __builtin_ctzll(rest);
                const int sum = kFeatureMagnitudes[first.values[x]] + kFeatureMagnitudes[second.values[x]];
                sums[x] = kMagnitudeFeatures[std::min(sum, kMaxMagnitude)];
            }
        }
    }

    void begin_row(int y) {
        own_values_ = own_.values(y), own_bits_ = own_.bits(y);
        std::fill_n(own_values_, width_, (int16_t)0);
        int tap = 0;
        num_near_ = num_middle_ = num_same_ = 0;
        for (int dy = -2; dy < 0; dy++) {
            const Row row = row_of(own_, y + dy);
            for (int dx : {-2, 0, 2}) taps_[tap++] = row.values + dx;
            near_[num_near_++] = row.bits;
        }
        for (int group = 0; group < num_groups_; group++) {
            FeaturePlane& plane = *group_[group];
            const Row above = group_row(plane, y - 1), here = group_row(plane, y), below = group_row(plane, y + 1);
            for (const int16_t* at : {here.values - 1, here.values + 1, above.values, below.values}) taps_[tap++] = at;
            middle_[num_middle_++] = here.bits;
            for (const uint64_t* bits : {above.bits, below.bits}) same_[num_same_++] = bits;
        }
        const Row before = before_ != nullptr && y < before_->height ? row_of(*before_, y) : row_of(own_, -1);
        taps_[tap++] = before.values;
        same_[num_same_++] = before.bits;
        if (parent_ != nullptr) {
            const int py = std::min(y / 2, parent_->height - 1);
            const Row above = row_of(*parent_, py - 1), here = row_of(*parent_, py);
            const Row below = row_of(*parent_, py + 1 < parent_->height ? py + 1 : -1);
            const int16_t* taps[] = {here.values - 1, here.values + 1, above.values, below.values};
            std::copy(taps, taps + kGroupTaps, parent_taps_);
            parent_bits_[0] = here.bits, parent_bits_[1] = above.bits, parent_bits_[2] = below.bits;
        }
    }

    // Where a feature that is known before the row is not zero, and perhaps some more places.
    uint64_t busy_places(long word) const {
        Wide3 near{0, 0, 0}, middle{0, 0, 0};
        for (int i = 0; i < num_near_; i++) near.add(near_[i], word);
        for (int i = 0; i < num_middle_; i++) middle.add(middle_[i], word);
        uint64_t busy = near.spread2() | middle.spread1();
        for (int i = 0; i < num_same_; i++) busy |= same_[i][word];
        return parent_ == nullptr ? busy : busy | busy_parents(word);
    }

    uint64_t busy_parents(long word) const {
        const auto places = [&](long parent_word) {
            Wide3 here{0, 0, 0};
            here.add(parent_bits_[0], parent_word);
            return here.spread1() | parent_bits_[1][parent_word] | parent_bits_[2][parent_word];
        };
        const long last = parent_->width - 1, first = word * (kChunk / 2);  // places of the parent
        uint64_t busy = first <= last ? doubled(places(first / 64) >> first % 64 & 0xFFFFFFFF) : 0;
        const long beyond = 2 * (last + 1) - word * kChunk;  // from here on the last one counts
        if (beyond < kChunk && places(last / 64) >> last % 64 & 1) busy |= beyond > 0 ? ~0ull << beyond : ~0ull;
        return busy;
    }

    void make_sums(uint64_t busy, int x0) {
        switch (num_groups_) {
            case 0: return make_sums_of<kCausalTaps + 1>(busy, x0);
            case 1: return make_sums_of<kCausalTaps + kGroupTaps + 1>(busy, x0);
            case 2: return make_sums_of<kCausalTaps + 2 * kGroupTaps + 1>(busy, x0);
            default: return make_sums_of<kMaxTaps>(busy, x0);
        }
    }

    template <int num_taps>
    void make_sums_of(uint64_t busy, int x0) {
        Sums start = Sums::from(bias_);
        int parent_x = -1;
        while (busy) {
            const int i = __builtin_ctzll(busy), x = x0 + i;
            busy &= busy - 1;
            if (parent_ != nullptr) {
                const int px = std::min(x / 2, parent_->width - 1);
                if (px != parent_x) {
                    start = Sums::from(bias_);
                    for (int k = 0; k < kGroupTaps; k++) start.add(parent_weights_[k], load_pair(parent_taps_[k] + px));
                    parent_x = px;
                }
            }
            Sums sums = start;
#pragma GCC unroll 20
            for (int k = 0; k < num_taps; k++) sums.add(weights_[k], load_pair(taps_[k] + x));
            sums.to(sums_[i]);
        }
    }

    // Reads 64 places or what is left of the row; takes and returns the features to the left.
    uint32_t read_chunk(Cursor& shared, uint64_t busy, uint32_t left, int x0, int32_t* symbols) {
        Cursor cursor = shared;
        const int count = std::min(kChunk, width_ - x0);
        const SparseTables::Zero blank = tables_.zeros[blank_table_];
        uint64_t found = 0;
        int i = 0;
        while (i < count) {
            int symbol;
            if (left == 0 && !(busy >> i & 1)) {
                const uint64_t rest = busy >> i;
                const int end = rest ? i + __builtin_ctzll(rest) : count;
                uint32_t low = cursor.low();
                while (low - blank.from < blank.width) {
                    cursor.advance(blank.from, blank.width, low);
                    if (++i == end) break;
                    low = cursor.low();
                }
                if (i == end) continue;
                symbol = read_other_than_zero(cursor, tables_, blank_table_, low);
            } else {
                const unsigned table = layers_.table(busy >> i & 1 ? sums_[i] : bias_, left_, (int32_t)left);
                const SparseTables::Zero zero = tables_.zeros[table];
                const uint32_t low = cursor.low();
                if (low - zero.from < zero.width) {
                    cursor.advance(zero.from, zero.width, low);
                    left >>= 16;
                    i++;
                    continue;
                }
                symbol = read_other_than_zero(cursor, tables_, table, low);
            }
            symbol = std::clamp(symbol, -kMaxSubbandSymbol, kMaxSubbandSymbol);
            const int16_t feature = kMagnitudeFeatures[std::min(std::abs(symbol), kMaxMagnitude)];
            symbols[i] = symbol;
            own_values_[x0 + i] = feature;
            found |= 1ull << i;
            left = left >> 16 | (uint32_t)feature << 16;
            i++;
        }
        own_bits_[x0 / kChunk] = found;
        shared = cursor;
        return left;
    }

    const SparseTables& tables_;
    SliceScratch& scratch_;
    FeaturePlane& own_;
    const int height_, width_;
    const Layers layers_;
    unsigned blank_table_;

    FeaturePlane *parent_ = nullptr, *before_ = nullptr, *group_[kMaxGroups] = {}, *references_[2] = {};
    int num_taps_ = 0, num_groups_ = 0;
    bool sums_references_ = false;

    alignas(64) int32_t sums_[kChunk][kFirstWidth];
    alignas(64) int32_t bias_[kFirstWidth];
    alignas(64) int16_t left_[2 * kFirstWidth];
    alignas(64) int16_t weights_[kMaxTaps][2 * kFirstWidth];
    alignas(64) int16_t parent_weights_[kGroupTaps][2 * kFirstWidth];

    // of the row in hand
    int16_t* own_values_ = nullptr;
    uint64_t* own_bits_ = nullptr;
    const int16_t *taps_[kMaxTaps], *parent_taps_[kGroupTaps];
    const uint64_t *near_[2], *middle_[kMaxGroups], *same_[2 * kMaxGroups + 1], *parent_bits_[3];
    int num_near_ = 0, num_middle_ = 0, num_same_ = 0;
};

}  // namespace

void read_slice(Reader& reader, const SparseTables& tables, const ContextNetwork& network, SliceScratch& scratch,
                const SliceJob& job) {
    size_t index = 0;
    for (size_t plane = 0; plane < job.own->planes.size(); plane++)
        for (size_t band = 0; band < job.own->planes[plane].size(); band++, index++) {
            const FeaturePlane& own = job.own->planes[plane][band];
            if (own.height == 0 || own.width == 0) continue;
            SubbandWalk(tables, network, scratch, job, (int)plane, (int)band).read(reader.cursor(), job.symbols[index]);
        }
}

}  // namespace C3_ISA
}  // namespace c3
