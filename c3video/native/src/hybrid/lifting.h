// SPDX-License-Identifier: MIT
// One level of the inverse wavelet, a row at a time: c3video/hybrid/wavelet.py, `join`, along y and then along x.
//
//     symbols --> coefficients --> four lifting steps along y, on rows --> the same along x --> row of the plane
//
// int32 is enough: what enters is at most 2^17 in size, and the largest product of a lifting step is then 0.84 * 2^31
// once a multiplier's whole part is taken out of it.
// Rows that are all zeros are null pointers: lifting them gives zeros, so no work is done on them.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>

#include "hybrid/frame.h"

namespace c3 {
namespace C3_ISA {

constexpr int32_t kLimit = 1 << 17;

// Rows of coefficients, from symbols or as another level left them.
struct Rows {
    const int32_t* data;
    int height, width;
    int step;  // 0: these are coefficients

    // Row i, in `room` if it must be computed; null if it is all zeros.
    const int32_t* fetch(int i, int32_t* __restrict room) const {
        const int32_t* __restrict source = data + (size_t)i * width;
        int32_t any = 0;
        for (int x = 0; x < width; x++) any |= source[x];
        if (any == 0) return nullptr;
        if (step == 0) return source;
        // sign(s) * ((16 |s| - 1) * step >> 4), in 32 bits: larger symbols give the limit as well
        const int32_t most = (kLimit * 16 / step + 16) / 16 + 1, less = (step + 15) >> 4;
        for (int x = 0; x < width; x++) {
            const int32_t symbol = std::min(std::max(source[x], -most), most);
            const int32_t size = symbol < 0 ? -symbol : symbol;
            const int32_t value = std::min(std::max(size * step - less, 0), kLimit);
            room[x] = symbol < 0 ? -value : value;
        }
        return room;
    }
};

// kMultiplier * v + 2048 >> 12
template <int kMultiplier>
inline int32_t scaled(int32_t v) {
    constexpr int32_t kWhole = kMultiplier / 4096, kRest = kMultiplier % 4096;
    return kWhole * v + ((kRest * v + 2048) >> 12);
}

// out = x - scaled(a + b)
template <int kMultiplier>
inline void lift(const int32_t* a, const int32_t* b, const int32_t* x, int32_t* __restrict out, int count) {
    for (int i = 0; i < count; i++) out[i] = x[i] - scaled<kMultiplier>(a[i] + b[i]);
}

inline void clip(const int32_t* source, int32_t* __restrict out, int count) {
    for (int i = 0; i < count; i++) out[i] = std::min(std::max(source[i], -kLimit), kLimit);
}

// Rows of the join of low and high rows along y, in order from any pair of them.
class JoinedRows {
public:
    JoinedRows(const Rows& low, const Rows& high)
        : low_(low), high_(high), width_(low.width), stride_(((size_t)low.width + 31) / 16 * 16),
          room_(new int32_t[stride_ * kNumRows]()), zeros_(room_.get()) {}

    // The next row asked for is one of 2 * pair, 2 * pair + 1; then they must be asked for in order.
    void start(int pair) {
        next_low_ = next_first_high_ = std::max(pair - 1, 0);
        next_high_ = std::max(pair - 2, 0);
        next_second_low_ = pair;
    }

    // Valid until the next call; null if the row is all zeros.
    const int32_t* row(int y) {
        if (high_.height == 0) return low_.fetch(y, slot(kFirstLow, y));
        const int i = y >> 1;
        int32_t* out = slot(kOut, 0);
        if (y % 2 == 0) {
            const int32_t* even = second_low(i);
            if (even) clip(even, out, width_);
            return even ? out : nullptr;
        }
        const int32_t *a = second_low(i), *b = second_low(std::min(i + 1, low_.height - 1));
        int32_t* room = slot(kSecondHigh, 0);
        const int32_t* odd = lifted<-6497>(a, b, first_high_[i & 3], room);
        if (odd) clip(odd, out, width_);
        return odd ? out : nullptr;
    }

private:
    // Rings of four rows each, after one row of zeros.
    enum Ring { kHigh, kFirstLow, kFirstHigh, kSecondLow, kLow, kSecondHigh, kOut };
    static constexpr int kNumRows = 1 + 4 * 4 + 3;

    int32_t* slot(Ring ring, int i) {
        const int place = ring <= kSecondLow ? 1 + 4 * ring + (i & 3) : 1 + 4 * 4 + (ring - kLow);
        return room_.get() + stride_ * place;
    }

    template <int kMultiplier>
    const int32_t* lifted(const int32_t* a, const int32_t* b, const int32_t* x, int32_t* out) {
        if (!a && !b) return x;
        lift<kMultiplier>(a ? a : zeros_, b ? b : zeros_, x ? x : zeros_, out, width_);
        return out;
    }

    // Each of these computes rows up to i and gives row i; earlier ones stay for as long as the lifting needs them.
    const int32_t* high(int i) {
        for (; next_high_ <= i; next_high_++)
            high_rows_[next_high_ & 3] = high_.fetch(next_high_, slot(kHigh, next_high_));
        return high_rows_[i & 3];
    }
    const int32_t* first_low(int i) {
        for (; next_low_ <= i; next_low_++) {
            const int k = next_low_, last = high_.height - 1;
            const int32_t *before = high(std::max(k - 1, 0)), *after = high(std::min(k, last));
            const int32_t* row = low_.fetch(k, slot(kLow, 0));
            const int32_t* out = lifted<1817>(before, after, row, slot(kFirstLow, k));
            if (out && out == slot(kLow, 0)) {  // which the next row will use again
                std::copy(out, out + width_, slot(kFirstLow, k));
                out = slot(kFirstLow, k);
            }
            first_low_[k & 3] = out;
        }
        return first_low_[i & 3];
    }
    const int32_t* first_high(int i) {
        for (; next_first_high_ <= i; next_first_high_++) {
            const int k = next_first_high_;
            const int32_t *above = first_low(k), *below = first_low(std::min(k + 1, low_.height - 1));
            first_high_[k & 3] = lifted<3616>(above, below, high(k), slot(kFirstHigh, k));
        }
        return first_high_[i & 3];
    }
    const int32_t* second_low(int i) {
        for (; next_second_low_ <= i; next_second_low_++) {
            const int k = next_second_low_, last = high_.height - 1;
            const int32_t *before = first_high(std::max(k - 1, 0)), *after = first_high(std::min(k, last));
            second_low_[k & 3] = lifted<-217>(before, after, first_low(k), slot(kSecondLow, k));
        }
        return second_low_[i & 3];
    }

    Rows low_, high_;
    int width_;
    size_t stride_;
    std::unique_ptr<int32_t[]> room_;
    const int32_t* zeros_;
    const int32_t* high_rows_[4] = {};
    const int32_t* first_low_[4] = {};
    const int32_t* first_high_[4] = {};
    const int32_t* second_low_[4] = {};
    int next_high_ = 0, next_low_ = 0, next_first_high_ = 0, next_second_low_ = 0;
};

// Joins a low and a high row along x.
class RowJoin {
public:
    explicit RowJoin(int width)
        : num_low_((width + 1) / 2), num_high_(width / 2), stride_((size_t)num_low_ + 32),
          room_(new int32_t[5 * stride_]()) {}

    // Either may be null for zeros, not both.
    void join(const int32_t* low, const int32_t* high, int32_t* __restrict out) {
        if (num_high_ == 0) {
            std::copy(low, low + num_low_, out);
            return;
        }
        // one place before the first sample and one behind the last, where it stands twice
        int32_t *zeros = room_.get() + 16, *first_low = zeros + stride_, *first_high = first_low + stride_,
                *second_low = first_high + stride_, *edged = second_low + stride_;
        if (!low) low = zeros;
        if (high) {
            std::copy(high, high + num_high_, edged);
            repeat_edges(edged, num_high_);
            lift<1817>(edged - 1, edged, low, first_low, num_low_);
        } else {
            std::copy(low, low + num_low_, first_low);
            edged = zeros;
        }
        repeat_edges(first_low, num_low_);
        lift<3616>(first_low, first_low + 1, edged, first_high, num_high_);
        repeat_edges(first_high, num_high_);
        lift<-217>(first_high - 1, first_high, first_low, second_low, num_low_);
        repeat_edges(second_low, num_low_);
        for (int i = 0; i < num_high_; i++) {
            const int32_t odd = first_high[i] - scaled<-6497>(second_low[i] + second_low[i + 1]);
            out[2 * i] = std::min(std::max(second_low[i], -kLimit), kLimit);
            out[2 * i + 1] = std::min(std::max(odd, -kLimit), kLimit);
        }
        if (num_low_ > num_high_) out[2 * num_high_] = std::min(std::max(second_low[num_high_], -kLimit), kLimit);
    }

private:
    static void repeat_edges(int32_t* row, int count) {
        row[-1] = row[0];
        row[count] = row[count - 1];
    }

    int num_low_, num_high_;
    size_t stride_;
    std::unique_ptr<int32_t[]> room_;
};

// Rows of the plane that a level's four subbands make, in order from any even one.
class LevelRows {
public:
    LevelRows(const Rows& ll, const Rows& hl, const Rows& lh, const Rows& hh)
        : low_(ll, lh), high_(hl, hh), has_high_(hl.width > 0), across_(ll.width + hl.width) {}

    void start(int y) {
        low_.start(y / 2);
        high_.start(y / 2);
    }

    // Writes row y; false, with nothing written, if it is all zeros.
    bool row(int y, int32_t* out) {
        const int32_t *low = low_.row(y), *high = has_high_ ? high_.row(y) : nullptr;
        if (!low && !high) return false;
        across_.join(low, high, out);
        return true;
    }

private:
    JoinedRows low_, high_;
    bool has_high_;
    RowJoin across_;
};

}  // namespace C3_ISA
}  // namespace c3
