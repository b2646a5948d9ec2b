// SPDX-License-Identifier: MIT
// How likely a latent is by the outputs of the entropy network, for fits: laplace_bits of pyramid/fit/network.py, which
// says what the numbers mean.
#pragma once
#include "shared/simd_float_math.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

constexpr float kLeastOutput = -3.0f, kMostOutput = 4.875f;  // of the network, for the scale

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

struct LaplaceScale {
    VF scale, inverse;  // in steps, and 1 / scale
};
C3_INLINE LaplaceScale laplace_scale(VF output) {
    const VF scale = exp_of(at_most(at_least(output, kLeastOutput), kMostOutput) + (3.0f - 3.4657359028f));
    return {scale, reciprocal(scale)};
}

// exp(-distance / scale) of the bounds of the bin: the near one, then the far one.
struct LaplaceTails {
    VF upper, lower;
};
C3_INLINE LaplaceTails laplace_tails(VF distance, VF inverse) {
    return {exp_of(-magnitude(distance - 0.5f) * inverse), exp_of(-(distance + 0.5f) * inverse)};
}

// A bin's probability, and the parts of it that gradients want: half of what the tails differ by, and the slow tail
// 2^-16 fall^2 with fall = 1 / (1 + far^2), far = distance reach.
struct LaplaceBin {
    VF probability, drop, reach, far, fall, tail;
};
C3_INLINE LaplaceBin laplace_bin(VF distance, VF scale, const LaplaceTails& tails) {
    const VF half = splatf(0.5f), one = splatf(1.0f), drop = half * (tails.upper - tails.lower);
    // Below half a step from the location the bin holds the peak; beyond it both bounds lie on one flank.
    const VF inside = if_less(distance, half, 1.0f - half * (tails.upper + tails.lower), drop);
    const VF reach = reciprocal(fma(scale, splatf(10.0f), splatf(4.0f))), far = distance * reach;
    const VF fall = reciprocal(fma(far, far, one)), tail = (fall * fall) * 0x1p-16f;
    return {inside + tail, drop, reach, far, fall, tail};
}

}  // namespace pyramid
}  // namespace C3_ISA
}  // namespace c3
