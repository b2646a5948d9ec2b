// SPDX-License-Identifier: MIT
// The walk over a latent grid. Compiled once for each instruction set.
//
// Latents are held skewed: row w of the buffer holds wave w, one column for each (frame, y). In that layout the tap
// (dy, dx) of neighbouring columns lies at one constant distance, so contexts are plain loads and the network runs on
// kLanes positions at a time. Only as many rows are kept as the furthest tap needs, in a ring.
#include "c3/latents.h"

#include <algorithm>

#include "shared/simd.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kMaxSymbol = 1 << 20;
constexpr int kMaxLocation = 65536;

struct Prediction {
    int32_t sixteenths[kLanes];
    int32_t scale[kLanes];
};

// One layer on kLanes positions: inputs already unpacked in pairs, low and high halves.
inline void sums(const Layer& layer, int output, const V16* low, const V16* high, V32& sum_low, V32& sum_high) {
    const int pairs = layer.num_pairs();
    const int32_t* weights = layer.pairs.data() + (size_t)output * pairs;
    sum_low = sum_high = splat32(layer.bias[output]);
    for (int p = 0; p < pairs; p++) {
        const V16 weight = splat_pair(weights[p]);
        sum_low = multiply_add(sum_low, low[p], weight);
        sum_high = multiply_add(sum_high, high[p], weight);
    }
}

inline void interleave(const V16* values, int count, V16* low, V16* high) {
    const V16 zero = splat(0);
    for (int i = 0; i < count; i += 2) {
        const V16 second = i + 1 < count ? values[i + 1] : zero;
        low[i / 2] = unpack_low(values[i], second);
        high[i / 2] = unpack_high(values[i], second);
    }
}

void predict(const std::vector<Layer>& layers, const V16* context, Prediction& out) {
    V16 low[kMaxWidth], high[kMaxWidth], hidden[kMaxWidth];
    interleave(context, layers[0].num_inputs, low, high);
    for (size_t l = 0; l + 1 < layers.size(); l++) {
        const Layer& layer = layers[l];
        const int shift = layer.accumulator_bits - kHiddenBits;
        for (int o = 0; o < layer.num_outputs; o++) {
            V32 sum_low, sum_high;
            sums(layer, o, low, high, sum_low, sum_high);
            hidden[o] = activate<kHiddenBits>(narrow(sum_low, sum_high, shift));
        }
        interleave(hidden, layer.num_outputs, low, high);
    }
    const Layer& last = layers.back();
    V32 a, b;
    sums(last, 0, low, high, a, b);
    const int to_sixteenths = last.accumulator_bits - 6, to_scale = last.accumulator_bits - 2;
    V32 half = splat32(1 << (to_sixteenths - 1));
    store_unpacked(out.sixteenths, clip32(shift_right32(add32(a, half), to_sixteenths), -kMaxLocation, kMaxLocation),
                   clip32(shift_right32(add32(b, half), to_sixteenths), -kMaxLocation, kMaxLocation));
    sums(last, 1, low, high, a, b);
    half = splat32(1 << (to_scale - 1));
    // clip(5 - v, 0, 63) = 5 - clip(v, -58, 5); the subtraction is done where the value is used
    store_unpacked(out.scale, clip32(shift_right32(add32(a, half), to_scale), -58, 5),
                   clip32(shift_right32(add32(b, half), to_scale), -58, 5));
}

int ceil_division(int a, int b) { return (a + b - 1) / b; }

}  // namespace

void decode_grid(Reader& reader, const Tables& tables, const GridJob& job, int32_t* symbols) {
    const int T = job.num_frames, H = job.height, W = job.width, a = job.row_slope, b = job.frame_slope;
    const int num_taps = (int)job.taps.size();
    int top = 0, bottom = 0, furthest = 1;
    for (const Tap& tap : job.taps) {
        top = std::max(top, -tap.dy);
        bottom = std::max(bottom, tap.dy);
        furthest = std::max(furthest, (tap.previous ? b : 0) - tap.dx - a * tap.dy);
    }
    // Taps outside the picture read zero; how far outside does not matter.
    top = std::min(top, H);
    bottom = std::min(bottom, H);
    int ring = 1;
    while (ring < furthest + 1) ring *= 2;
    const int frame_columns = top + H + bottom;
    const size_t stride = (size_t)(T + 1) * frame_columns + 2 * kLanes;
    std::vector<int16_t> rows(ring * stride, 0);

    struct Reach {
        int row, column;
        bool inside;
    };
    std::vector<Reach> reaches;
    for (const Tap& tap : job.taps) {
        const int row = tap.dx + a * tap.dy - (tap.previous ? b : 0);
        const int column = tap.dy - (tap.previous ? frame_columns : 0);
        reaches.push_back({row, column, tap.dy > -H && tap.dy < H && tap.dx > -W && tap.dx < W});
    }
    std::vector<const int16_t*> tap_rows(num_taps);
    std::vector<V16> context(num_taps);
    std::vector<int32_t> steps, residuals, radii, places;
    std::vector<int16_t*> targets;
    const V16 zero = splat(0);
    const std::vector<int16_t> zeros(stride, 0);

    // All-zero contexts share one prediction.
    Prediction at_zero, prediction;
    std::fill(context.begin(), context.end(), zero);
    predict(job.layers, context.data(), at_zero);

    const long num_waves = (long)(W - 1) + (long)a * (H - 1) + (long)b * (T - 1) + 1;
    for (long wave = 0; wave < num_waves; wave++) {
        int16_t* row = rows.data() + (wave & (ring - 1)) * stride;
        std::fill(row, row + stride, (int16_t)0);
        for (int k = 0; k < num_taps; k++)
            tap_rows[k] = reaches[k].inside && wave + reaches[k].row >= 0
                              ? rows.data() + ((wave + reaches[k].row) & (ring - 1)) * stride + reaches[k].column
                              : zeros.data();
        steps.clear(), residuals.clear(), radii.clear(), places.clear(), targets.clear();
        bool escaped = false;
        const int first_frame = b ? (int)std::max(0l, (wave - (W - 1) - (long)a * (H - 1) + b - 1) / b) : 0;
        for (int t = first_frame; t < T; t++) {
            const long left = wave - (long)b * t;  // = x + a y
            if (left < 0) break;
            const int y_first = left > W - 1 ? ceil_division((int)(left - (W - 1)), a) : 0;
            const int y_last = (int)std::min<long>(H - 1, left / a);
            for (int y = y_first; y <= y_last; y += kLanes) {
                const size_t column = (size_t)(t + 1) * frame_columns + top + y;
                V16 any = zero;
                for (int k = 0; k < num_taps; k++) {
                    context[k] = tap_rows[k] == zeros.data() ? zero : load(tap_rows[k] + column);
                    any = or16(any, context[k]);
                }
                const bool blank = is_zero(any);
                if (!blank) predict(job.layers, context.data(), prediction);
                const Prediction& used = blank ? at_zero : prediction;
                const int count = std::min(kLanes, y_last - y + 1);
                for (int i = 0; i < count; i++) {
                    const int sixteenths = used.sixteenths[i], step = (sixteenths + 8) >> 4, scale = 5 - used.scale[i];
                    const int residual = reader.residual(tables, scale, sixteenths - 16 * step);
                    const int radius = tables.radius[scale];
                    escaped |= residual > radius || residual < -radius;
                    steps.push_back(step);
                    residuals.push_back(residual);
                    radii.push_back(radius);
                    places.push_back((t * H + y + i) * W + (int)(left - (long)a * (y + i)));
                    targets.push_back(row + column + i);
                }
            }
        }
        if (escaped)
            for (size_t i = 0; i < residuals.size(); i++) {
                if (residuals[i] > radii[i]) residuals[i] = radii[i] + reader.excess();
                else if (residuals[i] < -radii[i]) residuals[i] = -radii[i] - reader.excess();
            }
        for (size_t i = 0; i < residuals.size(); i++) {
            const int symbol = std::clamp(steps[i] + residuals[i], -kMaxSymbol, kMaxSymbol);
            symbols[places[i]] = symbol;
            *targets[i] = (int16_t)std::clamp(symbol * job.q_step_256, -32768, 32767);
        }
    }
}

}  // namespace C3_ISA
}  // namespace c3
