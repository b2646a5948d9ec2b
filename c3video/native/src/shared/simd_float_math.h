// SPDX-License-Identifier: MIT
// exp, log, tanh and their kin on vectors of floats, for the kernels of a fit: good to about 1e-6, never for what
// decides a bit of a stream. NaN stays NaN through all of them, so that a fit which runs away is noticed.
#pragma once
#include "shared/simd_float.h"

// A call would save and load every vector that is in use.
#define C3_INLINE inline __attribute__((always_inline))

namespace c3 {
namespace C3_ISA {

typedef int32_t VI __attribute__((vector_size(4 * kFloats)));

inline VF square_root(VF x) {
#if defined(C3_AVX512)
    return _mm512_sqrt_ps(x);
#elif defined(C3_AVX2)
    return _mm256_sqrt_ps(x);
#else
    for (int i = 0; i < kFloats; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

// NaN stays NaN.
inline VF at_least(VF x, float low) { return if_less(x, splatf(low), splatf(low), x); }
inline VF at_most(VF x, float high) { return if_less(splatf(high), x, splatf(high), x); }

inline VF magnitude(VF x) { return (VF)((VI)x & 0x7fffffff); }
inline VF with_sign_of(VF positive, VF sign) { return (VF)((VI)positive | ((VI)sign & (int32_t)0x80000000)); }

// Nearest whole number, halves to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no room for a fraction.
constexpr float kRounder = 12582912.0f;
inline VF rounded_small(VF x) { return (x + kRounder) - kRounder; }

inline VF floor_of(VF x) {
    const VF whole = __builtin_convertvector(__builtin_convertvector(x, VI), VF);
    const VF lowered = if_less(x, whole, whole - 1.0f, whole);
    return if_less(magnitude(x), splatf(8388608.0f), lowered, x);  // larger ones (and NaN) have no fraction
}

inline VF rounded(VF x) {  // halves to even
    return if_less(magnitude(x), splatf(4194304.0f), rounded_small(x), x);
}

// e^r for |r| <= ln(2) / 2, times 2^whole. Source: the polynomial of Cephes' expf.
C3_INLINE VF scaled_exp(VF r, VF whole) {
    VF p = splatf(1.9875691500e-4f);
    p = fma(p, r, splatf(1.3981999507e-3f));
    p = fma(p, r, splatf(8.3334519073e-3f));
    p = fma(p, r, splatf(4.1665795894e-2f));
    p = fma(p, r, splatf(1.6666665459e-1f));
    p = fma(p, r, splatf(5.0000001201e-1f));
    p = fma(p, r * r, r) + 1.0f;
    return p * (VF)((__builtin_convertvector(whole, VI) + 127) << 23);
}

// x is held within what a normal float can say.
C3_INLINE VF exp_of(VF x) {
    x = at_most(at_least(x, -87.0f), 88.0f);
    const VF whole = rounded_small(x * 1.44269504f);
    const VF r = fma(whole, splatf(2.12194440e-4f), fma(whole, splatf(-0.693359375f), x));  // ln 2 in two parts
    return scaled_exp(r, whole);
}

C3_INLINE VF exp2_of(VF x) {
    x = at_most(at_least(x, -126.0f), 127.0f);
    const VF whole = rounded_small(x);
    return scaled_exp((x - whole) * 0.693147181f, whole);
}

// Natural logarithm of the mantissa of x, brought to [sqrt(1/2), sqrt(2)), and the exponent that is left.
// Source: the polynomial of Cephes' logf. x must be positive and normal, or NaN.
struct LogParts {
    VF mantissa_log, exponent;
};
C3_INLINE LogParts log_parts(VF x) {
    const VI bits = (VI)x, exponent = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3 is sqrt(1/2)
    const VF r = (VF)(bits - (exponent << 23)) - 1.0f, square = r * r;
    VF p = splatf(7.0376836292e-2f);
    p = fma(p, r, splatf(-1.1514610310e-1f));
    p = fma(p, r, splatf(1.1676998740e-1f));
    p = fma(p, r, splatf(-1.2420140846e-1f));
    p = fma(p, r, splatf(1.4249322787e-1f));
    p = fma(p, r, splatf(-1.6668057665e-1f));
    p = fma(p, r, splatf(2.0000714765e-1f));
    p = fma(p, r, splatf(-2.4999993993e-1f));
    p = fma(p, r, splatf(3.3333331174e-1f));
    const VF log = r + square * fma(p, r, splatf(-0.5f));
    return {log + (x - x), __builtin_convertvector(exponent, VF)};  // x - x: NaN where x is
}
C3_INLINE VF log_of(VF x) {
    const LogParts parts = log_parts(x);
    return fma(parts.exponent, splatf(0.693147181f), parts.mantissa_log);
}
C3_INLINE VF log2_of(VF x) {
    const LogParts parts = log_parts(x);
    return fma(parts.mantissa_log, splatf(1.44269504f), parts.exponent);
}

// x^y for x in [0, 1], 0 < y.
C3_INLINE VF power(VF x, float y) { return exp2_of(log2_of(at_least(x, 1e-30f)) * y); }

// What slopes are made of is an argument of these two, so that it is computed once:
// `far` = e^(-2|x|) and `root` = 1 / (1 + far); 1 - tanh^2 = 4 far root^2. Source: Cephes' tanhf near zero.
C3_INLINE VF tanh_given(VF x, VF far, VF root) {
    const VF square = x * x;
    VF p = splatf(-5.70498872745e-3f);
    p = fma(p, square, splatf(2.06390887954e-2f));
    p = fma(p, square, splatf(-5.37397155531e-2f));
    p = fma(p, square, splatf(1.33314422036e-1f));
    p = fma(p, square, splatf(-3.33332819422e-1f));
    const VF near = fma(p * square, x, x);
    return if_less(magnitude(x), splatf(0.625f), near, with_sign_of((1.0f - far) * root, x));
}
// |x| < 1; `slope` = 1 / (1 - x^2). Source: Cephes' atanhf near zero.
C3_INLINE VF atanh_given(VF x, VF slope) {
    const VF square = x * x, above = 1.0f + x;
    VF p = splatf(1.81740078349e-1f);
    p = fma(p, square, splatf(8.24370301058e-2f));
    p = fma(p, square, splatf(1.46691431730e-1f));
    p = fma(p, square, splatf(1.99782164500e-1f));
    p = fma(p, square, splatf(3.33337300303e-1f));
    const VF near = fma(p * square, x, x);
    return if_less(magnitude(x), splatf(0.5f), near, 0.5f * log_of(above * above * slope));  // (1 + x) / (1 - x)
}

}  // namespace C3_ISA
}  // namespace c3
