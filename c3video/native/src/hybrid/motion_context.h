// SPDX-License-Identifier: MIT
// What is known around a part of its motion: motion_symbols.py in C++, for the walk over a field (motion.cpp) and for
// the search (search.cpp). Compiled once for each instruction set.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "hybrid/frame.h"
#include "hybrid/motion.h"

namespace c3 {
namespace C3_ISA {

constexpr int kUnknown = -1;    // mode of what lies outside or comes later
constexpr int kSuperblock = 8;  // in quarters of blocks
constexpr int kMostCandidates = 5, kOtherMode = 64;
constexpr int kModeClass = 0, kSplitClass = 5, kOffsetClass = 6, kCutClass = 7, kMergeClass = 9, kCandidateClass = 13,
              kUnitClass = 16;
constexpr int kFeatureUnit = 1 << kFeatureBits;

struct Vector {
    int32_t y, x;
    bool operator==(Vector other) const { return y == other.y && x == other.x; }
};

// Vectors, in units of their grid, are zero into references that are not used. Where blocks follow what is expected of
// each of them, mode and vectors are those of the block in the middle.
struct Motion {
    int mode = kUnknown;
    Vector vectors[2] = {};
    bool follows = false;

    bool is_known() const { return mode != kUnknown; }
    bool uses(int reference) const { return mode == reference || mode == kBoth; }
    int sign() const { return mode == kForward ? 1 : mode == kBackward ? -1 : 0; }
    bool operator==(const Motion& other) const {
        return mode == other.mode && follows == other.follows && vectors[0] == other.vectors[0] &&
               vectors[1] == other.vectors[1];
    }
};

// How far apart two motions are; 0 where one is not known.
inline int distance(const Motion& a, const Motion& b) {
    if (!a.is_known() || !b.is_known()) return 0;
    int total = a.mode != b.mode ? kOtherMode : 0;
    for (int r = 0; r < 2; r++)
        if (a.uses(r) && b.uses(r))
            total += std::abs(a.vectors[r].y - b.vectors[r].y) + std::abs(a.vectors[r].x - b.vectors[r].x);
    return total;
}

inline int16_t magnitude_feature(int64_t value) {
    return kMagnitudeFeatures[std::min<int64_t>(std::abs(value), kMaxMagnitude)];
}

// motion_symbols.scaled; up to 2^43.
inline int64_t scaled(int32_t component, int time, int of, int unit) {
    const int64_t part = 2 * unit * (int64_t)std::abs(of);
    const int64_t size = (2 * (int64_t)std::abs(component) * std::abs(time) + part / 2) / part;
    return (component > 0) == ((time > 0) == (of > 0)) ? size : -size;
}

// 0 for a superblock, 1 for its quarter, 2 for a block, 3 for less.
inline int size_class(const Part& part) {
    return part.width == 8 ? 0 : part.width == 4 ? 1 : part.width == 2 && part.height == 2 ? 2 : 3;
}

// What the parts around it need to know of a quarter of a block.
struct Quarter {
    Motion motion;
    int32_t differences[2][2] = {};  // to its prediction, by reference and component
    uint8_t depth = 0, has_own = 0;
};

// A motion field as far as it is known.
class MotionGrid {
public:
    explicit MotionGrid(const MotionFrame& frame)
        : frame(frame), rows(2 * frame.height), columns(2 * frame.width), quarters_((size_t)rows * columns) {}

    const Quarter& at(int y, int x) const {
        return y >= 0 && y < rows && x >= 0 && x < columns ? quarters_[place(y, x)] : outside_;
    }
    // What of a part lies in the field becomes that.
    void set(const Part& part, const Quarter& quarter) {
        const int right = std::min(part.x + part.width, columns);
        for (int y = part.y; y < std::min(part.y + part.height, rows); y++)
            std::fill(&quarters_[place(y, part.x)], &quarters_[place(y, part.x)] + (right - part.x), quarter);
    }
    // The same, where its blocks may follow what is expected.
    void set_motion(const Part& part, Quarter quarter) {
        if (!quarter.motion.follows) return set(part, quarter);
        for (int y = part.y; y < std::min(part.y + part.height, rows); y += 2)
            for (int x = part.x; x < std::min(part.x + part.width, columns); x += 2) {
                quarter.motion = expected(y, x);
                set({y, x, 2, 2}, quarter);
            }
    }
    size_t place(int y, int x) const { return (size_t)y * columns + x; }
    int32_t clipped(int64_t component) const {
        return (int32_t)std::clamp<int64_t>(component, -kMaxMotionVector / unit, kMaxMotionVector / unit);
    }
    // Fills in all but the splits.
    void to(const MotionField& field) const {
        *field.unit = unit;
        const size_t count = quarters_.size();
        for (int r = 0; r < frame.num_references; r++) {
            field.offsets[2 * r] = unit * offsets[r].y, field.offsets[2 * r + 1] = unit * offsets[r].x;
            for (size_t at = 0; at < count; at++) {
                const Vector vector = quarters_[at].motion.vectors[r];
                field.vectors[2 * r * count + at] = unit * vector.y;
                field.vectors[(2 * r + 1) * count + at] = unit * vector.x;
            }
        }
        for (size_t at = 0; at < count; at++) field.modes[at] = quarters_[at].motion.mode;
    }

    // What an earlier frame's motion at a place becomes in this frame; unknown where there is none.
    Motion before(int y, int x) const {
        Motion motion;
        if (!frame.earlier_modes) return motion;
        const size_t at = place(std::min(y, rows - 1), std::min(x, columns - 1)), count = quarters_.size();
        const int mode = frame.earlier_modes[at], found = mode == kBoth ? frame.earlier_reference : mode;
        const int32_t* vectors = frame.earlier_vectors + 2 * count * found + at;
        const int of = frame.earlier_times[found];
        motion.mode = frame.num_references == 2 ? kBoth : kForward;
        for (int r = 0; r < frame.num_references; r++)
            motion.vectors[r] = {clipped(scaled(vectors[0], frame.times[r], of, unit) + offsets[r].y),
                                 clipped(scaled(vectors[count], frame.times[r], of, unit) + offsets[r].x)};
        return motion;
    }
    // That in the middle of the block at a place.
    Motion expected(int y, int x) const { return before(y | 1, x | 1); }
    // That of a part.
    Motion before(const Part& part) const {
        const int middle_y = part.y + part.height / 2, middle_x = part.x + part.width / 2;
        if (part.width <= 2 || !frame.earlier_modes) return before(middle_y, middle_x);
        Motion motion = expected(middle_y, middle_x);
        for (int y = part.y; y < std::min(part.y + part.height, rows); y += 2)
            for (int x = part.x; x < std::min(part.x + part.width, columns); x += 2)
                if (!(expected(y, x) == motion)) {
                    motion.follows = true;
                    return motion;
                }
        return motion;
    }

    const MotionFrame& frame;
    const int rows, columns;
    int unit = 1;            // of vectors, in quarters of a sample
    Vector offsets[2] = {};  // of what is expected, by reference

private:
    std::vector<Quarter> quarters_;
    const Quarter outside_;
};

// Around a part.
class MotionContext {
public:
    MotionContext(const MotionGrid& grid, const Part& part)
        : MotionContext(grid, part, std::min(part.y + part.height, grid.rows),
                        std::min(part.x + part.width, grid.columns)) {}
    int num_candidates() const { return count_; }
    const Motion& candidate(int number) const { return candidates_[number]; }
    // Its number, or num_candidates().
    int find(const Motion& motion) const {
        return (int)(std::find(candidates_, candidates_ + count_, motion) - candidates_);
    }

    using Inputs = int16_t[kMotionInputs];

    void tree_inputs(Inputs& inputs) const {
        const int depths[] = {west_.depth, grid_.at(part_.y, part_.x - 1).depth, north_.depth,
                              grid_.at(part_.y - 1, part_.x).depth, north_east_.depth};
        for (int i = 0; i < 5; i++) inputs[i] = (int16_t)(depths[i] * kFeatureUnit);
        Motion middles[4];
        int num_different = 0;
        const int first = part_.width / 4, step = part_.width / 2;
        for (int i = 0; i < 4; i++) {
            const Motion motion = grid_.before(part_.y + first + i / 2 * step, part_.x + first + i % 2 * step);
            if (std::find(middles, middles + num_different, motion) == middles + num_different)
                middles[num_different++] = motion;
        }
        inputs[5] = (int16_t)((num_different - 1) * kFeatureUnit);
        inputs[6] = magnitude_feature(distance(west_.motion, north_.motion));
        inputs[7] = (int16_t)(count_ * kFeatureUnit);
    }

    void merge_inputs(Inputs& inputs) const {
        const bool own[] = {west_.has_own != 0, north_.has_own != 0, north_east_.has_own != 0,
                            north_west_.has_own != 0};
        for (int i = 0; i < 4; i++) inputs[i] = own[i] ? kFeatureUnit : 0;
        gaps(inputs + 4);
        inputs[7] = (int16_t)(count_ * kFeatureUnit);
    }

    // Of whether it is a later one than the candidate of that number.
    void candidate_inputs(int number, Inputs& inputs) const {
        gaps(inputs);
        inputs[3] = magnitude_feature(distance(candidates_[number], candidates_[number + 1]));
        inputs[4] = (int16_t)((count_ - 1 - number) * kFeatureUnit);
        inputs[5] = (int16_t)(votes(candidates_[number]) * kFeatureUnit);
        inputs[6] = (int16_t)(votes(candidates_[number + 1]) * kFeatureUnit);
        inputs[7] = (int16_t)(size_class(part_) * kFeatureUnit);
    }

    // The direction that W, N and NE lean to.
    int expected_sign() const {
        return west_.motion.sign() + north_.motion.sign() + north_east_.motion.sign() < 0 ? -1 : 1;
    }
    void mode_inputs(Inputs& inputs) const {
        const Quarter* const around[] = {&west_, &north_, &north_east_, &north_west_};
        for (int i = 0; i < kMotionInputs; i++) inputs[i] = i < 4 && around[i]->motion.sign() ? kFeatureUnit : 0;
    }

    // Median of three neighbours, mean of two (rounded down), one, or zero.
    int32_t prediction(int reference, int component) const {
        int32_t known[3];
        int count = 0, total = 0;
        for (const Quarter* quarter : {&west_, &north_, &north_east_})
            if (quarter->motion.uses(reference)) total += known[count++] = value(*quarter, reference, component);
        if (count == 3) return std::max(std::min(known[0], known[1]), std::min(std::max(known[0], known[1]), known[2]));
        return count == 2 ? total >> 1 : total;
    }
    Vector prediction(int reference) const { return {prediction(reference, 0), prediction(reference, 1)}; }

    // What a difference in the first vector lets expect of that in the second: motion_symbols.carried_on.
    int64_t carried_on(int32_t difference) const {
        const int* times = grid_.frame.times;
        const int64_t further = (int64_t)std::abs(difference) * std::abs(times[1]) / times[0];
        return (difference > 0) == (times[1] > 0) ? further : -further;
    }

    // `predicted`: what differences are to; `other`: the difference of y, for x; `first`: that of the first reference,
    // for the second in mode both.
    void component_inputs(int reference, int component, int64_t predicted, int32_t other, int32_t first, bool is_both,
                          Inputs& inputs) const {
        const Quarter* const around[] = {&west_, &north_, &north_east_};
        for (int i = 0; i < 2; i++) {
            const Quarter &a = *around[i], &b = *around[i + 1];
            const bool known = a.motion.uses(reference) && b.motion.uses(reference);
            inputs[i] = known ? magnitude_feature(value(a, reference, component) - value(b, reference, component)) : 0;
        }
        const Vector before = before_.vectors[reference];
        inputs[2] = before_.is_known() ? magnitude_feature(predicted - (component ? before.x : before.y)) : 0;
        inputs[3] = magnitude_feature(west_.differences[reference][component]);
        inputs[4] = magnitude_feature(north_.differences[reference][component]);
        inputs[5] = magnitude_feature(other);
        inputs[6] = magnitude_feature(first);
        inputs[7] = is_both ? kFeatureUnit : 0;
    }

private:
    // Where the part ends within the field.
    MotionContext(const MotionGrid& grid, const Part& part, int bottom, int right)
        : part_(part), west_(grid.at(bottom - 1, part.x - 1)), north_(grid.at(part.y - 1, right - 1)),
          north_east_(grid.at(part.y - 1, right)), north_west_(grid.at(part.y - 1, part.x - 1)),
          south_west_(grid.at(bottom, part.x - 1)), before_(grid.before(part)), grid_(grid) {
        for (const Motion* motion :
             {&west_.motion, &north_.motion, &before_, &north_east_.motion, &south_west_.motion, &north_west_.motion})
            if (motion->is_known() && count_ < kMostCandidates &&
                std::find(candidates_, candidates_ + count_, *motion) == candidates_ + count_)
                candidates_[count_++] = *motion;
    }

    static int32_t value(const Quarter& quarter, int reference, int component) {
        const Vector vector = quarter.motion.vectors[reference];
        return component ? vector.x : vector.y;
    }
    void gaps(int16_t* inputs) const {
        inputs[0] = magnitude_feature(distance(west_.motion, north_.motion));
        inputs[1] = magnitude_feature(distance(west_.motion, before_));
        inputs[2] = magnitude_feature(distance(north_.motion, before_));
    }
    int votes(const Motion& candidate) const {
        int count = 0;
        for (const Motion* motion :
             {&west_.motion, &north_.motion, &north_east_.motion, &north_west_.motion, &south_west_.motion, &before_})
            count += *motion == candidate;
        return count;
    }

    const Part part_;
    const Quarter &west_, &north_, &north_east_, &north_west_, &south_west_;
    const Motion before_;
    const MotionGrid& grid_;
    Motion candidates_[kMostCandidates];
    int count_ = 0;
};

}  // namespace C3_ISA
}  // namespace c3
