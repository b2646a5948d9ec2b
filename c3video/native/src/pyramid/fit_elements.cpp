// SPDX-License-Identifier: MIT
// Noise, rounding and Adam on flat latents. Compiled once for each instruction set. Blocks do not depend on the number
// of threads, and neither do results.
#include "pyramid/fit_elements.h"

#include <algorithm>
#include <cmath>

#include "shared/soft_rounding.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

using c3::pyramid::AdamJob;
using c3::pyramid::NoiseJob;
using c3::pyramid::QuantiseJob;

namespace {

struct Block {
    alignas(64) float values[kBlock], slopes[kBlock], noise[kBlock];
};

void load_block(const float* from, int size, float* to, float filler) {
    std::copy_n(from, size, to);
    std::fill(to + size, to + kBlock, filler);
}

void store_block(const QuantiseJob& job, int64_t start, int size, const Block& block) {
    std::copy_n(block.values, size, job.steps + start);
    if (job.slopes) std::copy_n(block.slopes, size, job.slopes + start);
}

// The inverse of the normal distribution function, for u on (0, 1).
// Source: Giles, Approximating the erfinv function, GPU Computing Gems 2, 2011 (single precision).
C3_INLINE VF normal_of(VF u) {
    const VF x = fma(u, splatf(2.0f), splatf(-1.0f)), w = -log_of(4.0f * u * (1.0f - u));
    const VF c = w - 2.5f, t = square_root(at_least(w, 5.0f)) - 3.0f;
    constexpr float kCentre[] = {3.43273939e-7f,  -3.5233877e-6f,  -4.39150654e-6f, 2.1858087e-4f,
                                 -1.25372503e-3f, -4.17768164e-3f, 0.246640727f,    1.50140941f};
    constexpr float kTail[] = {1.00950558e-4f, 1.34934322e-3f, -3.67342844e-3f, 5.73950773e-3f,
                               -7.6224613e-3f, 9.43887047e-3f, 1.00167406f,     2.83297682f};
    VF centre = splatf(2.81022636e-8f), tail = splatf(-2.00214257e-4f);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        centre = fma(centre, c, splatf(kCentre[i]));
        tail = fma(tail, t, splatf(kTail[i]));
    }
    return 1.41421356f * x * if_less(w, splatf(5.0f), centre, tail);
}

void make_noise(const NoiseJob& job, int64_t start, int size, float* noise) {
    if (job.given) return load_block(job.given + start, size, noise, 0.0f);
    make_uniforms(job.seed, start, noise);
    for (int i = 0; i < kBlock; i += kFloats) storef(noise + i, job.deviation * normal_of(loadf(noise + i)));
}

}  // namespace
}  // namespace pyramid

using namespace pyramid;

void pyramid_add_noise(const QuantiseJob& job, const NoiseJob& noise, int num_threads) {
    const float span = tanh_span(job.temperature);
    for_blocks_of(job.count, num_threads, [&](int64_t start, int size) {
        Block block;
        load_block(job.latents + start, size, block.values, 0.0f);
        make_noise(noise, start, size, block.noise);
        // Two short loops: their rounds overlap in the processor, which those of one long chain would not.
        for (int i = 0; i < kBlock; i += kFloats) {
            const Soft soft = soft_round(loadf(block.values + i), job.temperature, span);
            storef(block.values + i, soft.value + (loadf(block.noise + i) - 0.5f));
            storef(block.slopes + i, soft.slope);
        }
        for (int i = 0; i < kBlock; i += kFloats) {
            const Soft back = soft_round_inverse(loadf(block.values + i), job.temperature, span);
            storef(block.values + i, back.value + 0.5f);
            storef(block.slopes + i, loadf(block.slopes + i) * back.slope);
        }
        store_block(job, start, size, block);
    });
}

void pyramid_adam(const AdamJob& job, int num_threads) {
    for_blocks_of(job.count, num_threads, [&](int64_t start, int size) {
        const float *grads = job.grad + start, *slopes = job.slopes ? job.slopes + start : nullptr;
        float *parameters = job.parameter + start, *means = job.mean + start, *squares = job.square + start;
        for (int i = 0; i < size; i += kFloats) {
            const int rest = size - i;
            const auto load = [&](const float* p) { return rest >= kFloats ? loadf(p + i) : load_first(p + i, rest); };
            const auto store = [&](float* p, VF v) {
                if (rest >= kFloats) return storef(p + i, v);
                float values[kFloats];
                storef(values, v);
                std::copy_n(values, rest, p + i);
            };
            VF grad = load(grads);
            if (slopes) grad = grad * load(slopes);
            VF mean = load(means), square = load(squares);
            mean = fma(grad - mean, splatf(job.add_mean), mean);
            square = fma(grad * job.add_square, grad, square * job.keep_square);
            store(means, mean);
            store(squares, square);
            const VF step =
                job.step_size * mean / fma(square_root(square), splatf(job.root_scale), splatf(job.epsilon));
            store(parameters, load(parameters) - minf(maxf(step, splatf(-job.longest)), splatf(job.longest)));
        }
    });
}

}  // namespace C3_ISA
}  // namespace c3
