// SPDX-License-Identifier: MIT
// The encoder's walk over subbands. Compiled once for each instruction set; all of them choose alike.
//
// Only what does not round to zero has a choice: the nearest multiple of the step, the next one towards zero, or zero.
// Contexts hold what was coded before, so that one pass in coding order knows each choice's own bits. What a choice
// does to the contexts of others can be told from the second pass on, from what the pass before left there: those of
// symbols to the right and below, in the other orientations of its level, and one level finer. Those of other planes
// and of later frames are left out.
#include "hybrid/symbol_choice.h"

#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>

#include "hybrid/sign_contexts.h"
#include "hybrid/subband_contexts.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr double kShrink = 1.0 / 16.0;  // how far below its multiple a symbol is reconstructed, in steps
constexpr int kMaxOptions = 3;
constexpr double kFarBits = 3.0;  // a choice that costs more by itself is not looked at further

// Bits behind an escape of a magnitude, and what costs() has of them.
inline int escape_bits(int magnitude) {
    const int excess = magnitude - kSparseRadius;
    return excess > 0 ? 5 + 31 - __builtin_clz((unsigned)excess) : 0;
}

struct Costs {
    const float* bits;

    float near(unsigned table, int magnitude) const {
        return bits[table * (kCostRange + 1) + std::min(magnitude, kCostRange)];
    }
    double of(unsigned table, int magnitude) const {
        const double cost = near(table, magnitude);
        return magnitude <= kCostRange ? cost : cost + (escape_bits(magnitude) - escape_bits(kCostRange));
    }
};

inline int16_t feature_of(int magnitude) { return kMagnitudeFeatures[std::min(magnitude, kMaxMagnitude)]; }

// Features of the two places to the left.
inline uint32_t left_of(FeaturePlane& plane, int y, int x) { return (uint32_t)load_pair(plane.values(y) + x - 2); }

inline void set(FeaturePlane& plane, int y, int x, int magnitude) {
    plane.values(y)[x] = feature_of(magnitude);
    const uint64_t bit = 1ull << x % 64;
    uint64_t& word = plane.bits(y)[x / 64];
    word = magnitude ? word | bit : word & ~bit;
}

struct Candidate {
    int y, x;
    int nearest, chosen;
    double scaled, slope;
};

// What a candidate may become, each once.
struct Options {
    int count = 0;
    int magnitudes[kMaxOptions];
    double losses[kMaxOptions];  // distortion, then all of it

    explicit Options(const Candidate& candidate) {
        add(candidate, candidate.nearest);
        if (candidate.nearest > 1) add(candidate, candidate.nearest - 1);
        add(candidate, 0);
    }
    int best() const {
        int best = 0;
        for (int i = 1; i < count; i++)
            if (losses[i] < losses[best]) best = i;
        return best;
    }
    void drop_above(double limit) {
        int kept = 0;
        for (int i = 0; i < count; i++)
            if (losses[i] <= limit) magnitudes[kept] = magnitudes[i], losses[kept++] = losses[i];
        count = kept;
    }

private:
    void add(const Candidate& candidate, int magnitude) {
        const double error = candidate.scaled - (magnitude > 0 ? magnitude - kShrink : 0.0);
        magnitudes[count] = magnitude;
        losses[count++] = error * error;
    }
};

// Places of one row, of this subband or another, whose contexts hold a candidate: `count` of them from `scale * x +
// first` on, and what they weigh its feature with.
struct Onlookers {
    static constexpr int max_count = 6;

    const SubbandContexts* contexts;
    FeaturePlane* plane;
    SubbandContexts::Row row;
    int y, scale, first, count;
    const int16_t* weights[max_count];
    int shifts[max_count];  // 16 where it is the second of a pair
};

class SubbandChoice {
public:
    SubbandChoice(const ContextNetwork& network, const ChoiceJob& job, int band)
        : network_(network), job_(job), band_(band), costs_{job.costs}, coefficients_(job.bands[band]),
          own_(job.slice.own->planes[job.plane][band]), symbols_(job.slice.symbols[band]) {
        refresh();
        find_candidates();
        for (const Candidate& candidate : candidates_) set(own_, candidate.y, candidate.x, candidate.chosen);
    }

    // To be called where subbands that are known before this one may have changed.
    void refresh() {
        if (!contexts_ || contexts_->has_copies()) contexts_.emplace(network_, scratch_, job_.slice, job_.plane, band_);
    }

    void choose_in_order() {
        for_each_row([&](int y, Candidate* first, Candidate* last) {
            const SubbandContexts::Row row = contexts_->row(y);
            for (Candidate* candidate = first; candidate != last; candidate++) {
                Options options(*candidate);
                add_own_bits(row, *candidate, options);
                decide(*candidate, options);
            }
        });
    }

    // `all` subbands of the plane, each with choices from a pass before.
    void choose_looking_ahead(std::vector<std::unique_ptr<SubbandChoice>>& all) {
        for_each_row([&](int y, Candidate* first, Candidate* last) {
            const SubbandContexts::Row row = contexts_->row(y);
            find_onlookers(y, all);
            for (Candidate* candidate = first; candidate != last; candidate++) {
                Options options(*candidate);
                add_own_bits(row, *candidate, options);
                options.drop_above(options.losses[options.best()] + candidate->slope * kFarBits);
                if (options.count > 1) add_bits_of_others(*candidate, options);
                decide(*candidate, options);
            }
        });
    }

    void write_symbols() const {
        for (const Candidate& candidate : candidates_) {
            const size_t place = (size_t)candidate.y * own_.width + candidate.x;
            const bool is_negative =
                coefficients_.floats ? coefficients_.floats[place] < 0 : coefficients_.doubles[place] < 0;
            symbols_[place] = is_negative ? -candidate.chosen : candidate.chosen;
        }
    }

private:
    void find_candidates() {
        if (coefficients_.floats) find_candidates_in(coefficients_.floats);
        else find_candidates_in(coefficients_.doubles);
    }

    template <typename Real>
    void find_candidates_in(const Real* values) {
        const Real least = (Real)(0.499 * coefficients_.step);  // looked at again more closely
        for (int y = 0; y < own_.height; y++, values += own_.width)
            for (int x0 = 0; x0 < own_.width; x0 += kStretch) {
                const int end = std::min(x0 + kStretch, own_.width);
                int large = 0;
                for (int x = x0; x < end; x++) large |= std::abs(values[x]) > least;
                for (int x = x0; large && x < end; x++)
                    if (std::abs(values[x]) > least)
                        add_candidate(y, x, std::abs((double)values[x]) / coefficients_.step);
            }
    }

    void add_candidate(int y, int x, double scaled) {
        const int nearest = (int)std::min(std::floor(scaled + 0.5), (double)kMaxSubbandSymbol);
        // Holding on to less than rounding is a guess without a network.
        const int guess = (int)std::min(std::floor(scaled + 0.4), (double)kMaxSubbandSymbol);
        const size_t place = (size_t)y * own_.width + x;
        const float slope = coefficients_.slopes ? coefficients_.slopes[place] : coefficients_.slope;
        if (nearest) candidates_.push_back({y, x, nearest, guess, scaled, slope});
    }

    template <typename Do>
    void for_each_row(Do&& take) {
        Candidate *first = candidates_.data(), *const end = first + candidates_.size();
        while (first != end) {
            Candidate* last = first;
            while (last != end && last->y == first->y) last++;
            take(first->y, first, last);
            first = last;
        }
    }

    void decide(Candidate& candidate, const Options& options) {
        candidate.chosen = options.magnitudes[options.best()];
        set(own_, candidate.y, candidate.x, candidate.chosen);
    }

    void add_own_bits(const SubbandContexts::Row& row, const Candidate& candidate, Options& options) {
        contexts_->make_sums(row, 1, candidate.x, sums_);
        const unsigned table = contexts_->table(sums_[0], left_of(own_, candidate.y, candidate.x));
        for (int i = 0; i < options.count; i++)
            options.losses[i] += candidate.slope * costs_.near(table, options.magnitudes[i]);
    }

    void find_onlookers(int y, std::vector<std::unique_ptr<SubbandChoice>>& all) {
        onlookers_.clear();
        if (Onlookers* below = add_onlookers(*this, y + 1, 1, -2, 5))
            for (int i = 0; i < 5; i++) {
                const int tap = 4 - i;  // the first one of them sees the candidate two to its right
                below->weights[i] = contexts_->causal_weights(1 + tap / 2), below->shifts[i] = 16 * (tap % 2);
            }
        if (Onlookers* two_below = add_onlookers(*this, y + 2, 1, 0, 1))
            two_below->weights[0] = contexts_->causal_weights(0);
        if (band_ == 0) return;
        for (int band = band_ + 1; band <= (band_ + 2) / 3 * 3; band++) {
            add_cross(*all[band], all[band]->contexts_->cross_weights(own_), y, 1);
            add_lh(*all[band], all[band]->contexts_->lh_weights(own_), y);
        }
        if (band_ + 3 < (int)all.size())
            for (int half = 0; half < 2; half++)
                add_cross(*all[band_ + 3], all[band_ + 3]->contexts_->parent_weights(own_), 2 * y + half, 2);
    }

    // Rows above, at and below `y` of a subband that sees a cross of this one's features.
    void add_cross(SubbandChoice& other, const CrossWeights* weights, int y, int scale) {
        if (weights == nullptr) return;
        const CrossWeights& w = *weights;
        if (Onlookers* above = add_onlookers(other, y - scale, scale, 0, scale))
            for (int i = 0; i < scale; i++) above->weights[i] = w[3], above->shifts[i] = 0;
        if (Onlookers* below = add_onlookers(other, y + scale, scale, 0, scale))
            for (int i = 0; i < scale; i++) below->weights[i] = w[2], below->shifts[i] = 0;
        if (Onlookers* beside = add_onlookers(other, y, scale, -scale, 3 * scale))
            for (int i = 0; i < 3 * scale; i++) {  // to the left of it, at it, to its right
                beside->weights[i] = w[i < scale], beside->shifts[i] = i / scale == 1 ? 16 : 0;
            }
    }

    // Row `y` of a subband that sees this one's features as its LH: the place to the left of a candidate and its own.
    void add_lh(SubbandChoice& other, const int16_t* weights, int y) {
        if (weights == nullptr) return;
        if (Onlookers* beside = add_onlookers(other, y, 1, -1, 2))
            for (int i = 0; i < 2; i++) beside->weights[i] = weights, beside->shifts[i] = i == 0 ? 16 : 0;
    }

    Onlookers* add_onlookers(SubbandChoice& other, int y, int scale, int first, int count) {
        if (y < 0 || y >= other.own_.height) return nullptr;
        onlookers_.push_back({&*other.contexts_, &other.own_, other.contexts_->row(y), y, scale, first, count, {}, {}});
        return &onlookers_.back();
    }

    // What the symbols cost whose contexts hold this one.
    void add_bits_of_others(const Candidate& candidate, Options& options) {
        const int y = candidate.y, x = candidate.x;
        int32_t features[kMaxOptions];
        double bits[kMaxOptions] = {};
        for (int i = 0; i < options.count; i++) features[i] = feature_of(options.magnitudes[i]);
        own_.values(y)[x] = 0;
        add_bits_to_the_right(y, x, options, features, bits);
        for (const Onlookers& them : onlookers_) {
            const int start = them.scale * x + them.first;
            const int from = std::max(start, 0), to = std::min(start + them.count, them.plane->width);
            if (from >= to) continue;
            them.contexts->make_sums(them.row, first_places(to - from), from, sums_);
            const int16_t* values = them.plane->values(them.y);
            for (int at = from; at < to; at++) {
                const int magnitude = kFeatureMagnitudes[values[at]];
                const uint32_t left = (uint32_t)load_pair(values + at - 2);
                const Sums sums = Sums::from(sums_[at - from]);
                for (int i = 0; i < options.count; i++) {
                    Sums with = sums;
                    with.add(them.weights[at - start], features[i] << them.shifts[at - start]);
                    alignas(64) int32_t all[kFirstWidth];
                    with.to(all);
                    bits[i] += costs_.near(them.contexts->table(all, left), magnitude);
                }
            }
        }
        for (int i = 0; i < options.count; i++) options.losses[i] += candidate.slope * bits[i];
    }

    void add_bits_to_the_right(int y, int x, const Options& options, const int32_t* features, double* bits) {
        const int count = std::min(2, own_.width - 1 - x);
        if (count <= 0) return;
        contexts_->make_sums(contexts_->row(y), first_places(count), x + 1, sums_);
        for (int i = 0; i < options.count; i++)
            for (int k = 0; k < count; k++) {
                const uint32_t left = left_of(own_, y, x + 1 + k) | (uint32_t)features[i] << (k == 0 ? 16 : 0);
                bits[i] += costs_.near(contexts_->table(sums_[k], left), kFeatureMagnitudes[own_.values(y)[x + 1 + k]]);
            }
    }

    static constexpr int kStretch = 32;

    const ContextNetwork& network_;
    const ChoiceJob& job_;
    const int band_;
    const Costs costs_;
    const Coefficients& coefficients_;
    FeaturePlane& own_;
    int32_t* const symbols_;
    SliceScratch scratch_;
    std::optional<SubbandContexts> contexts_;
    std::vector<Candidate> candidates_;
    std::vector<Onlookers> onlookers_;  // of the row in hand

    alignas(64) int32_t sums_[kChunk][kFirstWidth];
};

double count_subband(const ContextNetwork& network, SliceScratch& scratch, const SliceJob& slice,
                     const int32_t* symbols, int plane, int band, Costs costs) {
    FeaturePlane& own = slice.own->planes[plane][band];
    SubbandContexts contexts(network, scratch, slice, plane, band);
    alignas(64) int32_t sums[kChunk][kFirstWidth];
    const float blank_cost = costs.near(contexts.blank_table(), 0);
    double bits = 0.0;
    for (int y = 0; y < own.height; y++) {
        const SubbandContexts::Row row = contexts.row(y);
        const uint64_t* own_bits = own.bits(y);
        for (int x0 = 0; x0 < own.width; x0 += kChunk) {
            const int word = x0 / kChunk;
            const int32_t* here = symbols + (size_t)y * own.width + x0;
            const uint64_t inside = first_places(own.width - x0);
            const uint64_t before = own_bits[word - 1];
            const uint64_t left = own_bits[word] << 1 | before >> 63 | own_bits[word] << 2 | before >> 62;
            const uint64_t busy = (contexts.busy_places(row, word) | left) & inside;
            contexts.make_sums(row, busy, x0, sums);
            for (uint64_t rest = busy; rest; rest &= rest - 1) {
                const int i = __builtin_ctzll(rest);
                const unsigned table = contexts.table(sums[i], left_of(own, y, x0 + i));
                bits += costs.of(table, std::abs(here[i]));
            }
            const uint64_t blank = inside & ~busy;
            bits += (double)blank_cost * __builtin_popcountll(blank & ~own_bits[word]);
            for (uint64_t rest = blank & own_bits[word]; rest; rest &= rest - 1)
                bits += costs.of(contexts.blank_table(), std::abs(here[__builtin_ctzll(rest)]));
        }
    }
    return bits;
}

double count_signs(SignContexts contexts, FeaturePlane& own, const int32_t* symbols, const float* costs) {
    double bits = 0.0;
    for (int y = 0; y < own.height; y++, symbols += own.width)
        for_each_place(own.bits(y), own.width, [&](int x) {
            bits += costs[2 * (contexts.table(y, x) - kFirstFlagTable) + (symbols[x] < 0)];
            contexts.put(y, x, symbols[x]);
        });
    return bits;
}

void write_subband(Writer& writer, const SparseTables& tables, const ContextNetwork& network, SliceScratch& scratch,
                   const SliceJob& slice, const int32_t* symbols, int plane, int band) {
    FeaturePlane& own = slice.own->planes[plane][band];
    SubbandContexts contexts(network, scratch, slice, plane, band);
    alignas(64) int32_t sums[kChunk][kFirstWidth];
    for (int y = 0; y < own.height; y++) {
        const SubbandContexts::Row row = contexts.row(y);
        const uint64_t* own_bits = own.bits(y);
        for (int x0 = 0; x0 < own.width; x0 += kChunk) {
            const int word = x0 / kChunk, count = std::min(kChunk, own.width - x0);
            const uint64_t before = own_bits[word - 1];
            const uint64_t left = own_bits[word] << 1 | before >> 63 | own_bits[word] << 2 | before >> 62;
            const uint64_t busy = (contexts.busy_places(row, word) | left) & first_places(count);
            contexts.make_sums(row, busy, x0, sums);
            for (int i = 0; i < count; i++, symbols++) {
                const bool is_busy = busy >> i & 1;
                writer.magnitude(tables,
                                 is_busy ? contexts.table(sums[i], left_of(own, y, x0 + i)) : contexts.blank_table(),
                                 std::abs(*symbols));
            }
        }
    }
}

void write_signs(Writer& writer, const SparseTables& tables, SignContexts contexts, FeaturePlane& own,
                 const int32_t* symbols) {
    for (int y = 0; y < own.height; y++, symbols += own.width)
        for_each_place(own.bits(y), own.width, [&](int x) {
            writer.sparse(tables, contexts.table(y, x), symbols[x] < 0);
            contexts.put(y, x, symbols[x]);
        });
}

}  // namespace

double choose_plane(const ContextNetwork& network, SliceScratch& scratch, const ChoiceJob& job) {
    std::vector<std::unique_ptr<SubbandChoice>> all;
    for (size_t band = 0; band < job.bands.size(); band++) {
        all.push_back(std::make_unique<SubbandChoice>(network, job, (int)band));
        if (job.num_passes > 0) all.back()->choose_in_order();
    }
    for (int pass = 1; pass < job.num_passes; pass++)
        for (auto& band : all) {
            band->refresh();
            band->choose_looking_ahead(all);
        }
    double bits = 0.0;
    for (size_t band = 0; band < all.size(); band++) {
        all[band]->write_symbols();
        FeaturePlane& own = job.slice.own->planes[job.plane][band];
        if (own.height == 0 || own.width == 0) continue;
        int32_t* const* symbols = job.slice.symbols.data();
        bits += count_subband(network, scratch, job.slice, symbols[band], job.plane, (int)band, {job.costs});
        bits += count_signs({*job.signs, scratch, job.slice, job.plane, (int)band}, own, symbols[band], job.sign_costs);
    }
    return bits;
}

void write_slice(Writer& writer, const SparseTables& tables, const ContextNetwork& network, const SignNetwork& signs,
                 SliceScratch& scratch, const SliceJob& slice) {
    for_each_subband(slice, [&](int plane, int band, FeaturePlane& own, int32_t* const* symbols) {
        write_subband(writer, tables, network, scratch, slice, symbols[band], plane, band);
        write_signs(writer, tables, {signs, scratch, slice, plane, band}, own, symbols[band]);
    });
}

}  // namespace C3_ISA
}  // namespace c3
