// SPDX-License-Identifier: MIT
// The walk over the grids of a patch. Compiled once for each instruction set.
//
// Latents are held skewed: a row of a buffer holds a wave, a column for each y. Position (y, x) of a grid with slope a
// is in wave w = x + a y; its parent (y >> 1, x >> 1) is in wave (w - a (y & 1)) >> 1 of the grid above. So where even
// and odd rows are taken apart, the parents of neighbouring columns are neighbours in one row too, and so are all taps:
// contexts are plain loads. In a wave of the own grid the even rows come first, then the odd ones; only as many waves
// are kept as the furthest tap needs, in a ring. A grid that has a finer one below it is kept whole, with rows in
// order; the previous latent frame is laid out whole, even and odd rows apart. Hyper grids are enlarged on the way, a
// wave at a time, by the places that parents lie in.
//
// What is kept whole lies closer than a column for each y in each row: a wave crosses few rows of a narrow grid, and
// with each wave they lie further down. So rows of the buffer are as far apart as one wave needs, and the columns of
// one that are not its own are those of the next ones: memory grows with the area, whatever the shape.
#include "pyramid/latents.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

namespace {

constexpr int kMaxSymbol = 32767, kMaxContext = 8191, kMaxLocation = 65536;
constexpr int kMaxHyperContext = 127, kHyperUnit = 16;
constexpr int kScaleOrigin = 24;
constexpr int kParents = 7;
constexpr int kMaxInputs = 16 + kMaxPreviousTaps + kParents + kMaxHyper;
constexpr int kTableBits = 10;  // scale index and fraction

inline V32 table_of(V32 place, V32 scale) {
    return or32(or32(shifted_left<kTableBits>(shifted<4>(place)), shifted_left<4>(scale)), and32(place, 15));
}

// What the network says of a latent in one number: its location in whole steps above, below its table.
inline V32 prediction(V32 location, V32 scale) {
    const V32 place = add32(clip32(shifted<8>(location), -kMaxLocation, kMaxLocation), splat32(8));
    const V32 index = clip32(add32(shifted<9>(scale), splat32(kScaleOrigin)), 0, kNumScales - 1);
    return table_of(place, index);
}

struct Slot {
    uint32_t from, width;
};

// The slot of a residual of zero in every table: nearly all that is read.
std::vector<Slot> middle_slots(const Tables& tables) {
    std::vector<Slot> slots(kNumScales * kNumFractions);
    for (int table = 0; table < kNumScales * kNumFractions; table++) {
        const uint32_t* bounds = tables.bounds.data() + tables.start[table] + tables.radius[table / kNumFractions] + 1;
        slots[table] = {bounds[0], bounds[1] - bounds[0]};
    }
    return slots;
}

// A grid that a finer one reads: a row for each wave, a column for each y, zeros one place around the grid. Column y of
// wave w is at [w * stride + y], counted from the place of (0, 0).
struct SkewedLayout {
    size_t stride, origin, size;

    SkewedLayout(int height, int width, int slope)
        // The most places of a wave, those around the grid too; vectors that end behind them are to find zeros there.
        : stride((size_t)std::min(height + 2, (width + 1) / slope + 1) + kLanes), origin((slope + 1) * stride + 1),
          size(origin + (width + (size_t)slope * height) * stride + height + kLanes) {}
};

class SkewedPlane {
public:
    void resize(const SkewedLayout& layout) {
        stride_ = (long)layout.stride, origin_ = (long)layout.origin;
        values_.assign(layout.size, 0);
    }
    int16_t* row(long wave) { return values_.data() + origin_ + wave * stride_; }

private:
    long stride_ = 0, origin_ = 0;
    std::vector<int16_t> values_;
};

// A part of the previous latent frame: a row for each wave, in it a column for each y, first the even ones. Around it
// are as many zeros as a window reaches.
struct PreviousLayout {
    int reach_y, reach_x;
    long margin, lead, half;  // waves before the first; columns before that of row 0; columns of the even rows
    size_t size;

    PreviousLayout(int height, int width, int slope, int window_y, int window_x)
        : reach_y(std::abs(window_y) + 1), reach_x(std::abs(window_x) + 1), margin(reach_x + (long)slope * reach_y),
          lead(reach_y / 2 + 1),
          half(std::min(height + 2 * reach_y, (width - 1 + 2 * reach_x) / slope + 1) / 2 + 1 + kLanes),
          size((size_t)(width + reach_x + (long)slope * (height - 1 + reach_y) + margin) * 2 * half + lead +
               (height + reach_y) / 2 + kLanes) {}
};

class PreviousPlane {
public:
    void fill(const PyramidPart& part, int slope) {
        const PreviousLayout layout(part.height, part.width, slope, part.window_y, part.window_x);
        margin_ = layout.margin, lead_ = layout.lead, half_ = layout.half;
        values_.assign(layout.size, 0);
        for (int y = 0; y < part.height; y++) {
            const int16_t* from = part.previous + y * part.stride;
            int16_t* to = at((long)slope * y, y);
            for (int x = 0; x < part.width; x++)
                if (from[x]) to[2 * half_ * x] = (int16_t)std::clamp<int>(from[x], -kMaxContext, kMaxContext);
        }
    }
    // The latent of row y in a wave; behind it are those of rows y + 2, y + 4 ...
    int16_t* at(long wave, int y) {
        return values_.data() + (wave + margin_) * 2 * half_ + (y & 1) * half_ + lead_ + (y >> 1);
    }

private:
    long margin_ = 0, lead_ = 0, half_ = 0;
    std::vector<int16_t> values_;
};

// As many waves of the own grid as the furthest tap needs, and itself; a power of two.
long waves_kept(const std::vector<PyramidTap>& taps, int slope) {
    int furthest = 0;
    for (const PyramidTap& tap : taps) furthest = std::max(furthest, -tap.dx - slope * tap.dy);
    long ring = 1;
    while (ring < furthest + 1) ring *= 2;
    return ring;
}

// Columns of the even rows of a wave of the own grid: one of zeros before them, room behind for the last vector.
int half_columns(int height) { return (height + 1) / 2 + 1 + kLanes; }

// Contexts that wait to be a full set of vectors.
class Batch {
public:
    Batch(const PyramidEntropy& model, int grid) : model_(model), bias_(model.grid_bias[grid].data()) {}

    void add(const V16* context, int count, int32_t* out) {
        for (int i = 0; i < count; i += 2)
            inputs_.set(i / 2, size_, context[i], i + 1 < count ? context[i + 1] : splat(0));
        out_[size_++] = out;
        if (size_ == kGroups) run();
    }

    void finish() {
        if (size_ > 0) run();
    }

private:
    void run() {
        V16 hidden[kMaxPyramidWidth][kGroups];
        dense(model_.first, bias_, inputs_, [&](int o, int g, V32 a, V32 b) { hidden[o][g] = rectified<4>(a, b); });
        hidden_.set_all(hidden, model_.first.num_outputs);
        for (const Dense& layer : model_.second) {
            dense(layer, hidden_, [&](int o, int g, V32 a, V32 b) { hidden[o][g] = rectified<12>(a, b); });
            hidden_.set_all(hidden, layer.num_outputs);
        }
        V32 low[2][kGroups], high[2][kGroups];
        dense_block<2>(model_.linear, model_.linear.bias.data(), 0, inputs_,
                       [&](int o, int g, V32 a, V32 b) { low[o][g] = a, high[o][g] = b; });
        dense_block<2>(model_.last, model_.last.bias.data(), 0, hidden_, [&](int o, int g, V32 a, V32 b) {
            low[o][g] = add32(low[o][g], shifted<8>(a)), high[o][g] = add32(high[o][g], shifted<8>(b));
        });
        for (int g = 0; g < size_; g++)
            store_unpacked(out_[g], prediction(low[0][g], low[1][g]), prediction(high[0][g], high[1][g]));
        size_ = 0;
    }

    const PyramidEntropy& model_;
    const int32_t* bias_;
    Pairs inputs_{}, hidden_{};
    int size_ = 0;
    int32_t* out_[kGroups];
};

class PatchWalk {
public:
    PatchWalk(const Tables& tables, const std::vector<Slot>& middle, const PyramidEntropy& model)
        : tables_(tables), middle_(middle.data()), model_(model), num_taps_((int)model.taps.size()),
          num_previous_(model.num_previous), num_inputs_(num_taps_ + num_previous_ + kParents + model.num_hyper) {
        ring_ = waves_kept(model.taps, model.slope);
    }

    // Most bytes that the walk over a patch takes, from the sizes of its parts.
    static size_t memory(const PyramidSizes& sizes) {
        size_t bytes = 0;
        // Of what grows the old values are there until the new ones are: those of all grids together bound it.
        for (size_t k = 0; k < sizes.parts.size(); k++) {
            const int h = sizes.parts[k].height, w = sizes.parts[k].width, slope = sizes.slope;
            size_t values = (2 * waves_kept(sizes.taps, slope) + 1 + 2 * sizes.num_hyper) * half_columns(h);
            if (k > 0) values += (2 + sizes.num_hyper) * SkewedLayout(h, w, slope).size;
            if (sizes.has_previous) values += PreviousLayout(h, w, slope, kMaxWindow, kMaxWindow).size;
            const size_t of_wave = std::min(h, (w - 1) / slope + 1);
            bytes += values * sizeof(int16_t) + 2 * half_columns(h) * sizeof(int32_t) + 3 * of_wave * sizeof(Escape);
        }
        return bytes;
    }

    void code(PyramidPatch& patch) {
        const int num_parts = (int)patch.parts.size(), num_grids = num_parts - model_.num_hyper;
        patch.bits.assign(num_parts, 0.0);
        size_t count = 0;
        for (const PyramidPart& part : patch.parts) count += (size_t)part.height * part.width;
        if (patch.writer) patch.writer->expect(count);
        for (int k = num_parts - 1; k >= 0; k--) {
            const double before = bits_so_far(patch);
            code_part(patch, k, k + 1 < num_parts && k + 1 != num_grids, k > 0 && k != num_grids, num_grids);
            patch.bits[k] = bits_so_far(patch) - before;
            std::swap(above_, here_);  // what is above the next grid
            std::swap(far_above_, far_here_);
            for (int i = 0; i < model_.num_hyper; i++)
                if (has_enlarged(i, k, num_grids)) std::swap(hyper_above_[i], hyper_here_[i]);
        }
    }

private:
    struct Escape {
        int y, residual, radius, step;
    };

    static double bits_so_far(const PyramidPatch& patch) {
        return patch.writer ? patch.writer->bits() : -patch.reader->bits_left();
    }

    // Resolution of a hyper grid, and whether a grid is given it enlarged; of its own resolution it needs not be.
    int hyper_level(int i, int num_grids) const { return num_grids - model_.num_hyper + i; }
    bool has_enlarged(int i, int grid, int num_grids) const {
        return grid < num_grids && grid < hyper_level(i, num_grids);
    }

    void code_part(const PyramidPatch& patch, int grid, bool has_parents, bool has_children, int num_grids) {
        const PyramidPart& part = patch.parts[grid];
        const int h = part.height, w = part.width, slope = model_.slope;
        const bool is_hyper = grid >= num_grids;
        const SkewedLayout layout(h, w, slope);
        if (has_children) {
            here_.resize(layout);
            far_here_.resize(layout);
        }
        const int half = half_columns(h);
        if (is_hyper) hyper_above_[grid - num_grids].resize(layout);
        for (int i = 0; i < model_.num_hyper; i++) {
            if (has_children && has_enlarged(i, grid, num_grids)) hyper_here_[i].resize(layout);
            for (std::vector<int16_t>& row : hyper_rows_[i]) row.assign(half, 0);
        }
        stride_ = 2 * (size_t)half;
        rows_.assign(ring_ * stride_, 0);
        tables_of_[0].resize((h + 1) / 2 + kLanes);
        tables_of_[1].resize((h + 1) / 2 + kLanes);
        zeros_.assign(half + 1, 0);

        has_previous_ = num_previous_ > 0 && part.previous;
        if (has_previous_) previous_.fill(part, slope);

        Batch batch(model_, grid);
        V16 context[kMaxInputs];
        std::fill(context, context + num_inputs_, splat(0));
        int32_t blank[kLanes];
        batch.add(context, num_inputs_, blank);
        batch.finish();

        const int16_t* inputs[2][kMaxInputs];
        const long num_waves = w + (long)slope * (h - 1);
        for (long wave = 0; wave < num_waves; wave++) {
            int16_t* own = rows_.data() + (wave & (ring_ - 1)) * stride_;
            std::fill(own, own + stride_, (int16_t)0);
            const int y_first = wave > w - 1 ? (int)((wave - (w - 1) + slope - 1) / slope) : 0;
            const int y_last = (int)std::min<long>(h - 1, wave / slope);
            for (int odd = 0; odd < 2; odd++) {
                const int p_first = (y_first + 1 - odd) >> 1, p_last = (y_last - odd) >> 1;
                if (p_first > p_last) continue;
                find_inputs(part, wave, odd, half, has_parents, inputs[odd]);
                for (int i = 0; i < model_.num_hyper; i++) {
                    int16_t* row = hyper_rows_[i][odd].data();
                    inputs[odd][num_inputs_ - model_.num_hyper + i] = row;
                    if (has_enlarged(i, grid, num_grids)) enlarge(i, wave, odd, p_first, p_last, row, has_children);
                    else if (grid == hyper_level(i, num_grids))
                        for (int p = p_first; p <= p_last; p++) row[p] = hyper_above_[i].row(wave)[2 * p + odd];
                }
                for (int p = p_first; p <= p_last; p += kLanes) {
                    V16 any = splat(0);
                    for (int i = 0; i < num_inputs_; i++) any = or16(any, context[i] = load(inputs[odd][i] + p));
                    int32_t* out = tables_of_[odd].data() + p;
                    if (is_zero(any)) std::fill(out, out + kLanes, blank[0]);
                    else batch.add(context, num_inputs_, out);
                }
                if (has_children && has_parents) {
                    int16_t* far = far_here_.row(wave) + odd;
                    const int16_t* parent = inputs[odd][num_taps_ + num_previous_];
                    for (int p = p_first; p <= p_last; p++) far[2 * p] = parent[p];
                }
            }
            batch.finish();
            const Kept kept{has_children ? here_.row(wave) : nullptr,
                            is_hyper ? hyper_above_[grid - num_grids].row(wave) : nullptr};
            if (patch.reader) read_wave(*patch.reader, part, wave, y_first, y_last, own + 1, half, kept);
            else write_wave(*patch.writer, part, wave, y_first, y_last, own + 1, half, kept);
        }
    }

    // A hyper grid at the places of a wave's even or odd rows, from the resolution above; kept for the one below.
    void enlarge(int i, long wave, int odd, int p_first, int p_last, int16_t* row, bool is_kept) {
        const Around around(model_.slope, wave, odd);
        SkewedPlane& plane = hyper_above_[i];
        const int16_t *near = plane.row(around.wave),
                      *below = plane.row(around.wave + model_.slope * around.sy) + around.sy,
                      *beside = plane.row(around.wave + around.sx),
                      *across = plane.row(around.wave + model_.slope * around.sy + around.sx) + around.sy;
        const auto tripled = [](V16 a) { return sum16(sum16(a, a), a); };
        for (int p = p_first; p <= p_last; p += kLanes) {
            const V16 column = sum16(tripled(load(near + p)), load(below + p)),
                      other = sum16(tripled(load(beside + p)), load(across + p));
            store(row + p, shifted16<4>(sum16(sum16(tripled(column), other), splat(8))));
        }
        if (!is_kept) return;
        int16_t* kept = hyper_here_[i].row(wave) + odd;
        for (int p = p_first; p <= p_last; p++) kept[2 * p] = row[p];
    }

    // Where the parents of a wave's even or odd rows lie: their wave, and the side of them that each row is on.
    struct Around {
        long wave;
        int sy, sx;
        Around(int slope, long of, int odd) {
            const long own = of - (long)slope * odd;  // x of row `odd`
            wave = own >> 1;
            sy = odd ? 1 : -1, sx = own & 1 ? 1 : -1;
        }
    };

    // Rows of a wave for those that read it later, by y; null where none do.
    struct Kept {
        int16_t *latents, *hyper;
        void put(int y, int symbol) const {
            if (latents) latents[y] = (int16_t)std::clamp(symbol, -kMaxContext, kMaxContext);
            if (hyper) hyper[y] = (int16_t)(kHyperUnit * std::clamp(symbol, -kMaxHyperContext, kMaxHyperContext));
        }
    };

    // Where the vectors of a wave's even or odd rows begin, for each input: row 2p + odd is at [p].
    void find_inputs(const PyramidPart& part, long wave, int odd, int half, bool has_parents, const int16_t** inputs) {
        for (int i = 0; i < num_taps_; i++) {
            const PyramidTap& tap = model_.taps[i];
            const long from = wave + tap.dx + (long)model_.slope * tap.dy;
            const int row = odd + tap.dy;  // of the tap where p is 0
            inputs[i] = rows_.data() + (from & (ring_ - 1)) * stride_ + 1 + (row & 1) * half + (row >> 1);
        }
        for (int i = 0; i < num_previous_; i++) {
            const int dy = part.window_y + kPreviousTaps[i].dy, dx = part.window_x + kPreviousTaps[i].dx;
            inputs[num_taps_ + i] =
                has_previous_ ? previous_.at(wave + dx + (long)model_.slope * dy, odd + dy) : zeros_.data();
        }
        const int16_t** parents = inputs + num_taps_ + num_previous_;
        if (!has_parents) {
            std::fill(parents, parents + kParents, zeros_.data());
            return;
        }
        const Around around(model_.slope, wave, odd);
        const long above = around.wave;
        const int sy = around.sy, sx = around.sx, slope = model_.slope;
        parents[0] = above_.row(above);
        parents[1] = above_.row(above + slope * sy) + sy;
        parents[2] = above_.row(above + sx);
        parents[3] = above_.row(above + slope * sy + sx) + sy;
        parents[4] = above_.row(above - slope * sy) - sy;
        parents[5] = above_.row(above - sx);
        parents[6] = far_above_.row(above);
    }

    void read_wave(Reader& reader, const PyramidPart& part, long wave, int y_first, int y_last, int16_t* own, int half,
                   const Kept& kept) {
        Cursor cursor = reader.cursor();
        const int32_t* found[2] = {tables_of_[0].data(), tables_of_[1].data()};
        const auto put = [&](int y, int symbol) {
            symbol = std::clamp(symbol, -kMaxSymbol, kMaxSymbol);
            const int16_t context = (int16_t)std::clamp(symbol, -kMaxContext, kMaxContext);
            part.latents[y * part.stride + (wave - (long)model_.slope * y)] = (int16_t)symbol;
            own[(y & 1) * half + (y >> 1)] = context;
            kept.put(y, symbol);
        };
        escapes_.clear();
        for (int y = y_first; y <= y_last; y++) {
            const int32_t predicted = found[y & 1][y >> 1];
            const int table = predicted & ((1 << kTableBits) - 1), step = predicted >> kTableBits;
            const uint32_t low = cursor.low();
            const Slot slot = middle_[table];
            if (low - slot.from < slot.width) {
                cursor.advance(slot.from, slot.width, low);
                if (step) put(y, step);
                continue;
            }
            const int scale = table / kNumFractions, radius = tables_.radius[scale];
            const int residual = cursor.residual(tables_, scale, table % kNumFractions - kNumFractions / 2);
            if (std::abs(residual) > radius) escapes_.push_back({y, residual, radius, step});
            else if (step + residual) put(y, step + residual);
        }
        for (const Escape& escape : escapes_) {
            const int excess = escape.radius + cursor.excess();
            put(escape.y, escape.step + (escape.residual > 0 ? excess : -excess));
        }
        reader.cursor() = cursor;
    }

    void write_wave(Writer& writer, const PyramidPart& part, long wave, int y_first, int y_last, int16_t* own, int half,
                    const Kept& kept) {
        const int32_t* found[2] = {tables_of_[0].data(), tables_of_[1].data()};
        excesses_.clear();
        for (int y = y_first; y <= y_last; y++) {
            const int32_t predicted = found[y & 1][y >> 1];
            const int symbol = part.latents[y * part.stride + (wave - (long)model_.slope * y)];
            const int16_t context = (int16_t)std::clamp(symbol, -kMaxContext, kMaxContext);
            own[(y & 1) * half + (y >> 1)] = context;
            kept.put(y, symbol);
            const int table = predicted & ((1 << kTableBits) - 1), step = predicted >> kTableBits;
            const int excess = writer.residual(tables_, table, symbol - step);
            if (excess) excesses_.push_back(excess);
        }
        for (const int excess : excesses_) writer.excess(excess);
    }

    const Tables& tables_;
    const Slot* middle_;
    const PyramidEntropy& model_;
    const int num_taps_, num_previous_, num_inputs_;
    bool has_previous_ = false;
    long ring_;
    size_t stride_ = 0;
    std::vector<int16_t> rows_, zeros_;
    std::vector<int32_t> tables_of_[2];  // predictions of the even and the odd rows of a wave
    std::vector<Escape> escapes_;
    std::vector<int> excesses_;
    SkewedPlane above_, far_above_;  // the grid above; of its latents what is above them
    SkewedPlane here_, far_here_;    // the same for the grid below, filled in on the way
    // Hyper grids at the resolution above, or their own; at this one; places of a wave's even and odd rows.
    SkewedPlane hyper_above_[kMaxHyper], hyper_here_[kMaxHyper];
    std::vector<int16_t> hyper_rows_[kMaxHyper][2];
    PreviousPlane previous_;
};

}  // namespace

}  // namespace pyramid

void code_pyramid(const Tables& tables, const PyramidEntropy& model, std::vector<PyramidPatch>& patches,
                  int num_threads) {
    const std::vector<pyramid::Slot> middle = pyramid::middle_slots(tables);
    std::vector<std::exception_ptr> thrown(patches.size());
    std::atomic<size_t> next{0};
    in_parallel(std::min(num_threads, (int)patches.size()), [&](int) {
        for (size_t i = next++; i < patches.size(); i = next++) {
            try {
                pyramid::PatchWalk(tables, middle, model).code(patches[i]);
            } catch (...) {
                thrown[i] = std::current_exception();
            }
        }
    });
    for (const std::exception_ptr& error : thrown)
        if (error) std::rethrow_exception(error);
}

size_t pyramid_latents_memory(const PyramidSizes& sizes, int num_walks) {
    return num_walks * (pyramid::PatchWalk::memory(sizes) + sizeof(pyramid::PatchWalk));
}

}  // namespace C3_ISA
}  // namespace c3
