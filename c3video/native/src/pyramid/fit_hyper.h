// SPDX-License-Identifier: MIT
// Hyper grids as contexts of a fit read them: enlarged by two again and again, each patch by itself, down to the second
// finest resolution. What the finest grid reads is made where it is read: it would take three quarters of the memory.
#pragma once
#include <algorithm>
#include <vector>

#include "pyramid/fit_plan.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

using c3::pyramid::kMaxHyper;
using c3::pyramid::Plan;
using c3::pyramid::Size;

// A patch's part of a resolution, in an array of the whole of it.
struct HyperPart {
    int height, width;
    size_t start, row;  // flat index of its corner, and from row to row
};

inline HyperPart hyper_part(const Plan& plan, int level, int top, int left) {
    const Size& grid = plan.grids[level];
    const int size = plan.patch_size >> level;
    return {std::min(size, grid.height - top), std::min(size, grid.width - left), (size_t)top * grid.width + left,
            (size_t)grid.width};
}

// Row y of a part from its coarser one: `to` has its width. `scratch` has room for a row of the coarser one and a float
// before and behind it.
inline void enlarge_row(const float* coarse, const HyperPart& from, int y, int width, float* scratch, float* to) {
    const int py = y >> 1, beside = y & 1 ? py + 1 : py - 1;
    const float* near = coarse + from.start + (size_t)py * from.row;
    float* sums = scratch + 1;
    if (beside >= 0 && beside < from.height) {
        const float* far = coarse + from.start + (size_t)beside * from.row;
        for (int i = 0; i < from.width; i++) sums[i] = 0.1875f * near[i] + 0.0625f * far[i];
    } else {
        for (int i = 0; i < from.width; i++) sums[i] = 0.1875f * near[i];
    }
    sums[-1] = sums[from.width] = 0.0f;
    for (int i = 0; i < width / 2; i++) {
        to[2 * i] = 3.0f * sums[i] + sums[i - 1];
        to[2 * i + 1] = 3.0f * sums[i] + sums[i + 1];
    }
    if (width % 2) to[width - 1] = 3.0f * sums[width / 2] + sums[width / 2 - 1];
}

// Adds the gradient of row y to that of the coarser part. Behind `grad` are zeros for three more places; what is before
// it is not read.
inline void fold_row(const float* grad, const HyperPart& to, int y, float* coarse) {
    const int py = y >> 1, beside = y & 1 ? py + 1 : py - 1;
    float* near = coarse + to.start + (size_t)py * to.row;
    float* far = beside >= 0 && beside < to.height ? coarse + to.start + (size_t)beside * to.row : nullptr;
    const auto add = [&](int i, float before) {
        const float sum = 3.0f * (grad[2 * i] + grad[2 * i + 1]) + before + grad[2 * i + 2];
        near[i] += 0.1875f * sum;
        if (far) far[i] += 0.0625f * sum;
    };
    add(0, 0.0f);
    for (int i = 1; i < to.width; i++) add(i, grad[2 * i - 1]);
}

// Arrays of all hyper grids at the resolutions 1 .. that of each, one after the other; of its own it is the latents.
class HyperPlanes {
public:
    // Floats that the arrays take.
    static size_t count(const Plan& plan) {
        size_t sum = 0;
        for (int i = 0; i < plan.num_hyper; i++)
            for (int level = 1; level < plan.hyper_level(i); level++) sum += plan.grids[level].count();
        return sum;
    }

    HyperPlanes(const Plan& plan, float* arrays, float* latents) : plan_(&plan) {
        for (int i = 0; i < plan.num_hyper; i++) {
            const int own = plan.hyper_level(i);
            at_[i][own] = latents ? latents + plan.grid_starts[plan.num_grids() + i] : nullptr;
            for (int level = 1; level < own; level++) {
                at_[i][level] = arrays;
                arrays += plan.grids[level].count();
            }
        }
    }

    // Of hyper grid i at a resolution from 1 to its own.
    float* at(int i, int level) const { return at_[i][level]; }

    // Makes all of hyper grid i from its latents.
    void enlarge(int i) const {
        std::vector<float> scratch(plan_->grids[1 < plan_->num_grids() ? 1 : 0].width + 2);
        for_rows(
            i,
            [&](int level, const HyperPart& fine, const HyperPart& coarse, int y) {
                enlarge_row(at_[i][level + 1], coarse, y, fine.width, scratch.data(),
                            at_[i][level] + fine.start + (size_t)y * fine.row);
            },
            true);
    }

    // Gradients of hyper grid i handed up from the second finest resolution to the latents.
    void fold(int i) const {
        std::vector<float> row(plan_->grids[1 < plan_->num_grids() ? 1 : 0].width + 3);
        for_rows(
            i,
            [&](int level, const HyperPart& fine, const HyperPart& coarse, int y) {
                std::copy_n(at_[i][level] + fine.start + (size_t)y * fine.row, fine.width, row.data());
                std::fill_n(row.data() + fine.width, 3, 0.0f);
                fold_row(row.data(), coarse, y, at_[i][level + 1]);
            },
            false);
    }

private:
    const Plan* plan_;
    float* at_[kMaxHyper][c3::pyramid::kMaxGrids] = {};

    // f(resolution, part, the coarser part, row) from the coarsest resolution that is made to the finest, or back.
    template <typename F>
    void for_rows(int i, F f, bool downwards) const {
        const int own = plan_->hyper_level(i);
        for (int n = 1; n < own; n++) {
            const int level = downwards ? own - n : n;
            const Size& grid = plan_->grids[level];
            const int size = plan_->patch_size >> level;
            for (int top = 0; top < grid.height; top += size)
                for (int left = 0; left < grid.width; left += size) {
                    const HyperPart fine = hyper_part(*plan_, level, top, left),
                                    coarse = hyper_part(*plan_, level + 1, top / 2, left / 2);
                    for (int y = 0; y < fine.height; y++) f(level, fine, coarse, y);
                }
        }
    }
};

}  // namespace pyramid
}  // namespace C3_ISA
}  // namespace c3
