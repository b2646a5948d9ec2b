// SPDX-License-Identifier: MIT
// hybrid/loop_filter.py is the definition. Compiled once for each instruction set.
//
// Rows of samples in quantisation steps are kept while they are within reach; a strip of places takes its differences
// from five of them, and goes through all layers before the next one.
#include "hybrid/loop_filter.h"

#include <algorithm>
#include <vector>

#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {  // whose vectors and layers these are

namespace {

constexpr int kSampleBits = 14, kStepBits = 9, kWeightBits = 12;
constexpr int kRows = 2 * kFilterRadius + 1;
constexpr int kStrip = std::max(64, kStepPlaces);
constexpr int kFewRows = 32;  // a thread with fewer is not worth it

// Rows of samples in steps, five of them at a time; edges are repeated.
class StepRows {
public:
    explicit StepRows(const FilterJob& job)
        : job_(job), stride_((size_t)job.width + 2 * kFilterRadius + kStrip), values_(kRows * stride_) {
        int exponent = 0;
        while (job.step >> (exponent + 1)) exponent++;
        factor_ = (int32_t)(((int64_t)1 << (15 + exponent)) + job.step / 2) / job.step;
        shift_ = 15 - kStepBits + exponent;
    }

    // The row `dy` below y, which may lie outside; its first sample.
    const int32_t* near(int y, int dy) {
        const int at = std::clamp(y + dy, 0, job_.height - 1);
        for (; next_ <= at; next_++) make(next_);
        return row(at);
    }
    void start(int y) { next_ = std::max(0, y - kFilterRadius); }

private:
    int32_t* row(int y) { return values_.data() + (y % kRows) * stride_ + kFilterRadius; }

    void make(int y) {
        const uint16_t* samples = job_.samples + (size_t)y * job_.width;
        int32_t* out = row(y);
        const int32_t middle = 1 << (job_.bit_depth - 1), half = 1 << (shift_ - 1);
        const int32_t factor = factor_ << (kSampleBits - job_.bit_depth);
        const int shift = shift_;
        for (int x = 0; x < job_.width; x++) out[x] = ((samples[x] - middle) * factor + half) >> shift;
        for (int i = 1; i <= kFilterRadius; i++) out[-i] = out[0], out[job_.width - 1 + i] = out[job_.width - 1];
    }

    const FilterJob& job_;
    size_t stride_;
    std::vector<int32_t> values_;
    int32_t factor_;
    int shift_, next_ = 0;
};

// A neighbour minus the sample, saturated, for a strip of places.
inline void take_differences(const int32_t* neighbour, const int32_t* sample, int16_t* __restrict out) {
    for (int x = 0; x < kStrip; x++) out[x] = (int16_t)std::clamp(neighbour[x] - sample[x], -32768, 32767);
}

struct Strip {
    alignas(64) int16_t near[kFilterNeighbours][kStrip];
    alignas(64) int16_t found[kStrip];
};

void run_layers(const FilterJob& job, Strip& strip) {
    Pairs pairs;
    V16 hidden[kFilterFirst + 1][kGroups];
    for (int x = 0; x < kStrip; x += kStepPlaces) {
        for (int pair = 0; pair < kFilterNeighbours / 2; pair++)
            for (int g = 0; g < kGroups; g++)
                pairs.set(pair, g, load(strip.near[2 * pair] + x + g * kLanes),
                          load(strip.near[2 * pair + 1] + x + g * kLanes));
        dense(*job.first, pairs, [&](int o, int g, V32 low, V32 high) {
            const V16 sum = rounded<kWeightBits>(low, high);
            hidden[o][g] = o < kFilterFirst ? max16(sum, splat(0)) : sum;
        });
        V16 linear[kGroups];
        for (int g = 0; g < kGroups; g++) linear[g] = hidden[kFilterFirst][g];
        pairs.set_all(hidden, kFilterFirst);
        dense(*job.second, pairs,
              [&](int o, int g, V32 low, V32 high) { hidden[o][g] = rectified<kWeightBits>(low, high); });
        pairs.set_all(hidden, kFilterSecond);
        dense(*job.last, pairs, [&](int, int g, V32 low, V32 high) {
            store(strip.found + x + g * kLanes, add_saturated(rounded<kWeightBits>(low, high), linear[g]));
        });
    }
}

void filter_rows(const FilterJob& job, int first, int end, StepRows& rows, Strip& strip, uint16_t* filtered) {
    const int shift = kStepBits + kSampleBits - job.bit_depth;
    const int32_t half = 1 << (shift - 1), highest = (1 << job.bit_depth) - 1;
    rows.start(first);
    for (int y = first; y < end; y++) {
        const int32_t* near[kRows];
        for (int dy = 0; dy < kRows; dy++) near[dy] = rows.near(y, dy - kFilterRadius);
        for (int x = 0; x < job.width; x += kStrip) {
            const int32_t* sample = near[kFilterRadius] + x;
            int count = 0;
            for (int dy = 0; dy < kRows; dy++)
                for (int dx = -kFilterRadius; dx <= kFilterRadius; dx++)
                    if (dy != kFilterRadius || dx) take_differences(near[dy] + x + dx, sample, strip.near[count++]);
            run_layers(job, strip);
            const uint16_t* from = job.samples + (size_t)y * job.width + x;
            uint16_t* __restrict to = filtered + (size_t)y * job.width + x;
            const int places = std::min(kStrip, job.width - x);
            for (int i = 0; i < places; i++)
                to[i] = (uint16_t)std::clamp(from[i] + ((strip.found[i] * job.step + half) >> shift), 0, highest);
        }
    }
}

}  // namespace
}  // namespace pyramid

using namespace pyramid;

void filter_plane(const FilterJob& job, uint16_t* filtered) {
    const int num_parts = std::clamp(job.height / kFewRows, 1, job.num_threads);
    std::vector<StepRows> rows(num_parts, StepRows(job));
    std::vector<Strip> strips(num_parts);
    in_parallel(num_parts, [&](int part) {
        const int first = (int)((int64_t)job.height * part / num_parts),
                  end = (int)((int64_t)job.height * (part + 1) / num_parts);
        filter_rows(job, first, end, rows[part], strips[part], filtered);
    });
}

}  // namespace C3_ISA
}  // namespace c3
