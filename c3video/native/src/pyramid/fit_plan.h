// SPDX-License-Identifier: MIT
// What a fit of the pyramid model knows of its picture, and one step's job: bits and squared errors with the gradient
// of every latent and weight (pyramid/fit/network.py is the definition).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace c3 {
namespace pyramid {

constexpr int kMaxGrids = 8, kMaxTaps = 16, kNumParents = 7, kMaxWidth = 48, kMaxRefine = 32, kMaxPlanes = 3,
              kMaxReach = 3;
constexpr int kUpsamplingTaps = 4;
// As in pyramid/fit/network.py: the largest hidden units, and steps of a latent that a given plane spans from 0 to 1.
constexpr float kEntropyLimit = 32767.0f / 256.0f, kSynthesisLimit = 32767.0f / 1024.0f,
                kRefineLimit = 32767.0f / 8192.0f;
constexpr float kGivenGain = 32.0f;
constexpr int kMaxPrevious = 9;  // taps in the previous latent frame: 3 x 3 places, as PREVIOUS_TAPS of config.py
constexpr int kMaxWindow = 31;   // furthest that these lie off
constexpr int kMaxHyper = 4;
constexpr std::pair<int, int> kPreviousTaps[kMaxPrevious] = {{0, 0},   {0, -1}, {0, 1},  {-1, 0}, {1, 0},
                                                             {-1, -1}, {-1, 1}, {1, -1}, {1, 1}};

struct Size {
    int height, width;
    size_t count() const { return (size_t)height * width; }
};

// Memory that is kept from step to step: a fresh page costs as much as the work on its floats. Pieces are asked for in
// about the same order each time. What they hold is left from before.
class Arena {
public:
    void reset() { next_ = 0; }
    float* take(size_t count) {
        if (next_ == pieces_.size()) pieces_.emplace_back();
        Piece& piece = pieces_[next_];
        // Pieces that all start at the same place of a page would share few cache sets.
        const size_t skew = next_++ * 5 % 61 * 16;
        if (piece.count < count) {
            const size_t bytes = ((count + 61 * 16 + 64) * sizeof(float) + 63) / 64 * 64;
            piece.data.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
            if (!piece.data) throw std::bad_alloc();
            std::fill_n(piece.data.get(), bytes / sizeof(float), 0.0f);
            piece.count = count;
        }
        return piece.data.get() + skew;
    }

private:
    struct Free {
        void operator()(float* p) const { std::free(p); }
    };
    struct Piece {
        std::unique_ptr<float, Free> data;
        size_t count = 0;
    };
    std::vector<Piece> pieces_;
    size_t next_ = 0;
};

// As PlaneGroup of pyramid/config.py.
struct Group {
    int num_planes, y_exponent, x_exponent, num_given, first_grid;
    int num_inputs, num_latent_inputs;
    Size size;
    // Places of the arrays among all weights.
    size_t v1, c1, v2, c2, m, r1, d1, r2, d2;
    int first_plane;
};

struct Plan {
    int num_taps, num_previous, synthesis_width, refine_width, filter_reach, patch_size;
    std::vector<int> hidden;                // widths of the entropy network's one or two hidden layers
    std::vector<std::pair<int, int>> taps;  // (dy, dx)
    int num_hyper;
    std::vector<Size> grids;  // finest first, then hyper grids, finest first
    std::vector<size_t> grid_starts;
    std::vector<Group> groups;
    // Places of the arrays among all weights.
    size_t w1, b1, w2, b2, w3, b3, l, p1, pb, pl, p3, h1, hl, hb, u, f;
    size_t num_latents, num_weights, num_samples;
    int num_planes;
    // Steps on one plan take turns, for they use its memory.
    mutable std::mutex turn;
    mutable std::vector<std::unique_ptr<Arena>> arenas;  // one a thread, the first for what they share

    int num_grids() const { return (int)grids.size() - num_hyper; }  // hyper grids apart
    int num_inputs() const { return num_taps + kNumParents; }
    // How many times the sides of a hyper grid, of any grid, are half those of luma.
    int hyper_level(int i) const { return num_grids() - num_hyper + i; }
    int level(int grid) const { return grid < num_grids() ? grid : grid - num_hyper; }
    // Place of a grid's biases in the first layer.
    size_t bias(int grid) const {
        return grid < num_grids() ? b1 + (size_t)grid * hidden[0] : hb + (size_t)(grid - num_grids()) * hidden[0];
    }
};

struct Job {
    const float *latents, *weights, *targets;
    // Of a latent frame after the first: the one before it, null for zeros, and how far off each grid's window lies.
    bool is_later;
    const float* previous;
    const std::pair<int, int>* windows;  // (y, x)
    double bits_weight;                  // of a bit in the loss
    const double* error_weights;         // of a squared error in each plane
    const float* importance;             // and of each sample, above 0, all planes; null: of all alike
    double *bits, *squared_errors;       // of each grid, of each plane; the latter as samples count
    float* samples;                      // all planes, clipped; may be null
    // Null where they are not wanted. Those of weights are sums in doubles.
    float *grad_latents, *grad_previous;
    double* grad_weights;
};

}  // namespace pyramid

// Both add to what they are given: bits or squared errors, and gradients.
using PyramidRate = void(const pyramid::Plan& plan, const pyramid::Job& job, int num_threads);
using PyramidDistortion = void(const pyramid::Plan& plan, const pyramid::Job& job, int num_threads);

}  // namespace c3
