// SPDX-License-Identifier: MIT
// Compiled once for each instruction set; all give the same numbers.
//
// The error of a block is the sum of weight * difference^2 over its window. It is made of
//
//     d = prediction - current, saturated to 16 bits;  e = d * weight / 4, rounded;  d * e, summed over 2 x 4 samples,
//     rounded to 1/16 and then summed in 32 bits
//
// so that two multiplications a vector do, and nothing runs over: a group's sum is below 2^31, as the weights of four rows
// are never all 4096. Rounding e moves a window's sum by less than a percent where differences exceed some units; one
// level of 8 bits is 64 of them.
#include "block_errors.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "interpolation.h"
#include "parallel.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kMaxWindow = 64;
constexpr int kGroupRows = 4, kGroupBits = 4;

using Window = int16_t[kMaxWindow * kMaxWindow];

// What all candidates of a block share.
struct Room {
    alignas(64) Window current, other, edge_weights;
    const int16_t* weights;  // those of all blocks, or at the edge of the frame edge_weights
};

// Where a window of `size` that starts at `start` is read: further outside it reads the same.
int clamped(int start, int size, int length) { return std::clamp(start, -size - 8, length + 7); }

const int16_t* window_of(const Phases& phases, int y, int x, int size, int vector_y, int vector_x) {
    const int top = y + (vector_y >> 2), left = x + (vector_x >> 2);
    // A position outside is not moved within its sample: all phases of it are the same as well.
    return phases.phase(vector_y & 3, vector_x & 3) + clamped(top, size, phases.height) * phases.stride +
           clamped(left, size, phases.width);
}

template <typename S, bool kMean>
C3_INLINE int64_t column_error(const int16_t* source, ptrdiff_t stride, const Room& room, int x, int size) {
    auto total = S::splat32(0);
    for (int y = 0; y < size; y += kGroupRows) {
        auto sum = S::splat32(1 << (kGroupBits - 1));
        for (int i = 0; i < kGroupRows; i++) {
            auto prediction = S::load(source + (y + i) * stride + x);
            const int place = (y + i) * size + x;
            if (kMean) prediction = mean16(prediction, S::load(room.other + place));
            const auto difference = subtract_saturated(prediction, S::load(room.current + place));
            sum = multiply_add(sum, difference, multiply_round15(difference, S::load(room.weights + place)));
        }
        total = add32(total, shift_right32(sum, kGroupBits));
    }
    int32_t lanes[S::lanes / 2];
    store32(lanes, total);
    int64_t result = 0;
    for (int32_t lane : lanes) result += lane;
    return result;
}

template <bool kMean>
float window_error(const int16_t* source, ptrdiff_t stride, const Room& room, int size) {
    int64_t error = 0;
    for_vectors(size, [&](auto vectors, int x) { error += column_error<decltype(vectors), kMean>(source, stride, room, x, size); });
    return (float)error * (1.0f / (1 << 22));
}

}  // namespace

void make_phases(const PhaseJob& job, Phases& phases) {
    const Reference reference{job.samples, job.height, job.width, job.bit_depth};
    const int height = job.height + 2 * kPhaseMargin, width = job.width + 2 * kPhaseMargin;
    const int num_bands = (height + kStripRows - 1) / kStripRows, num_parts = std::min(job.num_threads, num_bands);
    std::vector<StripRoom> rooms(num_parts);
    in_parallel(num_parts, [&](int part) {
        const int last_band = (int)((int64_t)num_bands * (part + 1) / num_parts);
        for (int band = (int)((int64_t)num_bands * part / num_parts); band < last_band; band++) {
            const int y = band * kStripRows, rows = std::min(kStripRows, height - y);
            for (int x = 0; x < width; x += kStripColumns)
                for (int phase = 0; phase < 16; phase++)
                    interpolate<false>(reference, y - kPhaseMargin, x - kPhaseMargin, rows, std::min(kStripColumns, width - x),
                                       2 * (phase / 4), 2 * (phase % 4), phases.data.get() + phase * phases.plane + y * phases.stride + x,
                                       phases.stride, rooms[part]);
        }
    });
}

namespace {

// Fetches what the candidates of a block share. Positions outside the frame weigh nothing.
void prepare(const ErrorsJob& job, int row, int column, const Window& weights, Room& room) {
    const int side = job.block_size, size = 2 * side, top = row * side - side / 2, left = column * side - side / 2;
    const int16_t* source = job.current + (ptrdiff_t)top * job.width + left;
    room.weights = weights;
    if (top >= 0 && left >= 0 && top + size <= job.height && left + size <= job.width) {
        for (int i = 0; i < size; i++, source += job.width) std::memcpy(room.current + i * size, source, sizeof(int16_t) * size);
    } else {
        room.weights = room.edge_weights;
        std::fill(room.edge_weights, room.edge_weights + size * size, (int16_t)0);
        std::fill(room.current, room.current + size * size, (int16_t)0);
        const int first = std::max(-left, 0), last = std::min(size, job.width - left);
        for (int i = std::max(-top, 0); i < std::min(size, job.height - top); i++) {
            const int16_t* samples = job.current + (size_t)(top + i) * job.width + left + first;
            std::copy(samples, samples + (last - first), room.current + i * size + first);
            std::copy(weights + i * size + first, weights + i * size + last, room.edge_weights + i * size + first);
        }
    }
    if (!job.other) return;
    const size_t block = (size_t)row * job.block_columns() + column, count = (size_t)job.block_rows() * job.block_columns();
    source = window_of(*job.other, top, left, size, job.other_vectors[block], job.other_vectors[count + block]);
    for (int i = 0; i < size; i++, source += job.other->stride)
        std::memcpy(room.other + i * size, source, sizeof(int16_t) * size);
}

}  // namespace

void block_errors(const ErrorsJob& job, float* errors) {
    const int side = job.block_size, size = 2 * side, rows = job.block_rows(), columns = job.block_columns();
    const size_t count = (size_t)rows * columns;
    const uint8_t* rising = rise(side);
    alignas(64) Window weights;
    for (int i = 0; i < size * size; i++) {
        const int y = i / size, x = i % size;
        weights[i] = (int16_t)(2 * (y < side ? rising[y] : 64 - rising[y - side]) * (x < side ? rising[x] : 64 - rising[x - side]));
    }
    const int num_parts = std::min(job.num_threads, rows);
    const std::unique_ptr<Room[]> rooms(new Room[num_parts]);
    in_parallel(num_parts, [&](int part) {
        Room& room = rooms[part];
        const int last_row = (int)((int64_t)rows * (part + 1) / num_parts);
        for (int row = (int)((int64_t)rows * part / num_parts); row < last_row; row++)
            for (int column = 0; column < columns; column++) {
                prepare(job, row, column, weights, room);
                const int top = row * side - side / 2, left = column * side - side / 2;
                const size_t block = (size_t)row * columns + column;
                for (int k = 0; k < job.num_candidates; k++) {
                    const int32_t* vectors = job.vectors + 2 * k * count + block;
                    const int16_t* source = window_of(*job.phases, top, left, size, vectors[0], vectors[count]);
                    const ptrdiff_t stride = job.phases->stride;
                    errors[k * count + block] =
                        job.other ? window_error<true>(source, stride, room, size) : window_error<false>(source, stride, room, size);
                }
            }
    });
}

}  // namespace C3_ISA
}  // namespace c3
