// SPDX-License-Identifier: MIT
// Lifting along x and then along y, level by level, in int32: hybrid/wavelet.py, `analyse_exactly`, whose limit keeps
// all sums below 2^31. Compiled once for each instruction set.
#include "hybrid/key_symbols.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int32_t kExactLimit = 1 << 16;
constexpr int kSampleBits = 14;

// Each of `count` samples plus (kMultiplier * (its two neighbours of the other kind) + 2048) >> 12.
template <int kMultiplier>
inline void raise(int32_t* __restrict out, const int32_t* first, const int32_t* second, int count) {
    constexpr int32_t kWhole = kMultiplier / 4096, kRest = kMultiplier % 4096;
    for (int i = 0; i < count; i++) {
        const int32_t sum = first[i] + second[i];
        out[i] += kWhole * sum + ((kRest * sum + 2048) >> 12);
    }
}

inline void hold(int32_t* values, size_t count) {
    for (size_t i = 0; i < count; i++) values[i] = std::min(std::max(values[i], -kExactLimit), kExactLimit);
}

// Beyond an end the nearest neighbour stands twice.
template <int kMultiplier>
void raise_high(int32_t* high, const int32_t* low, int num_high, int num_low) {
    raise<kMultiplier>(high, low, low + 1, std::min(num_high, num_low - 1));
    if (num_high == num_low) raise<kMultiplier>(high + num_high - 1, low + num_low - 1, low + num_low - 1, 1);
}

template <int kMultiplier>
void raise_low(int32_t* low, const int32_t* high, int num_high, int num_low) {
    raise<kMultiplier>(low, high, high, 1);
    raise<kMultiplier>(low + 1, high, high + 1, num_high - 1);
    if (num_low > num_high) raise<kMultiplier>(low + num_low - 1, high + num_high - 1, high + num_high - 1, 1);
}

void split_row(const int32_t* row, int32_t* __restrict low, int32_t* __restrict high, int width) {
    const int num_high = width / 2, num_low = width - num_high;
    for (int i = 0; i < num_high; i++) low[i] = row[2 * i], high[i] = row[2 * i + 1];
    if (num_low > num_high) low[num_high] = row[width - 1];
    if (num_high == 0) return;
    raise_high<-6497>(high, low, num_high, num_low);
    raise_low<-217>(low, high, num_high, num_low);
    raise_high<3616>(high, low, num_high, num_low);
    raise_low<1817>(low, high, num_high, num_low);
    hold(low, num_low);
    hold(high, num_high);
}

// Rows of one kind, `width` apart.
struct RowsOf {
    int32_t* rows;
    int count, width;

    int32_t* row(int y) const { return rows + (size_t)std::clamp(y, 0, count - 1) * width; }
};

template <int kMultiplier>
void raise_rows(const RowsOf& out, const RowsOf& other, int first) {
    for (int y = 0; y < out.count; y++)
        raise<kMultiplier>(out.row(y), other.row(y + first), other.row(y + first + 1), out.width);
}

void split_along_y(const RowsOf& low, const RowsOf& high) {
    if (high.count == 0 || low.width == 0) return;
    raise_rows<-6497>(high, low, 0);
    raise_rows<-217>(low, high, -1);
    raise_rows<3616>(high, low, 0);
    raise_rows<1817>(low, high, -1);
    hold(low.rows, (size_t)low.count * low.width);
    hold(high.rows, (size_t)high.count * high.width);
}

void quantise(int32_t* band, size_t count, int step) {
    for (size_t i = 0; i < count; i++) {
        const int32_t size = std::abs(band[i]);
        const int32_t magnitude = size < step ? 0 : size / step;
        band[i] = band[i] < 0 ? -magnitude : magnitude;
    }
}

}  // namespace

void make_key_symbols(const KeyJob& job) {
    int height = job.height, width = job.width;
    std::vector<int32_t> plane((size_t)height * width), next;
    const int32_t middle = 1 << (job.bit_depth - 1), scale = 1 << (kSampleBits - job.bit_depth);
    for (size_t i = 0; i < plane.size(); i++)
        plane[i] = (std::min<int32_t>(job.samples[i], 2 * middle - 1) - middle) * scale;
    for (int level = job.levels - 1; level >= 0; level--) {
        const int num_high = height / 2, wide_high = width / 2;
        const int num_low = height - num_high, wide_low = width - wide_high;
        int32_t* const* details = job.bands.data() + 1 + 3 * level;
        next.resize((size_t)num_low * wide_low);
        const RowsOf rows[2][2] = {{{next.data(), num_low, wide_low}, {details[0], num_low, wide_high}},
                                   {{details[1], num_high, wide_low}, {details[2], num_high, wide_high}}};
        for (int y = 0; y < height; y++)
            split_row(plane.data() + (size_t)y * width, rows[y % 2][0].row(y / 2), rows[y % 2][1].row(y / 2), width);
        split_along_y(rows[0][0], rows[1][0]);
        split_along_y(rows[0][1], rows[1][1]);
        const size_t counts[] = {(size_t)num_low * wide_high, (size_t)num_high * wide_low,
                                 (size_t)num_high * wide_high};
        for (int i = 0; i < 3; i++) quantise(details[i], counts[i], job.steps[1 + 3 * level + i]);
        plane.swap(next);
        height = num_low, width = wide_low;
    }
    std::copy(plane.begin(), plane.begin() + (size_t)height * width, job.bands[0]);
    quantise(job.bands[0], (size_t)height * width, job.steps[0]);
}

}  // namespace C3_ISA
}  // namespace c3
