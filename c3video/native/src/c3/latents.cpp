// SPDX-License-Identifier: MIT
// The walk over a latent grid. Compiled once for each instruction set.
//
// Latents are held skewed: row w of the buffer holds wave w, one column for each (frame, y). In that layout the tap
// (dy, dx) of neighbouring columns lies at one constant distance, so contexts are plain loads and the network runs on
// kLanes positions at a time. Only as many rows are kept as the furthest tap needs, in a ring, and of a row only the
// columns that its wave crosses: those of few frames where frames are far apart, of few rows where these are short.
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

long floor_division(long a, long b) { return a / b - (a % b < 0); }
long ceil_division(long a, long b) { return -floor_division(-a, b); }

// A tap further off than the grid's sides reads zeros wherever it stands.
bool is_inside(const GridShape& shape, const Tap& tap) {
    return std::abs(tap.dy) < shape.height && std::abs(tap.dx) < shape.width;
}

// Where (frame t, row y) of a wave is kept: column t * frame_columns + y of the ring's row, less the wave's first
// column. Rows are as far apart as a wave has columns, those a tap's reach around the frames too, which read zero.
// Within a wave those of different frames do not meet: a frame is `frame_slope` waves behind the one before it, so
// where it has more rows than these and its width take, it begins further up.
struct RingLayout {
    int top = 0, bottom = 0, side = 0;  // furthest that taps reach out of a frame
    long num_waves = 1;                 // that are kept, a power of two
    long frame_columns, stride;

    explicit RingLayout(const GridShape& shape, const std::vector<Tap>& taps) : shape_(shape) {
        long furthest = 1;
        for (const Tap& tap : taps) {
            if (!is_inside(shape, tap)) continue;
            top = std::max(top, -tap.dy), bottom = std::max(bottom, tap.dy), side = std::max(side, std::abs(tap.dx));
            furthest = std::max(furthest,
                                (long)(tap.previous ? shape.frame_slope : 0) - tap.dx - (long)shape.row_slope * tap.dy);
        }
        while (num_waves < furthest + 1) num_waves *= 2;
        const long a = shape.row_slope, b = shape.frame_slope;
        const long rows = top + shape.height + bottom, across = shape.width - 1 + 2 * side;
        frame_columns = std::min(rows, (b + across) / a + 1);
        // Frames that a wave crosses beside the first, the one of zeros before frame 0 too.
        const long others = b ? std::min<long>(shape.num_frames, (across + a * (rows - 1)) / b) : shape.num_frames;
        stride =
            std::min(others * frame_columns + rows, (others * std::max(0l, a * frame_columns - b) + across) / a + 2) +
            kLanes;
    }

    // Of a wave, the first column that may be looked at.
    long first_column(long wave) const {
        const long a = shape_.row_slope, b = shape_.frame_slope, right = shape_.width - 1 + side;
        const long last_wave = right + a * (shape_.height - 1 + bottom);  // of a frame, counted from its first latent
        const long t = b ? std::max(-1l, ceil_division(wave - last_wave, b)) : -1;
        return t * frame_columns + std::max<long>(-top, ceil_division(wave - b * t - right, a));
    }

private:
    const GridShape shape_;
};

}  // namespace

size_t grid_memory(const GridShape& shape, const std::vector<Tap>& taps) {
    const RingLayout ring(shape, taps);
    const size_t noted = 4 * sizeof(int32_t) + sizeof(int16_t*);  // of each latent of a wave
    return ring.num_waves * (ring.stride * sizeof(int16_t) + sizeof(int16_t*)) + ring.stride * noted;
}

void decode_grid(Reader& reader, const Tables& tables, const GridJob& job, int32_t* symbols) {
    const int T = job.shape.num_frames, H = job.shape.height, W = job.shape.width;
    const int a = job.shape.row_slope, b = job.shape.frame_slope, num_taps = (int)job.taps.size();
    const RingLayout ring(job.shape, job.taps);
    std::vector<int16_t> rows(ring.num_waves * ring.stride, 0);
    std::vector<int16_t*> origins(ring.num_waves);  // of each row, the place of column 0, which may lie before it

    struct Reach {
        long row, column;
        bool inside;
    };
    std::vector<Reach> reaches;
    for (const Tap& tap : job.taps)
        reaches.push_back({tap.dx + a * tap.dy - (tap.previous ? b : 0),
                           tap.dy - (tap.previous ? ring.frame_columns : 0), is_inside(job.shape, tap)});
    std::vector<const int16_t*> tap_rows(num_taps);
    std::vector<V16> context(num_taps);
    std::vector<int32_t> steps, residuals, radii, places;
    std::vector<int16_t*> targets;
    for (auto* noted : {&steps, &residuals, &radii, &places}) noted->reserve(ring.stride);
    targets.reserve(ring.stride);
    const V16 zero = splat(0);

    // All-zero contexts share one prediction.
    Prediction at_zero, prediction;
    std::fill(context.begin(), context.end(), zero);
    predict(job.layers, context.data(), at_zero);

    const long num_waves = (long)(W - 1) + (long)a * (H - 1) + (long)b * (T - 1) + 1;
    for (long wave = 0; wave < num_waves; wave++) {
        const long slot = wave & (ring.num_waves - 1);
        std::fill_n(rows.data() + slot * ring.stride, ring.stride, (int16_t)0);
        int16_t* row = origins[slot] = rows.data() + slot * ring.stride - ring.first_column(wave);
        for (int k = 0; k < num_taps; k++) {
            const long from = wave + reaches[k].row;
            tap_rows[k] = reaches[k].inside && from >= 0 ? origins[from & (ring.num_waves - 1)] + reaches[k].column
                                                         : nullptr;  // reads zeros
        }
        steps.clear(), residuals.clear(), radii.clear(), places.clear(), targets.clear();
        bool escaped = false;
        const int first_frame = b ? (int)std::max(0l, (wave - (W - 1) - (long)a * (H - 1) + b - 1) / b) : 0;
        for (int t = first_frame; t < T; t++) {
            const long left = wave - (long)b * t;  // = x + a y
            if (left < 0) break;
            const int y_first = left > W - 1 ? (int)ceil_division(left - (W - 1), a) : 0;
            const int y_last = (int)std::min<long>(H - 1, left / a);
            for (int y = y_first; y <= y_last; y += kLanes) {
                const long column = t * ring.frame_columns + y;
                V16 any = zero;
                for (int k = 0; k < num_taps; k++) {
                    context[k] = tap_rows[k] ? load(tap_rows[k] + column) : zero;
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
