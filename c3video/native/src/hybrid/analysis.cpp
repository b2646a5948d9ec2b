// SPDX-License-Identifier: MIT
// Lifting along x and then along y, level by level. Loops are written for a compiler to make vectors of, and compiled
// once for each instruction set; all of them give the same floats.
#include "hybrid/analysis.h"

#include <algorithm>
#include <cstddef>

namespace c3 {
namespace C3_ISA {

namespace {

constexpr float kSteps[] = {-6497 / 4096.0f, -217 / 4096.0f, 3616 / 4096.0f, 1817 / 4096.0f};

// To each of `count` samples, `step` times its two neighbours of the other kind.
inline void lift(float* __restrict out, const float* __restrict first, const float* __restrict second, float step,
                 int count) {
    for (int i = 0; i < count; i++) out[i] += step * (first[i] + second[i]);
}

// Beyond an end the nearest neighbour stands twice.
void lift_high_along_x(float* high, const float* low, float step, int num_high, int num_low) {
    lift(high, low, low + 1, step, std::min(num_high, num_low - 1));
    if (num_high == num_low) high[num_high - 1] += step * (low[num_low - 1] + low[num_low - 1]);
}

void lift_low_along_x(float* low, const float* high, float step, int num_high, int num_low) {
    low[0] += step * (high[0] + high[0]);
    lift(low + 1, high, high + 1, step, num_high - 1);
    if (num_low > num_high) low[num_low - 1] += step * (high[num_high - 1] + high[num_high - 1]);
}

// A row's low samples, then its high ones.
void split_row(const float* __restrict row, float* __restrict low, float* __restrict high, int width) {
    const int num_high = width / 2, num_low = width - num_high;
    for (int i = 0; i < num_high; i++) low[i] = row[2 * i], high[i] = row[2 * i + 1];
    if (num_low > num_high) low[num_high] = row[width - 1];
    if (num_high == 0) return;
    lift_high_along_x(high, low, kSteps[0], num_high, num_low);
    lift_low_along_x(low, high, kSteps[1], num_high, num_low);
    lift_high_along_x(high, low, kSteps[2], num_high, num_low);
    lift_low_along_x(low, high, kSteps[3], num_high, num_low);
}

// Rows of one kind, `width` apart.
struct RowsOf {
    float* rows;
    int count, width;

    float* row(int y) const { return rows + (size_t)std::clamp(y, 0, count - 1) * width; }
};

void lift_rows(const RowsOf& out, const RowsOf& other, int first, float step) {
    for (int y = 0; y < out.count; y++)
        lift(out.row(y), other.row(y + first), other.row(y + first + 1), step, out.width);
}

void lift_along_y(const RowsOf& low, const RowsOf& high) {
    if (high.count == 0 || low.width == 0) return;
    lift_rows(high, low, 0, kSteps[0]);
    lift_rows(low, high, -1, kSteps[1]);
    lift_rows(high, low, 0, kSteps[2]);
    lift_rows(low, high, -1, kSteps[3]);
}

}  // namespace

void analyse(const AnalysisJob& job) {
    int height = job.height, width = job.width;
    std::vector<float> plane(job.plane, job.plane + (size_t)height * width), next;
    for (int level = job.levels - 1; level >= 0; level--) {
        const int num_high = height / 2, wide_high = width / 2;
        const int num_low = height - num_high, wide_low = width - wide_high;
        float* const* details = job.bands.data() + 1 + 3 * level;
        next.resize((size_t)num_low * wide_low);
        const RowsOf rows[2][2] = {{{next.data(), num_low, wide_low}, {details[0], num_low, wide_high}},
                                   {{details[1], num_high, wide_low}, {details[2], num_high, wide_high}}};
        for (int y = 0; y < height; y++)
            split_row(plane.data() + (size_t)y * width, rows[y % 2][0].row(y / 2), rows[y % 2][1].row(y / 2), width);
        lift_along_y(rows[0][0], rows[1][0]);
        lift_along_y(rows[0][1], rows[1][1]);
        plane.swap(next);
        height = num_low, width = wide_low;
    }
    std::copy(plane.begin(), plane.begin() + (size_t)height * width, job.bands[0]);
}

}  // namespace C3_ISA
}  // namespace c3
