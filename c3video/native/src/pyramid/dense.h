// SPDX-License-Identifier: MIT
// A layer of a pyramid model on vectors of places, the weights of a pair of inputs in one multiply_add.
#pragma once
#include <cstdint>
#include <vector>

#include "pyramid/vectors.h"

namespace c3 {

constexpr int kMaxPyramidWidth = 48;  // of hidden layers
constexpr int kMaxPyramidPairs = 24;  // of inputs: of hidden layers, or 3 planes x 9 taps

// Integers of a layer. `bias` is at the sums' binary point and holds the half that rounds them. Ranges have been
// checked by whoever made it: no sum can leave 32 bits.
struct Dense {
    int num_outputs = 0;
    int num_inputs = 0;
    std::vector<int32_t> pairs;  // (num_outputs, ceil(num_inputs / 2)), low half the first of the pair
    std::vector<int32_t> bias;   // (num_outputs,)

    int num_pairs() const { return (num_inputs + 1) / 2; }
};

namespace C3_ISA {
namespace pyramid {

#if defined(C3_AVX512)
constexpr int kGroups = 2;  // vectors of places at a time: 4 outputs x 2 x (low, high) sums, and 32 registers
#else
constexpr int kGroups = 1;
#endif
constexpr int kBlockOutputs = 4;
constexpr int kStepPlaces = kGroups * kLanes;

// Inputs of a layer, low and high halves of interleaved pairs of vectors.
struct Pairs {
    V16 low[kMaxPyramidPairs][kGroups], high[kMaxPyramidPairs][kGroups];

    void set(int pair, int group, V16 first, V16 second) {
        low[pair][group] = unpack_low(first, second);
        high[pair][group] = unpack_high(first, second);
    }
    void set_all(const V16 (*values)[kGroups], int count) {
        for (int i = 0; i < count; i += 2)
            for (int g = 0; g < kGroups; g++) set(i / 2, g, values[i][g], i + 1 < count ? values[i + 1][g] : splat(0));
    }
};

template <int R, typename Finish>
C3_INLINE void dense_block(const Dense& layer, const int32_t* bias, int first, const Pairs& in, const Finish& finish) {
    const int pairs = layer.num_pairs();
    const int32_t* weights = layer.pairs.data() + (size_t)first * pairs;
    V32 low[R][kGroups], high[R][kGroups];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int g = 0; g < kGroups; g++) low[r][g] = high[r][g] = splat32(bias[first + r]);
    for (int p = 0; p < pairs; p++)
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const V16 weight = splat_pair(weights[r * pairs + p]);
#pragma GCC unroll 2
            for (int g = 0; g < kGroups; g++) {
                low[r][g] = multiply_add(low[r][g], in.low[p][g], weight);
                high[r][g] = multiply_add(high[r][g], in.high[p][g], weight);
            }
        }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int g = 0; g < kGroups; g++) finish(first + r, g, low[r][g], high[r][g]);
}

// finish(output, group, low sums, high sums) for all outputs; `bias` in place of the layer's own.
template <typename Finish>
C3_INLINE void dense(const Dense& layer, const int32_t* bias, const Pairs& in, const Finish& finish) {
    int o = 0;
    for (; o + kBlockOutputs <= layer.num_outputs; o += kBlockOutputs)
        dense_block<kBlockOutputs>(layer, bias, o, in, finish);
    switch (layer.num_outputs - o) {
        case 3: dense_block<3>(layer, bias, o, in, finish); break;
        case 2: dense_block<2>(layer, bias, o, in, finish); break;
        case 1: dense_block<1>(layer, bias, o, in, finish); break;
    }
}

template <typename Finish>
C3_INLINE void dense(const Dense& layer, const Pairs& in, const Finish& finish) {
    dense(layer, layer.bias.data(), in, finish);
}

// Sums that hold their half, to saturated int16.
template <int shift>
inline V16 rounded(V32 low, V32 high) {
    return pack(shifted<shift>(low), shifted<shift>(high));
}

template <int shift>
inline V16 rectified(V32 low, V32 high) {
    return max16(rounded<shift>(low, high), splat(0));
}

}  // namespace pyramid
}  // namespace C3_ISA
}  // namespace c3
