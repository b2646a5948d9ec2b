// SPDX-License-Identifier: MIT
// Compiled once for each instruction set; all give the same vectors. So no product may be fused with a sum: see
// CMakeLists.txt.
//
// A pass goes through the blocks in raster order. What a vector costs depends on what lies W, N and NE of it, as it
// does in the coder (c3video/hybrid/motion_symbols.py), so these are finished first; E, S, SE and SW lend candidates of
// the pass before. A block is searched as a whole, then in halves and quarters where that could pay for itself.
#include "hybrid/search.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "hybrid/block_window.h"
#include "hybrid/motion.h"
#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kMostMoves = 8;        // of one vector at one step
constexpr int kMostPairMoves = 4;    // of two
constexpr int kNoMode = -1;          // of a block before the first pass
constexpr int kPartStep = 4;         // first one of the search for a part
constexpr float kSplitWorth = 2.0f;  // a block that costs less, in units of a split, is left whole

struct Vector {
    int y, x;
};

constexpr Vector kAround[] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {1, 1}, {-1, 1}, {1, -1}};

Vector moved(Vector v, Vector by, int step) {
    return {std::clamp(v.y + by.y * step, -kMaxVector, kMaxVector),
            std::clamp(v.x + by.x * step, -kMaxVector, kMaxVector)};
}

// One or two vectors, and what they cost.
struct Choice {
    Vector vectors[2];
    float cost;
};

// What a pass knows of a quarter of a block: its best vectors, be they used or not.
struct Quarter {
    Vector vectors[2];
    int mode;

    bool uses(int reference) const { return mode == reference || mode == kBoth; }
};

// What has been tried: a table that forgets, so that little is tried twice.
class Tried {
public:
    Tried() { std::fill(std::begin(keys_), std::end(keys_), ~(uint64_t)0); }

    // Whether it is new.
    bool add(Vector a, Vector b) {
        uint64_t key = 0;
        for (int part : {a.y, a.x, b.y, b.x}) key = key << 16 | (uint64_t)(part + kMaxVector);
        uint64_t& place = keys_[key * 0x9E3779B97F4A7C15u >> 56];
        if (place == key) return false;
        place = key;
        return true;
    }

private:
    uint64_t keys_[256];
};

// What bits and errors cost in a frame.
class Prices {
public:
    explicit Prices(const SearchJob& job)
        : components_(job.component_bits, job.component_bits + job.num_component_bits), slope_(job.slope) {
        for (float& bits : components_) bits *= slope_;
        for (int mode = 0; mode < 3; mode++) modes_[mode] = slope_ * job.mode_bits[mode];
        for (int split = 0; split < 4; split++) splits_[split] = slope_ * job.split_bits[split];
        level_ = std::max(0.72f * slope_ * (float)(job.block_size * job.block_size), 1e-30f);
    }

    float mode(int mode) const { return modes_[mode]; }
    float split(int split) const { return splits_[split]; }
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
    float slope_, level_, modes_[3], splits_[4];
};

// The state of a frame's search.
struct State {
    State(const SearchJob& job, const Prices& prices)
        : job(job), prices(prices), rows(job.block_rows()), columns(job.block_columns()),
          splits((size_t)rows * columns), before(4 * splits.size()), now(4 * splits.size()) {
        for (int y = 0; y < 2 * rows; y++)
            for (int x = 0; x < 2 * columns; x++) {
                Quarter& quarter = now[place(y, x)];
                quarter.mode = kNoMode;
                for (int r = 0; r < 2; r++)
                    quarter.vectors[r] =
                        r < job.num_references ? start(r, (size_t)(y / 2) * columns + x / 2) : Vector{0, 0};
            }
    }

    size_t place(int y, int x) const { return (size_t)y * 2 * columns + x; }
    Vector start(int reference, size_t block) const {
        const int32_t* starts = job.starts + 2 * reference * splits.size() + block;
        return {starts[0], starts[splits.size()]};
    }
    void set(const Part& part, const Quarter& found) {
        for (int y = part.y; y < part.y + part.height; y++)
            for (int x = part.x; x < part.x + part.width; x++) now[place(y, x)] = found;
    }

    const SearchJob& job;
    const Prices& prices;
    const int rows, columns;
    std::vector<int> splits;
    std::vector<Quarter> before, now;  // of the pass before and of this one
};

// The search for one part, from what is known of the parts around it.
class PartSearch {
public:
    // `whole`: what was found for the whole block, one more candidate for a part of it; else null.
    PartSearch(const State& state, const BlockWindow& window, const Part& part, const Quarter* whole, int first_step)
        : state_(state), job_(state.job), prices_(state.prices), window_(window), part_(part), whole_(whole),
          first_step_(first_step) {
        for (int r = 0; r < job_.num_references; r++) expected_[r] = expected(r);
    }

    // Its best motion; `cost` becomes what that costs.
    Quarter run(float& cost) const {
        Choice single[2];
        for (int r = 0; r < job_.num_references; r++) single[r] = one_reference(r);
        Quarter best{{single[0].vectors[0], {0, 0}}, kForward};
        cost = single[0].cost;
        if (job_.num_references == 1) return best;
        best.vectors[1] = single[1].vectors[0];
        cost += prices_.mode(kForward);
        if (single[1].cost + prices_.mode(kBackward) < cost) {
            best.mode = kBackward;
            cost = single[1].cost + prices_.mode(kBackward);
        }
        const Choice pair = both(best.vectors[0], best.vectors[1]);
        if (pair.cost + prices_.mode(kBoth) < cost) {
            cost = pair.cost + prices_.mode(kBoth);
            return {{pair.vectors[0], pair.vectors[1]}, kBoth};
        }
        return best;
    }

    // What a motion costs, quarter by quarter, so that a block and its parts can be compared.
    float cost_of(const Quarter& motion) const {
        const float mode = job_.num_references == 2 ? prices_.mode(motion.mode) : 0.0f;
        const Vector *vectors = motion.vectors, vector = vectors[motion.mode == kBackward];
        if (motion.mode == kBoth)
            return mode + bits(vectors[0], vectors[1]) +
                   quarters_residual(source(0, vectors[0]), source(1, vectors[1]));
        return mode + prices_.vector(vector, expected_[motion.mode]) + quarters_residual(source(motion.mode, vector));
    }

private:
    Source source(int reference, Vector v) const { return window_.source(*job_.phases[reference], v.y, v.x); }

    // Of a prediction from one source, or from the mean of two.
    template <typename... Sources>
    float residual(Sources... sources) const {
        const bool is_whole = part_.height == 2 && part_.width == 2;
        return is_whole ? prices_.residual(window_.error(sources...)) : quarters_residual(sources...);
    }
    template <typename... Sources>
    float quarters_residual(Sources... sources) const {
        float cost = 0.0f;
        for (int y = part_.y % 2; y < part_.y % 2 + part_.height; y++)
            for (int x = part_.x % 2; x < part_.x % 2 + part_.width; x++)
                cost += prices_.quarter_residual(window_.quarter_error(2 * y + x, sources...));
        return cost;
    }

    const Quarter* at(const std::vector<Quarter>& quarters, int y, int x) const {
        if (y < 0 || y >= 2 * state_.rows || x < 0 || x >= 2 * state_.columns) return nullptr;
        return &quarters[state_.place(y, x)];
    }
    // What comes before in coding order; null for NE where that does not.
    const Quarter* west() const { return at(state_.now, part_.y, part_.x - 1); }
    const Quarter* north() const { return at(state_.now, part_.y - 1, part_.x); }
    const Quarter* north_east() const {
        const bool is_coded = part_.y % 2 == 0 || part_.x % 2 + part_.width < 2;
        return is_coded ? at(state_.now, part_.y - 1, part_.x + part_.width) : nullptr;
    }
    const Quarter* north_west() const { return at(state_.now, part_.y - 1, part_.x - 1); }

    // motion_symbols.Neighbours.prediction
    Vector expected(int reference) const {
        Vector known[3];
        int count = 0;
        for (const Quarter* quarter : {west(), north(), north_east()})
            if (quarter && quarter->uses(reference)) known[count++] = quarter->vectors[reference];
        if (count == 3) return {median(known[0].y, known[1].y, known[2].y), median(known[0].x, known[1].x, known[2].x)};
        if (count == 2) return {(known[0].y + known[1].y) >> 1, (known[0].x + known[1].x) >> 1};
        return count == 1 ? known[0] : Vector{0, 0};
    }
    static int median(int a, int b, int c) { return std::max(std::min(a, b), std::min(std::max(a, b), c)); }

    Choice one_reference(int r) const {
        Tried tried;
        Choice best{{}, INFINITY};
        const auto attempt = [&](Vector v) {
            if (!tried.add(v, {0, 0})) return;
            const float bits = prices_.vector(v, expected_[r]);
            if (bits >= best.cost) return;
            const float cost = bits + residual(source(r, v));
            if (cost < best.cost) best = {{v}, cost};
        };
        if (whole_) attempt(whole_->vectors[r]);
        attempt(at(state_.before, part_.y, part_.x)->vectors[r]);
        attempt(expected_[r]);
        for (const Quarter* quarter : {west(), north(), north_east(), north_west()})
            if (quarter) attempt(quarter->vectors[r]);
        const int below = part_.y + part_.height, right = part_.x + part_.width;
        for (const Quarter* quarter : {at(state_.before, part_.y, right), at(state_.before, below, part_.x),
                                       at(state_.before, below, right), at(state_.before, below, part_.x - 1)})
            if (quarter) attempt(quarter->vectors[r]);
        attempt({0, 0});
        attempt(state_.start(r, (size_t)(part_.y / 2) * state_.columns + part_.x / 2));
        for (int step = first_step_; step > 0; step /= 2) {
            bool improved = true;
            for (int move = 0; improved && move < kMostMoves; move++) {
                const Choice centre = best;
                for (const Vector by : kAround) attempt(moved(centre.vectors[0], by, step));
                improved = best.cost < centre.cost;
            }
        }
        return best;
    }

    Choice both(Vector forward, Vector backward) const {
        Tried tried;
        Choice best{{}, INFINITY};
        const auto attempt = [&](Vector a, Vector b) {
            if (!tried.add(a, b)) return;
            const float price = bits(a, b);
            if (price >= best.cost) return;
            const float cost = price + residual(source(0, a), source(1, b));
            if (cost < best.cost) best = {{a, b}, cost};
        };
        attempt(forward, backward);
        attempt(expected_[0], expected_[1]);
        for (const Quarter* quarter : {whole_, at(state_.before, part_.y, part_.x), west(), north()})
            if (quarter && quarter->mode == kBoth) attempt(quarter->vectors[0], quarter->vectors[1]);
        for (int step = 2; step > 0; step /= 2) {
            bool improved = true;
            for (int move = 0; improved && move < kMostPairMoves; move++) {
                const float cost = best.cost;
                Choice centre = best;
                for (const Vector by : kAround) attempt(centre.vectors[0], moved(centre.vectors[1], by, step));
                centre = best;
                for (const Vector by : kAround) attempt(moved(centre.vectors[0], by, step), centre.vectors[1]);
                centre = best;
                for (const int sign : {-1, 1})
                    for (const Vector by : kAround)
                        attempt(moved(centre.vectors[0], by, step), moved(centre.vectors[1], by, sign * step));
                improved = best.cost < cost;
            }
        }
        return best;
    }

    float bits(Vector a, Vector b) const {
        return prices_.vector(a, expected_[0]) + prices_.vector(b, expected_second(a));
    }

    // Of the second vector, where the first one is known: motion_symbols.carried_on.
    Vector expected_second(Vector first) const {
        const auto carried = [&](int difference) { return difference * job_.numerator / job_.denominator; };
        return {expected_[1].y + carried(first.y - expected_[0].y), expected_[1].x + carried(first.x - expected_[0].x)};
    }

    const State& state_;
    const SearchJob& job_;
    const Prices& prices_;
    const BlockWindow& window_;
    const Part part_;
    const Quarter* const whole_;
    const int first_step_;
    Vector expected_[2] = {};
};

// Part `index` of a block.
Part part_of(int row, int column, int split, int index) {
    Part part = kSplits[split].parts[index];
    part.y += 2 * row, part.x += 2 * column;
    return part;
}

// Finds the motion of a block, and how it is best split.
void search_block(State& state, BlockWindow& window, int row, int column, bool is_first_pass) {
    window.move_to(state.job.current, state.job.height, state.job.width, row, column);
    const PartSearch search(state, window, part_of(row, column, kWhole, 0), nullptr, is_first_pass ? 16 : 4);
    float cost;
    const Quarter whole = search.run(cost);
    int best = kWhole;
    Quarter found[4] = {whole};
    // What is spent on the block, its residual and its motion, must leave room for the motion of parts.
    if (cost > kSplitWorth * state.prices.split(kQuarters)) {
        float least = search.cost_of(whole) + state.prices.split(kWhole);
        for (const int split : {kRows, kColumns, kQuarters}) {
            float total = state.prices.split(split);
            Quarter parts[4];
            for (int i = 0; i < kSplits[split].count && total < least; i++) {
                const Part part = part_of(row, column, split, i);
                parts[i] = PartSearch(state, window, part, &whole, kPartStep).run(cost);
                state.set(part, parts[i]);  // the next one looks at it
                total += cost;
            }
            if (total < least) {
                least = total, best = split;
                std::copy(parts, parts + 4, found);
            }
        }
    }
    state.splits[(size_t)row * state.columns + column] = best;
    for (int i = 0; i < kSplits[best].count; i++) state.set(part_of(row, column, best, i), found[i]);
}

}  // namespace

void search_field(const SearchJob& job, int32_t* vectors, int32_t* modes, int32_t* splits) {
    const Prices prices(job);
    State state(job, prices);
    const int num_parts = std::min(job.num_threads, state.rows);
    const std::unique_ptr<BlockWindow[]> windows(new BlockWindow[num_parts]);
    const std::unique_ptr<std::atomic<int>[]> finished(new std::atomic<int>[state.rows]);  // blocks of each row
    for (int pass = 0; pass < job.passes; pass++) {
        std::swap(state.before, state.now);
        for (int row = 0; row < state.rows; row++) finished[row] = 0;
        // Rows are taken from the top by whoever is free, so that the row which one waits for is always in work.
        std::atomic<int> next{0};
        in_parallel(num_parts, [&](int part) {
            windows[part].set_weights(job.block_size);
            for (int row = next++; row < state.rows; row = next++)
                for (int column = 0; column < state.columns; column++) {
                    while (row &&
                           finished[row - 1].load(std::memory_order_acquire) < std::min(column + 2, state.columns))
                        std::this_thread::yield();
                    search_block(state, windows[part], row, column, pass == 0);
                    finished[row].store(column + 1, std::memory_order_release);
                }
        });
    }
    std::copy(state.splits.begin(), state.splits.end(), splits);
    const size_t count = state.now.size();
    for (size_t i = 0; i < count; i++) {
        const Quarter& quarter = state.now[i];
        modes[i] = quarter.mode;
        for (int r = 0; r < job.num_references; r++) {
            vectors[2 * r * count + i] = quarter.uses(r) ? quarter.vectors[r].y : 0;
            vectors[(2 * r + 1) * count + i] = quarter.uses(r) ? quarter.vectors[r].x : 0;
        }
    }
}

}  // namespace C3_ISA
}  // namespace c3
