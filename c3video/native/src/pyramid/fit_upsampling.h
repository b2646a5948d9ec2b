// SPDX-License-Identifier: MIT
// Twice the resolution by a kernel of 4 taps a phase, and the way back: planes of one level to those of the next.
#pragma once
#include <algorithm>

#include "pyramid/fit_plan.h"
#include "pyramid/fit_products.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

using c3::pyramid::Arena;
using c3::pyramid::Size;

// Planes of a level are rows of width + 2 kPad floats: the repeated edges that the kernels read.
constexpr int kPad = 2;
constexpr int kSlack = 512;  // floats behind a plane that may be read, and must be numbers
inline int stride_of(const Size& size) { return size.width + 2 * kPad; }
inline size_t plane_floats(const Size& size) { return (size_t)size.height * stride_of(size) + kSlack; }

inline void store_first(float* p, VF v, int count) {
    if (count >= kFloats) return storef(p, v);
    float values[kFloats];
    storef(values, v);
    std::copy_n(values, count, p);
}

inline void repeat_edges(float* row, int width) {
    for (int i = 1; i <= kPad; i++) {
        row[-i] = row[0];
        row[width - 1 + i] = row[width - 1];
    }
}

// Buffers for one thread.
class Upsampler {
public:
    // `width`: of the widest plane made.
    Upsampler(Arena& arena, int width) {
        const size_t room = width + 8 * kFloats;
        for (float*& row : rows_) row = arena.take(room);
        for (float** row : {&grad_row_, &even_, &odd_, &source_}) {
            *row = arena.take(room);
            std::fill_n(*row, room, 0.0f);
        }
    }

    // Rows y0 .. y1 of a plane of size `to` from one of size `from`. Pointers are to the first sample of row 0.
    void forward(const float* source, const Size& from, const float* kernel, float* target, const Size& to, int y0,
                 int y1) {
        int next = std::max(0, y0 / 2 - 2);  // next row to be spread along x
        for (int i = y0 / 2; 2 * i < y1; i++) {
            for (; next <= std::min(i + 2, from.height - 1); next++)
                spread(source + (size_t)next * stride_of(from), (to.width + 1) / 2, kernel, rows_[next % kRows]);
            const float* in[5];
            for (int t = 0; t < 5; t++) in[t] = rows_[std::clamp(i - 2 + t, 0, from.height - 1) % kRows];
            for (int phase = 0; phase < 2; phase++) {
                const int y = 2 * i + phase;
                if (y < y0 || y >= y1) continue;
                VF taps[4];
                for (int t = 0; t < 4; t++) taps[t] = splatf(kernel[phase ? 3 - t : t]);
                float* row = target + (size_t)y * stride_of(to);
                for (int x = 0; x < to.width; x += kFloats) {
                    VF sum = taps[0] * loadf(in[phase] + x);
                    for (int t = 1; t < 4; t++) sum = fma(taps[t], loadf(in[phase + t] + x), sum);
                    store_first(row + x, sum, to.width - x);
                }
                repeat_edges(row, to.width);
            }
        }
    }

    // Rows r0 .. r1 of the gradient of `source` from that of the target; `add`: to what is there. With `sums`, those of
    // the kernel's gradient (4 vectors) grow.
    void backward(const float* source, const Size& from, const float* kernel, const float* grad_target, const Size& to,
                  float* grad_source, bool add, int r0, int r1, VF* sums) {
        for (int r = r0; r < r1; r++) {
            const float* row = source + (size_t)r * stride_of(from);
            if (sums) spread(row, (to.width + 1) / 2, kernel, rows_[0]);
            bool begun = false;
            const int first = r == 0 ? -2 : r, last = r == from.height - 1 ? r + 2 : r;
            for (int place = first; place <= last; place++) gather_rows(place, kernel, grad_target, to, sums, begun);
            gather_columns(row, from.width, to.width, kernel, sums);
            float* out = grad_source + (size_t)r * stride_of(from);
            const float* found = source_ + kFloats;
            for (int x = 0; x < from.width; x++) out[x] = (add ? out[x] : 0.0f) + found[x];
        }
    }

private:
    static constexpr int kRows = 8;
    float *rows_[kRows], *grad_row_, *even_, *odd_, *source_;

    static void spread(const float* __restrict from, int half, const float* kernel, float* __restrict to) {
        const float a = kernel[0], b = kernel[1], c = kernel[2], d = kernel[3];
        for (int i = 0; i < half; i++) {
            to[2 * i] = (a * from[i - 2] + b * from[i - 1]) + (c * from[i] + d * from[i + 1]);
            to[2 * i + 1] = (d * from[i - 1] + c * from[i]) + (b * from[i + 1] + a * from[i + 2]);
        }
    }

    // grad_row_ (+)= what the target's rows hand to row `place`, which may lie past an edge.
    void gather_rows(int place, const float* kernel, const float* grad_target, const Size& to, VF* sums, bool& begun) {
        const float* in[8];
        int tap[8], count = 0;
        for (int t = 0; t < 4; t++)
            for (int phase = 0; phase < 2; phase++) {
                const int y = 2 * (place + 2 - phase - t) + phase;
                if (y < 0 || y >= to.height) continue;
                in[count] = grad_target + (size_t)y * stride_of(to);
                tap[count++] = phase ? 3 - t : t;
            }
        if (!count && begun) return;
        with_size<9>(count + 1, [&](auto size) {
            constexpr int C = decltype(size)::value - 1;
            VF taps[C + 1], totals[C + 1];
            for (int i = 0; i < C; i++) {
                taps[i] = splatf(kernel[tap[i]]);
                totals[i] = splatf(0.0f);
            }
            for (int x = 0; x < to.width; x += kFloats) {
                const VF row = loadf(rows_[0] + x);
                VF sum = begun ? loadf(grad_row_ + x) : splatf(0.0f);
                const int rest = to.width - x;
#pragma GCC unroll 8
                for (int i = 0; i < C; i++) {
                    const VF grad = rest >= kFloats ? loadf(in[i] + x) : load_first(in[i] + x, rest);
                    sum = fma(grad, taps[i], sum);
                    if (sums) totals[i] = fma(grad, row, totals[i]);
                }
                storef(grad_row_ + x, sum);
            }
            if (sums)
                for (int i = 0; i < C; i++) sums[tap[i]] = sums[tap[i]] + totals[i];
        });
        begun = true;
    }

    // source_ (from kFloats on) = what grad_row_ hands to the samples of a source row.
    void gather_columns(const float* row, int width, int target_width, const float* kernel, VF* sums) {
        float *even = even_ + kFloats, *odd = odd_ + kFloats, *out = source_ + kFloats;
        grad_row_[target_width] = 0.0f;
        for (int i = 0; i < width; i++) {
            even[i] = grad_row_[2 * i];
            odd[i] = grad_row_[2 * i + 1];
        }
        std::fill_n(even + width, 2 * kFloats, 0.0f);
        std::fill_n(odd + width, 2 * kFloats, 0.0f);
        VF taps[4], totals[4];
        for (int t = 0; t < 4; t++) {
            taps[t] = splatf(kernel[t]);
            totals[t] = splatf(0.0f);
        }
        for (int x = -kPad; x < width + kPad; x += kFloats) {
            const VF value = load_first(row + x, std::min(kFloats, width + kPad - x));
            VF sum = splatf(0.0f);
            for (int t = 0; t < 4; t++) {
                const VF grad = loadf(even + x + 2 - t), mirrored = loadf(odd + x + t - 2);
                sum = fma(grad + mirrored, taps[t], sum);
                if (sums) totals[t] = fma(grad + mirrored, value, totals[t]);
            }
            storef(out + x, sum);
        }
        if (sums)
            for (int t = 0; t < 4; t++) sums[t] = sums[t] + totals[t];
        for (int i = 1; i <= kPad; i++) {
            out[0] += out[-i];
            out[width - 1] += out[width - 1 + i];
        }
    }
};

}  // namespace pyramid
}  // namespace C3_ISA
}  // namespace c3
