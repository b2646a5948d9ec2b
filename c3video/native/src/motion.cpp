// SPDX-License-Identifier: MIT
// The walk over a motion field. Compiled once for each instruction set.
#include "motion.h"

#include <cstdlib>
#include <vector>

#include "predict.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kForward = 0, kBackward = 1, kBoth = 2, kOutside = -1;
constexpr int kFlag = 1 << kFeatureBits;
constexpr int kPairs = kMotionInputs / 2;

// What a block's neighbours need to know of it.
struct Block {
    int mode = kOutside;
    int32_t vector[2][2] = {};      // by reference and component
    int32_t difference[2][2] = {};  // to its prediction

    bool uses(int reference) const { return mode == reference || mode == kBoth; }
    int sign() const { return mode == kForward ? 1 : mode == kBackward ? -1 : 0; }
};

int16_t feature(int64_t value) { return kMagnitudeFeatures[std::min<int64_t>(std::abs(value), kMaxMagnitude)]; }

// Median of three neighbours, mean of two (rounded down), one, or zero; and how far they are from each other.
int predict_component(const Block* const neighbours[3], int reference, int component, int16_t* spreads) {
    int32_t value[3];
    bool known[3];
    int count = 0, total = 0;
    for (int i = 0; i < 3; i++) {
        value[i] = neighbours[i]->vector[reference][component];
        known[i] = neighbours[i]->uses(reference);
        if (known[i]) total += value[i], count++;
    }
    for (int i = 0; i < 3; i++) {
        constexpr int first[] = {0, 1, 0}, second[] = {1, 2, 2};
        const int a = first[i], b = second[i];
        spreads[i] = known[a] && known[b] ? feature(value[a] - value[b]) : 0;
    }
    if (count == 3) return std::max(std::min(value[0], value[1]), std::min(std::max(value[0], value[1]), value[2]));
    return count == 2 ? total >> 1 : total;
}

class MotionWalk {
public:
    MotionWalk(Cursor& cursor, const SparseTables& tables, const ContextNetwork& network, int level)
        : cursor_(cursor), tables_(tables), layers_{{network, 0}, {network, 1}, {network, 2}, {network, 3}, {network, 4}} {
        for (int symbol_class = 0; symbol_class < kMotionClasses; symbol_class++)
            Layers::first_bias(network, symbol_class, level, bias_[symbol_class]);
        for (int pair = 0; pair < kPairs; pair++)
            for (int o = 0; o < kFirstWidth; o++)
                for (int i = 0; i < 2; i++)
                    weights_[pair][Sums::weight_place(o, i)] = (int16_t)network.first[o * kMotionInputs + 2 * pair + i];
    }

    int read(int symbol_class, const int16_t (&features)[kMotionInputs]) {
        Sums sums = Sums::from(bias_[symbol_class]);
        for (int pair = 0; pair + 1 < kPairs; pair++) sums.add(weights_[pair], load_pair(features + 2 * pair));
        alignas(64) int32_t all_but_two[kFirstWidth];
        sums.to(all_but_two);
        const unsigned table =
            layers_[symbol_class].table(all_but_two, weights_[kPairs - 1], load_pair(features + kMotionInputs - 2));
        return tables_.read(cursor_, table);
    }

private:
    Cursor& cursor_;
    const SparseTables& tables_;
    const Layers layers_[kMotionClasses];
    alignas(64) int32_t bias_[kMotionClasses][kFirstWidth];
    alignas(64) int16_t weights_[kPairs][2 * kFirstWidth];
};

}  // namespace

void read_motion(Reader& reader, const SparseTables& tables, const ContextNetwork& network, const MotionJob& job) {
    MotionWalk walk(reader.cursor(), tables, network, job.level);
    const size_t size = (size_t)job.height * job.width;
    // Two rows of blocks, the one above and the one in hand, each between blocks that use no reference.
    std::vector<Block> rows[2] = {std::vector<Block>(job.width + 2), std::vector<Block>(job.width + 2)};
    for (int y = 0; y < job.height; y++) {
        std::vector<Block>& above = rows[y & 1];
        std::vector<Block>& here = rows[~y & 1];
        for (int x = 1; x <= job.width; x++) {
            const Block* const around[] = {&here[x - 1], &above[x], &above[x + 1], &above[x - 1]};
            const size_t place = (size_t)y * job.width + x - 1;
            Block block;
            block.mode = kForward;
            if (job.num_references == 2) {
                int16_t features[kMotionInputs] = {};
                for (int i = 0; i < 4; i++) features[i] = around[i]->sign() ? kFlag : 0;
                const int expected = around[0]->sign() + around[1]->sign() + around[2]->sign() < 0 ? -1 : 1;
                const int sign = walk.read(0, features) * expected;
                block.mode = sign > 0 ? kForward : sign < 0 ? kBackward : kBoth;
            }
            job.modes[place] = block.mode;
            const bool is_both = block.mode == kBoth;
            for (int reference = 0; reference < job.num_references; reference++) {
                if (!block.uses(reference)) continue;
                for (int component = 0; component < 2; component++) {
                    const int32_t first = reference && is_both ? block.difference[0][component] : 0;
                    int16_t features[kMotionInputs];
                    int64_t prediction = predict_component(around, reference, component, features);
                    features[3] = feature(around[0]->difference[reference][component]);
                    features[4] = feature(around[1]->difference[reference][component]);
                    features[5] = component ? feature(block.difference[reference][0]) : 0;
                    features[6] = feature(first);
                    features[7] = is_both ? kFlag : 0;
                    const int difference = walk.read(1 + 2 * reference + component, features);
                    // What moves evenly is as many times further away in the second reference as that is in time.
                    const int64_t further = (int64_t)std::abs(first) * std::abs(job.second) / job.first;
                    prediction += (first > 0) == (job.second > 0) ? further : -further;
                    block.difference[reference][component] = difference;
                    block.vector[reference][component] =
                        (int32_t)std::clamp<int64_t>(prediction + difference, -kMaxMotionVector, kMaxMotionVector);
                    job.vectors[(2 * reference + component) * size + place] = block.vector[reference][component];
                }
            }
            here[x] = block;
        }
    }
}

}  // namespace C3_ISA
}  // namespace c3
