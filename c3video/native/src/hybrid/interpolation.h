// SPDX-License-Identifier: MIT
// Eight-tap interpolation of a reference plane: c3video/hybrid/compensation.py, `_interpolate`, a strip at a time.
//
//     reference rows --> filtered along x (one vector of a row at a time) --> sums of eight rows --> strip
//
// A sample enters as it is stored, not centred: taps sum to 64, so that centring is a constant that a sum starts from.
// Sums along x fit 18 bits, those along y 22; a result is at most 28800 in size, so 16 bits hold it.
#pragma once
#include <algorithm>
#include <cstdint>

#include "hybrid/frame.h"
#include "shared/frame_simd.h"

namespace c3 {
namespace C3_ISA {

constexpr int kStripRows = 32, kStripColumns = 256;  // the largest strip; sized for the cache

struct Reference {
    const uint16_t* samples;
    int height, width, bit_depth;
};

// Room for the samples that a strip reads, where some of them lie outside the plane.
struct StripRoom {
    int16_t samples[(kStripRows + kNumTaps) * (kStripColumns + 2 * Wide::lanes)];
};

template <typename S>
struct TapPairs {
    typename S::V16 pair[kNumTaps / 2];

    C3_INLINE TapPairs(int phase, int scale) {
        for (int k = 0; k < kNumTaps / 2; k++)
            pair[k] = S::splat_pair((int32_t)((uint32_t)(uint16_t)(kTaps[phase][2 * k] * scale) |
                                              (uint32_t)(uint16_t)(kTaps[phase][2 * k + 1] * scale) << 16));
    }
};

// A vector of row i of the source, filtered along x. Even and odd lanes are sums of the pairs at even and odd places.
template <typename S, int kShift>
struct Across {
    const int16_t* source;
    ptrdiff_t stride;
    TapPairs<S> taps;
    typename S::V32 start;

    C3_INLINE typename S::V16 operator()(int i) const {
        const int16_t* p = source + i * stride;
        typename S::V32 even = start, odd = start;
        for (int k = 0; k < kNumTaps / 2; k++) {
            even = multiply_add(even, S::load(p + 2 * k), taps.pair[k]);
            odd = multiply_add(odd, S::load(p + 2 * k + 1), taps.pair[k]);
        }
        return weave(shift_right32(even, kShift), shift_right32(odd, kShift));
    }
};

template <typename S>
struct Straight {
    const int16_t* source;
    ptrdiff_t stride;

    C3_INLINE typename S::V16 operator()(int i) const { return S::load(source + i * stride); }
};

// Filters along y. Each row is read once: it goes to the sums of all outputs that it touches, which wait in registers.
template <typename S, typename Row, typename Put>
struct Down {
    using V16 = typename S::V16;
    using V32 = typename S::V32;
    // Sums that have their first one, two and three pairs of rows.
    struct Waiting {
        V32 low[3], high[3];
    };

    const Row& row;
    const Put& put;
    const TapPairs<S>& taps;
    V32 start;
    V16 previous;
    Waiting even, odd;

    // Adds the rows i and i + 1, as pairs first .. last - 1 of outputs i - 2 * pair.
    template <int first, int last>
    C3_INLINE void step(Waiting& sums, int i) {
        const V16 next = row(i + 1);
        const V16 low = unpack_low(previous, next), high = unpack_high(previous, next);
        if constexpr (last > 3) {
            const V32 a = multiply_add(sums.low[2], low, taps.pair[3]),
                      b = multiply_add(sums.high[2], high, taps.pair[3]);
            put(i - 6, pack(shift_right32(a, 6), shift_right32(b, 6)));
        }
        if constexpr (first <= 2 && last > 2) {
            sums.low[2] = multiply_add(sums.low[1], low, taps.pair[2]);
            sums.high[2] = multiply_add(sums.high[1], high, taps.pair[2]);
        }
        if constexpr (first <= 1 && last > 1) {
            sums.low[1] = multiply_add(sums.low[0], low, taps.pair[1]);
            sums.high[1] = multiply_add(sums.high[0], high, taps.pair[1]);
        }
        if constexpr (first == 0) {
            sums.low[0] = multiply_add(start, low, taps.pair[0]);
            sums.high[0] = multiply_add(start, high, taps.pair[0]);
        }
        previous = next;
    }

    template <int first, int last>
    C3_INLINE void two_steps(int i) {
        step<first, last>(even, i);
        step<first, last>(odd, i + 1);
    }

    // `rows` outputs, an even number.
    C3_INLINE void run(int rows) {
        previous = row(0);
        two_steps<0, 1>(0);
        if (rows == 2) {
            two_steps<1, 2>(2);
            two_steps<2, 3>(4);
            two_steps<3, 4>(6);
            return;
        }
        two_steps<0, 2>(2);
        if (rows == 4) {
            two_steps<1, 3>(4);
            two_steps<2, 4>(6);
            two_steps<3, 4>(8);
            return;
        }
        two_steps<0, 3>(4);
        int i = 6;
        for (; i < rows; i += 2) two_steps<0, 4>(i);
        two_steps<1, 4>(i);
        two_steps<2, 4>(i + 2);
        two_steps<3, 4>(i + 4);
    }
};

// One vector wide, `rows` (even) high: from `source`, whose first sample is the first one that the filters read.
template <typename S, bool kMean>
C3_INLINE void interpolate_column(const int16_t* source, ptrdiff_t source_stride, int phase_y, int phase_x,
                                  int bit_depth, int rows, int16_t* out, ptrdiff_t stride) {
    using V16 = typename S::V16;
    const auto put = [&](int y, V16 values) {
        int16_t* place = out + y * stride;
        store(place, kMean ? mean16(S::load(place), values) : values);
    };
    const auto all_rows = [&](const auto& row) {
        for (int y = 0; y < rows; y++) put(y, row(y));
    };
    const auto down = [&](const auto& row, const TapPairs<S>& taps, int32_t start) {
        Down<S, std::decay_t<decltype(row)>, std::decay_t<decltype(put)>>{row, put, taps, S::splat32(start), {}, {}, {}}
            .run(rows);
    };
    const int middle = 1 << (bit_depth - 1), to_14 = 14 - bit_depth;
    if (phase_x == 0) {
        const Straight<S> row{source, source_stride};
        if (phase_y) return down(row, TapPairs<S>(phase_y, 1 << to_14), 32 - ((64 * middle) << to_14));
        const V16 minus_middle = S::splat((int16_t)-middle);
        for (int y = 0; y < rows; y++) put(y, shift_left16(add16(row(y), minus_middle), to_14));
        return;
    }
    const TapPairs<S> taps_x(phase_x, 1);
    const auto start = S::splat32(-64 * middle);
    const auto along_y = [&](const auto& row) {
        if (phase_y) down(row, TapPairs<S>(phase_y, 1), 32);
        else all_rows(row);
    };
    if (bit_depth == 8) along_y(Across<S, 0>{source, source_stride, taps_x, start});
    else if (bit_depth == 10) along_y(Across<S, 2>{source, source_stride, taps_x, start});
    else along_y(Across<S, 4>{source, source_stride, taps_x, start});
}

// Samples (top + i, left + j) of a plane whose edges are repeated without end.
inline void copy_clamped(const Reference& plane, int top, int left, int rows, int columns, int16_t* out, int stride) {
    const int before = std::clamp(-left, 0, columns), inside = std::clamp(plane.width - left, before, columns);
    for (int i = 0; i < rows; i++, out += stride) {
        const int y = std::clamp(top + i, 0, plane.height - 1);
        const auto* row = reinterpret_cast<const int16_t*>(plane.samples) + (size_t)y * plane.width;
        std::fill(out, out + before, row[0]);
        if (inside > before) std::copy(row + left + before, row + left + inside, out + before);
        std::fill(out + inside, out + columns, row[plane.width - 1]);
    }
}

// out = samples (y + i, x + j) of the plane moved by (eighths_y, eighths_x), or with kMean their mean with what is
// there. `out` must have room for `rows` rounded up to even, and for `columns` rounded up to Narrow vectors.
template <bool kMean>
inline void interpolate(const Reference& plane, int y, int x, int rows, int columns, int eighths_y, int eighths_x,
                        int16_t* out, ptrdiff_t stride, StripRoom& room) {
    const int phase_y = eighths_y & 7, phase_x = eighths_x & 7;
    rows = rounded_up(rows, 2);
    columns = rounded_up(columns, Narrow::lanes);
    const int top = y + (eighths_y >> 3) - (phase_y ? 3 : 0), left = x + (eighths_x >> 3) - (phase_x ? 3 : 0);
    const int read_rows = rows + (phase_y ? kNumTaps - 1 : 0), read_columns = columns + (phase_x ? kNumTaps - 1 : 0);
    const int16_t* source;
    ptrdiff_t source_stride = plane.width;
    if (top < 0 || left < 0 || top + read_rows > plane.height || left + read_columns > plane.width) {
        source_stride = columns + Narrow::lanes;
        copy_clamped(plane, top, left, read_rows, read_columns, room.samples, (int)source_stride);
        source = room.samples;
    } else {
        source = reinterpret_cast<const int16_t*>(plane.samples) + (ptrdiff_t)top * plane.width + left;
    }
    for_vectors(columns, [&](auto vectors, int j) {
        interpolate_column<decltype(vectors), kMean>(source + j, source_stride, phase_y, phase_x, plane.bit_depth, rows,
                                                     out + j, stride);
    });
}

}  // namespace C3_ISA
}  // namespace c3
