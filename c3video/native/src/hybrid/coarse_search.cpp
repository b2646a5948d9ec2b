// SPDX-License-Identifier: MIT
// Where a search may begin: motion between small pictures, so that it reaches far. Compiled once for each instruction
// set; all give the same vectors.
//
//     means of 16 x 16 samples, of all moves up to 256 samples --> of 8 x 8, around what was found --> of 4 x 4
//
// A node of 4 x 4 small samples, so a superblock, its quarter, a block, is compared with what lies around it.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "hybrid/motion_context.h"
#include "hybrid/search.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kReach = 16;             // of the coarsest search, in its samples
constexpr int kSide = 4, kBeyond = 2;  // of a node, and what is compared around it
constexpr int kWindow = kSide + 2 * kBeyond;
constexpr int kMargin = 96;    // samples around a small picture; further out reads the margin's edge
constexpr int kStepCost = 64;  // of a sample, so that nothing moves for no reason

struct Small {
    int height, width;
    std::vector<int16_t> samples;

    Small(int height, int width)
        : height(height), width(width), samples((size_t)(height + 2 * kMargin) * (width + 2 * kMargin)) {}

    int stride() const { return width + 2 * kMargin; }
    int16_t* row(int y) { return samples.data() + (size_t)(y + kMargin) * stride() + kMargin; }
    // Where a window begins.
    const int16_t* at(int y, int x) const {
        y = std::clamp(y, -kMargin, height + kMargin - kWindow), x = std::clamp(x, -kMargin, width + kMargin - kWindow);
        return samples.data() + (size_t)(y + kMargin) * stride() + x + kMargin;
    }
    void repeat_edges() {
        for (int y = 0; y < height; y++) {
            int16_t* line = row(y);
            std::fill(line - kMargin, line, line[0]);
            std::fill(line + width, line + width + kMargin, line[width - 1]);
        }
        for (int y = 1; y <= kMargin; y++) {
            std::copy(row(0) - kMargin, row(0) + width + kMargin, row(-y) - kMargin);
            std::copy(row(height - 1) - kMargin, row(height - 1) + width + kMargin, row(height - 1 + y) - kMargin);
        }
    }
};

// Means of squares of `factor` samples, the last ones repeated.
template <typename At>
Small shrunk(int height, int width, int factor, At&& at) {
    Small small((height + factor - 1) / factor, (width + factor - 1) / factor);
    for (int y = 0; y < small.height; y++)
        for (int x = 0; x < small.width; x++) {
            int sum = factor * factor / 2;
            for (int i = 0; i < factor; i++)
                for (int j = 0; j < factor; j++)
                    sum += at(std::min(y * factor + i, height - 1), std::min(x * factor + j, width - 1));
            small.row(y)[x] = (int16_t)(sum >> (factor == 4 ? 4 : 2));
        }
    small.repeat_edges();
    return small;
}

std::vector<Small> pyramid(const int16_t* plane, int height, int width) {
    std::vector<Small> levels;
    levels.push_back(shrunk(height, width, 4, [&](int y, int x) { return plane[(size_t)y * width + x]; }));
    for (int level = 1; level < 3; level++) {
        Small& finer = levels.back();
        levels.push_back(shrunk(finer.height, finer.width, 2, [&](int y, int x) { return finer.row(y)[x]; }));
    }
    return levels;
}

int difference(const int16_t* a, int stride_a, const int16_t* b, int stride_b) {
    int sum = 0;
    for (int y = 0; y < kWindow; y++)
        for (int x = 0; x < kWindow; x++) sum += std::abs(a[y * stride_a + x] - b[y * stride_b + x]);
    return sum;
}

}  // namespace

void coarse_vectors(const CoarseJob& job, int32_t* vectors) {
    const std::vector<Small> current = pyramid(job.current, job.height, job.width);
    const std::vector<Small> reference = pyramid(job.reference, job.height, job.width);
    std::vector<Vector> coarser;
    int coarser_rows = 0, coarser_columns = 0;
    for (int level = 2; level >= 0; level--) {
        const Small &own = current[level], &other = reference[level];
        const int rows = (own.height + kSide - 1) / kSide, columns = (own.width + kSide - 1) / kSide;
        std::vector<Vector> found((size_t)rows * columns);
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < columns; column++) {
                const int top = row * kSide - kBeyond, left = column * kSide - kBeyond;
                const int16_t* window = own.at(top, left);
                Vector best{0, 0};
                int least = difference(window, own.stride(), other.at(top, left), other.stride());
                const auto attempt = [&](Vector v) {
                    const int cost = kStepCost * (std::abs(v.y) + std::abs(v.x)) +
                                     difference(window, own.stride(), other.at(top + v.y, left + v.x), other.stride());
                    if (cost < least) least = cost, best = v;
                };
                if (coarser.empty()) {
                    for (int y = -kReach; y <= kReach; y++)
                        for (int x = -kReach; x <= kReach; x++) attempt({y, x});
                } else {
                    for (int y = -1; y <= 1; y++)
                        for (int x = -1; x <= 1; x++) {
                            const int place_y = std::clamp(row / 2 + y, 0, coarser_rows - 1);
                            const int place_x = std::clamp(column / 2 + x, 0, coarser_columns - 1);
                            const Vector v = coarser[(size_t)place_y * coarser_columns + place_x];
                            attempt({2 * v.y, 2 * v.x});
                        }
                    const Vector centre = best;
                    for (int y = -2; y <= 2; y++)
                        for (int x = -2; x <= 2; x++) attempt({centre.y + y, centre.x + x});
                }
                found[(size_t)row * columns + column] = best;
            }
        coarser = std::move(found), coarser_rows = rows, coarser_columns = columns;
    }
    const int rows = (job.height + kMotionBlock - 1) / kMotionBlock;
    const int columns = (job.width + kMotionBlock - 1) / kMotionBlock;
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++) {
            const Vector v = coarser[(size_t)row * coarser_columns + column];
            const size_t at = (size_t)row * columns + column;
            vectors[at] = 16 * v.y, vectors[(size_t)rows * columns + at] = 16 * v.x;
        }
}

}  // namespace C3_ISA
}  // namespace c3
