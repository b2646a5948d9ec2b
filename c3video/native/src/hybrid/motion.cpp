// SPDX-License-Identifier: MIT
// The walk over a motion field. Compiled once for each instruction set.
#include "hybrid/motion.h"

#include <cstdlib>
#include <vector>

#include "hybrid/predict.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kForward = 0, kBackward = 1, kBoth = 2, kOutside = -1;
constexpr int kFlag = 1 << kFeatureBits;
constexpr int kPairs = kMotionInputs / 2;
constexpr int kModeClass = 0, kSplitClass = 5;

// What the neighbours of a quarter of a block need to know of it.
struct Quarter {
    int mode = kOutside;
    int32_t vector[2][2] = {};      // by reference and component
    int32_t difference[2][2] = {};  // to its prediction

    bool uses(int reference) const { return mode == reference || mode == kBoth; }
    int sign() const { return mode == kForward ? 1 : mode == kBackward ? -1 : 0; }
};

int16_t feature(int64_t value) { return kMagnitudeFeatures[std::min<int64_t>(std::abs(value), kMaxMagnitude)]; }

// Median of three neighbours, mean of two (rounded down), one, or zero; and how far they are from each other.
int predict_component(const Quarter* const neighbours[3], int reference, int component, int16_t* spreads) {
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
        : cursor_(cursor), tables_(tables),
          layers_{{network, 0}, {network, 1}, {network, 2}, {network, 3}, {network, 4}, {network, 5}} {
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

int split_of(int symbol) { return symbol == 0 ? kWhole : symbol == 1 ? kRows : symbol == -1 ? kColumns : kQuarters; }

class FieldReader {
public:
    FieldReader(MotionWalk& walk, const MotionJob& job)
        : walk_(walk), job_(job), splits_{std::vector<int>(job.width + 2), std::vector<int>(job.width + 2)} {
        for (auto& row : rows_) row.resize(2 * job.width + 2);
    }

    void read() {
        for (int y = 0; y < job_.height; y++) {
            const std::vector<int>& above = splits_[y & 1];
            std::vector<int>& here = splits_[~y & 1];
            for (int x = 0; x < job_.width; x++) {
                const int around[] = {here[x], above[x + 1], above[x + 2], above[x]};
                int16_t features[kMotionInputs] = {};
                for (int i = 0; i < 4; i++) features[i] = around[i] != kWhole ? kFlag : 0;
                const int split = split_of(walk_.read(kSplitClass, features));
                here[x + 1] = job_.splits[(size_t)y * job_.width + x] = split;
                for (int i = 0; i < kSplits[split].count; i++) read_part(y, x, kSplits[split].parts[i]);
            }
            std::swap(rows_[0], rows_[2]);
        }
    }

private:
    void read_part(int block_y, int block_x, const Part& part) {
        const int x = 1 + 2 * block_x + part.x;  // in rows with a margin
        const std::vector<Quarter>&above = rows_[part.y], &own = rows_[1 + part.y];
        const bool has_north_east = part.y == 0 || part.x + part.width < 2;
        const Quarter* const around[] = {&own[x - 1], &above[x], has_north_east ? &above[x + part.width] : &outside_,
                                         &above[x - 1]};
        Quarter found;
        found.mode = kForward;
        if (job_.num_references == 2) {
            int16_t features[kMotionInputs] = {};
            for (int i = 0; i < 4; i++) features[i] = around[i]->sign() ? kFlag : 0;
            const int expected = around[0]->sign() + around[1]->sign() + around[2]->sign() < 0 ? -1 : 1;
            const int sign = walk_.read(kModeClass, features) * expected;
            found.mode = sign > 0 ? kForward : sign < 0 ? kBackward : kBoth;
        }
        const bool is_both = found.mode == kBoth;
        for (int reference = 0; reference < job_.num_references; reference++) {
            if (!found.uses(reference)) continue;
            for (int component = 0; component < 2; component++) {
                const int32_t first = reference && is_both ? found.difference[0][component] : 0;
                int16_t features[kMotionInputs];
                int64_t prediction = predict_component(around, reference, component, features);
                features[3] = feature(around[0]->difference[reference][component]);
                features[4] = feature(around[1]->difference[reference][component]);
                features[5] = component ? feature(found.difference[reference][0]) : 0;
                features[6] = feature(first);
                features[7] = is_both ? kFlag : 0;
                const int difference = walk_.read(1 + 2 * reference + component, features);
                // What moves evenly is as many times further away in the second reference as that is in time.
                const int64_t further = (int64_t)std::abs(first) * std::abs(job_.second) / job_.first;
                prediction += (first > 0) == (job_.second > 0) ? further : -further;
                found.difference[reference][component] = difference;
                found.vector[reference][component] =
                    (int32_t)std::clamp<int64_t>(prediction + difference, -kMaxMotionVector, kMaxMotionVector);
            }
        }
        const size_t columns = 2 * (size_t)job_.width, size = 2 * job_.height * columns;
        for (int i = part.y; i < part.y + part.height; i++)
            for (int j = part.x; j < part.x + part.width; j++) {
                rows_[1 + i][1 + 2 * block_x + j] = found;
                const size_t place = (2 * (size_t)block_y + i) * columns + 2 * block_x + j;
                job_.modes[place] = found.mode;
                for (int k = 0; k < 2 * job_.num_references; k++)
                    job_.vectors[k * size + place] = found.vector[k / 2][k % 2];
            }
    }

    MotionWalk& walk_;
    const MotionJob& job_;
    // Rows of quarters: the last one above, and the two in hand; between ones that use no reference.
    std::vector<Quarter> rows_[3];
    std::vector<int> splits_[2];  // of the row of blocks above and of the one in hand
    const Quarter outside_;
};

}  // namespace

void read_motion(Reader& reader, const SparseTables& tables, const ContextNetwork& network, const MotionJob& job) {
    MotionWalk walk(reader.cursor(), tables, network, job.level);
    FieldReader(walk, job).read();
}

}  // namespace C3_ISA
}  // namespace c3
