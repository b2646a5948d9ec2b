// SPDX-License-Identifier: MIT
// What fits of the C3 and pyramid models do to flat latents: blocks shared out among threads, uniform noise, soft
// rounding and its inverse. Blocks do not depend on the number of threads, and neither do results.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "shared/parallel.h"
#include "shared/simd_float_math.h"

namespace c3 {
namespace C3_ISA {

constexpr int kBlock = 1024;

// f(start, size) for all blocks, shared out among threads.
template <typename F>
void for_blocks_of(int64_t count, int num_threads, const F& f) {
    const int64_t num_blocks = (count + kBlock - 1) / kBlock;
    const int parts = (int)std::clamp<int64_t>(num_blocks / 16, 1, num_threads);  // a thread wants some 10 us of work
    in_parallel(parts, [&](int part) {
        for (int64_t b = num_blocks * part / parts; b < num_blocks * (part + 1) / parts; b++)
            f(b * kBlock, (int)std::min<int64_t>(kBlock, count - b * kBlock));
    });
}

// splitmix64 of seed and position: 64 bits make two uniforms on (0, 1), so that element i is half i % 2 of word i / 2.
// Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (the mixer is Stafford's
// 13th).
inline void make_uniforms(uint64_t seed, int64_t start, float* uniforms) {
    constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
    for (int i = 0; i < kBlock; i += 2) {
        uint64_t z = seed + (uint64_t)((start + i) / 2 + 1) * kGolden;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        z ^= z >> 31;
        // 23 bits and a half: exact in a float, and never 0 or 1.
        uniforms[i] = ((float)(int32_t)((uint32_t)z >> 9) + 0.5f) * 0x1p-23f;
        uniforms[i + 1] = ((float)(int32_t)(z >> 41) + 0.5f) * 0x1p-23f;
    }
}

// 2 tanh(1 / (2 temperature)): what the tanh of a soft rounding spans from one half to the other.
inline float tanh_span(float temperature) { return (float)(2.0 * std::tanh(0.5 / temperature)); }

struct Soft {
    VF value, slope;
};

C3_INLINE Soft soft_round(VF x, float temperature, float span) {
    const VF middle = floor_of(x) + 0.5f, z = (x - middle) * (1.0f / temperature), far = exp_of(-2.0f * magnitude(z));
    const VF root = 1.0f / (1.0f + far);
    return {fma(tanh_given(z, far, root), splatf(1.0f / span), middle),
            far * root * root * (4.0f / (temperature * span))};
}

// Of a value below the middle of its step by at most half a step; the slope is by the value.
C3_INLINE Soft soft_round_inverse(VF y, float temperature, float span) {
    const VF middle = floor_of(y) + 0.5f;
    // At low temperatures the ends round to 1, where the inverse has its poles.
    const VF z = at_most(at_least((y - middle) * span, -0.99999994f), 0.99999994f);
    const VF steepness = 1.0f / ((1.0f - z) * (1.0f + z));
    return {fma(atanh_given(z, steepness), splatf(temperature), middle), steepness * (span * temperature)};
}

}  // namespace C3_ISA
}  // namespace c3
