// SPDX-License-Identifier: MIT
// Squared errors of blocks under candidate vectors, for the encoder's motion search. Decides no bit of decoding.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "hybrid/frame.h"

namespace c3 {

// Where windows may begin before a plane, and end behind it. Further out all samples of an axis are the same: there a
// window stands at the margin instead.
constexpr int kPhaseMargin = 80;

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

// Memory for many megabytes at once. Taking it page by page would cost more than what is written into it.
inline std::unique_ptr<int16_t[], Free> large_array(size_t count) {
    constexpr size_t kHugePage = 1 << 21;
    const size_t bytes = (count * sizeof(int16_t) / kHugePage + 1) * kHugePage;
    std::unique_ptr<int16_t[], Free> memory(static_cast<int16_t*>(std::aligned_alloc(kHugePage, bytes)));
    if (!memory) throw std::bad_alloc();
#if defined(__linux__)
    madvise(memory.get(), bytes, MADV_HUGEPAGE);  // a wish: that it fails does no harm
#endif
    return memory;
}

// A luma reference at all 16 quarter-sample phases, centred, 14 bits, with its edges repeated.
struct Phases {
    int height, width;
    ptrdiff_t stride;
    size_t plane;  // samples of one phase
    std::unique_ptr<int16_t[], Free> data;

    // Sample (0, 0) moved by (quarters_y, quarters_x).
    const int16_t* phase(int quarters_y, int quarters_x) const {
        return data.get() + (size_t)(4 * quarters_y + quarters_x) * plane + kPhaseMargin * stride + kPhaseMargin;
    }
};

struct PhaseJob {
    const uint16_t* samples;
    int height, width, bit_depth;
    int num_threads;
};

// With `other`, the prediction is the mean of both.
struct ErrorsJob {
    const int16_t* current;  // (height, width)
    int height, width, block_size;
    const Phases* phases;
    const int32_t* vectors;  // (num_candidates, 2, block_rows, block_columns)
    int num_candidates;
    const Phases* other;           // may be null
    const int32_t* other_vectors;  // (2, block_rows, block_columns)
    int num_threads;

    int block_rows() const { return (height + block_size - 1) / block_size; }
    int block_columns() const { return (width + block_size - 1) / block_size; }
};

// `phases` has its sizes and its memory.
using MakePhases = void(const PhaseJob& job, Phases& phases);
// `errors`: (num_candidates, block_rows, block_columns)
using BlockErrors = void(const ErrorsJob& job, float* errors);

}  // namespace c3
