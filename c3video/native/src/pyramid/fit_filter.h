// SPDX-License-Identifier: MIT
// The filter of a grid's own latents, forward and back: symmetric taps along rows, then along columns, edges repeated.
#pragma once
#include <algorithm>
#include <vector>

#include "pyramid/fit_plan.h"
#include "pyramid/fit_products.h"
#include "pyramid/fit_upsampling.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

using c3::pyramid::Arena;
using c3::pyramid::kMaxReach;
using c3::pyramid::Size;

// Buffers for one thread. Grids are dense, (h, w) row by row.
class OwnFilter {
public:
    OwnFilter(Arena& arena, int width) {
        for (float*& row : rows_) row = take(arena, width);
        grad_ = take(arena, width);
        padded_ = take(arena, width);
    }

    // Rows y0 .. y1 of `out` from `in`; `taps` (reach + 1): the middle one first.
    void forward(const float* in, const Size& size, const float* taps, int reach, float* out, int y0, int y1) {
        int next = std::max(0, y0 - reach);
        for (int y = y0; y < y1; y++) {
            for (; next <= std::min(y + reach, size.height - 1); next++) along_row(in, size, taps, reach, next);
            float* to = out + (size_t)y * size.width;
            sum_rows(size, taps, reach, y, [&](int x, VF sum) { store_first(to + x, sum, size.width - x); });
        }
    }

    // Adds to rows r0 .. r1 of `grad_in` what the gradients of all of `out` hand to them, and to `sums` (reach + 1)
    // what they hand to the taps; each row counts for the taps once, in the thread that has it.
    void backward(const float* in, const Size& size, const float* taps, int reach, const float* grad_out,
                  float* grad_in, int r0, int r1, double* sums) {
        int next = std::max(0, r0 - reach);
        for (int r = r0; r < r1; r++) {
            const float* grad_row = grad_out + (size_t)r * size.width;
            if (sums) {
                for (; next <= std::min(r + reach, size.height - 1); next++) along_row(in, size, taps, reach, next);
                for (int t = 0; t <= reach; t++)
                    sums[t] += dot(grad_row, row(std::max(r - t, 0)), size.width) +
                               (t ? dot(grad_row, row(std::min(r + t, size.height - 1)), size.width) : 0.0);
            }
            down_columns(grad_out, size, taps, reach, r);
            float* values = padded_ + kMargin;
            if (sums) {
                repeat(in + (size_t)r * size.width, size.width);
                for (int t = 0; t <= reach; t++)
                    sums[t] += dot(grad_ + kMargin, values + t, size.width) +
                               (t ? dot(grad_ + kMargin, values - t, size.width) : 0.0);
            }
            hand_back(size.width, taps, reach, grad_in + (size_t)r * size.width);
        }
    }

private:
    static constexpr int kMargin = 2 * kFloats, kKept = 8;
    static_assert(kMaxReach <= 3 && kMaxReach < kFloats && 2 * kMaxReach + 1 < kKept);
    float *rows_[kKept], *grad_, *padded_;

    static float* take(Arena& arena, int width) {
        const size_t room = width + 4 * kMargin;
        float* row = arena.take(room);
        std::fill_n(row, room, 0.0f);
        return row;
    }
    static double dot(const float* a, const float* b, int count) {
        VF total = splatf(0.0f);
        int i = 0;
        for (; i + kFloats <= count; i += kFloats) total = fma(loadf(a + i), loadf(b + i), total);
        double sum = sum_lanes(total);
        for (; i < count; i++) sum += (double)a[i] * b[i];
        return sum;
    }
    float* row(int y) { return rows_[y % kKept]; }

    // padded_ from kMargin on = a row with its ends repeated.
    void repeat(const float* from, int width) {
        float* to = padded_ + kMargin;
        std::copy_n(from, width, to);
        for (int i = 1; i <= kMaxReach; i++) to[-i] = to[0], to[width - 1 + i] = to[width - 1];
    }

    // f(x, sum) of symmetric taps about `at(-t, x)` and `at(t, x)`.
    template <typename At, typename F>
    static void filtered(int width, const float* taps, int reach, At at, F f) {
        for (int x = 0; x < width; x += kFloats) {
            VF sum = splatf(taps[0]) * at(0, x);
            for (int t = 1; t <= reach; t++) sum = fma(splatf(taps[t]), at(-t, x) + at(t, x), sum);
            f(x, sum);
        }
    }

    void along_row(const float* in, const Size& size, const float* taps, int reach, int y) {
        repeat(in + (size_t)y * size.width, size.width);
        float* to = row(y);
        const float* from = padded_ + kMargin;
        filtered(
            size.width, taps, reach, [&](int t, int x) { return loadf(from + x + t); },
            [&](int x, VF sum) { storef(to + x, sum); });
    }

    template <typename F>
    void sum_rows(const Size& size, const float* taps, int reach, int y, F f) {
        filtered(
            size.width, taps, reach,
            [&](int t, int x) { return loadf(row(std::clamp(y + t, 0, size.height - 1)) + x); }, f);
    }

    // grad_ from kMargin on = what all rows of grad_out hand to row r along columns; ends repeated, so the first and
    // the last row get what went past them.
    void down_columns(const float* grad_out, const Size& size, const float* taps, int reach, int r) {
        float* to = grad_ + kMargin;
        std::fill_n(to, size.width, 0.0f);
        for (int y = std::max(0, r - reach); y <= std::min(size.height - 1, r + reach); y++) {
            float factor = 0.0f;
            for (int t = -reach; t <= reach; t++)
                if (std::clamp(y + t, 0, size.height - 1) == r) factor += taps[std::abs(t)];
            const float* from = grad_out + (size_t)y * size.width;
            for (int x = 0; x < size.width; x++) to[x] += factor * from[x];
        }
        for (int i = 0; i < kMargin; i++) to[-1 - i] = to[size.width + i] = 0.0f;
    }

    // Adds to a row what grad_ hands to it along the row.
    void hand_back(int width, const float* taps, int reach, float* to) {
        const float* from = grad_ + kMargin;
        filtered(
            width, taps, reach, [&](int t, int x) { return loadf(from + x + t); },
            [&](int x, VF sum) {
                const int count = std::min(kFloats, width - x);
                float values[kFloats];
                storef(values, sum);
                for (int i = 0; i < count; i++) to[x + i] += values[i];
            });
        // What went past the ends belongs to the ends.
        for (int t = 1; t <= reach; t++)
            for (int x = 0; x < t && x < width; x++) {
                to[0] += taps[t] * from[x];
                to[width - 1] += taps[t] * from[width - 1 - x];
            }
    }
};

}  // namespace pyramid
}  // namespace C3_ISA
}  // namespace c3
