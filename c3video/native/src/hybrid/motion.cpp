// SPDX-License-Identifier: MIT
// The walk over a motion field, and the two that follow it. Compiled once for each instruction set.
#include "hybrid/motion.h"

#include "hybrid/motion_context.h"
#include "hybrid/motion_network.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kSplitSymbols[] = {0, 1, -1, 2};

int split_of(int symbol) { return symbol == 0 ? kWhole : symbol == 1 ? kRows : symbol == -1 ? kColumns : kQuarters; }

// A field that is coded, of which everything is known.
class GivenField {
public:
    GivenField(const MotionFrame& frame, const MotionField& field)
        : field_(field), references_(frame.num_references), rows_(2 * frame.height), columns_(2 * frame.width) {}

    Motion motion(int y, int x) const {
        const size_t at = (size_t)y * columns_ + x, count = (size_t)rows_ * columns_;
        Motion motion;
        motion.mode = field_.modes[at];
        for (int r = 0; r < references_; r++)
            motion.vectors[r] = {field_.vectors[2 * r * count + at] / unit(),
                                 field_.vectors[(2 * r + 1) * count + at] / unit()};
        return motion;
    }
    int split(int block_y, int block_x) const { return field_.splits[(size_t)block_y * (columns_ / 2) + block_x]; }
    int unit() const { return *field_.unit; }
    Vector offset(int reference) const {
        return {field_.offsets[2 * reference] / unit(), field_.offsets[2 * reference + 1] / unit()};
    }
    // Whether it is one part: no block is split, and all move alike or as expected.
    bool is_part(const Part& node, const MotionGrid& grid) const {
        const Motion first = motion(node.y, node.x);
        bool alike = true, expected = true;
        for (int y = node.y; y < std::min(node.y + node.height, rows_); y++)
            for (int x = node.x; x < std::min(node.x + node.width, columns_); x++) {
                const Motion here = motion(y, x);
                if (split(y / 2, x / 2) != kWhole) return false;
                alike = alike && here == first;
                expected = expected && here == grid.expected(y, x);
            }
        return alike || expected;
    }
    // As a candidate would say it.
    Motion motion(const Part& part, const MotionGrid& grid) const {
        for (int y = part.y; y < std::min(part.y + part.height, rows_); y++)
            for (int x = part.x; x < std::min(part.x + part.width, columns_); x++)
                if (!(motion(y, x) == motion(part.y, part.x))) return grid.before(part);
        return motion(part.y, part.x);
    }

private:
    const MotionField& field_;
    const int references_, rows_, columns_;
};

// Takes down the symbols of a given field.
class Lister {
public:
    Lister(const MotionFrame& frame, const MotionField& field, std::vector<MotionSymbol>& symbols)
        : given_(frame, field), symbols_(symbols) {}

    static constexpr bool kIsReader = false;
    const GivenField& given() const { return given_; }
    int code(int symbol_class, const int16_t (&features)[kMotionInputs], int symbol) {
        symbols_.push_back({symbol_class, symbol, {}});
        std::copy(features, features + kMotionInputs, symbols_.back().features);
        return symbol;
    }

private:
    const GivenField given_;
    std::vector<MotionSymbol>& symbols_;
};

// Reads symbols; what is given does not matter.
class SymbolReader {
public:
    SymbolReader(Cursor& cursor, const SparseTables& tables, const ContextNetwork& network, int depth)
        : cursor_(cursor), tables_(tables), network_(network, depth) {}

    static constexpr bool kIsReader = true;
    int code(int symbol_class, const int16_t (&features)[kMotionInputs], int) {
        return tables_.read(cursor_, network_.table(symbol_class, features));
    }

private:
    Cursor& cursor_;
    const SparseTables& tables_;
    const MotionNetwork network_;
};

template <typename Coder>
class FieldWalk {
public:
    FieldWalk(const MotionFrame& frame, Coder& coder) : coder_(coder), grid_(frame) {}

    // The splits of blocks go to `splits` (height, width).
    void run(int32_t* splits) {
        code_unit();
        code_offsets();
        for (int y = 0; y < grid_.rows; y += kSuperblock)
            for (int x = 0; x < grid_.columns; x += kSuperblock) code_tree({y, x, kSuperblock, kSuperblock}, splits);
    }

    const MotionGrid& grid() const { return grid_; }

private:
    void code_unit() {
        int known = 0;
        if constexpr (!Coder::kIsReader) known = coder_.given().unit() != 1;
        const int16_t inputs[kMotionInputs] = {};
        grid_.unit = coder_.code(kUnitClass, inputs, known) ? kMostUnit : 1;
    }

    void code_offsets() {
        if (!grid_.frame.earlier_modes) return;
        Vector before{0, 0};
        for (int r = 0; r < grid_.frame.num_references; r++) {
            Vector known{0, 0};
            if constexpr (!Coder::kIsReader) known = coder_.given().offset(r);
            int16_t inputs[kMotionInputs] = {};
            if (r) inputs[7] = kFeatureUnit;
            const int up = coder_.code(kOffsetClass, inputs, known.y - before.y);
            inputs[0] = magnitude_feature(up), inputs[1] = kFeatureUnit;
            const int left = coder_.code(kOffsetClass, inputs, known.x - before.x);
            before =
                grid_.offsets[r] = {grid_.clipped((int64_t)before.y + up), grid_.clipped((int64_t)before.x + left)};
        }
    }

    void code_tree(const Part& node, int32_t* splits) {
        if (node.y >= grid_.rows || node.x >= grid_.columns) return;
        const MotionContext context(grid_, node);
        int16_t inputs[kMotionInputs];
        context.tree_inputs(inputs);
        if (node.width == 2) {
            int known = 0;
            if constexpr (!Coder::kIsReader) known = kSplitSymbols[coder_.given().split(node.y / 2, node.x / 2)];
            const int split = split_of(coder_.code(kSplitClass, inputs, known));
            splits[(size_t)(node.y / 2) * (grid_.columns / 2) + node.x / 2] = split;
            for (int i = 0; i < kSplits[split].count; i++) {
                const Part& part = kSplits[split].parts[i];
                const Part moved{node.y + part.y, node.x + part.x, part.height, part.width};
                code_part(moved, MotionContext(grid_, moved));
            }
            return;
        }
        int known = 0;
        if constexpr (!Coder::kIsReader) known = !coder_.given().is_part(node, grid_);
        if (!coder_.code(kCutClass + size_class(node), inputs, known)) {
            for (int y = node.y; y < std::min(node.y + node.height, grid_.rows); y += 2)
                for (int x = node.x; x < std::min(node.x + node.width, grid_.columns); x += 2)
                    splits[(size_t)(y / 2) * (grid_.columns / 2) + x / 2] = kWhole;
            code_part(node, context);
            return;
        }
        const int side = node.width / 2;
        for (int i = 0; i < 4; i++) code_tree({node.y + i / 2 * side, node.x + i % 2 * side, side, side}, splits);
    }

    void code_part(const Part& part, const MotionContext& context) {
        Quarter found;
        found.depth = (uint8_t)(size_class(part) + (part.height * part.width == 1));
        found.has_own = 1;
        int number = context.num_candidates();  // of the given motion among the candidates
        if constexpr (!Coder::kIsReader) {
            found.motion = coder_.given().motion(part, grid_);
            number = context.find(found.motion);
        }
        int16_t inputs[kMotionInputs];
        if (context.num_candidates()) {
            context.merge_inputs(inputs);
            found.has_own =
                coder_.code(kMergeClass + size_class(part), inputs, number == context.num_candidates()) != 0;
        }
        if (found.has_own) code_motion(context, found);
        else found.motion = context.candidate(code_candidate(context, number));
        grid_.set_motion(part, found);
    }

    int code_candidate(const MotionContext& context, int number) {
        int16_t inputs[kMotionInputs];
        for (int i = 0; i + 1 < context.num_candidates(); i++) {
            context.candidate_inputs(i, inputs);
            if (!coder_.code(kCandidateClass + std::min(i, 2), inputs, number != i)) return i;
        }
        return context.num_candidates() - 1;
    }

    void code_motion(const MotionContext& context, Quarter& found) {
        const int num_references = grid_.frame.num_references;
        const Motion given = found.motion;
        found.motion = {};
        found.motion.mode = kForward;
        int16_t inputs[kMotionInputs];
        if (num_references == 2) {
            context.mode_inputs(inputs);
            const int sign = coder_.code(kModeClass, inputs, given.sign() * context.expected_sign());
            const int seen = sign * context.expected_sign();
            found.motion.mode = seen > 0 ? kForward : seen < 0 ? kBackward : kBoth;
        }
        const bool is_both = found.motion.mode == kBoth;
        for (int r = 0; r < num_references; r++) {
            if (!found.motion.uses(r)) continue;
            for (int component = 0; component < 2; component++) {
                const int32_t first = r && is_both ? found.differences[0][component] : 0;
                const int32_t other = component ? found.differences[r][0] : 0;
                const int64_t prediction =
                    context.prediction(r, component) + (r && is_both ? context.carried_on(first) : 0);
                context.component_inputs(r, component, prediction, other, first, is_both, inputs);
                const int32_t known = component ? given.vectors[r].x : given.vectors[r].y;
                const int difference = coder_.code(1 + 2 * r + component, inputs, (int)(known - prediction));
                found.differences[r][component] = difference;
                (component ? found.motion.vectors[r].x : found.motion.vectors[r].y) =
                    grid_.clipped(prediction + difference);
            }
        }
    }

    Coder& coder_;
    MotionGrid grid_;
};

}  // namespace

void read_motion(Reader& reader, const SparseTables& tables, const ContextNetwork& network, const MotionFrame& frame,
                 int depth, MotionField field) {
    SymbolReader symbols(reader.cursor(), tables, network, depth);
    FieldWalk<SymbolReader> walk(frame, symbols);
    walk.run(field.splits);
    walk.grid().to(field);
}

void list_motion(const MotionFrame& frame, MotionField field, std::vector<MotionSymbol>& symbols) {
    Lister lister(frame, field, symbols);
    std::vector<int32_t> splits((size_t)frame.height * frame.width);
    FieldWalk<Lister>(frame, lister).run(splits.data());
}

}  // namespace C3_ISA
}  // namespace c3
