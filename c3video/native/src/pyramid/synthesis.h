// SPDX-License-Identifier: MIT
// Latents to samples of a picture: docs/c3v_pyramid.md, sections 5 and 6.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pyramid/dense.h"

namespace c3 {

constexpr int kMaxGrids = 8;
constexpr int kMaxReach = 3;

struct PyramidGrid {
    int height, width;
    const int16_t* latents;
};

// The synthesis of the planes of one resolution.
struct PyramidGroup {
    Dense first, second, linear;
    Dense refine, change;  // without outputs where there is no refinement
    int num_planes() const { return second.num_outputs; }
};

// How the planes that are not luma's relate to it.
enum class Chroma { none, halved_columns, halved };

struct PyramidPlane {
    int height, width;
    void* samples;  // uint8_t up to a max_value of 255, else uint16_t
};

struct PyramidPicture {
    std::vector<PyramidGrid> grids;  // finest first
    std::vector<int32_t> kernels;    // (grids - 1, 4) of the upsampling
    std::vector<int32_t> filters;    // (grids, kMaxReach + 1) of the grids' own latents, the middle first, or none
    Chroma chroma;                   // `none`: the first group has all planes
    std::vector<PyramidGroup> groups;
    std::vector<PyramidPlane> planes;
    int max_value;
};

// Fills the planes, bands of rows on several threads.
using SynthesisePyramid = void(const PyramidPicture& picture, int num_threads);

// Most bytes that it takes beside its arguments, for luma of that size.
using PyramidSynthesisMemory = size_t(int num_grids, int num_planes, int height, int width, int num_threads);

}  // namespace c3
