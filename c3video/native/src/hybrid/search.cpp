// SPDX-License-Identifier: MIT
// Compiled once for each instruction set; all give the same vectors. So no product may be fused with a sum: see
// CMakeLists.txt.
//
// First every block is searched by itself, in raster order: W, N, NE and NW lend what they have found, E, S, SE and SW
// what the pass before has. Then the tree is chosen, in the order in which it is coded, so that it is known what can be
// taken over and what bits cost: a superblock as one part, or else its quarters likewise; of blocks also halves and
// quarters, which are looked at where halves help. That is done with vectors in quarters of a sample and in halves,
// unless one of them is asked for; the cheaper tree is the field's.
#include "hybrid/search.h"

#include <atomic>
#include <memory>
#include <thread>

#include "hybrid/motion_network.h"
#include "hybrid/vector_search.h"
#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {

namespace {

// Of blocks by themselves, in the first pass and later ones, of blocks in the tree, and of parts of these. Parts are
// where most of the time goes: all of kAround and steps twice as long take 40% more and find nothing better.
constexpr Pattern kFirstPattern{16, 2, 8}, kLaterPattern{4, 2, 8}, kBlockPattern{2, 2, 8}, kPartPattern{2, 1, 4};
constexpr float kEnoughBits = 2.0f;   // what is not searched for any longer
constexpr float kSplitWorth = 14.0f;  // bits that a block must cost for its parts to be looked at
constexpr float kHope = 0.9f;         // share of its residual that a cut part may come to, against that of its blocks
constexpr float kCutBits = 4.0f;      // least price of a cut, with what comes of it
constexpr int kMostOwn = 6;           // motions of their own that a large part tries
constexpr int kBlocksOfSuperblock = 4;
constexpr int kMostOffset = 128;  // of an offset, in units of vectors
constexpr int kOffsetWorth = 24;  // counts of blocks, 3 each, that an offset must bring

// What blocks by themselves have found.
struct BlockField {
    BlockField(const SearchJob& job)
        : rows(job.frame.height), columns(job.frame.width), found((size_t)rows * columns) {}

    const Found* at(int row, int column) const {
        return row >= 0 && row < rows && column >= 0 && column < columns ? &found[(size_t)row * columns + column]
                                                                         : nullptr;
    }

    const int rows, columns;
    std::vector<Found> found;
};

Vector start_of(const SearchJob& job, int reference, int row, int column) {
    const size_t count = (size_t)job.frame.height * job.frame.width, at = (size_t)row * job.frame.width + column;
    return {job.starts[2 * reference * count + at], job.starts[(2 * reference + 1) * count + at]};
}

// Every row of `num_rows` by whoever is free, from the top, so that the row which one waits for is always in work:
// places of a row come when those of the row above are done, up to the next one.
template <typename Work>
void in_wavefront(int num_rows, int num_columns, int num_threads, Work&& work) {
    const std::unique_ptr<std::atomic<int>[]> finished(new std::atomic<int>[num_rows]);
    for (int row = 0; row < num_rows; row++) finished[row] = 0;
    std::atomic<int> next{0};
    in_parallel(std::min(num_threads, num_rows), [&](int thread) {
        for (int row = next++; row < num_rows; row = next++)
            for (int column = 0; column < num_columns; column++) {
                while (row && finished[row - 1].load(std::memory_order_acquire) < std::min(column + 2, num_columns))
                    std::this_thread::yield();
                work(thread, row, column);
                finished[row].store(column + 1, std::memory_order_release);
            }
    });
}

Found search_alone(const SearchJob& job, const Prices& prices, BlockWindow& window, const BlockField& before,
                   const BlockField& now, int row, int column, bool is_first_pass) {
    window.move_to(job.current, job.height, job.width, row, column);
    const Part part{2 * row, 2 * column, 2, 2};
    const Found *west = now.at(row, column - 1), *north = now.at(row - 1, column),
                *north_east = now.at(row - 1, column + 1), *north_west = now.at(row - 1, column - 1);
    Hints hints;
    for (int r = 0; r < job.frame.num_references; r++) {
        Vector known[3];
        int count = 0;
        for (const Found* found : {west, north, north_east})
            if (found && found->motion.uses(r)) known[count++] = found->motion.vectors[r];
        const auto median = [](int a, int b, int c) { return std::max(std::min(a, b), std::min(std::max(a, b), c)); };
        hints.expected[r] =
            count == 3 ? Vector{median(known[0].y, known[1].y, known[2].y), median(known[0].x, known[1].x, known[2].x)}
            : count == 2 ? Vector{(known[0].y + known[1].y) >> 1, (known[0].x + known[1].x) >> 1}
            : count == 1 ? known[0]
                         : Vector{0, 0};
        for (const Found* found :
             {before.at(row, column), west, north, north_east, north_west, before.at(row, column + 1),
              before.at(row + 1, column), before.at(row + 1, column + 1), before.at(row + 1, column - 1)})
            if (found) hints.add(r, found->alone[r]);
        if (is_first_pass) hints.add(r, start_of(job, r, row, column));
    }
    for (const Found* found : {before.at(row, column), west, north})
        if (found && found->motion.mode == kBoth) hints.add_pair(found->motion.vectors[0], found->motion.vectors[1]);
    const BlockResidual residual(job, prices, window, part, 1);
    const Pattern& pattern = is_first_pass ? kFirstPattern : kLaterPattern;
    return VectorSearch(job, prices, residual, hints, pattern, prices.bits(kEnoughBits)).run();
}

// With vectors in units of two; odd ones go up or to the left.
BlockField halved(BlockField blocks) {
    const auto halve = [](Vector& v) { v = {v.y >> 1, v.x >> 1}; };
    for (Found& found : blocks.found)
        for (int r = 0; r < 2; r++) halve(found.motion.vectors[r]), halve(found.alone[r]);
    return blocks;
}

// What most blocks move by beyond what an earlier frame's motion lets expect. `grid` has no offsets yet.
Vector offset_of(const MotionGrid& grid, const BlockField& blocks, int reference) {
    constexpr int kSide = 2 * kMostOffset + 1;
    std::vector<int> counts((size_t)kSide * kSide);
    for (int row = 0; row < blocks.rows; row++)
        for (int column = 0; column < blocks.columns; column++) {
            const Motion& motion = blocks.at(row, column)->motion;
            if (!motion.uses(reference)) continue;
            const Vector found = motion.vectors[reference];
            const Vector expected = grid.expected(2 * row, 2 * column).vectors[reference];
            const int y = found.y - expected.y + kMostOffset, x = found.x - expected.x + kMostOffset;
            // As much as others that are nearly the same lets it count.
            for (int i = std::max(y - 2, 0); i <= std::min(y + 2, kSide - 1); i++)
                for (int j = std::max(x - 2, 0); j <= std::min(x + 2, kSide - 1); j++)
                    counts[(size_t)i * kSide + j] += 3 - std::max(std::abs(i - y), std::abs(j - x));
        }
    Vector best{0, 0};
    int most = counts[(size_t)kMostOffset * kSide + kMostOffset] + kOffsetWorth;
    for (int i = 0; i < kSide; i++)
        for (int j = 0; j < kSide; j++)
            if (counts[(size_t)i * kSide + j] > most)
                most = counts[(size_t)i * kSide + j], best = {i - kMostOffset, j - kMostOffset};
    return best;
}

// What symbols cost, by their own contexts.
class SymbolPrices {
public:
    explicit SymbolPrices(const SearchJob& job)
        : network_(*job.network, job.depth), costs_(job.costs), slope_(job.slope) {}

    float price(int symbol_class, const int16_t (&inputs)[kMotionInputs], int symbol) const {
        const unsigned table = network_.table(symbol_class, inputs);
        const bool is_flag = symbol_class >= kFirstFlagClass;
        const size_t place = is_flag ? (size_t)(table - kFirstFlagTable) * (kNumTails + 1) + kNumTails
                                     : (size_t)(table / kNumTails) * (kNumTails + 1) + table % kNumTails;
        const int magnitude = std::abs(symbol), near = std::min(magnitude, kCostRange);
        const float further = magnitude > near ? 2.0f * std::log2((float)magnitude / (float)near) : 0.0f;
        return slope_ * (costs_[place * kCosts + near] + further);
    }

private:
    const MotionNetwork network_;
    const float* costs_;
    const float slope_;
};

// The state of a frame's tree.
struct Tree {
    // `blocks` have that unit of quarters of a sample.
    Tree(const SearchJob& job, const Prices& prices, const SymbolPrices& symbols, const BlockField& blocks,
         int32_t* splits, int unit)
        : job(job), prices(prices), symbols(symbols), blocks(blocks), grid(job.frame), splits(splits) {
        grid.unit = unit;
    }

    const SearchJob& job;
    const Prices& prices;
    const SymbolPrices& symbols;
    const BlockField& blocks;
    MotionGrid grid;
    int32_t* splits;
};

// The search through one superblock.
class TreeSearch {
public:
    TreeSearch(Tree& tree, BlockWindow& window) : tree_(tree), job_(tree.job), prices_(tree.prices), window_(window) {}

    // The cost of what is best; the tree then has it.
    float search(const Part& node) {
        if (node.y >= tree_.grid.rows || node.x >= tree_.grid.columns) return 0.0f;
        return node.width == 2 ? search_block(node) : search_large(node);
    }

private:
    struct Choice {
        Quarter quarter;
        float residual = INFINITY, cost = INFINITY;
    };

    float tree_price(const MotionContext& context, int symbol_class, int symbol) const {
        int16_t inputs[kMotionInputs];
        context.tree_inputs(inputs);
        return tree_.symbols.price(symbol_class, inputs, symbol);
    }

    // Of a motion, taken over or of its own; `quarter` becomes what the grid must know of it.
    float motion_price(const MotionContext& context, const Part& part, const Motion& motion, Quarter& quarter) const {
        quarter = {};
        quarter.motion = motion;
        quarter.depth = (uint8_t)(size_class(part) + (part.height * part.width == 1));
        const int count = context.num_candidates(), number = context.find(motion);
        quarter.has_own = number == count;
        int16_t inputs[kMotionInputs];
        float price = 0.0f;
        if (count) {
            context.merge_inputs(inputs);
            price = tree_.symbols.price(kMergeClass + size_class(part), inputs, quarter.has_own);
        }
        if (!quarter.has_own) {
            for (int i = 0; i <= number && i + 1 < count; i++) {
                context.candidate_inputs(i, inputs);
                price += tree_.symbols.price(kCandidateClass + std::min(i, 2), inputs, i != number);
            }
            return price;
        }
        const bool is_both = motion.mode == kBoth;
        if (job_.frame.num_references == 2) {
            context.mode_inputs(inputs);
            price += tree_.symbols.price(kModeClass, inputs, motion.sign());
        }
        for (int r = 0; r < job_.frame.num_references; r++) {
            if (!motion.uses(r)) continue;
            for (int component = 0; component < 2; component++) {
                const int32_t first = r && is_both ? quarter.differences[0][component] : 0;
                const int64_t expected =
                    context.prediction(r, component) + (r && is_both ? context.carried_on(first) : 0);
                const int32_t value = component ? motion.vectors[r].x : motion.vectors[r].y;
                const int32_t difference = (int32_t)(value - expected);
                context.component_inputs(r, component, expected, component ? quarter.differences[r][0] : 0, first,
                                         is_both, inputs);
                price += tree_.symbols.price(1 + 2 * r + component, inputs, difference);
                quarter.differences[r][component] = difference;
            }
        }
        return price;
    }

    // A superblock or a quarter of it: as one part, or cut.
    float search_large(const Part& node) {
        const MotionContext context(tree_.grid, node);
        const int symbol_class = kCutClass + size_class(node);
        Choice whole = search_whole(node, context);
        whole.cost += tree_price(context, symbol_class, 0);
        const float cut_price = tree_price(context, symbol_class, 1);
        const float least = cut_price + prices_.bits(kCutBits) + kHope * residual_alone(node);
        if (whole.cost <= least) {
            take(node, whole);
            return whole.cost;
        }
        float cost = cut_price;
        const int side = node.width / 2;
        for (int i = 0; i < 4; i++) cost += search({node.y + i / 2 * side, node.x + i % 2 * side, side, side});
        if (cost < whole.cost) return cost;
        take(node, whole);
        return whole.cost;
    }

    void take(const Part& node, const Choice& choice) {
        tree_.grid.set_motion(node, choice.quarter);
        for_blocks(node, [&](int row, int column) { tree_.splits[(size_t)row * job_.frame.width + column] = kWhole; });
    }

    template <typename Work>
    void for_blocks(const Part& node, Work&& work) const {
        const int bottom = std::min((node.y + node.height) / 2, job_.frame.height);
        const int right = std::min((node.x + node.width) / 2, job_.frame.width);
        for (int row = node.y / 2; row < bottom; row++)
            for (int column = node.x / 2; column < right; column++) work(row, column);
    }

    // What blocks by themselves leave.
    float residual_alone(const Part& node) const {
        float total = 0.0f;
        for_blocks(node, [&](int row, int column) { total += tree_.blocks.at(row, column)->residual; });
        return total;
    }

    // The best motion of a large part: one to be taken over, or one that several of its blocks have found.
    Choice search_whole(const Part& node, const MotionContext& context) {
        Motion motions[kMostCandidates + kMostOwn];
        int count = context.num_candidates();
        for (int i = 0; i < count; i++) motions[i] = context.candidate(i);
        struct Count {
            Motion motion;
            int number;
        } counts[kBlocksOfSuperblock * kBlocksOfSuperblock];
        int num_counts = 0;
        for_blocks(node, [&](int row, int column) {
            const Motion& motion = tree_.blocks.at(row, column)->motion;
            int i = 0;
            while (i < num_counts && !(counts[i].motion == motion)) i++;
            if (i == num_counts) counts[num_counts++] = {motion, 0};
            counts[i].number++;
        });
        std::stable_sort(counts, counts + num_counts,
                         [](const Count& a, const Count& b) { return a.number > b.number; });
        for (int i = 0; i < std::min(num_counts, kMostOwn); i++)
            if (std::find(motions, motions + count, counts[i].motion) == motions + count)
                motions[count++] = counts[i].motion;
        float residuals[kMostCandidates + kMostOwn] = {};
        for_blocks(node, [&](int row, int column) {
            window_.move_to(job_.current, job_.height, job_.width, row, column);
            const BlockResidual residual(job_, prices_, window_, {2 * row, 2 * column, 2, 2}, tree_.grid.unit);
            for (int i = 0; i < count; i++)
                residuals[i] += residual(motions[i].follows ? tree_.grid.expected(2 * row, 2 * column) : motions[i]);
        });
        Choice best;
        for (int i = 0; i < count; i++) {
            Quarter quarter;
            const float cost = residuals[i] + motion_price(context, node, motions[i], quarter);
            if (cost < best.cost) best = {quarter, residuals[i], cost};
        }
        return best;
    }

    // The best motion of a block or a part of it. `whole`: that of its block, for a part; else null.
    Choice search_part(const Part& part, const MotionContext& context, const Found* whole) {
        const BlockResidual residual(job_, prices_, window_, part, tree_.grid.unit);
        Choice best;
        const auto attempt = [&](const Motion& motion, float its_residual) {
            Quarter quarter;
            const float cost = its_residual + motion_price(context, part, motion, quarter);
            if (cost < best.cost) best = {quarter, its_residual, cost};
        };
        for (int i = 0; i < context.num_candidates(); i++)
            attempt(context.candidate(i), residual(context.candidate(i)));
        const int row = part.y / 2, column = part.x / 2;
        const Found& alone = *tree_.blocks.at(row, column);
        if (!whole && best.cost - kHope * alone.residual < prices_.bits(kCutBits)) return best;
        Hints hints;
        for (int r = 0; r < job_.frame.num_references; r++) {
            hints.expected[r] = context.prediction(r);
            hints.add(r, whole ? whole->alone[r] : alone.alone[r]);
        }
        if (whole) hints.add(whole->motion);
        hints.add(alone.motion);
        for (int i = 0; i < context.num_candidates(); i++) hints.add(context.candidate(i));
        for (const Found* found : {tree_.blocks.at(row, column + 1), tree_.blocks.at(row + 1, column)})
            if (found) hints.add(found->motion);
        const Pattern& pattern = whole ? kPartPattern : kBlockPattern;
        const Found found = VectorSearch(job_, prices_, residual, hints, pattern, prices_.bits(kEnoughBits)).run();
        attempt(found.motion, found.residual);
        return best;
    }

    // A block: whole, or split.
    float search_block(const Part& node) {
        const int row = node.y / 2, column = node.x / 2;
        window_.move_to(job_.current, job_.height, job_.width, row, column);
        const MotionContext context(tree_.grid, node);
        Choice whole = search_part(node, context, nullptr);
        whole.cost += tree_price(context, kSplitClass, 0);
        int best = kWhole;
        float gain = 0.0f;
        Quarter found[4] = {whole.quarter};
        // What is spent on the block, its residual and its motion, must leave room for the motion of parts.
        if (whole.cost > prices_.bits(kSplitWorth)) {
            const BlockResidual residual(job_, prices_, window_, node, tree_.grid.unit);
            const float by_quarters = whole.cost - whole.residual + residual.by_quarters(whole.quarter.motion);
            Found hint = *tree_.blocks.at(row, column);
            hint.motion = whole.quarter.motion;
            for (int r = 0; r < 2; r++)
                if (hint.motion.uses(r)) hint.alone[r] = hint.motion.vectors[r];
            float least = by_quarters;
            for (const int split : {kRows, kColumns, kQuarters}) {
                if (split == kQuarters && best == kWhole) continue;  // where halves do not help they seldom do
                constexpr int symbols[] = {0, 1, -1, 2};
                float total = tree_price(context, kSplitClass, symbols[split]);
                Quarter parts[4];
                for (int i = 0; i < kSplits[split].count && total < least; i++) {
                    const Part& inner = kSplits[split].parts[i];
                    const Part part{node.y + inner.y, node.x + inner.x, inner.height, inner.width};
                    const Choice choice = search_part(part, MotionContext(tree_.grid, part), &hint);
                    parts[i] = choice.quarter;
                    tree_.grid.set(part, parts[i]);  // the next one looks at it
                    total += choice.cost;
                }
                tree_.grid.set(node, {});  // as it was
                if (total < least) {
                    least = total, best = split;
                    std::copy(parts, parts + 4, found);
                }
            }
            gain = by_quarters - least;
        }
        tree_.splits[(size_t)row * job_.frame.width + column] = best;
        for (int i = 0; i < kSplits[best].count; i++) {
            const Part& inner = kSplits[best].parts[i];
            tree_.grid.set({node.y + inner.y, node.x + inner.x, inner.height, inner.width}, found[i]);
        }
        return whole.cost - gain;
    }

    Tree& tree_;
    const SearchJob& job_;
    const Prices& prices_;
    BlockWindow& window_;
};

// Its cost.
float search_tree(Tree& tree, BlockWindow* windows) {
    const SearchJob& job = tree.job;
    if (job.frame.earlier_modes)
        for (int r = 0; r < job.frame.num_references; r++) tree.grid.offsets[r] = offset_of(tree.grid, tree.blocks, r);
    const int rows = (job.frame.height + kBlocksOfSuperblock - 1) / kBlocksOfSuperblock;
    const int columns = (job.frame.width + kBlocksOfSuperblock - 1) / kBlocksOfSuperblock;
    std::vector<float> costs((size_t)rows * columns);
    in_wavefront(rows, columns, job.num_threads, [&](int thread, int row, int column) {
        costs[(size_t)row * columns + column] =
            TreeSearch(tree, windows[thread])
                .search({row * kSuperblock, column * kSuperblock, kSuperblock, kSuperblock});
    });
    float total = 0.0f;
    for (const float cost : costs) total += cost;  // in one order, whatever the threads
    return total;
}

}  // namespace

void search_field(const SearchJob& job, MotionField field) {
    const Prices prices(job);
    const int rows = job.frame.height, columns = job.frame.width;
    const std::unique_ptr<BlockWindow[]> windows(new BlockWindow[std::min(job.num_threads, rows)]);
    for (int thread = 0; thread < std::min(job.num_threads, rows); thread++) windows[thread].set_weights(kMotionBlock);

    BlockField before(job), now(job);
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++)
            for (int r = 0; r < job.frame.num_references; r++)
                now.found[(size_t)row * columns + column].alone[r] = start_of(job, r, row, column);
    for (int pass = 0; pass < job.passes; pass++) {
        std::swap(before.found, now.found);
        in_wavefront(rows, columns, job.num_threads, [&](int thread, int row, int column) {
            now.found[(size_t)row * columns + column] =
                search_alone(job, prices, windows[thread], before, now, row, column, pass == 0);
        });
    }

    // Coarser vectors take fewer bits. Which are better depends on how much moves, and how evenly.
    const SymbolPrices symbols(job);
    const BlockField halves = halved(now);
    std::vector<int32_t> splits(now.found.size());
    std::unique_ptr<Tree> best;
    float least = INFINITY;
    for (int unit = job.units[0]; unit <= job.units[1]; unit++) {
        auto tree = std::make_unique<Tree>(job, prices, symbols, unit == 1 ? now : halves, splits.data(), unit);
        const float cost = search_tree(*tree, windows.get());
        if (best && !(cost < least)) continue;
        least = cost, best = std::move(tree);
        std::copy(splits.begin(), splits.end(), field.splits);
    }
    best->grid.to(field);
}

}  // namespace C3_ISA
}  // namespace c3
