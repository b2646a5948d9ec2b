// SPDX-License-Identifier: MIT
// The search for the vectors of one block, or of a part of it, from hints and by ever smaller steps. Compiled once for
// each instruction set; all give the same vectors. So no product may be fused with a sum: see CMakeLists.txt.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "hybrid/block_window.h"
#include "hybrid/motion_context.h"
#include "hybrid/search.h"

namespace c3 {
namespace C3_ISA {

constexpr int kMostMoves = 8;      // of one vector at one step
constexpr int kMostPairMoves = 4;  // of two
constexpr int kMostSingles = 16, kMostPairs = 8;

// How far from the best so far others are tried: one vector by steps from `first_step` down, two from `pair_step`, each
// in so many directions.
struct Pattern {
    int first_step, pair_step, directions;
};

constexpr Vector kAround[] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {1, 1}, {-1, 1}, {1, -1}};

// What has been tried: a table that forgets, so that little is tried twice.
class Tried {
public:
    Tried() { std::fill(std::begin(keys_), std::end(keys_), ~(uint64_t)0); }

    // Whether it is new.
    bool add(Vector a, Vector b) {
        uint64_t key = 0;
        for (int part : {a.y, a.x, b.y, b.x}) key = key << 16 | (uint64_t)(part + kMaxMotionVector);
        uint64_t& place = keys_[key * 0x9E3779B97F4A7C15u >> 56];
        if (place == key) return false;
        place = key;
        return true;
    }

private:
    uint64_t keys_[256];
};

// What errors and, as far as they can be guessed, bits cost in a frame.
class Prices {
public:
    explicit Prices(const SearchJob& job)
        : components_(job.component_bits, job.component_bits + job.num_component_bits), slope_(job.slope) {
        for (float& bits : components_) bits *= slope_;
        for (int mode = 0; mode < 3; mode++)
            modes_[mode] = job.frame.num_references == 2 ? slope_ * job.mode_bits[mode] : 0;
        level_ = std::max(0.72f * slope_ * (float)(kMotionBlock * kMotionBlock), 1e-30f);
    }

    float bits(float count) const { return slope_ * count; }
    float mode(int mode) const { return modes_[mode]; }
    float vector(Vector v, Vector expected) const { return component(v.y - expected.y) + component(v.x - expected.x); }
    // Of coding a residual with that squared error: hybrid/fit/motion_search.py.
    float residual(float error) const { return priced(error, level_); }
    float quarter_residual(float error) const { return priced(error, 0.25f * level_); }

private:
    static float priced(float error, float level) {
        return error <= level ? error : level * (1.0f + std::log(error / level));
    }

    float component(int difference) const {
        const size_t size = (size_t)std::abs(difference), last = components_.size() - 1;
        if (size <= last) return components_[size];
        return components_[last] + slope_ * (2.0f * std::log2((float)size / (float)std::max<size_t>(last, 1)));
    }

    std::vector<float> components_;
    float slope_, level_, modes_[3];
};

// Where to look, and what the coder will expect.
struct Hints {
    Vector expected[2];
    Vector singles[2][kMostSingles];
    int num_singles[2] = {};
    Vector pairs[kMostPairs][2];
    int num_pairs = 0;

    void add(int reference, Vector v) {
        if (num_singles[reference] < kMostSingles) singles[reference][num_singles[reference]++] = v;
    }
    void add_pair(Vector a, Vector b) {
        if (num_pairs == kMostPairs) return;
        pairs[num_pairs][0] = a, pairs[num_pairs++][1] = b;
    }
    // A motion from around.
    void add(const Motion& motion) {
        for (int r = 0; r < 2; r++)
            if (motion.uses(r)) add(r, motion.vectors[r]);
        if (motion.mode == kBoth) add_pair(motion.vectors[0], motion.vectors[1]);
    }
};

// The best motion of a block or a part, and the best vector into each reference alone, used or not.
struct Found {
    Motion motion;
    Vector alone[2] = {};
    float residual = 0.0f, cost = INFINITY;
};

// Samples of a block or a part of it under a motion, and what they cost.
class BlockResidual {
public:
    // Vectors are in that unit of quarters of a sample.
    BlockResidual(const SearchJob& job, const Prices& prices, const BlockWindow& window, const Part& part, int unit)
        : job_(job), prices_(prices), window_(window), part_(part), unit_(unit) {}

    int unit() const { return unit_; }

    float operator()(int reference, Vector v) const { return of(source(reference, v)); }
    float operator()(Vector a, Vector b) const { return of(source(0, a), source(1, b)); }
    float operator()(const Motion& motion) const {
        if (motion.mode == kBoth) return (*this)(motion.vectors[0], motion.vectors[1]);
        return (*this)(motion.mode, motion.vectors[motion.mode]);
    }
    // Quarter by quarter, so that a block and its parts can be compared.
    float by_quarters(const Motion& motion) const {
        if (motion.mode == kBoth) return quarters(source(0, motion.vectors[0]), source(1, motion.vectors[1]));
        return quarters(source(motion.mode, motion.vectors[motion.mode]));
    }

private:
    Source source(int reference, Vector v) const {
        return window_.source(*job_.phases[reference], unit_ * v.y, unit_ * v.x);
    }
    template <typename... Sources>
    float of(Sources... sources) const {
        if (part_.height == 2 && part_.width == 2) return prices_.residual(window_.error(sources...));
        return quarters(sources...);
    }
    template <typename... Sources>
    float quarters(Sources... sources) const {
        float cost = 0.0f;
        for (int y = part_.y % 2; y < part_.y % 2 + part_.height; y++)
            for (int x = part_.x % 2; x < part_.x % 2 + part_.width; x++)
                cost += prices_.quarter_residual(window_.quarter_error(2 * y + x, sources...));
        return cost;
    }

    const SearchJob& job_;
    const Prices& prices_;
    const BlockWindow& window_;
    const Part part_;
    const int unit_;
};

class VectorSearch {
public:
    // Ends early where what is left to gain is less than `enough`.
    VectorSearch(const SearchJob& job, const Prices& prices, const BlockResidual& residual, const Hints& hints,
                 const Pattern& pattern, float enough)
        : frame_(job.frame), prices_(prices), residual_(residual), hints_(hints), pattern_(pattern), enough_(enough) {}

    Found run() const {
        Found found;
        for (int r = 0; r < frame_.num_references; r++) {
            const Choice single = one_reference(r);
            found.alone[r] = single.vectors[0];
            const float cost = single.cost + prices_.mode(r);
            if (cost < found.cost) {
                found.motion = {};
                found.motion.mode = r, found.motion.vectors[r] = single.vectors[0];
                found.cost = cost, found.residual = single.residual;
            }
        }
        if (frame_.num_references == 1) return found;
        const Choice pair = both(found.alone[0], found.alone[1]);
        if (pair.cost + prices_.mode(kBoth) < found.cost) {
            found.motion = {kBoth, {pair.vectors[0], pair.vectors[1]}};
            found.cost = pair.cost + prices_.mode(kBoth), found.residual = pair.residual;
        }
        return found;
    }

private:
    // One or two vectors, and what they cost.
    struct Choice {
        Vector vectors[2] = {};
        float cost = INFINITY, residual = INFINITY;
    };

    Choice one_reference(int r) const {
        Tried tried;
        Choice best;
        const auto attempt = [&](Vector v) {
            if (!tried.add(v, {0, 0})) return;
            const float bits = prices_.vector(v, hints_.expected[r]);
            if (bits >= best.cost) return;
            const float residual = residual_(r, v);
            if (bits + residual < best.cost) best = {{v}, bits + residual, residual};
        };
        attempt(hints_.expected[r]);
        for (int i = 0; i < hints_.num_singles[r]; i++) attempt(hints_.singles[r][i]);
        attempt({0, 0});
        for (int step = pattern_.first_step; step > 0 && best.cost > enough_; step /= 2) {
            bool improved = true;
            for (int move = 0; improved && move < kMostMoves; move++) {
                const Choice centre = best;
                for_directions([&](Vector by) { attempt(moved(centre.vectors[0], by, step)); });
                improved = best.cost < centre.cost;
            }
        }
        return best;
    }

    Choice both(Vector forward, Vector backward) const {
        Tried tried;
        Choice best;
        const auto attempt = [&](Vector a, Vector b) {
            if (!tried.add(a, b)) return;
            const float bits = prices_.vector(a, hints_.expected[0]) + prices_.vector(b, expected_second(a));
            if (bits >= best.cost) return;
            const float residual = residual_(a, b);
            if (bits + residual < best.cost) best = {{a, b}, bits + residual, residual};
        };
        attempt(forward, backward);
        attempt(hints_.expected[0], hints_.expected[1]);
        for (int i = 0; i < hints_.num_pairs; i++) attempt(hints_.pairs[i][0], hints_.pairs[i][1]);
        for (int step = pattern_.pair_step; step > 0 && best.cost > enough_; step /= 2) {
            bool improved = true;
            for (int move = 0; improved && move < kMostPairMoves; move++) {
                const float cost = best.cost;
                Choice centre = best;
                for_directions([&](Vector by) { attempt(centre.vectors[0], moved(centre.vectors[1], by, step)); });
                centre = best;
                for_directions([&](Vector by) { attempt(moved(centre.vectors[0], by, step), centre.vectors[1]); });
                centre = best;
                for (const int sign : {-1, 1})
                    for_directions([&](Vector by) {
                        attempt(moved(centre.vectors[0], by, step), moved(centre.vectors[1], by, sign * step));
                    });
                improved = best.cost < cost;
            }
        }
        return best;
    }

    template <typename Do>
    void for_directions(Do&& take) const {
        for (int i = 0; i < pattern_.directions; i++) take(kAround[i]);
    }

    Vector moved(Vector v, Vector by, int step) const {
        const int most = kMaxMotionVector / residual_.unit();
        return {std::clamp(v.y + by.y * step, -most, most), std::clamp(v.x + by.x * step, -most, most)};
    }

    // Of the second vector, where the first one is known: motion_symbols.carried_on.
    Vector expected_second(Vector first) const {
        const auto carried = [&](int32_t difference) { return difference * frame_.times[1] / frame_.times[0]; };
        return {hints_.expected[1].y + carried(first.y - hints_.expected[0].y),
                hints_.expected[1].x + carried(first.x - hints_.expected[0].x)};
    }

    const MotionFrame& frame_;
    const Prices& prices_;
    const BlockResidual& residual_;
    const Hints& hints_;
    const Pattern pattern_;
    const float enough_;
};

}  // namespace C3_ISA
}  // namespace c3
