// SPDX-License-Identifier: MIT
// The error of one block under one candidate, for block_errors.cpp and search.cpp. All instruction sets give the same.
//
// It is the sum of weight * difference^2 over the block's window, made of
//
//     d = prediction - current, saturated to 16 bits;  e = d * weight / 4, rounded;  d * e, summed over 2 x 4 samples,
//     rounded to 1/16 and then summed in 32 bits
//
// so that two multiplications a vector do, and nothing runs over: a group's sum is below 2^31, as the weights of four
// rows are never all 4096. Rounding e moves a window's sum by less than a percent where differences exceed some units;
// one level of 8 bits is 64 of them.
#pragma once
#include <algorithm>
#include <cstring>

#include "hybrid/block_errors.h"
#include "shared/frame_simd.h"

namespace c3 {
namespace C3_ISA {

constexpr int kMaxWindow = 64;
constexpr int kGroupRows = 4, kGroupBits = 4;

using Window = int16_t[kMaxWindow * kMaxWindow];

// Samples of a window, rows `stride` apart.
struct Source {
    const int16_t* samples;
    ptrdiff_t stride;
};

// The windows of the blocks of a frame, and what all candidates of one of them share.
class BlockWindow {
public:
    void set_weights(int block_size) {
        side_ = block_size, size_ = 2 * block_size;
        // At a place of a window, of what is so long and begins in the middle of the window's first `side_` samples.
        const auto weight = [&](int place, int length) {
            return place < length + side_ / 4 ? rising(place, side_) : 64 - rising(place - length, side_);
        };
        // Half a block, before or behind its middle, is a block of its own there.
        const int half = side_ / 2;
        for (int i = 0; i < size_ * size_; i++) {
            const int y = i / size_, x = i % size_, whole = 2 * weight(y, side_) * weight(x, side_);
            inner_weights_[kWholeWindow][i] = (int16_t)whole;
            for (int quarter = 0; quarter < 4; quarter++)
                inner_weights_[quarter][i] =
                    (int16_t)(2 * weight(y - quarter / 2 * half, half) * weight(x - quarter % 2 * half, half));
        }
    }

    // Goes to a block of a frame (height, width). Positions outside the frame weigh nothing.
    void move_to(const int16_t* frame, int height, int width, int row, int column) {
        top_ = row * side_ - side_ / 2, left_ = column * side_ - side_ / 2;
        const int size = size_;
        if (top_ >= 0 && left_ >= 0 && top_ + size <= height && left_ + size <= width) {
            weights_ = inner_weights_;
            const int16_t* samples = frame + (ptrdiff_t)top_ * width + left_;
            for (int i = 0; i < size; i++, samples += width)
                std::memcpy(current_ + i * size, samples, sizeof(int16_t) * size);
            return;
        }
        weights_ = edge_weights_;
        for (Window& weights : edge_weights_) std::fill(weights, weights + size * size, (int16_t)0);
        std::fill(current_, current_ + size * size, (int16_t)0);
        const int first = std::max(-left_, 0), last = std::min(size, width - left_);
        for (int i = std::max(-top_, 0); i < std::min(size, height - top_); i++) {
            const int16_t* samples = frame + (size_t)(top_ + i) * width + left_ + first;
            std::copy(samples, samples + (last - first), current_ + i * size + first);
            for (int k = 0; k < kNumWindows; k++)
                std::copy(inner_weights_[k] + i * size + first, inner_weights_[k] + i * size + last,
                          edge_weights_[k] + i * size + first);
        }
    }

    // What a vector makes of a reference.
    Source source(const Phases& phases, int vector_y, int vector_x) const {
        const int top = clamped(top_ + (vector_y >> 2), phases.height),
                  left = clamped(left_ + (vector_x >> 2), phases.width);
        // A position outside is not moved within its sample: all phases of it are the same as well.
        return {phases.phase(vector_y & 3, vector_x & 3) + top * phases.stride + left, phases.stride};
    }

    // The full range of a sample is 1.
    float error(Source source) const { return total_error<false>(source, source, kWholeWindow); }
    // Of the mean of two.
    float error(Source source, Source other) const { return total_error<true>(source, other, kWholeWindow); }
    // Of a quarter of the block, weighted as if it were a block of its own.
    float quarter_error(int quarter, Source source) const { return total_error<false>(source, source, quarter); }
    float quarter_error(int quarter, Source source, Source other) const {
        return total_error<true>(source, other, quarter);
    }

    int size() const { return size_; }

private:
    // Where a window is read: further outside it reads the same.
    int clamped(int start, int length) const { return std::clamp(start, -size_ - 8, length + 7); }

    template <typename S, bool kMean>
    C3_INLINE int64_t column_error(Source source, Source other, const int16_t* weights, int first, int last,
                                   int x) const {
        auto total = S::splat32(0);
        for (int y = first; y < last; y += kGroupRows) {
            auto sum = S::splat32(1 << (kGroupBits - 1));
            for (int i = 0; i < kGroupRows; i++) {
                auto prediction = S::load(source.samples + (y + i) * source.stride + x);
                const int place = (y + i) * size_ + x;
                if (kMean) prediction = mean16(prediction, S::load(other.samples + (y + i) * other.stride + x));
                const auto difference = subtract_saturated(prediction, S::load(current_ + place));
                sum = multiply_add(sum, difference, multiply_round15(difference, S::load(weights + place)));
            }
            total = add32(total, shift_right32(sum, kGroupBits));
        }
        int32_t lanes[S::lanes / 2];
        store32(lanes, total);
        int64_t result = 0;
        for (int32_t lane : lanes) result += lane;
        return result;
    }

    template <bool kMean>
    float total_error(Source source, Source other, int window) const {
        // Rows that weigh anything, in whole groups.
        const int overlap = (side_ / 4 + kGroupRows - 1) / kGroupRows * kGroupRows;
        const int margin = side_ / 4 / kGroupRows * kGroupRows;
        const int first = window == kWholeWindow || window < 2 ? margin : side_ - overlap;
        const int last = window == kWholeWindow || window >= 2 ? size_ - margin : side_ + overlap;
        // Columns likewise, in whole vectors: a quarter's window is as wide as the block.
        const bool is_half = window != kWholeWindow && side_ >= Narrow::lanes;
        const int left = is_half ? side_ / 4 + window % 2 * side_ / 2 : 0;
        int64_t error = 0;
        for_vectors(is_half ? side_ : size_, [&](auto vectors, int x) {
            error += column_error<decltype(vectors), kMean>(source, other, weights_[window], first, last, left + x);
        });
        return (float)error * (1.0f / (1 << 22));
    }

    static constexpr int kWholeWindow = 4, kNumWindows = 5;  // behind those of the quarters

    alignas(64) Window current_, inner_weights_[kNumWindows], edge_weights_[kNumWindows];
    const Window* weights_ = nullptr;  // inner_weights_, or at the edge of the frame edge_weights_
    int side_ = 0, size_ = 0, top_ = 0, left_ = 0;
};

}  // namespace C3_ISA
}  // namespace c3
