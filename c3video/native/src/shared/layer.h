// SPDX-License-Identifier: MIT
// What Python hands to the integer kernels.
#pragma once
#include <cstdint>
#include <vector>

namespace c3 {

// A layer's integers, its weights in pairs along the inputs as multiply_add wants them (an odd last input is paired
// with a zero). Ranges have been checked by whoever made it: no sum can leave 32 bits.
struct Layer {
    int num_outputs = 0;
    int num_inputs = 0;
    int accumulator_bits = 0;
    std::vector<int32_t> pairs;  // (num_outputs, ceil(num_inputs / 2)), low half the first of the pair
    std::vector<int32_t> bias;   // (num_outputs,) at the accumulator's binary point

    int num_pairs() const { return (num_inputs + 1) / 2; }
};

constexpr int kHiddenBits = 10;
constexpr int kOutputBits = 13;
constexpr int kMaxWidth = 64;

}  // namespace c3
