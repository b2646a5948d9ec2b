// SPDX-License-Identifier: MIT
// Motion compensation and the wavelet of a plane in one walk down its rows. Compiled once for each instruction set.
//
// Around a corner where four blocks meet lies a *cell*: as large as a block, half a block up and left of it. Their
// windows overlap in the middle of its rows and columns. Rows of cells are predicted one after the other into a band
// that stays in the cache; then rows of the residual come out of the wavelet's finest level and are added. The coarser
// levels are made before, a level at a time.
#include "hybrid/frame.h"

#include <algorithm>
#include <memory>

#include "hybrid/interpolation.h"
#include "hybrid/lifting.h"
#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kFewRows = 128;  // a level with no more rows a thread is not worth a thread
constexpr int kLargestSide = 32;
constexpr int kMaxLead = kLargestSide / 2;  // columns before the plane that a cell may cover

// What a block or a quarter of it is predicted from, with unused vectors left out: equal keys, equal samples. A split
// block has a key of its own, with this bit and its number.
using Motion = uint64_t;
constexpr Motion kSplit = (Motion)1 << 63;

int ceil_division(int a, int b) { return (a + b - 1) / b; }

// Sums of samples of the windows of two blocks, weighted along x: pairs (a, b) times pairs of weights, by vector.
struct WeightPairs {
    int16_t low[kStripColumns + Wide::lanes], high[kStripColumns + Wide::lanes];
};

// The memory of one thread.
struct Room {
    static constexpr int kStride = kStripColumns + Wide::lanes;
    static constexpr size_t kBuffer = (size_t)kStripRows * kStride;

    StripRoom strip = {};
    // Rows are made in pairs: behind an odd first one there must be room for one more.
    int16_t windows[4][kBuffer + kStride] = {};  // of the blocks above and below, two buffers each
    int16_t quarters[4][kBuffer + kStride] = {};
    int16_t weights[2][kStride] = {};
    WeightPairs pairs[2] = {}, quarter_pairs = {};
};

// Two rows of weights, up to the end of the last vector, for `mix`.
void make_pairs(const int16_t* first, const int16_t* second, int columns, WeightPairs& pairs) {
    for_vectors(columns, [&](auto vectors, int x) {
        using S = decltype(vectors);
        const auto a = S::load(first + x), b = S::load(second + x);
        store(pairs.low + x, unpack_low(a, b));
        store(pairs.high + x, unpack_high(a, b));
    });
}

// Two rows of samples of the upper and two of the lower blocks, weighted; upper_weight + lower_weight is 64.
void mix(const int16_t* const (&rows)[4], const WeightPairs& upper, const WeightPairs& lower, int upper_weight,
         int lower_weight, int columns, int16_t* out) {
    for_vectors(columns, [&](auto vectors, int x) {
        using S = decltype(vectors);
        auto low = S::splat32(2048), high = low;
        const auto add = [&](const int16_t* a, const int16_t* b, const WeightPairs& pairs, int weight) {
            const auto first = S::load(a + x), second = S::load(b + x), weight_y = S::splat((int16_t)weight);
            low = multiply_add(low, unpack_low(first, second), multiply16(S::load(pairs.low + x), weight_y));
            high = multiply_add(high, unpack_high(first, second), multiply16(S::load(pairs.high + x), weight_y));
        };
        if (upper_weight) add(rows[0], rows[1], upper, upper_weight);
        if (lower_weight) add(rows[2], rows[3], lower, lower_weight);
        store(out + x, pack(shift_right32(low, 12), shift_right32(high, 12)));
    });
}

// The motion of a plane by cells.
class Compensation {
public:
    explicit Compensation(const FrameJob& job) : job_(job) {
        for (int i = 0; i < job.num_references; i++)
            references_[i] = {job.references[i], job.height, job.width, job.bit_depth};
        if (job.num_references == 0) return;
        const size_t count = 4 * (size_t)job.block_rows * job.block_columns;
        quarters_.reset(new Motion[count]);
        for (size_t i = 0; i < count; i++) {
            const int mode = job.modes[i];
            Motion motion = (Motion)mode;
            for (int r = 0; r < job.num_references; r++)
                if (mode == kBoth || mode == r)
                    for (int axis = 0; axis < 2; axis++)
                        motion |= (Motion)(job.vectors[(2 * r + axis) * count + i] + kMaxVector)
                                  << (2 + 15 * (2 * r + axis));
            quarters_[i] = motion;
        }
        motions_.reset(new Motion[count / 4]);
        for (size_t i = 0; i < count / 4; i++) motions_[i] = job.splits[i] ? kSplit | i : quarter(i, 0, 0);
    }

    // Predicts rows first .. last - 1, which lie in one row of cells, into `out`, whose first column is x = 0. Some
    // columns before the plane and behind it are written as well: half a cell, and what fills a vector.
    void predict(int cell_row, int first, int last, int16_t* out, ptrdiff_t stride, Room& room) const {
        const int num_cells = (job_.width - 1 + job_.side_x / 2) / job_.side_x + 1;
        const int most = kStripColumns / job_.side_x;
        for (int cell = 0; cell < num_cells;) {
            const Kind kind = kind_of(cell_row, cell);
            int end = cell + 1;
            while (end < num_cells && end - cell < most && kind_of(cell_row, end) == kind &&
                   (kind != kUniform || at(cell_row, end) == at(cell_row, cell)))
                end++;
            const int x = column_of(cell), columns = (end - cell) * job_.side_x;
            if (kind == kUniform)
                block_samples(at(cell_row, cell), first, last - first, x, columns, out + x, stride, room);
            else blend(cell_row, first, last, cell, end, kind == kSameRows, out + x, stride, room);
            cell = end;
        }
    }

private:
    // Of a cell: four equal blocks; the upper two equal to the lower two; or any.
    enum Kind { kUniform, kSameRows, kAny };

    // Blocks outside the grid are those at its edge. Cell (r, c) is covered by blocks r - 1, r and c - 1, c.
    Motion at(int row, int column) const {
        return motions_[(size_t)std::clamp(row, 0, job_.block_rows - 1) * job_.block_columns +
                        std::clamp(column, 0, job_.block_columns - 1)];
    }
    Kind kind_of(int row, int column) const {
        const Motion left = at(row - 1, column - 1), right = at(row - 1, column);
        if (at(row, column - 1) != left || at(row, column) != right) return kAny;
        return left == right ? kUniform : kSameRows;
    }
    int column_of(int cell) const { return cell * job_.side_x - job_.side_x / 2; }

    // Of the block `block`.
    Motion quarter(size_t block, int y, int x) const {
        const size_t row = block / job_.block_columns, column = block % job_.block_columns;
        return quarters_[(2 * row + y) * 2 * job_.block_columns + 2 * column + x];
    }

    // Samples that a block makes, split or not.
    void block_samples(Motion motion, int y, int rows, int x, int columns, int16_t* out, ptrdiff_t stride,
                       Room& room) const {
        if (motion & kSplit) blend_quarters((size_t)(motion & ~kSplit), y, rows, x, columns, out, stride, room);
        else interpolate_motion(motion, y, rows, x, columns, out, stride, room);
    }

    void blend_quarters(size_t block, int y, int rows, int x, int columns, int16_t* out, ptrdiff_t stride,
                        Room& room) const {
        const int row = (int)(block / job_.block_columns), column = (int)(block % job_.block_columns);
        const auto weight_y = [&](int i) { return rising(y + i - row * job_.side_y, job_.side_y); };
        const auto weight_x = [&](int j) { return rising(x + j - column * job_.side_x, job_.side_x); };
        // Where both halves count, the second begins and the first ends.
        int first_row = 0, last_row = rows, first_column = 0, last_column = columns;
        while (first_row < rows && weight_y(first_row) == 0) first_row++;
        while (last_row > 0 && weight_y(last_row - 1) == 64) last_row--;
        while (first_column < columns && weight_x(first_column) == 0) first_column++;
        while (last_column > 0 && weight_x(last_column - 1) == 64) last_column--;
        for (int half_y = 0; half_y < 2; half_y++)
            for (int half_x = 0; half_x < 2; half_x++) {
                const int top = half_y ? first_row : 0, bottom = half_y ? rows : last_row;
                const int left = half_x ? first_column : 0, right = half_x ? columns : last_column;
                if (top >= bottom || left >= right) continue;
                interpolate_motion(quarter(block, half_y, half_x), y + top, bottom - top, x + left, right - left,
                                   room.quarters[2 * half_y + half_x] + top * Room::kStride + left, Room::kStride,
                                   room);
            }
        int16_t weights[2][Room::kStride] = {};
        for (int j = 0; j < columns; j++)
            weights[1][j] = (int16_t)weight_x(j), weights[0][j] = (int16_t)(64 - weights[1][j]);
        make_pairs(weights[0], weights[1], columns, room.quarter_pairs);
        for (int i = 0; i < rows; i++, out += stride) {
            const int16_t* sources[4];
            for (int quarter = 0; quarter < 4; quarter++) sources[quarter] = room.quarters[quarter] + i * Room::kStride;
            const int second = weight_y(i);
            mix(sources, room.quarter_pairs, room.quarter_pairs, 64 - second, second, columns, out);
        }
    }

    void interpolate_motion(Motion motion, int y, int rows, int x, int columns, int16_t* out, ptrdiff_t stride,
                            Room& room) const {
        const int mode = (int)(motion & 3);
        const auto eighths = [&](int reference, int axis) {
            const int quarters = (int)(motion >> (2 + 15 * (2 * reference + axis)) & 0x7fff) - kMaxVector;
            return quarters * (2 >> (axis ? job_.shift_x : job_.shift_y));
        };
        const int first = mode == kBackward ? 1 : 0;
        interpolate<false>(references_[first], y, x, rows, columns, eighths(first, 0), eighths(first, 1), out, stride,
                           room.strip);
        if (mode == kBoth)
            interpolate<true>(references_[1], y, x, rows, columns, eighths(1, 0), eighths(1, 1), out, stride,
                              room.strip);
    }

    // Cells cell .. end - 1. Blocks that follow each other with the same motion are one window, a *run*; runs go to two
    // buffers in turn, since a window meets only the one before and the one behind it.
    void blend(int cell_row, int first, int last, int cell, int end, bool same_rows, int16_t* out, ptrdiff_t stride,
               Room& room) const {
        const int side = job_.side_x, columns = (end - cell) * side, lead = side / 4;
        const int top = cell_row * job_.side_y - job_.side_y / 2, lead_y = job_.side_y / 4;
        int16_t rise_x[kLargestSide];
        for (int i = 0; i < side; i++) rise_x[i] = (int16_t)rising(i, side);
        // Each run's samples, where they weigh anything.
        for (int half = 0; half < (same_rows ? 1 : 2); half++) {
            const int block_row = cell_row - 1 + half;
            const int first_row = half ? std::max(first, top + lead_y) : first;
            const int last_row = half || same_rows ? last : std::min(last, top + job_.side_y - lead_y);
            int run = 0;
            for (int block = cell - 1; block < end; run++) {
                int next = block + 1;
                while (next < end && at(block_row, next) == at(block_row, block)) next++;
                const int from = block < cell ? 0 : (block - cell) * side + lead;
                const int to = next < end ? (next + 1 - cell) * side - lead : columns;
                if (first_row < last_row)
                    block_samples(at(block_row, block), first_row, last_row - first_row, column_of(cell) + from,
                                  to - from,
                                  room.windows[2 * half + run % 2] + (first_row - first) * Room::kStride + from,
                                  Room::kStride, room);
                // In its first cell a window rises over the run before, in its last it falls; between them it is alone.
                int16_t *own = room.weights[run % 2] - cell * side, *other = room.weights[1 - run % 2] - cell * side;
                if (block >= cell)
                    for (int i = 0; i < side; i++) own[block * side + i] = rise_x[i];
                for (int i = (block + 1) * side; i < std::min(next, end) * side; i++) own[i] = 64, other[i] = 0;
                if (next < end)
                    for (int i = 0; i < side; i++) own[next * side + i] = (int16_t)(64 - rise_x[i]);
                block = next;
            }
            make_pairs(room.weights[0], room.weights[1], columns, room.pairs[half]);
        }
        for (int y = first; y < last; y++, out += stride) {
            const int rising_y = same_rows ? 0 : rising(y - top, job_.side_y);
            const int16_t* rows[4];
            for (int i = 0; i < 4; i++) rows[i] = room.windows[i] + (size_t)(y - first) * Room::kStride;
            mix(rows, room.pairs[0], room.pairs[1], 64 - rising_y, rising_y, columns, out);
        }
    }

    const FrameJob& job_;
    Reference references_[2] = {};
    std::unique_ptr<Motion[]> motions_, quarters_;  // by block, and by quarter of a block
};

// A row of samples from its prediction and its residual; either may be null for zeros.
void finish_row(const int16_t* prediction, const int32_t* residual, int width, int bit_depth,
                uint16_t* __restrict out) {
    const int shift = 14 - bit_depth, half = 1 << (shift - 1), middle = 1 << (bit_depth - 1),
              most = (1 << bit_depth) - 1;
    const auto finished = [=](int32_t value) {
        return (uint16_t)std::min(std::max(((value + half) >> shift) + middle, 0), most);
    };
    if (prediction && residual)
        for (int x = 0; x < width; x++) out[x] = finished(prediction[x] + residual[x]);
    else if (prediction)
        for (int x = 0; x < width; x++) out[x] = finished(prediction[x]);
    else if (residual)
        for (int x = 0; x < width; x++) out[x] = finished(residual[x]);
    else std::fill(out, out + width, (uint16_t)middle);
}

Rows rows_of(const Subband& band) { return {band.symbols, band.height, band.width, band.step}; }

}  // namespace

void reconstruct_plane(const FrameJob& job, uint16_t* samples) {
    const int num_levels = ((int)job.subbands.size() - 1) / 3;
    // The coarser levels; a level is read by the next one only.
    Rows ll = rows_of(job.subbands[0]);
    std::unique_ptr<int32_t[]> plane;
    for (int level = 0; level + 1 < num_levels; level++) {
        const Subband* bands = &job.subbands[1 + 3 * level];
        const int height = ll.height + bands[1].height, width = ll.width + bands[0].width;
        std::unique_ptr<int32_t[]> next(new int32_t[(size_t)height * width]);
        const int num_pairs = ceil_division(height, 2);
        const int num_parts = std::clamp(height / kFewRows, 1, job.num_threads);
        std::vector<LevelRows> parts;
        for (int part = 0; part < num_parts; part++)
            parts.emplace_back(ll, rows_of(bands[0]), rows_of(bands[1]), rows_of(bands[2]));
        in_parallel(num_parts, [&](int part) {
            const int first = 2 * (int)((int64_t)num_pairs * part / num_parts);
            const int last = std::min(2 * (int)((int64_t)num_pairs * (part + 1) / num_parts), height);
            parts[part].start(first);
            for (int y = first; y < last; y++) {
                int32_t* row = next.get() + (size_t)y * width;
                if (!parts[part].row(y, row)) std::fill(row, row + width, 0);
            }
        });
        plane = std::move(next);
        ll = {plane.get(), height, width, 0};
    }
    // The finest level and the prediction, over rows of cells. A thread starts at an even row, as cells of 4 or more
    // do.
    const Compensation compensation(job);
    const int side = job.side_y, num_cells = (job.height - 1 + side / 2) / side + 1;
    const int num_parts = std::min(job.num_threads, num_cells);
    struct Part {
        std::unique_ptr<Room> room;
        std::unique_ptr<int16_t[]> band;
        std::unique_ptr<int32_t[]> residual;
        std::unique_ptr<LevelRows> finest;
    };
    const ptrdiff_t before = kMaxLead, stride = before + job.width + kStripRows + Wide::lanes;
    std::vector<Part> parts(num_parts);
    for (Part& part : parts) {
        if (job.num_references) {
            part.room.reset(new Room);
            part.band.reset(new int16_t[side * stride]);
        }
        part.residual.reset(new int32_t[job.width]);
        if (num_levels == 0) continue;
        const Subband* bands = &job.subbands[1 + 3 * (num_levels - 1)];
        part.finest.reset(new LevelRows(ll, rows_of(bands[0]), rows_of(bands[1]), rows_of(bands[2])));
    }
    in_parallel(num_parts, [&](int index) {
        Part& part = parts[index];
        const int first_cell = (int)((int64_t)num_cells * index / num_parts);
        const int last_cell = (int)((int64_t)num_cells * (index + 1) / num_parts);
        if (part.finest) part.finest->start(std::max(first_cell * side - side / 2, 0));
        for (int cell = first_cell; cell < last_cell; cell++) {
            const int top = cell * side - side / 2, first = std::max(top, 0), last = std::min(top + side, job.height);
            if (job.num_references)
                compensation.predict(cell, first, last, part.band.get() + before, stride, *part.room);
            for (int y = first; y < last; y++) {
                const int16_t* prediction =
                    job.num_references ? part.band.get() + before + (y - first) * stride : nullptr;
                const int32_t* residual = part.residual.get();
                if (!part.finest) residual = ll.fetch(y, part.residual.get());
                else if (!part.finest->row(y, part.residual.get())) residual = nullptr;
                finish_row(prediction, residual, job.width, job.bit_depth, samples + (size_t)y * job.width);
            }
        }
    });
}

void predict_plane(const FrameJob& job, int16_t* prediction) {
    if (job.num_references == 0) {
        std::fill(prediction, prediction + (size_t)job.height * job.width, (int16_t)0);
        return;
    }
    const Compensation compensation(job);
    const int side = job.side_y, num_cells = (job.height - 1 + side / 2) / side + 1;
    const int num_parts = std::min(job.num_threads, num_cells);
    // Cells write beside the plane as well, so that each row of them goes by way of a band.
    const ptrdiff_t before = kMaxLead, stride = before + job.width + kStripRows + Wide::lanes;
    std::vector<std::unique_ptr<Room>> rooms;
    std::vector<std::unique_ptr<int16_t[]>> bands;
    for (int part = 0; part < num_parts; part++) {
        rooms.emplace_back(new Room);
        bands.emplace_back(new int16_t[side * stride]);
    }
    in_parallel(num_parts, [&](int part) {
        int16_t* band = bands[part].get() + before;
        const int last_cell = (int)((int64_t)num_cells * (part + 1) / num_parts);
        for (int cell = (int)((int64_t)num_cells * part / num_parts); cell < last_cell; cell++) {
            const int top = cell * side - side / 2, first = std::max(top, 0), last = std::min(top + side, job.height);
            compensation.predict(cell, first, last, band, stride, *rooms[part]);
            for (int y = first; y < last; y++)
                std::copy(band + (y - first) * stride, band + (y - first) * stride + job.width,
                          prediction + (size_t)y * job.width);
        }
    });
}

}  // namespace C3_ISA
}  // namespace c3
