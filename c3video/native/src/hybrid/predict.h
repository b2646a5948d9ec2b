// SPDX-License-Identifier: MIT
// From the first layer's sums to a symbol: what the walks over subbands and over motion share. Compiled once for each
// instruction set.
//
// Symbols come one at a time, each table hanging on the symbol before, so that latency is what counts: the path from a
// neighbour's magnitude to the table is kept free of memory and of moves between halves of vectors where it can be.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hybrid/context_network.h"
#include "shared/ans.h"
#include "shared/simd.h"
#include "shared/sparse_tables.h"

namespace c3 {
namespace C3_ISA {

#if defined(C3_AVX512) || defined(C3_AVX2)

constexpr int kParts = 2 * kFirstWidth / kLanes;

// Sums of the first layer, one for each of its outputs.
struct Sums {
    V32 part[kParts];

    static Sums from(const int32_t* p) {
        Sums sums;
        for (int i = 0; i < kParts; i++) sums.part[i] = load(reinterpret_cast<const int16_t*>(p) + i * kLanes);
        return sums;
    }
    void to(int32_t* p) const {
        for (int i = 0; i < kParts; i++) store32(p + i * kLanes / 2, part[i]);
    }
    // Two features, the second in the upper half, times the weights of both.
    void add(const int16_t* weights, int32_t features) {
        for (int i = 0; i < kParts; i++)
            part[i] = multiply_add(part[i], load(weights + i * kLanes), splat_pair(features));
    }
    static int weight_place(int output, int feature) { return 2 * output + feature; }
};

#else

// In loops that compilers make vectors of.
struct Sums {
    int32_t sum[kFirstWidth];

    static Sums from(const int32_t* p) {
        Sums sums;
        std::copy(p, p + kFirstWidth, sums.sum);
        return sums;
    }
    void to(int32_t* p) const { std::copy(sum, sum + kFirstWidth, p); }
    void add(const int16_t* weights, int32_t features) {
        const int16_t first = (int16_t)(features & 0xFFFF), second = (int16_t)(features >> 16);
        for (int o = 0; o < kFirstWidth; o++) sum[o] += weights[o] * first + weights[kFirstWidth + o] * second;
    }
    static int weight_place(int output, int feature) { return kFirstWidth * feature + output; }
};

#endif

inline int32_t load_pair(const int16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, 4);
    return pair;
}

// What follows the first layer, its weights where the vectors want them.
class Layers {
public:
    Layers(const ContextNetwork& network, int symbol_class) {
        for (int o = 0; o < kSecondWidth; o++) {
            // The rounding of the shift is part of the bias.
            second_bias_[o] = network.second_bias[o] * (1 << kContextHiddenBits) + (1 << (kContextWeightBits - 1));
            for (int i = 0; i < kFirstWidth; i++)
                second_[second_place(o, i)] = (int16_t)network.second[o * kFirstWidth + i];
        }
        for (int o = 0; o < 2; o++) {
            const int shift = kLastShift - o;
            last_bias_[o] = network.last_bias[2 * symbol_class + o] * (1 << kContextHiddenBits) +
                            (kOrigins[o] << (kBits - shift)) + (1 << (kBits - shift - 1));
            for (int i = 0; i < kSecondWidth; i++)
                last_[last_place(o, i)] = (int16_t)network.last[o * kSecondWidth + i];
        }
    }

    // First layer's bias of a class and depth, with the rounding of its shift.
    static void first_bias(const ContextNetwork& network, int symbol_class, int depth, int32_t* bias) {
        for (int o = 0; o < kFirstWidth; o++) {
            const int32_t sum = network.class_bias[symbol_class * kFirstWidth + o] +
                                network.depth_bias[std::min(depth, kContextDepths - 1) * kFirstWidth + o];
            bias[o] = sum * (1 << kFeatureBits) + (1 << (kFeatureBits - 1));
        }
    }

    // Table 16 i + k of sums (16,) to which two more features are added.
    unsigned table(const int32_t* sums, const int16_t* weights, int32_t features) const;

private:
    static constexpr int kBits = kContextHiddenBits + kContextWeightBits;
    static constexpr int kLastShift = 2;  // a unit is four steps of i and two of k
    static constexpr int kOrigins[2] = {16, 8};

#if defined(C3_AVX512) || defined(C3_AVX2)
    // Packing leaves the pairs of hidden units 0, 1, 4, 5 in the lower and 2, 3, 6, 7 in the upper half of a vector. A
    // shuffle spreads one of each over its half, so four products, twice, make the partial sums of outputs 0..3 and
    // 4..7 in both halves.
    static int second_place(int output, int input) {
        const int pair = input / 2, upper = pair >> 1 & 1, step = (pair & 1) | (pair >> 2) << 1;
        return step * 32 + output / 4 * 16 + upper * 8 + output % 4 * 2 + input % 2;
    }
    static int last_place(int output, int input) { return input / 2 * 4 + output * 2 + input % 2; }
#else
    static int second_place(int output, int input) { return input * kSecondWidth + output; }
    static int last_place(int output, int input) { return output * kSecondWidth + input; }
#endif

    alignas(64) int16_t second_[kSecondWidth * kFirstWidth];
    alignas(32) int16_t last_[2 * kSecondWidth];
    alignas(32) int32_t second_bias_[kSecondWidth];
    alignas(16) int32_t last_bias_[4] = {};
};

#if defined(C3_AVX512) || defined(C3_AVX2)

inline __m256i multiply_pairs(__m256i sum, __m256i a, __m256i b) {
#if defined(C3_VNNI)
    return _mm256_dpwssd_epi32(sum, a, b);
#else
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
}

// activate<10> of simd.h on fewer lanes.
inline __m256i activate_hidden(__m256i x) {
    const __m256i below = _mm256_set1_epi16(2047);
    const __m256i near = _mm256_min_epi16(_mm256_max_epi16(x, _mm256_set1_epi16(-2048)), below);
    const __m256i gate = _mm256_add_epi16(_mm256_slli_epi16(near, 3), _mm256_set1_epi16(16384));
    return _mm256_blendv_epi8(_mm256_mulhrs_epi16(x, gate), x, _mm256_cmpgt_epi16(x, below));
}
inline __m128i activate_hidden(__m128i x) {
    const __m128i below = _mm_set1_epi16(2047);
    const __m128i near = _mm_min_epi16(_mm_max_epi16(x, _mm_set1_epi16(-2048)), below);
    const __m128i gate = _mm_add_epi16(_mm_slli_epi16(near, 3), _mm_set1_epi16(16384));
    return _mm_blendv_epi8(_mm_mulhrs_epi16(x, gate), x, _mm_cmpgt_epi16(x, below));
}

inline __attribute__((always_inline)) unsigned Layers::table(const int32_t* sums, const int16_t* weights,
                                                             int32_t features) const {
    const __m256i pair = _mm256_set1_epi32(features);
    const __m256i* first = (const __m256i*)weights;
    const __m256i low = multiply_pairs(_mm256_loadu_si256((const __m256i*)sums), _mm256_loadu_si256(first), pair);
    const __m256i high =
        multiply_pairs(_mm256_loadu_si256((const __m256i*)sums + 1), _mm256_loadu_si256(first + 1), pair);
    const __m256i hidden = activate_hidden(
        _mm256_packs_epi32(_mm256_srai_epi32(low, kFeatureBits), _mm256_srai_epi32(high, kFeatureBits)));

    const __m256i* second = (const __m256i*)second_;
    const __m256i steps[] = {_mm256_shuffle_epi32(hidden, 0x00), _mm256_shuffle_epi32(hidden, 0x55),
                             _mm256_shuffle_epi32(hidden, 0xAA), _mm256_shuffle_epi32(hidden, 0xFF)};
    __m128i halves[2];
    for (int half = 0; half < 2; half++) {
        const __m256i a = _mm256_add_epi32(_mm256_madd_epi16(steps[0], _mm256_load_si256(second + half)),
                                           _mm256_madd_epi16(steps[1], _mm256_load_si256(second + 2 + half)));
        const __m256i b = _mm256_add_epi32(_mm256_madd_epi16(steps[2], _mm256_load_si256(second + 4 + half)),
                                           _mm256_madd_epi16(steps[3], _mm256_load_si256(second + 6 + half)));
        const __m256i sum = _mm256_add_epi32(a, b);
        const __m128i with_bias =
            _mm_add_epi32(_mm256_castsi256_si128(sum), _mm_load_si128((const __m128i*)second_bias_ + half));
        halves[half] = _mm_srai_epi32(_mm_add_epi32(with_bias, _mm256_extracti128_si256(sum, 1)), kContextWeightBits);
    }
    const __m128i deep = activate_hidden(_mm_packs_epi32(halves[0], halves[1]));

    const __m128i* last = (const __m128i*)last_;
    __m128i sum = _mm_add_epi32(_mm_madd_epi16(_mm_unpacklo_epi32(deep, deep), _mm_load_si128(last)),
                                _mm_madd_epi16(_mm_unpackhi_epi32(deep, deep), _mm_load_si128(last + 1)));
    sum = _mm_add_epi32(_mm_add_epi32(sum, _mm_load_si128((const __m128i*)last_bias_)), _mm_shuffle_epi32(sum, 0xEE));
    sum = _mm_srav_epi32(sum, _mm_setr_epi32(kBits - kLastShift, kBits - kLastShift + 1, 0, 0));
    sum = _mm_min_epi32(_mm_max_epi32(sum, _mm_setzero_si128()), _mm_setr_epi32(kNumZeros - 1, kNumTails - 1, 0, 0));
    const uint64_t both = (uint64_t)_mm_cvtsi128_si64(sum);
    return (unsigned)both * kNumTails + (unsigned)(both >> 32);
}

#else

inline int16_t activated(int32_t sum, int shift) {
    const int x = std::clamp(sum >> shift, -32768, 32767);
    return (int16_t)((x * std::clamp(x * 8 + 16384, 0, 32768) + (1 << 14)) >> 15);
}

inline unsigned Layers::table(const int32_t* sums, const int16_t* weights, int32_t features) const {
    int16_t hidden[kFirstWidth], deep[kSecondWidth];
    Sums all = Sums::from(sums);
    all.add(weights, features);
    for (int o = 0; o < kFirstWidth; o++) hidden[o] = activated(all.sum[o], kFeatureBits);
    int32_t second[kSecondWidth];
    std::copy(second_bias_, second_bias_ + kSecondWidth, second);
    for (int i = 0; i < kFirstWidth; i++)
        for (int o = 0; o < kSecondWidth; o++) second[o] += (int32_t)second_[i * kSecondWidth + o] * hidden[i];
    for (int o = 0; o < kSecondWidth; o++) deep[o] = activated(second[o], kContextWeightBits);
    int result[2];
    for (int o = 0; o < 2; o++) {
        int32_t sum = last_bias_[o];
        for (int i = 0; i < kSecondWidth; i++) sum += last_[o * kSecondWidth + i] * deep[i];
        result[o] = std::clamp(sum >> (kBits - kLastShift + o), 0, (o ? kNumTails : kNumZeros) - 1);
    }
    return (unsigned)(result[0] * kNumTails + result[1]);
}

#endif

// How many of 16 numbers are at most `limit`.
inline int count_up_to(const int32_t* numbers, int32_t limit) {
#if defined(C3_AVX512)
    return __builtin_popcount(_mm512_cmple_epi32_mask(_mm512_loadu_si512(numbers), _mm512_set1_epi32(limit)));
#elif defined(C3_AVX2)
    const __m256i bound = _mm256_set1_epi32(limit);
    const __m256i above = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i*)numbers), bound);
    const __m256i above_too = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i*)numbers + 1), bound);
    return 16 - __builtin_popcount(_mm256_movemask_ps(_mm256_castsi256_ps(above)) |
                                   _mm256_movemask_ps(_mm256_castsi256_ps(above_too)) << 8);
#else
    int count = 0;
    for (int i = 0; i < 16; i++) count += numbers[i] <= limit;
    return count;
#endif
}

// Reads the magnitude of `low`, which is not in the slot of zero.
inline int read_other_than_zero(Cursor& cursor, const SparseTables& tables, unsigned table, uint32_t low) {
    return tables.step_magnitude(cursor, table, count_up_to(tables.magnitudes_of(table) + 1, (int32_t)low), low);
}

}  // namespace C3_ISA
}  // namespace c3
