// SPDX-License-Identifier: MIT
// Layers of the fit's networks on chunks of positions, and the sums of their weights' gradients.
#pragma once
#include "shared/products.h"
#include "shared/simd_float_math.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

// Sums over positions of products of two lists of rows, in vectors; doubles take them over from time to time, since
// sums of some 2^15 floats are exact enough.
class DotSums {
public:
    DotSums(int rows, int columns)
        : rows_(rows), columns_(columns), sums_((size_t)std::max(1, rows * columns) * kFloats) {}

    void add(const float* const* a, const float* const* b, int64_t length) {
        if (rows_ && columns_) dot(a, rows_, b, columns_, length, reinterpret_cast<VF*>(sums_.data()));
    }

    // f(row, column, sum), then starts anew.
    template <typename F>
    void flush(F f) {
        for (int r = 0; r < rows_; r++)
            for (int c = 0; c < columns_; c++)
                f(r, c, (double)sum_lanes(loadf(sums_.data() + (size_t)(r * columns_ + c) * kFloats)));
        std::fill_n(sums_.data(), sums_.size(), 0.0f);
    }

private:
    int rows_, columns_;
    Floats sums_;
};

// A block of rows of `layer`, for all positions. Not inlined: among the rest of a caller's variables g++ would keep
// some of the sums in memory.
template <int R, typename Finish>
__attribute__((noinline)) void layer_rows(const float* const* in, int num_inputs, const float* matrix, int stride,
                                          const float* bias, int64_t length, int start, const Finish& finish) {
    constexpr int V = block_vectors(R);
    for (int64_t n = 0; n < length; n += V * kFloats)
        combine_block<R, V>(in, num_inputs, matrix + start, stride, bias + start, n,
                            [&](int r, int64_t at, VF sum) { finish(start + r, at, sum); });
}

// As `combine` of products.h.
template <typename Finish>
inline void layer(const float* const* in, int num_inputs, const float* matrix, const float* bias, int num_outputs,
                  int64_t length, const Finish& finish) {
    for_blocks(num_outputs, kBlockRows, [&](int start, int size) {
        with_size<kBlockRows>(size, [&](auto rows) {
            layer_rows<decltype(rows)::value>(in, num_inputs, matrix, num_outputs, bias, length, start, finish);
        });
    });
}

// max(x, 0), at most `limit`; NaN stays.
C3_INLINE VF rectified(VF x, VF limit) { return minf(limit, maxf(splatf(0.0f), x)); }

// Units become their gradient, which passes where they are above 0, and at their limit only where it leads back from
// it.
C3_INLINE void let_pass(float* units, VF grad, float limit) {
    const VF zero = splatf(0.0f), unit = loadf(units);
    storef(units, if_less(zero, unit, if_less(unit, splatf(limit), grad, maxf(zero, grad)), zero));
}

}  // namespace pyramid
}  // namespace C3_ISA
}  // namespace c3
