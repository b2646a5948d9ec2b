// SPDX-License-Identifier: MIT
// Upsampling, pointwise layers and residual convolutions in integers. Compiled once for each instruction set.
#include "c3/synthesis.h"

#include <algorithm>

#include "shared/simd.h"

namespace c3 {
namespace C3_ISA {

namespace {

using Plane = std::vector<int16_t>;

constexpr int kGroups = 2;  // vectors at a time, so that each weight is fetched once for both

// Where each output of an axis reads: low and high neighbour and the weight of the high one.
struct Axis {
    std::vector<int32_t> low, high, weight;
    int shift;

    Axis(int size_in, int size_out, int exponent)
        : low(size_out), high(size_out), weight(size_out), shift(exponent + 1) {
        for (int i = 0; i < size_out; i++) {
            const int place = 2 * i + 1 - (1 << exponent), k = place >> shift;
            weight[i] = place - k * (1 << shift);
            low[i] = std::clamp(k, 0, size_in - 1);
            high[i] = std::clamp(k + 1, 0, size_in - 1);
        }
    }
};

inline void mix(const int16_t* a, const int16_t* b, int weight, int shift, int count, int16_t* out) {
    const int other = (1 << shift) - weight, half = 1 << (shift - 1);
    for (int i = 0; i < count; i++) out[i] = (int16_t)((other * a[i] + weight * b[i] + half) >> shift);
}

// One latent grid, a frame of the patch at a time.
class Upsampler {
public:
    Upsampler(const LatentPlane& plane, const SynthesisJob& job)
        : plane_(plane), height_(job.height), width_(job.width),
          time_(plane.num_frames, job.num_frames, plane.time_exponent),
          rows_(plane.height, job.height, plane.space_exponent),
          columns_(plane.width, job.width, plane.space_exponent) {
        const size_t size = (size_t)plane.num_frames * plane.height * plane.width;
        latents_.resize(size);
        for (size_t i = 0; i < size; i++)
            latents_[i] = (int16_t)std::clamp<int64_t>((int64_t)plane.symbols[i] * job.q_step_256, -32768, 32767);
        frame_.resize((size_t)plane.height * plane.width);
        tall_.resize(plane.width);
    }

    // Bytes of one: the places of its axes, all latents, a frame and a row of them.
    static size_t memory(const LatentPlane& plane, const SynthesisJob& job) {
        const size_t frame = (size_t)plane.height * plane.width;
        return sizeof(Upsampler) + 3 * sizeof(int32_t) * ((size_t)job.num_frames + job.height + job.width) +
               sizeof(int16_t) * ((plane.num_frames + 1) * frame + plane.width);
    }

    void frame(int t, int16_t* out) {
        const size_t size = (size_t)plane_.height * plane_.width;
        const int16_t* source = latents_.data() + (plane_.time_exponent ? 0 : t * size);
        if (plane_.time_exponent) {
            mix(source + time_.low[t] * size, source + time_.high[t] * size, time_.weight[t], time_.shift, (int)size,
                frame_.data());
            source = frame_.data();
        }
        if (!plane_.space_exponent) {
            std::copy(source, source + size, out);
            return;
        }
        const int shift = columns_.shift, half = 1 << (shift - 1), unit = 1 << shift;
        for (int y = 0; y < height_; y++, out += width_) {
            mix(source + rows_.low[y] * plane_.width, source + rows_.high[y] * plane_.width, rows_.weight[y],
                rows_.shift, plane_.width, tall_.data());
            const int16_t* row = tall_.data();
            for (int x = 0; x < width_; x++) {
                const int weight = columns_.weight[x];
                out[x] = (int16_t)(((unit - weight) * row[columns_.low[x]] + weight * row[columns_.high[x]] + half) >>
                                   shift);
            }
        }
    }

private:
    const LatentPlane& plane_;
    int height_, width_;
    Axis time_, rows_, columns_;
    Plane latents_, frame_, tall_;
};

// inputs -> outputs of one layer for kGroups vectors of cells; `low` and `high` hold the inputs in pairs.
template <typename Finish>
inline void layer_sums(const Layer& layer, const V16 (*low)[kGroups], const V16 (*high)[kGroups], Finish finish) {
    const int pairs = layer.num_pairs();
    for (int o = 0; o < layer.num_outputs; o++) {
        const int32_t* weights = layer.pairs.data() + (size_t)o * pairs;
        V32 sum_low[kGroups], sum_high[kGroups];
        for (int g = 0; g < kGroups; g++) sum_low[g] = sum_high[g] = splat32(layer.bias[o]);
        for (int p = 0; p < pairs; p++) {
            const V16 weight = splat_pair(weights[p]);
            for (int g = 0; g < kGroups; g++) {
                sum_low[g] = multiply_add(sum_low[g], low[p][g], weight);
                sum_high[g] = multiply_add(sum_high[g], high[p][g], weight);
            }
        }
        for (int g = 0; g < kGroups; g++) finish(o, g, sum_low[g], sum_high[g]);
    }
}

inline void interleave(const V16 (*values)[kGroups], int count, V16 (*low)[kGroups], V16 (*high)[kGroups]) {
    const V16 zero = splat(0);
    for (int i = 0; i < count; i += 2)
        for (int g = 0; g < kGroups; g++) {
            const V16 second = i + 1 < count ? values[i + 1][g] : zero;
            low[i / 2][g] = unpack_low(values[i][g], second);
            high[i / 2][g] = unpack_high(values[i][g], second);
        }
}

// Samples of one frame with a border of one repeated cell around it, each channel (H + 2) rows of `stride`.
struct Frame {
    int channels, height, width;
    size_t stride, plane;
    Plane data;

    Frame(int channels, int height, int width)
        : channels(channels), height(height), width(width), stride(width + 2 + 2 * kGroups * kLanes),
          plane(stride * (height + 2)), data(num_values(channels, height, width)) {}

    static size_t num_values(int channels, int height, int width) {
        return channels * (width + 2 + 2 * kGroups * kLanes) * ((size_t)height + 2) + 2 * kGroups * kLanes;
    }

    int16_t* row(int channel, int y) { return data.data() + channel * plane + (y + 1) * stride + 1; }
    const int16_t* row(int channel, int y) const { return data.data() + channel * plane + (y + 1) * stride + 1; }

    void repeat_edges() {
        for (int c = 0; c < channels; c++) {
            for (int y = 0; y < height; y++) {
                int16_t* r = row(c, y);
                r[-1] = r[0];
                r[width] = r[width - 1];
            }
            std::copy(row(c, 0) - 1, row(c, 0) + width + 1, row(c, -1) - 1);
            std::copy(row(c, height - 1) - 1, row(c, height - 1) + width + 1, row(c, height) - 1);
        }
    }
};

void pointwise(const std::vector<Layer>& layers, const std::vector<Plane>& inputs, Frame& out) {
    V16 values[kMaxWidth][kGroups], low[kMaxWidth / 2][kGroups], high[kMaxWidth / 2][kGroups];
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x += kGroups * kLanes) {
            const size_t place = (size_t)y * out.width + x;
            for (size_t i = 0; i < inputs.size(); i++)
                for (int g = 0; g < kGroups; g++) values[i][g] = load(inputs[i].data() + place + g * kLanes);
            interleave(values, (int)inputs.size(), low, high);
            for (size_t l = 0; l + 1 < layers.size(); l++) {
                const int shift = layers[l].accumulator_bits - kHiddenBits;
                layer_sums(layers[l], low, high, [&](int o, int g, V32 a, V32 b) {
                    values[o][g] = activate<kHiddenBits>(narrow(a, b, shift));
                });
                interleave(values, layers[l].num_outputs, low, high);
            }
            const int shift = layers.back().accumulator_bits - kOutputBits;
            layer_sums(layers.back(), low, high,
                       [&](int o, int g, V32 a, V32 b) { store(out.row(o, y) + x + g * kLanes, narrow(a, b, shift)); });
        }
}

// out = in + convolution(in), then the activation if asked for. `frames` are those of dt = 0 .. time_size - 1.
void residual(const Layer& layer, const std::vector<const Frame*>& frames, bool active, Frame& out) {
    const Frame& centre = *frames[frames.size() / 2];
    const int shift = layer.accumulator_bits - kOutputBits;
    std::vector<const int16_t*> taps(layer.num_inputs);
    std::vector<V16> storage(2 * kGroups * layer.num_pairs());
    auto* low = reinterpret_cast<V16(*)[kGroups]>(storage.data());
    auto* high = low + layer.num_pairs();
    for (int y = 0; y < out.height; y++) {
        int k = 0;
        for (int c = 0; c < out.channels; c++)
            for (const Frame* frame : frames)
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++) taps[k++] = frame->row(c, y + dy) + dx;
        for (int x = 0; x < out.width; x += kGroups * kLanes) {
            for (int i = 0; i < k; i += 2)
                for (int g = 0; g < kGroups; g++) {
                    const V16 first = load(taps[i] + x + g * kLanes);
                    const V16 second = i + 1 < k ? load(taps[i + 1] + x + g * kLanes) : splat(0);
                    low[i / 2][g] = unpack_low(first, second);
                    high[i / 2][g] = unpack_high(first, second);
                }
            layer_sums(layer, low, high, [&](int o, int g, V32 a, V32 b) {
                // sat(x + change): the change itself is not saturated first, so the sum is made in 32 bits
                const V16 self = load(centre.row(o, y) + x + g * kLanes), one = splat(1);
                const V32 half = splat32(shift ? 1 << (shift - 1) : 0);
                a = shift_right32(add32(a, half), shift);
                b = shift_right32(add32(b, half), shift);
                const V32 zero = splat32(0);
                const V16 pair = splat_pair(1);  // (1, 0): picks the first of each pair
                V16 sum = pack(add32(a, multiply_add(zero, unpack_low(self, one), pair)),
                               add32(b, multiply_add(zero, unpack_high(self, one), pair)));
                store(out.row(o, y) + x + g * kLanes, active ? activate<kOutputBits>(sum) : sum);
            });
        }
    }
    out.repeat_edges();
}

void to_samples(const Frame& frame, int max_value, int t, int num_frames, uint16_t* samples) {
    for (int c = 0; c < frame.channels; c++)
        for (int y = 0; y < frame.height; y++) {
            const int16_t* row = frame.row(c, y);
            uint16_t* out = samples + (((size_t)c * num_frames + t) * frame.height + y) * frame.width;
            for (int x = 0; x < frame.width; x++)
                out[x] =
                    (uint16_t)std::clamp((row[x] * max_value + (1 << (kOutputBits - 1))) >> kOutputBits, 0, max_value);
        }
}

size_t num_inputs(const SynthesisJob& job) { return (size_t)job.height * job.width + kGroups * kLanes; }

bool frames_meet(const SynthesisJob& job) { return job.residual_time_size > 1 && !job.residual.empty(); }

}  // namespace

size_t synthesis_memory(const SynthesisJob& job, int channels) {
    size_t bytes = job.planes.size() * num_inputs(job) * sizeof(int16_t);
    for (const LatentPlane& plane : job.planes) bytes += Upsampler::memory(plane, job);
    const size_t frame = sizeof(Frame) + Frame::num_values(channels, job.height, job.width) * sizeof(int16_t);
    return bytes + 2 * frame * (frames_meet(job) ? job.num_frames : 1) + frame;
}

void synthesise(const SynthesisJob& job, uint16_t* samples) {
    const int channels = job.pointwise.back().num_outputs, T = job.num_frames;
    std::vector<Upsampler> upsamplers;
    upsamplers.reserve(job.planes.size());
    for (const LatentPlane& plane : job.planes) upsamplers.emplace_back(plane, job);
    std::vector<Plane> inputs(job.planes.size());
    for (Plane& plane : inputs) plane.resize(num_inputs(job));
    const auto first_layers = [&](int t, Frame& out) {
        for (size_t i = 0; i < inputs.size(); i++) upsamplers[i].frame(t, inputs[i].data());
        pointwise(job.pointwise, inputs, out);
        out.repeat_edges();
    };
    const size_t num_residual = job.residual.size();
    if (!frames_meet(job)) {  // one stays in the cache to its end
        Frame current(channels, job.height, job.width), next(channels, job.height, job.width);
        for (int t = 0; t < T; t++) {
            first_layers(t, current);
            for (size_t l = 0; l < num_residual; l++) {
                residual(job.residual[l], {&current}, l + 1 < num_residual, next);
                std::swap(current, next);
            }
            to_samples(current, job.max_value, t, T, samples);
        }
        return;
    }
    std::vector<Frame> current(T, Frame(channels, job.height, job.width)), next = current;
    for (int t = 0; t < T; t++) first_layers(t, current[t]);
    for (size_t l = 0; l < num_residual; l++) {
        for (int t = 0; t < T; t++)
            residual(job.residual[l], {&current[std::max(t - 1, 0)], &current[t], &current[std::min(t + 1, T - 1)]},
                     l + 1 < num_residual, next[t]);
        std::swap(current, next);
    }
    for (int t = 0; t < T; t++) to_samples(current[t], job.max_value, t, T, samples);
}

}  // namespace C3_ISA
}  // namespace c3
