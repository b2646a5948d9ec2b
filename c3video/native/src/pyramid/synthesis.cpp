// SPDX-License-Identifier: MIT
// Upsampling and synthesis, row by row. Compiled once for each instruction set.
//
// Everything is pulled: a row of samples asks for the rows of inputs around it, a row of upsampled latents for the rows
// of the coarser level that it lies between. Each level keeps the few rows that are asked for again, so what is held
// does not grow with the picture's height and stays in the cache. Requests come in rising order.
#include "pyramid/synthesis.h"

#include <algorithm>
#include <exception>
#include <memory>

#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

namespace {

constexpr int kLatentBits = 8;
constexpr int kOne = 1 << 13;
constexpr int kMaxZ = kMaxGrids + 1;
constexpr int kKept = 8;  // rows of a ring; four are needed at most, and some between luma and chroma
constexpr int kSamplesKept = 4;

// Places 2i from `even`, 2i + 1 from `odd`.
inline void store_zipped(int16_t* p, V16 even, V16 odd) {
    alignas(64) int32_t zipped[kLanes];
    store_unpacked(zipped, as32(unpack_low(even, odd)), as32(unpack_high(even, odd)));
    std::memcpy(p, zipped, sizeof zipped);
}

constexpr int kRoom = 2 * kStepPlaces + 4;  // behind a row's last place, for whole vectors
constexpr int kBefore = 32;                 // before the first, for repeated edges; keeps rows on cache lines

// Rows of several planes in a ring, which has no more of them than the plane has.
class Rows {
public:
    Rows(int planes, int height, int width, int most)
        : kept_(std::min(most, std::max(height, 1))), stride_(stride(width)), plane_(stride_ * kept_),
          values_(planes * plane_ + 32) {}
    static size_t memory(int planes, int height, int width, int most) {
        return (planes * stride(width) * std::min(most, height) + 32) * sizeof(int16_t);
    }
    int16_t* row(int plane, int y) { return values_.data() + plane * plane_ + (y % kept_) * stride_ + kBefore; }

private:
    static size_t stride(int width) { return ((size_t)width + kBefore + kRoom + 31) / 32 * 32; }

    int kept_;
    size_t stride_, plane_;
    std::vector<int16_t> values_;
};

inline void repeat_edges(int16_t* row, int width, int count) {
    for (int i = 1; i <= count; i++) row[-i] = row[0], row[width - 1 + i] = row[width - 1];
}

// Four taps in two pairs.
struct Taps {
    V16 outer, inner;
    Taps(int a, int b, int c, int d) : outer(pair(a, b)), inner(pair(c, d)) {}
    static V16 pair(int a, int b) { return splat_pair((int32_t)((uint32_t)(uint16_t)a | (uint32_t)(uint16_t)b << 16)); }

    V16 apply(V16 a, V16 b, V16 c, V16 d) const {
        const V32 half = splat32(128);
        const V32 low = multiply_add(multiply_add(half, unpack_low(a, b), outer), unpack_low(c, d), inner);
        const V32 high = multiply_add(multiply_add(half, unpack_high(a, b), outer), unpack_high(c, d), inner);
        return rounded<8>(low, high);
    }
};

// Seven symmetric taps.
struct SymmetricTaps {
    V16 middle, pairs[kMaxReach];
    explicit SymmetricTaps(const int32_t* f) : middle(Taps::pair(f[0], 0)) {
        for (int t = 1; t <= kMaxReach; t++) pairs[t - 1] = Taps::pair(f[t], f[t]);
    }

    // `at(t)`: the values t places off.
    template <typename At>
    V16 apply(At at) const {
        V32 low = splat32(128), high = splat32(128);
        const V16 here = at(0);
        low = multiply_add(low, unpack_low(here, here), middle);
        high = multiply_add(high, unpack_high(here, here), middle);
        for (int t = 1; t <= kMaxReach; t++) {
            const V16 before = at(-t), behind = at(t);
            low = multiply_add(low, unpack_low(before, behind), pairs[t - 1]);
            high = multiply_add(high, unpack_high(before, behind), pairs[t - 1]);
        }
        return rounded<8>(low, high);
    }
};

// One level: rows of its own grid and of all coarser ones at its resolution.
class Level {
public:
    Level(const PyramidPicture& picture, int index, Level* coarser)
        : grid_(picture.grids[index]), shift_(kLatentBits - index / 2), coarser_(coarser),
          num_planes_((int)picture.grids.size() - index), rows_(num_planes_, grid_.height, grid_.width, kKept),
          wide_(coarser ? num_planes_ - 1 : 0, coarser ? coarser->grid_.height : 1,
                coarser ? 2 * coarser->grid_.width : 1, kKept),
          even_(0, 0, 0, 0), odd_(0, 0, 0, 0), is_filtered_(!picture.filters.empty()),
          filter_(is_filtered_ ? picture.filters.data() + (kMaxReach + 1) * index : kNoFilter),
          latents_(is_filtered_ ? 1 : 0, 1, grid_.width, 1),
          filtered_(is_filtered_ ? 1 : 0, grid_.height, grid_.width, kKept) {
        if (coarser) {
            const int32_t* u = picture.kernels.data() + 4 * index;
            even_ = Taps(u[0], u[1], u[2], u[3]);
            odd_ = Taps(u[3], u[2], u[1], u[0]);
        }
    }

    // Most bytes of its rows, `planes` of them its own and those of coarser levels.
    static size_t memory(int planes, int height, int width) {
        return Rows::memory(2 * planes, height, width + 1, kKept) + Rows::memory(1, 1, width, 1);
    }

    int height() const { return grid_.height; }
    int width() const { return grid_.width; }
    int num_planes() const { return num_planes_; }

    // Makes row y; `plane` has it until kKept further ones were made.
    void make(int y) {
        int16_t* out = rows_.row(0, y);
        if (is_filtered_) {
            make_filtered(y);
            const int last = grid_.height - 1;
            const int16_t* in[2 * kMaxReach + 1];
            for (int t = -kMaxReach; t <= kMaxReach; t++)
                in[t + kMaxReach] = filtered_.row(0, std::clamp(y + t, 0, last));
            for (int x = 0; x < grid_.width; x += kLanes)
                store(out + x, filter_.apply([&](int t) { return load(in[t + kMaxReach] + x); }));
        } else {
            take_latents(y, out);
        }
        if (!coarser_) return;
        const int i = y >> 1, odd = y & 1, last = coarser_->height() - 1;
        int near[4];
        for (int tap = 0; tap < 4; tap++) near[tap] = std::clamp(i - 2 + odd + tap, 0, last);
        make_wide(near[0], near[3]);
        const Taps taps = odd ? odd_ : even_;
        for (int plane = 1; plane < num_planes_; plane++) {
            const int16_t* in[4];
            for (int tap = 0; tap < 4; tap++) in[tap] = wide_.row(plane - 1, near[tap]);
            out = rows_.row(plane, y);
            for (int x = 0; x < grid_.width; x += kLanes)
                store(out + x, taps.apply(load(in[0] + x), load(in[1] + x), load(in[2] + x), load(in[3] + x)));
        }
    }

    int16_t* plane(int index, int y) { return rows_.row(index, y); }

private:
    static constexpr int32_t kNoFilter[kMaxReach + 1] = {};

    void take_latents(int y, int16_t* out) const {
        const int16_t* latents = grid_.latents + (size_t)y * grid_.width;
        const int lowest = -(32768 >> shift_), highest = 32767 >> shift_, unit = 1 << shift_;
        for (int x = 0; x < grid_.width; x++) {  // saturated: where a shift would pass int16, its end is taken
            const int s = latents[x];
            out[x] = (int16_t)(s > highest ? 32767 : s < lowest ? -32768 : s * unit);
        }
    }

    // Rows filtered along themselves, up to the last that row y is made of.
    void make_filtered(int y) {
        next_filtered_ = std::max(next_filtered_, y - kMaxReach);
        for (const int last = std::min(y + kMaxReach, grid_.height - 1); next_filtered_ <= last; next_filtered_++) {
            int16_t* in = latents_.row(0, 0);
            take_latents(next_filtered_, in);
            repeat_edges(in, grid_.width, kMaxReach);
            int16_t* out = filtered_.row(0, next_filtered_);
            for (int x = 0; x < grid_.width; x += kLanes)
                store(out + x, filter_.apply([&](int t) { return load(in + x + t); }));
        }
    }

    void make_wide(int first, int last) {
        next_wide_ = std::max(next_wide_, first);
        for (; next_wide_ <= last; next_wide_++) {
            const int i = next_wide_;
            coarser_->make(i);
            for (int plane = 0; plane < num_planes_ - 1; plane++) {
                int16_t* in = coarser_->plane(plane, i);
                repeat_edges(in, coarser_->width(), 2);
                int16_t* out = wide_.row(plane, i);
                for (int x = 0; x < coarser_->width(); x += kLanes) {
                    const V16 a = load(in + x - 2), b = load(in + x - 1), c = load(in + x), d = load(in + x + 1),
                              e = load(in + x + 2);
                    store_zipped(out + 2 * x, even_.apply(a, b, c, d), odd_.apply(b, c, d, e));
                }
            }
        }
    }

    const PyramidGrid grid_;
    const int shift_;
    Level* coarser_;
    const int num_planes_;
    Rows rows_, wide_;  // `wide_`: the coarser level's rows at this one's width
    int next_wide_ = 0;
    Taps even_, odd_;
    const bool is_filtered_;
    const SymmetricTaps filter_;
    Rows latents_, filtered_;  // a row of latents; rows filtered along themselves
    int next_filtered_ = 0;
};

// One group: `source(y, inputs)` makes a row of inputs and says where each plane of it is.
template <typename Source>
class Synthesis {
public:
    Synthesis(const PyramidGroup& group, int height, int width, Source source)
        : group_(group), height_(height), width_(width), planes_(group.num_planes()), inputs_(group.first.num_inputs),
          refined_(group.refine.num_outputs > 0), x_(planes_, height, width, kSamplesKept),
          centred_(planes_, height, width, kSamplesKept), samples_(planes_, height, width, kSamplesKept),
          source_(source) {}

    // Makes row y of samples, 0..kOne; rows are asked for one after the other.
    void make(int y) {
        if (next_ < 0) next_ = refined_ ? std::max(0, y - 1) : y;
        for (const int last = refined_ ? std::min(y + 1, height_ - 1) : y; next_ <= last; next_++) first_layers(next_);
        if (refined_) refine(y);
        else clip(y);
    }

    int16_t* samples(int plane, int y) { return samples_.row(plane, y); }

private:
    void first_layers(int y) {
        const int16_t* in[kMaxZ];
        source_(y, in);
        for (int x = 0; x < width_; x += kStepPlaces) {
            V16 values[kMaxPyramidWidth][kGroups], sums[kBlockOutputs][kGroups];
            for (int i = 0; i < inputs_; i++)
                for (int g = 0; g < kGroups; g++) values[i][g] = load(in[i] + x + g * kLanes);
            pairs_.set_all(values, inputs_);
            dense(group_.linear, pairs_, [&](int o, int g, V32 a, V32 b) { sums[o][g] = rounded<9>(a, b); });
            dense(group_.first, pairs_, [&](int o, int g, V32 a, V32 b) { values[o][g] = rectified<10>(a, b); });
            pairs_.set_all(values, group_.first.num_outputs);
            dense(group_.second, pairs_, [&](int o, int g, V32 a, V32 b) {
                const V16 sample = add_saturated(rounded<9>(a, b), sums[o][g]);
                store(x_.row(o, y) + x + g * kLanes, sample);
                store(centred_.row(o, y) + x + g * kLanes, add_saturated(sample, splat(-kOne / 2)));
            });
        }
        for (int c = 0; c < planes_; c++) repeat_edges(centred_.row(c, y), width_, 1);
    }

    void refine(int y) {
        const int16_t* taps[28];
        int count = 0;
        for (int c = 0; c < planes_; c++)
            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++)
                    taps[count++] = centred_.row(c, std::clamp(y + dy, 0, height_ - 1)) + dx;
        for (int x = 0; x < width_; x += kStepPlaces) {
            V16 values[kMaxPyramidWidth][kGroups];
            for (int i = 0; i < count; i++)
                for (int g = 0; g < kGroups; g++) values[i][g] = load(taps[i] + x + g * kLanes);
            pairs_.set_all(values, count);
            dense(group_.refine, pairs_, [&](int o, int g, V32 a, V32 b) { values[o][g] = rectified<12>(a, b); });
            pairs_.set_all(values, group_.refine.num_outputs);
            dense(group_.change, pairs_, [&](int o, int g, V32 a, V32 b) {
                const V16 sample = add_saturated(load(x_.row(o, y) + x + g * kLanes), rounded<12>(a, b));
                store(samples_.row(o, y) + x + g * kLanes, min16(max16(sample, splat(0)), splat(kOne)));
            });
        }
    }

    void clip(int y) {
        for (int c = 0; c < planes_; c++)
            for (int x = 0; x < width_; x += kLanes)
                store(samples_.row(c, y) + x, min16(max16(load(x_.row(c, y) + x), splat(0)), splat(kOne)));
    }

    const PyramidGroup& group_;
    const int height_, width_, planes_, inputs_;
    const bool refined_;
    Rows x_, centred_, samples_;
    Source source_;
    Pairs pairs_{};
    int next_ = -1;
};

// Means of pairs of columns, or of 2x2.
void pool_columns(const int16_t* __restrict in, int width, int16_t* __restrict out) {
    for (int x = 0; x < width; x++) out[x] = (int16_t)((in[2 * x] + in[2 * x + 1] + 1) >> 1);
}

void pool_columns_given(const int16_t* __restrict in, int width, int16_t* __restrict out) {
    for (int x = 0; x < width; x++) out[x] = (int16_t)(((in[2 * x] + in[2 * x + 1] + 1) >> 1) - kOne / 2);
}

void pool_given(const int16_t* __restrict a, const int16_t* __restrict b, int width, int16_t* __restrict out) {
    for (int x = 0; x < width; x++)
        out[x] = (int16_t)(((a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1] + 2) >> 2) - kOne / 2);
}

template <typename Sample>
void put_samples(const int16_t* __restrict in, int width, int max_value, Sample* __restrict out) {
    for (int x = 0; x < width; x++) out[x] = (Sample)((in[x] * max_value + (kOne >> 1)) >> 13);
}

class Band {
public:
    explicit Band(const PyramidPicture& picture) : picture_(picture) {
        const int num_grids = (int)picture.grids.size();
        levels_.resize(num_grids);
        for (int k = num_grids - 1; k >= 0; k--)
            levels_[k] = std::make_unique<Level>(picture, k, k + 1 < num_grids ? levels_[k + 1].get() : nullptr);
    }

    // Most bytes of the rows of all levels and groups, for so many grids and planes.
    static size_t memory(int num_grids, int num_planes, int height, int width) {
        size_t bytes = 0;
        for (int k = 0; k < num_grids; k++) {
            const int h = (height + (1 << k) - 1) >> k, w = (width + (1 << k) - 1) >> k;
            bytes += Level::memory(num_grids - k, h, w) + sizeof(Level);
        }
        return bytes + Rows::memory(3 * num_planes, height, width, kSamplesKept) + Rows::memory(kMaxZ, 1, width, 1);
    }

    // Rows first .. last - 1 of the last group's planes, and what lies beside them in the others.
    void run(int first, int last) {
        Level& finest = *levels_[0];
        const auto luma_inputs = [&](int y, const int16_t** in) {
            finest.make(y);
            for (int i = 0; i < finest.num_planes(); i++) in[i] = finest.plane(i, y);
        };
        Synthesis luma(picture_.groups[0], finest.height(), finest.width(), luma_inputs);
        if (picture_.chroma == Chroma::none) {
            for (int y = first; y < last; y++) {
                luma.make(y);
                for (int c = 0; c < picture_.groups[0].num_planes(); c++) put(c, y, luma.samples(c, y));
            }
            return;
        }
        const bool halved = picture_.chroma == Chroma::halved;
        const int height = picture_.planes[1].height, width = picture_.planes[1].width, luma_last = finest.height() - 1;
        Rows pooled(kMaxZ, 1, width, 1);
        const auto luma_row = [&](int y) {
            luma.make(y);
            int16_t* row = luma.samples(0, y);
            repeat_edges(row, finest.width(), 1);
            const int chroma_row = halved ? y / 2 : y;
            if (chroma_row >= first && chroma_row < last) put(0, y, row);
        };
        const auto chroma_inputs = [&](int y, const int16_t** in) {
            int count = 0;
            int16_t* given;
            if (halved) {
                const int below = std::min(2 * y + 1, luma_last);
                luma_row(2 * y);
                if (below != 2 * y) luma_row(below);
                if (levels_.size() > 1)
                    for (; count < levels_[1]->num_planes(); count++) in[count] = levels_[1]->plane(count, y);
                given = pooled.row(count, 0);
                pool_given(luma.samples(0, 2 * y), luma.samples(0, below), width, given);
            } else {
                luma_row(y);
                for (; count < finest.num_planes(); count++) {
                    repeat_edges(finest.plane(count, y), finest.width(), 1);
                    pool_columns(finest.plane(count, y), width, pooled.row(count, 0));
                    in[count] = pooled.row(count, 0);
                }
                given = pooled.row(count, 0);
                pool_columns_given(luma.samples(0, y), width, given);
            }
            in[count] = given;
        };
        Synthesis chroma(picture_.groups[1], height, width, chroma_inputs);
        for (int y = first; y < last; y++) {
            chroma.make(y);
            for (int c = 0; c < 2; c++) put(1 + c, y, chroma.samples(c, y));
        }
    }

private:
    void put(int plane, int y, const int16_t* row) {
        const PyramidPlane& to = picture_.planes[plane];
        const size_t at = (size_t)y * to.width;
        if (picture_.max_value <= 255)
            put_samples(row, to.width, picture_.max_value, static_cast<uint8_t*>(to.samples) + at);
        else put_samples(row, to.width, picture_.max_value, static_cast<uint16_t*>(to.samples) + at);
    }

    const PyramidPicture& picture_;
    std::vector<std::unique_ptr<Level>> levels_;
};

constexpr int kLeastBand = 16;  // rows that are worth a thread, since a band makes some of its neighbour's rows

int num_bands(int num_threads, int height) { return std::max(1, std::min(num_threads, height / kLeastBand)); }

}  // namespace

}  // namespace pyramid

void synthesise_pyramid(const PyramidPicture& picture, int num_threads) {
    const int height = picture.planes.back().height;
    const int bands = pyramid::num_bands(num_threads, height);
    std::vector<std::exception_ptr> thrown(bands);
    in_parallel(bands, [&](int band) {
        try {
            pyramid::Band(picture).run((int)((int64_t)height * band / bands),
                                       (int)((int64_t)height * (band + 1) / bands));
        } catch (...) {  // no memory
            thrown[band] = std::current_exception();
        }
    });
    for (const std::exception_ptr& error : thrown)
        if (error) std::rethrow_exception(error);
}

size_t pyramid_synthesis_memory(int num_grids, int num_planes, int height, int width, int num_threads) {
    return pyramid::num_bands(num_threads, height) * pyramid::Band::memory(num_grids, num_planes, height, width);
}

}  // namespace C3_ISA
}  // namespace c3
