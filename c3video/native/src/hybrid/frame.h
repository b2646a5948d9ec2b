// SPDX-License-Identifier: MIT
// A plane of a frame from its references, its motion and its quantised subbands.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace c3 {

constexpr int kMaxVector = 4096;   // quarters of a luma sample
constexpr int kMaxLevels = 8;      // of the wavelet
constexpr int kMaxSide = 1 << 15;  // of a plane
constexpr int kMaxStep = 32767;    // of a subband
constexpr int kForward = 0, kBackward = 1, kBoth = 2;

struct Subband {
    const int32_t* symbols;
    int height, width, step;
};

// What Python hands over. Ranges and sizes are checked where a job is made (frame_bindings.cpp).
struct FrameJob {
    int height, width, bit_depth;
    int side_y, side_x;    // of a block in this plane: 4, 8, 16 or 32
    int shift_y, shift_x;  // of the plane against luma
    int num_references;    // 0, 1 or 2
    const uint16_t* references[2];
    int block_rows, block_columns;
    const int32_t* vectors;         // (references, 2, 2 block_rows, 2 block_columns): by quarter of a block
    const int32_t* modes;           // (2 block_rows, 2 block_columns)
    const int32_t* splits;          // (block_rows, block_columns), 0: the block's quarters are alike
    std::vector<Subband> subbands;  // in coding order
    int num_threads;
};

using ReconstructPlane = void(const FrameJob& job, uint16_t* samples);
// The prediction alone, centred, 14 bits; the job's subbands are not looked at.
using PredictPlane = void(const FrameJob& job, int16_t* prediction);

// These two tables are compensation.TAPS and compensation.RISES; tests/native/test_frames.py holds them equal.
constexpr int kNumTaps = 8;
constexpr int16_t kTaps[8][kNumTaps] = {
    {0, 0, 0, 64, 0, 0, 0, 0},        {-1, 3, -6, 61, 9, -3, 1, 0},     {-2, 5, -11, 58, 19, -7, 3, -1},
    {-2, 5, -12, 51, 30, -10, 4, -2}, {-2, 5, -12, 41, 41, -12, 5, -2}, {-2, 4, -10, 30, 51, -12, 5, -2},
    {-1, 3, -7, 19, 58, -11, 5, -2},  {0, 1, -3, 9, 61, -6, 3, -1},
};

// Weights of what lies behind an edge, by the samples that both sides of it overlap in.
inline const uint8_t* rise(int overlap) {
    static const uint8_t rise2[] = {10, 54};
    static const uint8_t rise4[] = {2, 20, 44, 62};
    static const uint8_t rise8[] = {1, 5, 14, 26, 38, 50, 59, 63};
    static const uint8_t rise16[] = {0, 1, 4, 7, 12, 17, 23, 29, 35, 41, 47, 52, 57, 60, 63, 64};
    return overlap == 2 ? rise2 : overlap == 4 ? rise4 : overlap == 8 ? rise8 : rise16;
}

// Weight of what lies behind the middle of `side` samples, at a place counted from the first of them.
inline int rising(int place, int side) {
    const int inside = place - side / 4;
    return inside < 0 ? 0 : inside >= side / 2 ? 64 : rise(side / 2)[inside];
}

}  // namespace c3
