// SPDX-License-Identifier: MIT
// Layers of the fit's networks on chunks of positions, and the sums of their weights' gradients.
#pragma once
#include "c3/products.h"
#include "shared/simd_float_math.h"

namespace c3 {
namespace pyramid {
namespace C3_ISA {

using namespace c3::C3_ISA;

// Sums over positions of products of two lists of rows, in vectors; doubles take them over from time to time, since
// sums of some 2^15 floats are exact enough.
class DotSums {
public:
    DotSums(int rows, int columns) : rows_(rows), columns_(columns), sums_((size_t)std::max(1, rows * columns) * kFloats) {}

    void add(const float* const* a, const float* const* b, int64_t length) {
        if (rows_ && columns_) dot(a, rows_, b, columns_, length, reinterpret_cast<VF*>(sums_.data()));
    }

    // f(row, column, sum), then starts anew.
    template <typename F>
    void flush(F f) {
        for (int r = 0; r < rows_; r++)
            for (int c = 0; c < columns_; c++) f(r, c, (double)sum_lanes(loadf(sums_.data() + (size_t)(r * columns_ + c) * kFloats)));
        std::fill_n(sums_.data(), sums_.size(), 0.0f);
    }

private:
    int rows_, columns_;
    Floats sums_;
};

// max(x, 0), at most `limit`; NaN stays.
C3_INLINE VF rectified(VF x, VF limit) { return minf(limit, maxf(splatf(0.0f), x)); }

// 1 / x to about a float's precision, for positive x of usual size: division itself takes three times as long.
C3_INLINE VF reciprocal(VF x) {
#if defined(C3_AVX512)
    const VF r = _mm512_rcp14_ps(x);
#elif defined(C3_AVX2)
    const VF r = _mm256_rcp_ps(x);
#else
    const VF r = 1.0f / x;
#endif
    return r * (2.0f - x * r);
}

// Where a unit is above 0 its gradient passes.
C3_INLINE VF passed(VF unit, VF grad) { return if_less(splatf(0.0f), unit, grad, splatf(0.0f)); }

}  // namespace C3_ISA
}  // namespace pyramid
}  // namespace c3
