// SPDX-License-Identifier: MIT
// The walk over a slice's subbands. Compiled once for each instruction set.
//
// The sums of 64 places are made at once (subband_contexts.h), then the places are gone through one by one. Signs of a
// subband come after its magnitudes.
#include "hybrid/subbands.h"

#include "hybrid/sign_contexts.h"
#include "hybrid/subband_contexts.h"

namespace c3 {
namespace C3_ISA {

namespace {

class SubbandWalk {
public:
    SubbandWalk(const SparseTables& tables, const ContextNetwork& network, SliceScratch& scratch, const SliceJob& job,
                int plane, int band)
        : tables_(tables), own_(job.own->planes[plane][band]), width_(own_.width),
          contexts_(network, scratch, job, plane, band) {}

    void read(Cursor& shared, int32_t* symbols) {
        Cursor cursor = shared;
        for (int y = 0; y < own_.height; y++) {
            const SubbandContexts::Row row = contexts_.row(y);
            own_values_ = own_.values(y), own_bits_ = own_.bits(y);
            std::fill_n(own_values_, width_, (int16_t)0);
            std::fill_n(symbols + (size_t)y * width_, width_, 0);
            uint32_t left = 0;  // features of the places two and one to the left, the nearer one above
            for (int x = 0; x < width_; x += kChunk) {
                const uint64_t busy = contexts_.busy_places(row, x / kChunk) & first_places(width_ - x);
                if (busy) contexts_.make_sums(row, busy, x, sums_);
                left = read_chunk(cursor, busy, left, x, symbols + (size_t)y * width_ + x);
            }
        }
        shared = cursor;
    }

private:
    // Reads 64 places or what is left of the row; takes and returns the features to the left.
    uint32_t read_chunk(Cursor& shared, uint64_t busy, uint32_t left, int x0, int32_t* symbols) {
        Cursor cursor = shared;
        const int count = std::min(kChunk, width_ - x0);
        const uint32_t blank = tables_.zeros[contexts_.blank_table()];
        uint64_t found = 0;
        int i = 0;
        while (i < count) {
            int symbol;
            if (left == 0 && !(busy >> i & 1)) {
                const uint64_t rest = busy >> i;
                const int end = rest ? i + __builtin_ctzll(rest) : count;
                uint32_t low = cursor.low();
                while (low < blank) {
                    cursor.advance(0, blank, low);
                    if (++i == end) break;
                    low = cursor.low();
                }
                if (i == end) continue;
                symbol = read_other_than_zero(cursor, tables_, contexts_.blank_table(), low);
            } else {
                const unsigned table = contexts_.table(busy >> i & 1 ? sums_[i] : contexts_.blank_sums(), left);
                const uint32_t zero = tables_.zeros[table], low = cursor.low();
                if (low < zero) {
                    cursor.advance(0, zero, low);
                    left >>= 16;
                    i++;
                    continue;
                }
                symbol = read_other_than_zero(cursor, tables_, table, low);
            }
            symbol = std::min(symbol, kMaxSubbandSymbol);
            const int16_t feature = kMagnitudeFeatures[std::min(symbol, kMaxMagnitude)];
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
    FeaturePlane& own_;
    const int width_;
    SubbandContexts contexts_;

    alignas(64) int32_t sums_[kChunk][kFirstWidth];

    // of the row in hand
    int16_t* own_values_ = nullptr;
    uint64_t* own_bits_ = nullptr;
};

void read_signs(Cursor& cursor, const SparseTables& tables, SignContexts& contexts, FeaturePlane& own,
                int32_t* symbols) {
    for (int y = 0; y < own.height; y++, symbols += own.width)
        for_each_place(own.bits(y), own.width, [&](int x) {
            if (tables.read(cursor, contexts.table(y, x)) > 0) symbols[x] = -symbols[x];
            contexts.put(y, x, symbols[x]);
        });
}

}  // namespace

void read_slice(Reader& reader, const SparseTables& tables, const ContextNetwork& network, const SignNetwork& signs,
                SliceScratch& scratch, const SliceJob& job) {
    for_each_subband(job, [&](int plane, int band, FeaturePlane& own, int32_t* const* symbols) {
        SubbandWalk(tables, network, scratch, job, plane, band).read(reader.cursor(), symbols[band]);
        SignContexts contexts(signs, scratch, job, plane, band);
        read_signs(reader.cursor(), tables, contexts, own, symbols[band]);
    });
}

}  // namespace C3_ISA
}  // namespace c3
