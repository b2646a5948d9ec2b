// SPDX-License-Identifier: MIT
// Compiled once for each instruction set; all give the same vectors. So no product may be fused with a sum: see
// CMakeLists.txt.
//
// A pass goes through the blocks in raster order. What a vector costs depends on the blocks W, N and NE of it, as it does
// in the coder (c3video/model/motion_symbols.py), so these are finished first; E, S, SE and SW lend candidates of the
// pass before.
#include "search.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "block_window.h"
#include "parallel.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kMostMoves = 8;      // of one vector at one step
constexpr int kMostPairMoves = 4;  // of two
constexpr int kNoMode = -1;        // of a block before the first pass

struct Vector {
    int y, x;
};

constexpr Vector kAround[] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {1, 1}, {-1, 1}, {1, -1}};

Vector moved(Vector v, Vector by, int step) {
    return {std::clamp(v.y + by.y * step, -kMaxVector, kMaxVector), std::clamp(v.x + by.x * step, -kMaxVector, kMaxVector)};
}

// One or two vectors, and what they cost.
struct Choice {
    Vector vectors[2];
    float cost;
};

// What a pass knows of a block: its best vectors, be they used or not.
struct Block {
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
        level_ = std::max(0.72f * slope_ * (float)(job.block_size * job.block_size), 1e-30f);
    }

    float mode(int mode) const { return modes_[mode]; }
    float vector(Vector v, Vector expected) const { return component(v.y - expected.y) + component(v.x - expected.x); }
    // Of coding a residual with that squared error: fit/motion_search.py.
    float residual(float error) const { return error <= level_ ? error : level_ * (1.0f + std::log(error / level_)); }

private:
    float component(int difference) const {
        const size_t size = (size_t)std::abs(difference), last = components_.size() - 1;
        if (size <= last) return components_[size];
        return components_[last] + slope_ * (2.0f * std::log2((float)size / (float)std::max<size_t>(last, 1)));
    }

    std::vector<float> components_;
    float slope_, level_, modes_[3];
};

// The state of a frame's search, by block.
struct State {
    State(const SearchJob& job, const Prices& prices)
        : job(job), prices(prices), rows(job.block_rows()), columns(job.block_columns()), before(rows * columns), now(rows * columns) {
        const size_t count = now.size();
        for (size_t i = 0; i < count; i++) {
            now[i].mode = kNoMode;
            for (int r = 0; r < 2; r++) now[i].vectors[r] = r < job.num_references ? start(r, i) : Vector{0, 0};
        }
    }

    Vector start(int reference, size_t block) const {
        const int32_t* starts = job.starts + 2 * reference * now.size() + block;
        return {starts[0], starts[now.size()]};
    }

    const SearchJob& job;
    const Prices& prices;
    const int rows, columns;
    std::vector<Block> before, now;  // of the pass before and of this one
};

class BlockSearch {
public:
    BlockSearch(const State& state, BlockWindow& window, int row, int column, bool is_first_pass)
        : state_(state), job_(state.job), prices_(state.prices), window_(window), row_(row), column_(column),
          is_first_pass_(is_first_pass) {
        window_.move_to(job_.current, job_.height, job_.width, row, column);
        for (int r = 0; r < job_.num_references; r++) expected_[r] = expected(r);
    }

    Block run() const {
        Choice single[2];
        for (int r = 0; r < job_.num_references; r++) single[r] = one_reference(r);
        if (job_.num_references == 1) return {{single[0].vectors[0], {0, 0}}, kForward};
        Block best{{single[0].vectors[0], single[1].vectors[0]}, kForward};
        float least = single[0].cost + prices_.mode(kForward);
        if (single[1].cost + prices_.mode(kBackward) < least) {
            best.mode = kBackward;
            least = single[1].cost + prices_.mode(kBackward);
        }
        const Choice pair = both(best.vectors[0], best.vectors[1]);
        if (pair.cost + prices_.mode(kBoth) < least) return {{pair.vectors[0], pair.vectors[1]}, kBoth};
        return best;
    }

private:
    const Block* at(const std::vector<Block>& blocks, int dy, int dx) const {
        const int y = row_ + dy, x = column_ + dx;
        if (y < 0 || y >= state_.rows || x < 0 || x >= state_.columns) return nullptr;
        return &blocks[(size_t)y * state_.columns + x];
    }

    // motion_symbols.Neighbours.prediction
    Vector expected(int reference) const {
        Vector known[3];
        int count = 0;
        for (const Vector place : {Vector{0, -1}, Vector{-1, 0}, Vector{-1, 1}}) {
            const Block* block = at(state_.now, place.y, place.x);
            if (block && block->uses(reference)) known[count++] = block->vectors[reference];
        }
        if (count == 3) return {median(known[0].y, known[1].y, known[2].y), median(known[0].x, known[1].x, known[2].x)};
        if (count == 2) return {(known[0].y + known[1].y) >> 1, (known[0].x + known[1].x) >> 1};
        return count == 1 ? known[0] : Vector{0, 0};
    }
    static int median(int a, int b, int c) { return std::max(std::min(a, b), std::min(std::max(a, b), c)); }

    Choice one_reference(int r) const {
        const Phases& phases = *job_.phases[r];
        Tried tried;
        Choice best{{}, INFINITY};
        const auto attempt = [&](Vector v) {
            if (!tried.add(v, {0, 0})) return;
            const float bits = prices_.vector(v, expected_[r]);
            if (bits >= best.cost) return;
            const float cost = bits + prices_.residual(window_.error(window_.source(phases, v.y, v.x)));
            if (cost < best.cost) best = {{v}, cost};
        };
        attempt(at(state_.before, 0, 0)->vectors[r]);
        attempt(expected_[r]);
        for (const Vector place : {Vector{0, -1}, Vector{-1, 0}, Vector{-1, 1}, Vector{-1, -1}})
            if (const Block* block = at(state_.now, place.y, place.x)) attempt(block->vectors[r]);
        for (const Vector place : {Vector{0, 1}, Vector{1, 0}, Vector{1, 1}, Vector{1, -1}})
            if (const Block* block = at(state_.before, place.y, place.x)) attempt(block->vectors[r]);
        attempt({0, 0});
        attempt(state_.start(r, (size_t)row_ * state_.columns + column_));
        for (int step = is_first_pass_ ? 16 : 4; step > 0; step /= 2) {
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
            const float bits = prices_.vector(a, expected_[0]) + prices_.vector(b, expected_second(a));
            if (bits >= best.cost) return;
            const float error = window_.error(window_.source(*job_.phases[0], a.y, a.x), window_.source(*job_.phases[1], b.y, b.x));
            const float cost = bits + prices_.residual(error);
            if (cost < best.cost) best = {{a, b}, cost};
        };
        attempt(forward, backward);
        attempt(expected_[0], expected_[1]);
        for (const Block* block : {at(state_.before, 0, 0), at(state_.now, 0, -1), at(state_.now, -1, 0)})
            if (block && block->mode == kBoth) attempt(block->vectors[0], block->vectors[1]);
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

    // Of the second vector, where the first one is known: motion_symbols.carried_on.
    Vector expected_second(Vector first) const {
        const auto carried = [&](int difference) { return difference * job_.numerator / job_.denominator; };
        return {expected_[1].y + carried(first.y - expected_[0].y), expected_[1].x + carried(first.x - expected_[0].x)};
    }

    const State& state_;
    const SearchJob& job_;
    const Prices& prices_;
    BlockWindow& window_;
    const int row_, column_;
    const bool is_first_pass_;
    Vector expected_[2] = {};
};

}  // namespace

void search_field(const SearchJob& job, int32_t* vectors, int32_t* modes) {
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
                    while (row && finished[row - 1].load(std::memory_order_acquire) < std::min(column + 2, state.columns))
                        std::this_thread::yield();
                    const Block found = BlockSearch(state, windows[part], row, column, pass == 0).run();
                    state.now[(size_t)row * state.columns + column] = found;
                    finished[row].store(column + 1, std::memory_order_release);
                }
        });
    }
    const size_t count = state.now.size();
    for (size_t i = 0; i < count; i++) {
        const Block& block = state.now[i];
        modes[i] = block.mode;
        for (int r = 0; r < job.num_references; r++) {
            vectors[2 * r * count + i] = block.uses(r) ? block.vectors[r].y : 0;
            vectors[(2 * r + 1) * count + i] = block.uses(r) ? block.vectors[r].x : 0;
        }
    }
}

}  // namespace C3_ISA
}  // namespace c3
