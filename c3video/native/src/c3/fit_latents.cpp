// SPDX-License-Identifier: MIT
// Noise, rounding and Adam on flat latents. Compiled once for each instruction set. Blocks do not depend on the number
// of threads, and neither do results.
#include "c3/fit_latents.h"

#include <algorithm>
#include <cmath>

#include "shared/soft_rounding.h"

namespace c3 {
namespace C3_ISA {

namespace {

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

// What became of them: the steps, and the slopes in `gains`.
void store_block(const QuantiseJob& job, int64_t start, int size, const Block& block) {
    std::copy_n(block.latents, size, job.steps + start);
    if (job.slopes) std::copy_n(block.gains, size, job.slopes + start);
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
