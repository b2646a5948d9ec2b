// SPDX-License-Identifier: MIT
// The few vector operations that the integer kernels need, for AVX-512, AVX2 and plain C++, of which
// the compiler makes NEON on ARM.
//
// A V16 holds kLanes int16, a V32 half as many int32. `unpack` interleaves within 128-bit blocks as x86 does, and
// `pack` undoes it, so that a pair of V32 sums made of unpacked operands packs back to the order of the operands.
// All three versions compute the same integers; which one runs is chosen at run time (dispatch.h).
#pragma once
#include <cstdint>
#include <cstring>
#if defined(C3_AVX512) || defined(C3_AVX2)
#include <immintrin.h>
#endif

namespace c3 {
namespace C3_ISA {

#if defined(C3_AVX512)

constexpr int kLanes = 32;
using V16 = __m512i;
using V32 = __m512i;
inline V16 load(const int16_t* p) { return _mm512_loadu_si512(p); }
inline void store(int16_t* p, V16 v) { _mm512_storeu_si512(p, v); }
inline void store32(int32_t* p, V32 v) { _mm512_storeu_si512(p, v); }
inline V16 splat(int16_t x) { return _mm512_set1_epi16(x); }
inline V16 splat_pair(int32_t x) { return _mm512_set1_epi32(x); }
inline V32 splat32(int32_t x) { return _mm512_set1_epi32(x); }
inline V16 unpack_low(V16 a, V16 b) { return _mm512_unpacklo_epi16(a, b); }
inline V16 unpack_high(V16 a, V16 b) { return _mm512_unpackhi_epi16(a, b); }
#if defined(C3_VNNI)
inline V32 multiply_add(V32 sum, V16 a, V16 b) { return _mm512_dpwssd_epi32(sum, a, b); }
#else
inline V32 multiply_add(V32 sum, V16 a, V16 b) { return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)); }
#endif
inline V32 add32(V32 a, V32 b) { return _mm512_add_epi32(a, b); }
inline V32 shift_right32(V32 a, int s) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(s)); }
inline V32 clip32(V32 a, int32_t low, int32_t high) {
    return _mm512_min_epi32(_mm512_max_epi32(a, _mm512_set1_epi32(low)), _mm512_set1_epi32(high));
}
inline V16 pack(V32 low, V32 high) { return _mm512_packs_epi32(low, high); }
// int32 pairs back to the order of the lanes, for results that stay 32 bits wide
inline void store_unpacked(int32_t* p, V32 low, V32 high) {
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                  second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    store32(p, _mm512_permutex2var_epi64(low, first, high));
    store32(p + 16, _mm512_permutex2var_epi64(low, second, high));
}
inline V16 add16(V16 a, V16 b) { return _mm512_add_epi16(a, b); }
inline V16 add_saturated(V16 a, V16 b) { return _mm512_adds_epi16(a, b); }
inline V16 shift_left16(V16 a, int s) { return _mm512_sll_epi16(a, _mm_cvtsi32_si128(s)); }
inline V16 min16(V16 a, V16 b) { return _mm512_min_epi16(a, b); }
inline V16 max16(V16 a, V16 b) { return _mm512_max_epi16(a, b); }
inline V16 multiply_round15(V16 a, V16 b) { return _mm512_mulhrs_epi16(a, b); }
inline V16 choose_greater(V16 x, V16 limit, V16 yes, V16 no) {
    return _mm512_mask_blend_epi16(_mm512_cmpgt_epi16_mask(x, limit), no, yes);
}
inline V16 or16(V16 a, V16 b) { return _mm512_or_si512(a, b); }
inline bool is_zero(V16 a) { return _mm512_test_epi16_mask(a, a) == 0; }

#elif defined(C3_AVX2)

constexpr int kLanes = 16;
using V16 = __m256i;
using V32 = __m256i;
inline V16 load(const int16_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
inline void store(int16_t* p, V16 v) { _mm256_storeu_si256((__m256i*)p, v); }
inline void store32(int32_t* p, V32 v) { _mm256_storeu_si256((__m256i*)p, v); }
inline V16 splat(int16_t x) { return _mm256_set1_epi16(x); }
inline V16 splat_pair(int32_t x) { return _mm256_set1_epi32(x); }
inline V32 splat32(int32_t x) { return _mm256_set1_epi32(x); }
inline V16 unpack_low(V16 a, V16 b) { return _mm256_unpacklo_epi16(a, b); }
inline V16 unpack_high(V16 a, V16 b) { return _mm256_unpackhi_epi16(a, b); }
inline V32 multiply_add(V32 sum, V16 a, V16 b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
inline V32 add32(V32 a, V32 b) { return _mm256_add_epi32(a, b); }
inline V32 shift_right32(V32 a, int s) { return _mm256_sra_epi32(a, _mm_cvtsi32_si128(s)); }
inline V32 clip32(V32 a, int32_t low, int32_t high) {
    return _mm256_min_epi32(_mm256_max_epi32(a, _mm256_set1_epi32(low)), _mm256_set1_epi32(high));
}
inline V16 pack(V32 low, V32 high) { return _mm256_packs_epi32(low, high); }
inline void store_unpacked(int32_t* p, V32 low, V32 high) {
    store32(p, _mm256_permute2x128_si256(low, high, 0x20));
    store32(p + 8, _mm256_permute2x128_si256(low, high, 0x31));
}
inline V16 add16(V16 a, V16 b) { return _mm256_add_epi16(a, b); }
inline V16 add_saturated(V16 a, V16 b) { return _mm256_adds_epi16(a, b); }
inline V16 shift_left16(V16 a, int s) { return _mm256_sll_epi16(a, _mm_cvtsi32_si128(s)); }
inline V16 min16(V16 a, V16 b) { return _mm256_min_epi16(a, b); }
inline V16 max16(V16 a, V16 b) { return _mm256_max_epi16(a, b); }
inline V16 multiply_round15(V16 a, V16 b) { return _mm256_mulhrs_epi16(a, b); }
inline V16 choose_greater(V16 x, V16 limit, V16 yes, V16 no) {
    return _mm256_blendv_epi8(no, yes, _mm256_cmpgt_epi16(x, limit));
}
inline V16 or16(V16 a, V16 b) { return _mm256_or_si256(a, b); }
inline bool is_zero(V16 a) { return _mm256_testz_si256(a, a); }

#else

constexpr int kLanes = 8;
struct V16 {
    int16_t v[8];
};
struct V32 {
    int32_t v[4];
};
inline int16_t saturated(int32_t x) { return x < -32768 ? -32768 : x > 32767 ? 32767 : (int16_t)x; }
inline V16 load(const int16_t* p) {
    V16 r;
    std::memcpy(r.v, p, 16);
    return r;
}
inline void store(int16_t* p, V16 v) { std::memcpy(p, v.v, 16); }
inline void store32(int32_t* p, V32 v) { std::memcpy(p, v.v, 16); }
inline V16 splat(int16_t x) {
    V16 r;
    for (int i = 0; i < 8; i++) r.v[i] = x;
    return r;
}
inline V16 splat_pair(int32_t x) {
    V16 r;
    for (int i = 0; i < 4; i++) std::memcpy(r.v + 2 * i, &x, 4);
    return r;
}
inline V32 splat32(int32_t x) {
    V32 r;
    for (int i = 0; i < 4; i++) r.v[i] = x;
    return r;
}
inline V16 unpack_low(V16 a, V16 b) {
    V16 r;
    for (int i = 0; i < 4; i++) {
        r.v[2 * i] = a.v[i];
        r.v[2 * i + 1] = b.v[i];
    }
    return r;
}
inline V16 unpack_high(V16 a, V16 b) {
    V16 r;
    for (int i = 0; i < 4; i++) {
        r.v[2 * i] = a.v[4 + i];
        r.v[2 * i + 1] = b.v[4 + i];
    }
    return r;
}
inline V32 multiply_add(V32 sum, V16 a, V16 b) {
    for (int i = 0; i < 4; i++) sum.v[i] += (int32_t)a.v[2 * i] * b.v[2 * i] + (int32_t)a.v[2 * i + 1] * b.v[2 * i + 1];
    return sum;
}
inline V32 add32(V32 a, V32 b) {
    for (int i = 0; i < 4; i++) a.v[i] += b.v[i];
    return a;
}
inline V32 shift_right32(V32 a, int s) {
    for (int i = 0; i < 4; i++) a.v[i] >>= s;
    return a;
}
inline V32 clip32(V32 a, int32_t low, int32_t high) {
    for (int i = 0; i < 4; i++) a.v[i] = a.v[i] < low ? low : a.v[i] > high ? high : a.v[i];
    return a;
}
inline V16 pack(V32 low, V32 high) {
    V16 r;
    for (int i = 0; i < 4; i++) {
        r.v[i] = saturated(low.v[i]);
        r.v[4 + i] = saturated(high.v[i]);
    }
    return r;
}
inline void store_unpacked(int32_t* p, V32 low, V32 high) {
    store32(p, low);
    store32(p + 4, high);
}
inline V16 add16(V16 a, V16 b) {
    for (int i = 0; i < 8; i++) a.v[i] = (int16_t)(a.v[i] + b.v[i]);
    return a;
}
inline V16 add_saturated(V16 a, V16 b) {
    for (int i = 0; i < 8; i++) a.v[i] = saturated((int32_t)a.v[i] + b.v[i]);
    return a;
}
inline V16 shift_left16(V16 a, int s) {
    for (int i = 0; i < 8; i++) a.v[i] = (int16_t)((uint16_t)a.v[i] << s);
    return a;
}
inline V16 min16(V16 a, V16 b) {
    for (int i = 0; i < 8; i++) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}
inline V16 max16(V16 a, V16 b) {
    for (int i = 0; i < 8; i++) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}
inline V16 multiply_round15(V16 a, V16 b) {
    for (int i = 0; i < 8; i++) a.v[i] = (int16_t)(((int32_t)a.v[i] * b.v[i] + (1 << 14)) >> 15);
    return a;
}
inline V16 choose_greater(V16 x, V16 limit, V16 yes, V16 no) {
    for (int i = 0; i < 8; i++) no.v[i] = x.v[i] > limit.v[i] ? yes.v[i] : no.v[i];
    return no;
}
inline V16 or16(V16 a, V16 b) {
    for (int i = 0; i < 8; i++) a.v[i] |= b.v[i];
    return a;
}
inline bool is_zero(V16 a) {
    int r = 0;
    for (int i = 0; i < 8; i++) r |= a.v[i];
    return r == 0;
}

#endif

// x * clip(x/4 + 1/2, 0, 1) with binary point `bits` (10 or 13): docs/c3v.md, section 4.2.
template <int bits>
inline V16 activate(V16 x) {
    constexpr int16_t two = 2 << bits;  // from here up the gate is one
    V16 near = min16(max16(x, splat((int16_t)-two)), splat((int16_t)(two - 1)));
    V16 gate = add16(shift_left16(near, 13 - bits), splat(16384));
    return choose_greater(x, splat((int16_t)(two - 1)), x, multiply_round15(x, gate));
}

// Rounding shift of a pair of sums, saturated to int16.
inline V16 narrow(V32 low, V32 high, int shift) {
    V32 half = splat32(shift ? 1 << (shift - 1) : 0);
    return pack(shift_right32(add32(low, half), shift), shift_right32(add32(high, half), shift));
}

}  // namespace C3_ISA
}  // namespace c3
