// SPDX-License-Identifier: MIT
// Motion as bindings take it, checked.
#pragma once
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "hybrid/motion.h"
#include "shared/arguments.h"

constexpr size_t kMaxBlocks = 1 << 20;
constexpr int kMaxSide = 1 << 15, kMaxDistance = 1 << 15;

// Motion of a frame coded before, and where that stands in time: motion_symbols.EarlierMotion.
struct Earlier {
    Ints4 vectors;
    Ints2 modes;
    std::vector<int> times;
    int reference;
};

inline bool are_times(const std::vector<int>& times) {
    const bool good = (times.size() == 1 || times.size() == 2) && times.front() >= 1 && times.back() != 0;
    return good && std::all_of(times.begin(), times.end(), [](int time) { return std::abs(time) <= kMaxDistance; });
}

inline bool is_field(const Ints4& vectors, const Ints2& modes, size_t num_references, std::pair<int, int> shape) {
    const size_t rows = 2 * (size_t)shape.first, columns = 2 * (size_t)shape.second;
    if (vectors.shape(0) != num_references || vectors.shape(1) != 2 || vectors.shape(2) != rows ||
        vectors.shape(3) != columns || modes.shape(0) != rows || modes.shape(1) != columns)
        return false;
    const int last_mode = num_references == 2 ? 2 : 0;
    const auto within = [](const int32_t* values, size_t count, int low, int high) {
        return std::all_of(values, values + count, [=](int32_t value) { return value >= low && value <= high; });
    };
    return within(modes.data(), modes.size(), 0, last_mode) &&
           within(vectors.data(), vectors.size(), -c3::kMaxMotionVector, c3::kMaxMotionVector);
}

inline c3::MotionFrame motion_frame(std::pair<int, int> shape, const std::vector<int>& times,
                                    const std::optional<Earlier>& earlier) {
    require(shape.first >= 1 && shape.second >= 1 && shape.first <= kMaxSide && shape.second <= kMaxSide &&
                (size_t)shape.first * shape.second <= kMaxBlocks,
            "a field of 1..2^20 blocks");
    require(are_times(times),
            "one or two references, at most 2^15 frames away: the first must be earlier, the second "
            "another frame");
    c3::MotionFrame frame{};
    frame.height = shape.first, frame.width = shape.second;
    frame.num_references = (int)times.size();
    std::copy(times.begin(), times.end(), frame.times);
    if (earlier) {
        require(are_times(earlier->times) && earlier->reference >= 0 && earlier->reference < (int)earlier->times.size(),
                "an earlier frame must have one or two references, and the one that counts must be among them");
        require(is_field(earlier->vectors, earlier->modes, earlier->times.size(), shape),
                "an earlier field must have the frame's shape, and modes and vectors in range");
        frame.earlier_vectors = earlier->vectors.data();
        frame.earlier_modes = earlier->modes.data();
        std::copy(earlier->times.begin(), earlier->times.end(), frame.earlier_times);
        frame.earlier_reference = earlier->reference;
    }
    return frame;
}
