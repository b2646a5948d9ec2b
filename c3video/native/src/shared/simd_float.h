// SPDX-License-Identifier: MIT
// Vectors of floats for the kernels of the fit: AVX-512, AVX2, and whatever the compiler makes of its own vectors
// (SSE, NEON). Nothing here decides a bit of a stream, so a multiply-add may round once or twice.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(C3_AVX512) || defined(C3_AVX2)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12 takes its own _mm512_undefined_ps for an oversight
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace c3 {
namespace C3_ISA {

// VF has + - * / of its own. min and max return `b` where a value is not a number, as the x86 instructions do:
// clamp with the limit first and such values stay visible.
#if defined(C3_AVX512)

constexpr int kFloats = 16;
constexpr int kRegisters = 32;
using VF = __m512;
inline VF loadf(const float* p) { return _mm512_loadu_ps(p); }
inline void storef(float* p, VF v) { _mm512_storeu_ps(p, v); }
inline VF splatf(float x) { return _mm512_set1_ps(x); }
inline VF fma(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
inline VF minf(VF a, VF b) { return _mm512_min_ps(a, b); }
inline VF maxf(VF a, VF b) { return _mm512_max_ps(a, b); }
inline VF if_equal(VF a, VF b, VF yes, VF no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), no, yes);
}
inline VF if_less(VF a, VF b, VF yes, VF no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
// The first `count` floats, then zeros.
inline VF load_first(const float* p, int count) { return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p); }

#elif defined(C3_AVX2)

constexpr int kFloats = 8;
constexpr int kRegisters = 16;
using VF = __m256;
inline VF loadf(const float* p) { return _mm256_loadu_ps(p); }
inline void storef(float* p, VF v) { _mm256_storeu_ps(p, v); }
inline VF splatf(float x) { return _mm256_set1_ps(x); }
inline VF fma(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
inline VF minf(VF a, VF b) { return _mm256_min_ps(a, b); }
inline VF maxf(VF a, VF b) { return _mm256_max_ps(a, b); }
inline VF if_equal(VF a, VF b, VF yes, VF no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
inline VF if_less(VF a, VF b, VF yes, VF no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
inline VF load_first(const float* p, int count) {
    float values[kFloats] = {};
    std::memcpy(values, p, sizeof(float) * (size_t)count);
    return loadf(values);
}

#else

constexpr int kFloats = 4;
constexpr int kRegisters = 16;
typedef float VF __attribute__((vector_size(16), may_alias));
inline VF loadf(const float* p) {
    VF v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void storef(float* p, VF v) { std::memcpy(p, &v, sizeof v); }
inline VF splatf(float x) { return VF{x, x, x, x}; }
inline VF fma(VF a, VF b, VF c) { return a * b + c; }
inline VF minf(VF a, VF b) {
    for (int i = 0; i < 4; i++) a[i] = a[i] < b[i] ? a[i] : b[i];
    return a;
}
inline VF maxf(VF a, VF b) {
    for (int i = 0; i < 4; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
inline VF if_equal(VF a, VF b, VF yes, VF no) {
    for (int i = 0; i < 4; i++) no[i] = a[i] == b[i] ? yes[i] : no[i];
    return no;
}
inline VF if_less(VF a, VF b, VF yes, VF no) {
    for (int i = 0; i < 4; i++) no[i] = a[i] < b[i] ? yes[i] : no[i];
    return no;
}
inline VF load_first(const float* p, int count) {
    VF v = {};
    std::memcpy(&v, p, sizeof(float) * (size_t)count);
    return v;
}

#endif

// Keeps a value that is used many times in a register: g++ likes to load it again for each use. Where registers are
// few that is as well.
inline void hold(VF& v) {
#if defined(C3_AVX512)
    asm("" : "+v"(v));
#else
    (void)v;
#endif
}

inline float sum_lanes(VF v) {
    float values[kFloats];
    storef(values, v);
    for (int width = kFloats / 2; width; width /= 2)
        for (int i = 0; i < width; i++) values[i] += values[i + width];
    return values[0];
}

// x * clip(x/4 + 1/2, 0, 1)
inline VF activate(VF x) { return x * minf(maxf(fma(x, splatf(0.25f), splatf(0.5f)), splatf(0.0f)), splatf(1.0f)); }

// The same, and its slope: x/2 + 1/2 between -2 and 2; 0 below, 1 above.
inline VF activate(VF x, VF& slope) {
    const VF line = fma(x, splatf(0.25f), splatf(0.5f));
    const VF gate = minf(maxf(line, splatf(0.0f)), splatf(1.0f));
    slope = if_equal(line, gate, fma(x, splatf(0.5f), splatf(0.5f)), gate);
    return x * gate;
}

}  // namespace C3_ISA
}  // namespace c3
