// SPDX-License-Identifier: MIT
// Coding the latents of patches: docs/c3v_pyramid.md, sections 3 and 4.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <vector>

#include "pyramid/dense.h"
#include "shared/ans.h"
#include "shared/writer.h"

namespace c3 {

struct PyramidTap {
    int dy, dx;
};

constexpr int kMaxPreviousTaps = 9, kMaxWindow = 31, kMaxHyper = 4;
// Around a grid's window, in the order of PREVIOUS_TAPS in pyramid/config.py.
constexpr PyramidTap kPreviousTaps[kMaxPreviousTaps] = {{0, 0},   {0, -1}, {0, 1},  {-1, 0}, {1, 0},
                                                        {-1, -1}, {-1, 1}, {1, -1}, {1, 1}};

struct PyramidEntropy {
    std::vector<PyramidTap> taps;
    int slope;         // (y, x) is in wave x + slope * y
    int num_previous;  // taps in the previous latent frame, the first of kPreviousTaps
    int num_hyper;     // hyper grids
    Dense first;       // of taps, those of the previous frame, seven from the grids above, hyper grids
    std::vector<std::vector<int32_t>> grid_bias;  // its biases, by grid
    std::vector<Dense> second;                    // none or one
    Dense last, linear;                           // two outputs each; `linear` has what `first` has as inputs
};

// A patch's part of a grid.
struct PyramidPart {
    int height, width;
    int16_t* latents;  // to be read: zeros, to be filled
    size_t stride;
    const int16_t* previous;         // the same part of the previous latent frame, of the same stride; null for zeros
    int window_y = 0, window_x = 0;  // where the taps in it lie
};

struct PyramidPatch {
    Reader* reader;                  // or
    Writer* writer;                  // the other one is null
    std::vector<PyramidPart> parts;  // finest first, then hyper grids, finest first
    std::vector<double> bits;        // of each part: what the tables promise of what is written, what reading used up
};

// Reads or writes a latent frame of the patches, several at a time; a reader may have more behind it. What a patch
// threw is thrown again; of several, that of the first one.
using CodePyramid = void(const Tables& tables, const PyramidEntropy& model, std::vector<PyramidPatch>& patches,
                         int num_threads);

// What the memory that coding takes depends on.
struct PyramidSizes {
    struct Part {
        int height, width;
    };
    std::vector<Part> parts;  // of the largest patch, finest first, then hyper grids
    std::vector<PyramidTap> taps;
    int slope;
    bool has_previous;  // whether taps lie in the previous latent frame
    int num_hyper;
};

// Most bytes that CodePyramid takes beside its arguments while so many patches are coded at a time.
using PyramidLatentsMemory = size_t(const PyramidSizes& sizes, int num_walks);

}  // namespace c3
