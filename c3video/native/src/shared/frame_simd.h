// SPDX-License-Identifier: MIT
// Vectors for the kernels of frames: those of simd.h at full width, and at half of it where that saves work.
//
// Windows of blocks are 8 to 64 samples wide, so a strip of samples is cut into Wide vectors and one or two Narrow
// ones.
#pragma once
#include <cstddef>

#include "shared/simd.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define C3_INLINE inline __attribute__((always_inline))

namespace c3 {
namespace C3_ISA {

#if defined(C3_AVX512)

// simd.h's operations on half vectors.
inline __m256i unpack_low(__m256i a, __m256i b) { return _mm256_unpacklo_epi16(a, b); }
inline __m256i unpack_high(__m256i a, __m256i b) { return _mm256_unpackhi_epi16(a, b); }
#if defined(C3_VNNI)
inline __m256i multiply_add(__m256i sum, __m256i a, __m256i b) { return _mm256_dpwssd_epi32(sum, a, b); }
#else
inline __m256i multiply_add(__m256i sum, __m256i a, __m256i b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}
#endif
inline __m256i add32(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
inline __m256i shift_right32(__m256i a, int s) { return _mm256_sra_epi32(a, _mm_cvtsi32_si128(s)); }
inline __m256i pack(__m256i low, __m256i high) { return _mm256_packs_epi32(low, high); }
inline __m256i add16(__m256i a, __m256i b) { return _mm256_add_epi16(a, b); }
inline __m256i shift_left16(__m256i a, int s) { return _mm256_sll_epi16(a, _mm_cvtsi32_si128(s)); }
inline __m256i multiply_round15(__m256i a, __m256i b) { return _mm256_mulhrs_epi16(a, b); }
inline void store(int16_t* p, __m256i v) { _mm256_storeu_si256((__m256i*)p, v); }
inline void store32(int32_t* p, __m256i v) { _mm256_storeu_si256((__m256i*)p, v); }

inline V16 multiply16(V16 a, V16 b) { return _mm512_mullo_epi16(a, b); }
inline V16 subtract_saturated(V16 a, V16 b) { return _mm512_subs_epi16(a, b); }
// 32-bit results of even and odd lanes, their low halves side by side.
inline V16 weave(V32 even, V32 odd) { return _mm512_mask_blend_epi16(0xAAAAAAAAu, even, _mm512_slli_epi32(odd, 16)); }
// (a + b + 1) >> 1: the instruction has no signs, so zero is moved to the middle and back.
inline V16 mean16(V16 a, V16 b) {
    const V16 sign = _mm512_set1_epi16((short)0x8000);
    return _mm512_xor_si512(_mm512_avg_epu16(_mm512_xor_si512(a, sign), _mm512_xor_si512(b, sign)), sign);
}

struct Wide {
    using V16 = __m512i;
    using V32 = __m512i;
    static constexpr int lanes = 32;
    static V16 load(const int16_t* p) { return _mm512_loadu_si512(p); }
    static V16 splat(int16_t x) { return _mm512_set1_epi16(x); }
    static V16 splat_pair(int32_t x) { return _mm512_set1_epi32(x); }
    static V32 splat32(int32_t x) { return _mm512_set1_epi32(x); }
};
struct Narrow {
    using V16 = __m256i;
    using V32 = __m256i;
    static constexpr int lanes = 16;
    static V16 load(const int16_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
    static V16 splat(int16_t x) { return _mm256_set1_epi16(x); }
    static V16 splat_pair(int32_t x) { return _mm256_set1_epi32(x); }
    static V32 splat32(int32_t x) { return _mm256_set1_epi32(x); }
};

#endif

#if defined(C3_AVX512) || defined(C3_AVX2)

inline __m256i multiply16(__m256i a, __m256i b) { return _mm256_mullo_epi16(a, b); }
inline __m256i subtract_saturated(__m256i a, __m256i b) { return _mm256_subs_epi16(a, b); }
inline __m256i weave(__m256i even, __m256i odd) { return _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xAA); }
inline __m256i mean16(__m256i a, __m256i b) {
    const __m256i sign = _mm256_set1_epi16((short)0x8000);
    return _mm256_xor_si256(_mm256_avg_epu16(_mm256_xor_si256(a, sign), _mm256_xor_si256(b, sign)), sign);
}

#if defined(C3_AVX2)
struct Wide {
    using V16 = __m256i;
    using V32 = __m256i;
    static constexpr int lanes = 16;
    static V16 load(const int16_t* p) { return C3_ISA::load(p); }
    static V16 splat(int16_t x) { return C3_ISA::splat(x); }
    static V16 splat_pair(int32_t x) { return C3_ISA::splat_pair(x); }
    static V32 splat32(int32_t x) { return C3_ISA::splat32(x); }
};
using Narrow = Wide;
#endif

#else

// The compiler's own vectors of 128 bits, which are SSE2's and NEON's. simd.h's plain ones are arrays, which it makes
// less of. Where x86 saturates these wrap around: only samples outside their bit depth tell the difference.
typedef int16_t Lanes16 __attribute__((vector_size(16)));
typedef int32_t Lanes32 __attribute__((vector_size(16)));
typedef uint16_t Unsigned16 __attribute__((vector_size(16)));
typedef uint32_t Unsigned32 __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define C3_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define C3_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Lanes16{__VA_ARGS__})
#endif
inline Lanes16 unpack_low(Lanes16 a, Lanes16 b) { return C3_SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
inline Lanes16 unpack_high(Lanes16 a, Lanes16 b) { return C3_SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
inline Lanes16 pack(Lanes32 low, Lanes32 high) {
    return C3_SHUFFLE((Lanes16)low, (Lanes16)high, 0, 2, 4, 6, 8, 10, 12, 14);
}
inline Lanes16 weave(Lanes32 even, Lanes32 odd) {
    return C3_SHUFFLE((Lanes16)even, (Lanes16)odd, 0, 8, 2, 10, 4, 12, 6, 14);
}
inline Lanes32 multiply_add(Lanes32 sum, Lanes16 a, Lanes16 b) {
#if defined(__SSE2__)
    return sum + (Lanes32)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    const Lanes32 even = ((Lanes32)((Unsigned32)a << 16) >> 16) * ((Lanes32)((Unsigned32)b << 16) >> 16);
    return sum + even + ((Lanes32)a >> 16) * ((Lanes32)b >> 16);
#endif
}
inline Lanes32 add32(Lanes32 a, Lanes32 b) { return a + b; }
inline Lanes32 shift_right32(Lanes32 a, int s) { return a >> s; }
inline Lanes16 add16(Lanes16 a, Lanes16 b) { return a + b; }
inline Lanes16 shift_left16(Lanes16 a, int s) { return (Lanes16)((Unsigned16)a << s); }
inline Lanes16 multiply16(Lanes16 a, Lanes16 b) { return a * b; }
inline Lanes16 mean16(Lanes16 a, Lanes16 b) { return (a | b) - ((a ^ b) >> 1); }
inline Lanes16 subtract_saturated(Lanes16 a, Lanes16 b) {
    for (int i = 0; i < 8; i++) a[i] = saturated((int32_t)a[i] - b[i]);
    return a;
}
inline Lanes16 multiply_round15(Lanes16 a, Lanes16 b) {
    for (int i = 0; i < 8; i++) a[i] = (int16_t)(((int32_t)a[i] * b[i] + (1 << 14)) >> 15);
    return a;
}
inline void store(int16_t* p, Lanes16 v) { std::memcpy(p, &v, 16); }
inline void store32(int32_t* p, Lanes32 v) { std::memcpy(p, &v, 16); }

struct Wide {
    using V16 = Lanes16;
    using V32 = Lanes32;
    static constexpr int lanes = 8;
    static V16 load(const int16_t* p) {
        V16 v;
        std::memcpy(&v, p, 16);
        return v;
    }
    static V16 splat(int16_t x) { return V16{x, x, x, x, x, x, x, x}; }
    static V16 splat_pair(int32_t x) { return (V16)V32{x, x, x, x}; }
    static V32 splat32(int32_t x) { return V32{x, x, x, x}; }
};
using Narrow = Wide;

#endif

constexpr int rounded_up(int count, int unit) { return (count + unit - 1) / unit * unit; }

// Calls work(Wide or Narrow, x) for vectors that cover `columns`, rounded up to Narrow ones.
template <typename Work>
C3_INLINE void for_vectors(int columns, const Work& work) {
    int x = 0;
    for (; x + Wide::lanes <= columns; x += Wide::lanes) work(Wide(), x);
    for (; x < columns; x += Narrow::lanes) work(Narrow(), x);
}

}  // namespace C3_ISA
}  // namespace c3
