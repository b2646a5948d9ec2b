// SPDX-License-Identifier: MIT
// Noise, rounding and Adam on flat latents. Compiled once for each instruction set. Blocks do not depend on the number
// of threads, and neither do results.
#include "c3/fit_latents.h"

#include <algorithm>
#include <cmath>

#include "shared/parallel.h"
#include "shared/simd_float_math.h"

namespace c3 {
namespace C3_ISA {

namespace {

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

struct Block {
    alignas(64) float latents[kBlock], gains[kBlock], uniforms[kBlock];
};

// Latents of a block in steps; zeros behind the last one. `gains` are the steps a unit makes.
void load_block(const QuantiseJob& job, int64_t start, int size, Block& block) {
    std::copy_n(job.latents + start, size, block.latents);
    std::fill(block.latents + size, block.latents + kBlock, 0.0f);
    std::fill(block.gains + size, block.gains + kBlock, 1.0f);
    int64_t begin = 0;
    for (size_t g = 0; g < job.scales.sizes.size(); g++) {
        const int64_t end = begin + job.scales.sizes[g];
        const int64_t from = std::max(begin, start), to = std::min(end, start + size);
        if (from < to) std::fill(block.gains + (from - start), block.gains + (to - start), job.scales.steps[g]);
        begin = end;
    }
    for (int i = 0; i < kBlock; i++) block.latents[i] *= block.gains[i];
}

// splitmix64 of seed and position: 64 bits make two uniforms, so that element i is half i % 2 of word i / 2.
// Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (the mixer is Stafford's
// 13th).
void make_uniforms(uint64_t seed, int64_t start, float* uniforms) {
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

// What became of them: the steps, and the slopes in `gains`.
void store_block(const QuantiseJob& job, int64_t start, int size, const Block& block) {
    std::copy_n(block.latents, size, job.steps + start);
    if (job.slopes) std::copy_n(block.gains, size, job.slopes + start);
}

// 2 tanh(1 / (2 temperature)): what the tanh of a soft rounding spans from one half to the other.
float tanh_span(float temperature) { return (float)(2.0 * std::tanh(0.5 / temperature)); }

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

}  // namespace

void add_noise(const QuantiseJob& job, const NoiseJob& noise, int num_threads) {
    const float span = tanh_span(job.temperature), a = noise.a;
    const float b = (float)((std::pow(2.0, (double)a) * (a - 1.0) + 1.0) / a);  // puts the mode in the middle
    for_blocks_of(job.count, num_threads, [&](int64_t start, int size) {
        Block block;
        load_block(job, start, size, block);
        if (noise.uniforms) {
            std::copy_n(noise.uniforms + start, size, block.uniforms);
            std::fill(block.uniforms + size, block.uniforms + kBlock, 0.5f);
        } else {
            make_uniforms(noise.seed, start, block.uniforms);
        }
        // Three short loops: their rounds overlap in the processor, which those of one long chain would not.
        if (a != 1.0f)
            for (int i = 0; i < kBlock; i += kFloats)
                storef(block.uniforms + i, power(1.0f - power(1.0f - loadf(block.uniforms + i), 1.0f / b), 1.0f / a));
        for (int i = 0; i < kBlock; i += kFloats) {
            const Soft soft = soft_round(loadf(block.latents + i), job.temperature, span);
            storef(block.latents + i, soft.value + (loadf(block.uniforms + i) - 1.0f));
            storef(block.gains + i, loadf(block.gains + i) * soft.slope);
        }
        for (int i = 0; i < kBlock; i += kFloats) {
            const Soft back = soft_round_inverse(loadf(block.latents + i), job.temperature, span);
            storef(block.latents + i, back.value + 0.5f);
            storef(block.gains + i, loadf(block.gains + i) * back.slope);
        }
        store_block(job, start, size, block);
    });
}

void straight_through(const QuantiseJob& job, int num_threads) {
    const float span = tanh_span(job.temperature);
    for_blocks_of(job.count, num_threads, [&](int64_t start, int size) {
        Block block;
        load_block(job, start, size, block);
        for (int i = 0; i < kBlock; i += kFloats) {
            const VF x = loadf(block.latents + i);
            storef(block.latents + i, rounded(x));
            storef(block.gains + i, loadf(block.gains + i) * soft_round(x, job.temperature, span).slope);
        }
        store_block(job, start, size, block);
    });
}

}  // namespace C3_ISA
}  // namespace c3
