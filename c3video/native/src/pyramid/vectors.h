// SPDX-License-Identifier: MIT
// The vectors of the pyramid model's kernels: those of shared/simd.h, but where that has arrays the compiler's own
// vectors of 128 bits, which are SSE2's and NEON's.
#pragma once
#include "shared/frame_simd.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

#if defined(C3_AVX512)

template <int s>
inline V32 shifted(V32 a) {
    return _mm512_srai_epi32(a, s);
}
inline V32 as32(V16 a) { return a; }
inline V32 or32(V32 a, V32 b) { return _mm512_or_si512(a, b); }
inline V32 and32(V32 a, int32_t mask) { return _mm512_and_si512(a, _mm512_set1_epi32(mask)); }
template <int s>
inline V32 shifted_left(V32 a) {
    return _mm512_slli_epi32(a, s);
}
inline V16 sum16(V16 a, V16 b) { return _mm512_add_epi16(a, b); }
template <int s>
inline V16 shifted16(V16 a) {
    return _mm512_srai_epi16(a, s);
}

#elif defined(C3_AVX2)

template <int s>
inline V32 shifted(V32 a) {
    return _mm256_srai_epi32(a, s);
}
inline V32 as32(V16 a) { return a; }
inline V32 or32(V32 a, V32 b) { return _mm256_or_si256(a, b); }
inline V32 and32(V32 a, int32_t mask) { return _mm256_and_si256(a, _mm256_set1_epi32(mask)); }
template <int s>
inline V32 shifted_left(V32 a) {
    return _mm256_slli_epi32(a, s);
}
inline V16 sum16(V16 a, V16 b) { return _mm256_add_epi16(a, b); }
template <int s>
inline V16 shifted16(V16 a) {
    return _mm256_srai_epi16(a, s);
}

#else

// These names hide those of simd.h; what is not here is in frame_simd.h.
using V16 = Lanes16;
using V32 = Lanes32;
inline V16 load(const int16_t* p) { return Wide::load(p); }
inline V16 splat(int16_t x) { return Wide::splat(x); }
inline V16 splat_pair(int32_t x) { return Wide::splat_pair(x); }
inline V32 splat32(int32_t x) { return Wide::splat32(x); }
inline V32 as32(V16 a) { return (V32)a; }
inline V32 or32(V32 a, V32 b) { return a | b; }
inline V32 and32(V32 a, int32_t mask) { return a & splat32(mask); }
template <int s>
inline V32 shifted(V32 a) {
    return a >> s;
}
template <int s>
inline V32 shifted_left(V32 a) {
    return (V32)((Unsigned32)a << s);
}
inline V32 clip32(V32 a, int32_t low, int32_t high) {
    const V32 least = splat32(low), most = splat32(high);
    a = a < least ? least : a;
    return a > most ? most : a;
}
inline V16 max16(V16 a, V16 b) { return a > b ? a : b; }
inline V16 min16(V16 a, V16 b) { return a < b ? a : b; }
inline V16 or16(V16 a, V16 b) { return a | b; }
inline V16 sum16(V16 a, V16 b) { return a + b; }
template <int s>
inline V16 shifted16(V16 a) {
    return a >> s;
}
inline bool is_zero(V16 a) {
    int64_t halves[2];
    std::memcpy(halves, &a, 16);
    return (halves[0] | halves[1]) == 0;
}
inline void store_unpacked(int32_t* p, V32 low, V32 high) { store32(p, low), store32(p + 4, high); }
#if defined(__SSE2__)
inline V16 pack(V32 low, V32 high) { return (V16)_mm_packs_epi32((__m128i)low, (__m128i)high); }
inline V16 add_saturated(V16 a, V16 b) { return (V16)_mm_adds_epi16((__m128i)a, (__m128i)b); }
#else
inline V16 pack(V32 low, V32 high) { return C3_ISA::pack(clip32(low, -32768, 32767), clip32(high, -32768, 32767)); }
inline V16 add_saturated(V16 a, V16 b) {
    const V16 sum = (V16)((Unsigned16)a + (Unsigned16)b);
    // Where both had the sign that the sum lost, the end of that side is taken.
    const V16 wrapped = ((a ^ sum) & (b ^ sum)) >> 15, end = (a >> 15) ^ splat(32767);
    return (sum & ~wrapped) | (end & wrapped);
}
#endif

#endif

}  // namespace pyramid
}  // namespace C3_ISA
}  // namespace c3
