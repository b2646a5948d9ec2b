// SPDX-License-Identifier: MIT
// The network of motion: from what is known around a symbol to its table. Compiled once for each instruction set.
#pragma once
#include <vector>

#include "hybrid/context_network.h"
#include "hybrid/predict.h"
#include "shared/sparse_tables.h"

namespace c3 {
namespace C3_ISA {

class MotionNetwork {
public:
    MotionNetwork(const ContextNetwork& network, int depth) {
        layers_.reserve(kMotionClasses);
        for (int symbol_class = 0; symbol_class < kMotionClasses; symbol_class++) {
            layers_.emplace_back(network, symbol_class);
            Layers::first_bias(network, symbol_class, depth, bias_[symbol_class]);
        }
        for (int pair = 0; pair < kPairs; pair++)
            for (int o = 0; o < kFirstWidth; o++)
                for (int i = 0; i < 2; i++)
                    weights_[pair][Sums::weight_place(o, i)] = (int16_t)network.first[o * kMotionInputs + 2 * pair + i];
    }

    unsigned table(int symbol_class, const int16_t (&inputs)[kMotionInputs]) const {
        Sums sums = Sums::from(bias_[symbol_class]);
        for (int pair = 0; pair + 1 < kPairs; pair++) sums.add(weights_[pair], load_pair(inputs + 2 * pair));
        alignas(64) int32_t all_but_two[kFirstWidth];
        sums.to(all_but_two);
        const unsigned table =
            layers_[symbol_class].table(all_but_two, weights_[kPairs - 1], load_pair(inputs + kMotionInputs - 2));
        return symbol_class < kFirstFlagClass ? table : flag_table(table);
    }

private:
    static constexpr int kPairs = kMotionInputs / 2;

    std::vector<Layers> layers_;
    alignas(64) int32_t bias_[kMotionClasses][kFirstWidth];
    alignas(64) int16_t weights_[kPairs][2 * kFirstWidth];
};

}  // namespace C3_ISA
}  // namespace c3
