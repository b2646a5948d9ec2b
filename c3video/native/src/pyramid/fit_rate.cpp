// SPDX-License-Identifier: MIT
// Bits of the latents and their gradients in one pass. Compiled once for each instruction set.
//
// A grid of a patch is walked in strips of rows. A strip is copied into rows of `stride` floats with zeros at their
// ends, so that every tap is the same array read from another place, and a strip is one long row of positions. Parents
// are spread out to the same rows, one array for each of the seven. Chunks of positions stay in the near caches from
// the first layer to the gradients of the taps; those of the parents are folded back when the strip is done, and so are
// those of the previous latent frame, which lies in rows of its own, moved by the grid's window, and those of the hyper
// grids, enlarged to the strip's resolution.
#include <algorithm>
#include <limits>
#include <vector>

#include "pyramid/fit_hyper.h"
#include "pyramid/fit_laplace.h"
#include "pyramid/fit_plan.h"
#include "pyramid/fit_products.h"
#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

using c3::pyramid::Arena;
using c3::pyramid::Job;
using c3::pyramid::kEntropyLimit;
using c3::pyramid::kMaxPrevious;
using c3::pyramid::kNumParents;
using c3::pyramid::kPreviousTaps;
using c3::pyramid::Plan;
using c3::pyramid::Size;

namespace {

constexpr int kChunk = 384;            // positions from taps to gradients in one go
constexpr int kStripPositions = 4096;  // a strip with its parents and their gradients stays in the second-level cache
constexpr int kFlushPositions = 1 << 15;
constexpr int kReach = 16;  // floats that a tap may lie before a row, and a vector reach past one
constexpr int kMargin = 3;  // zeros between rows: the farthest tap to the left or right
constexpr int kHalo = 3;    // rows above a strip that its taps read
static_assert(kChunk % kStep == 0);

// Bits of a latent and their gradients. Scales, tails and these are made in a loop each: the rounds of short loops
// overlap in the processor, which those of one with all these dependent steps do not.
struct Bits {
    VF bits, by_x, by_scale;  // by_x is also minus the gradient of the location
};
C3_INLINE Bits laplace_bits(VF difference, VF output, const LaplaceScale& of, const LaplaceTails& tails) {
    const VF half = splatf(0.5f), zero = splatf(0.0f);
    const VF distance = magnitude(difference), outer = distance + half;
    const LaplaceBin bin = laplace_bin(distance, of.scale, tails);
    const VF slope = -1.44269504f * reciprocal(bin.probability);
    const VF tail_slope = -4.0f * bin.tail * bin.fall * bin.far;  // of `tail` by `far`
    const VF by_distance = slope * fma(-of.inverse, bin.drop, tail_slope * bin.reach);
    // By log-scale: that of `inverse` is -inverse, that of `reach` -10 scale reach^2.
    const VF by_inverse = half * fma(outer, tails.lower, (half - distance) * tails.upper);
    const VF by_scale = -slope * fma(by_inverse, of.inverse, tail_slope * bin.far * (10.0f * of.scale * bin.reach));
    // Outside of the range only what leads back into it.
    const VF low = if_less(output, splatf(kLeastOutput), if_less(zero, by_scale, zero, by_scale), by_scale);
    const VF both = if_less(splatf(kMostOutput), output, if_less(by_scale, zero, zero, low), low);
    return {-log2_of(bin.probability), (VF)((VI)by_distance ^ ((VI)difference & (int32_t)0x80000000)), both};
}

// Rows y0 .. y1 of the part of a grid that lies over a patch, given by its corner and size.
struct Strip {
    int grid, top, left, height, width, y0, y1;
    int stride() const { return width + kMargin; }
};

// Strips of part `part` of `num_parts`, in order; parts cost about the same.
template <typename F>
void for_strips(const Plan& plan, int part, int num_parts, F f) {
    int64_t total = 0, start = 0;
    const auto for_parts = [&](auto g) {
        for (int k = 0; k < (int)plan.grids.size(); k++) {
            const Size& grid = plan.grids[k];
            const int size = plan.patch_size >> plan.level(k);
            for (int top = 0; top < grid.height; top += size)
                for (int left = 0; left < grid.width; left += size)
                    g(Strip{k, top, left, std::min(size, grid.height - top), std::min(size, grid.width - left), 0, 0});
        }
    };
    for_parts([&](const Strip& strip) { total += (int64_t)strip.stride() * strip.height; });
    const int64_t from = total / num_parts * part, to = part + 1 == num_parts ? total : total / num_parts * (part + 1);
    for_parts([&](Strip strip) {
        const int64_t cost = strip.stride();
        const auto row_at = [&](int64_t place) {
            return (int)std::clamp<int64_t>((place - start + cost - 1) / cost, 0, strip.height);
        };
        const int begin = from <= start ? 0 : row_at(from), end = to <= start ? 0 : row_at(to);
        const int rows = std::max(1, kStripPositions / strip.stride());
        for (int y = begin; y < end; y += rows) {
            strip.y0 = y;
            strip.y1 = std::min(y + rows, end);
            f(strip);
        }
        start += cost * strip.height;
    });
}

// One thread's share: its buffers and its part of the sums and gradients.
class Worker {
public:
    // hyper: made of the latents.
    Worker(const Plan& plan, const Job& job, const HyperPlanes& hyper, Arena& arena, int part, int num_parts)
        : plan_(plan), job_(job), hyper_planes_(hyper), grad_planes_(plan, nullptr, nullptr), part_(part),
          num_parts_(num_parts), two_(plan.hidden.size() == 2), first_(plan.hidden[0]), last_(plan.hidden.back()),
          rows_(first_ + 2), num_previous_(job.is_later ? plan.num_previous : 0),
          own_taps_(plan.num_taps + num_previous_), inputs_(plan.num_inputs() + num_previous_ + plan.num_hyper),
          bits_(plan.grids.size(), 0.0), first_sums_(rows_, inputs_ + 1), second_sums_(two_ ? last_ : 0, first_ + 1),
          last_sums_(2, last_) {
        size_t largest = 0;
        for_strips(plan, part, num_parts, [&](const Strip& s) { largest = std::max(largest, plane_size(s)); });
        own_ = arena.take(largest);
        grad_own_ = arena.take(largest);
        mask_ = arena.take(largest);
        if (num_previous_) {
            previous_ = arena.take(largest);
            grad_previous_ = arena.take(largest);
        }
        for (int i = 0; i < kNumParents; i++) parents_[i] = arena.take(largest);
        for (int i = 0; i < kNumParents; i++) grad_parents_[i] = arena.take(largest);
        for (int i = 0; i < plan.num_hyper; i++) {
            hyper_[i] = arena.take(largest);
            grad_hyper_[i] = arena.take(largest);
        }
        unread_ = arena.take(kChunk + 4 * kReach);
        scratch_ = arena.take((plan.patch_size >> 1) + 2);
        const auto chunk_rows = [&](std::vector<float*>& rows, int count) {
            for (int i = 0; i < count; i++) rows.push_back(arena.take(kChunk));
        };
        chunk_rows(hidden_, rows_);
        if (two_) chunk_rows(second_, last_);
        chunk_rows(outputs_, 2);
        for (float** row : {&scale_, &inverse_, &upper_, &lower_}) *row = arena.take(kChunk);
        for (int i = 0; i < own_taps_; i++) {
            tap_grads_.push_back(arena.take(kChunk + 4 * kReach));
            std::fill_n(tap_grads_.back(), kChunk + 4 * kReach, 0.0f);
        }
        ones_ = arena.take(kChunk);
        std::fill_n(ones_, kChunk, 1.0f);
        source_ = arena.take((plan.patch_size >> 1) + 4 * kReach);
        std::fill_n(source_, (plan.patch_size >> 1) + 4 * kReach, 0.0f);
        set_weights();
        wants_weights_ = job.grad_weights != nullptr;
        weight_grads_.assign(wants_weights_ ? plan.num_weights : 0, 0.0);
        if (!job.grad_latents) return;
        grads_ = job.grad_latents;
        frame_grads_ = job.grad_previous;
        if (part > 0) {
            grads_ = own_grads_ = arena.take(plan.num_latents);
            std::fill_n(grads_, plan.num_latents, 0.0f);
            if (job.grad_previous) {
                frame_grads_ = own_frame_grads_ = arena.take(plan.num_latents);
                std::fill_n(frame_grads_, plan.num_latents, 0.0f);
            }
        }
        if (const size_t count = HyperPlanes::count(plan)) {
            enlarged_grads_ = arena.take(count);
            std::fill_n(enlarged_grads_, count, 0.0f);
        }
        grad_planes_ = HyperPlanes(plan, enlarged_grads_, grads_);
    }

    void run() {
        int grid = -1;
        int64_t since_flush = 0;
        for_strips(plan_, part_, num_parts_, [&](const Strip& strip) {
            if (strip.grid != grid || since_flush > kFlushPositions) {
                if (grid >= 0) flush(grid);
                since_flush = 0;
                grid = strip.grid;
            }
            walk(strip);
            since_flush += (int64_t)(strip.y1 - strip.y0) * strip.width;
        });
        if (grid >= 0) flush(grid);
    }

    const std::vector<double>& bits() const { return bits_; }
    const std::vector<double>& weight_grads() const { return weight_grads_; }
    const float* own_grads() const { return own_grads_; }
    const float* own_frame_grads() const { return own_frame_grads_; }
    float* enlarged_grads() const { return enlarged_grads_; }

private:
    const Plan& plan_;
    const Job& job_;
    const HyperPlanes& hyper_planes_;
    HyperPlanes grad_planes_;
    const int part_, num_parts_;
    const bool two_;
    const int first_, last_, rows_;  // widths; rows_: first layer and the linear path's two outputs
    // Inputs: causal taps and taps in the previous latent frame, own_taps_ together, then parents, then hyper grids.
    const int num_previous_, own_taps_, inputs_;
    bool wants_weights_ = false;
    std::vector<double> bits_, weight_grads_;
    float *own_grads_ = nullptr, *grads_ = nullptr, *own_frame_grads_ = nullptr, *frame_grads_ = nullptr;
    float *previous_ = nullptr, *grad_previous_ = nullptr;  // rows y0 - 1 .. y1
    float *own_, *grad_own_, *mask_, *parents_[kNumParents], *grad_parents_[kNumParents], *ones_, *source_;
    float *hyper_[kMaxHyper], *grad_hyper_[kMaxHyper], *unread_, *scratch_;
    float* enlarged_grads_ = nullptr;  // of hyper grids at the resolutions between their own and the finest
    float *scale_, *inverse_, *upper_, *lower_;
    std::vector<float*> hidden_, second_, outputs_, tap_grads_;
    // First layer with the linear path below it: (inputs, rows_) forward, (rows_, inputs) back; then the others
    // likewise.
    std::vector<float> first_forward_, first_back_, first_bias_, lowest_, highest_, second_forward_, last_forward_,
        zeros_;
    DotSums first_sums_, second_sums_, last_sums_;
    std::vector<const float*> a_, b_;

    static size_t plane_size(const Strip& strip) {
        return (size_t)(strip.y1 - strip.y0 + kHalo) * strip.stride() + 2 * kChunk + 4 * kReach;
    }

    // Place of the weight from input i to row o among all weights.
    size_t place_of(int o, int i) const {
        const bool is_hidden = o < first_;
        const int first_hyper = inputs_ - plan_.num_hyper;
        if (i >= first_hyper)
            return (is_hidden ? plan_.h1 + (size_t)o * plan_.num_hyper
                              : plan_.hl + (size_t)(o - first_) * plan_.num_hyper) +
                   (i - first_hyper);
        const size_t row = is_hidden ? o : o - first_, inputs = plan_.num_inputs();
        if (i >= plan_.num_taps && i < own_taps_)
            return (is_hidden ? plan_.p1 : plan_.pl) + row * num_previous_ + (i - plan_.num_taps);
        return (is_hidden ? plan_.w1 : plan_.l) + row * inputs + (i < plan_.num_taps ? i : i - num_previous_);
    }

    void set_weights() {
        const float* w = job_.weights;
        first_forward_.resize((size_t)inputs_ * rows_);
        first_back_.resize((size_t)inputs_ * rows_);
        for (int o = 0; o < rows_; o++)
            for (int i = 0; i < inputs_; i++) {
                const float weight = w[place_of(o, i)];
                first_forward_[(size_t)i * rows_ + o] = first_back_[(size_t)o * inputs_ + i] = weight;
            }
        first_bias_.resize(rows_);
        // Hidden units are held between 0 and their limit, the linear path is not.
        lowest_.assign(rows_, -std::numeric_limits<float>::infinity());
        highest_.assign(rows_, std::numeric_limits<float>::infinity());
        std::fill_n(lowest_.begin(), first_, 0.0f);
        std::fill_n(highest_.begin(), first_, kEntropyLimit);
        if (two_) {
            second_forward_.resize((size_t)first_ * last_);
            for (int o = 0; o < last_; o++)
                for (int i = 0; i < first_; i++)
                    second_forward_[(size_t)i * last_ + o] = w[plan_.w2 + (size_t)o * first_ + i];
        }
        last_forward_.resize((size_t)last_ * 2);
        for (int o = 0; o < 2; o++)
            for (int i = 0; i < last_; i++) last_forward_[(size_t)i * 2 + o] = w[plan_.w3 + (size_t)o * last_ + i];
        zeros_.assign(std::max({rows_, inputs_, last_}), 0.0f);
        a_.resize(std::max(rows_, last_));
        b_.resize(std::max({inputs_, first_, last_}) + 1);
    }

    // Takes the sums of the weights' gradients over into doubles.
    void flush(int grid) {
        if (!wants_weights_) return;
        double* grad = weight_grads_.data();
        first_sums_.flush([&](int o, int i, double sum) {
            if (i < inputs_) {
                grad[place_of(o, i)] += sum;
                return;
            }
            grad[o < first_ ? plan_.bias(grid) + o : plan_.b3 + o - first_] += sum;
            const size_t hidden = (size_t)plan_.level(grid) * first_ + o;
            if (num_previous_) grad[o < first_ ? plan_.pb + hidden : plan_.p3 + o - first_] += sum;
        });
        if (two_)
            second_sums_.flush([&](int o, int i, double sum) {
                grad[i == first_ ? plan_.b2 + o : plan_.w2 + (size_t)o * first_ + i] += sum;
            });
        last_sums_.flush([&](int o, int i, double sum) { grad[plan_.w3 + (size_t)o * last_ + i] += sum; });
    }

    // Parents of a strip's grid: 6 with the next grid, 7 with the one after it.
    int num_parents(const Strip& strip) const {
        const int above = plan_.num_grids() - 1 - plan_.level(strip.grid);
        return above == 0 ? 0 : above == 1 ? 6 : 7;
    }

    // Whether a strip's grid is given a hyper grid: those that are as coarse or coarser. Others are zero.
    bool has_hyper(const Strip& strip, int i) const {
        return strip.grid < plan_.num_grids() && plan_.hyper_level(i) >= strip.grid;
    }
    bool has_hyper(const Strip& strip) const { return plan_.num_hyper && has_hyper(strip, plan_.num_hyper - 1); }

    // f(row of the grid, flat index of the latent left in it, place in the strip's rows) for the rows that taps reach.
    template <typename F>
    void for_own_rows(const Strip& strip, F f) const {
        for (int y = std::max(0, strip.y0 - kHalo); y < strip.y1; y++)
            f(plan_.grid_starts[strip.grid] + (size_t)(strip.top + y) * plan_.grids[strip.grid].width + strip.left,
              (size_t)kReach + (size_t)(y - strip.y0 + kHalo) * strip.stride());
    }

    void walk(const Strip& strip) {
        const int stride = strip.stride(), num_rows = strip.y1 - strip.y0, length = num_rows * stride;
        std::fill_n(own_, kReach + (size_t)kHalo * stride, 0.0f);
        for_own_rows(strip, [&](size_t from, size_t to) {
            std::copy_n(job_.latents + from, strip.width, own_ + to);
            std::fill_n(own_ + to + strip.width, kMargin, 0.0f);
        });
        std::fill_n(own_ + kReach + (size_t)(num_rows + kHalo) * stride, kChunk + kReach, 0.0f);
        for (int row = 0; row < num_rows; row++) {
            std::fill_n(mask_ + (size_t)row * stride, strip.width, 1.0f);
            std::fill_n(mask_ + (size_t)row * stride + strip.width, kMargin, 0.0f);
        }
        std::fill_n(mask_ + length, kChunk + kReach, 0.0f);
        if (num_parents(strip) > 0)
            for (int row = 0; row < num_rows; row++) spread_parents(strip, row);
        for (int i = 0; i < num_parents(strip); i++) std::fill_n(parents_[i] + length, kChunk, 0.0f);
        for (int i = 0; i < plan_.num_hyper; i++)
            if (has_hyper(strip, i)) fill_hyper(strip, i);
        if (num_previous_) fill_previous(strip);
        if (job_.grad_latents) {
            std::fill_n(grad_own_, plane_size(strip), 0.0f);
            if (num_previous_) std::fill_n(grad_previous_, plane_size(strip), 0.0f);
            for (float* grad : grad_parents_) std::fill_n(grad, kReach, 0.0f);  // read, never written
        }

        const int inputs = has_hyper(strip) ? inputs_ : own_taps_ + num_parents(strip);
        for (int o = 0; o < rows_; o++) {
            const size_t hidden = (size_t)plan_.level(strip.grid) * first_ + o;
            first_bias_[o] = job_.weights[o < first_ ? plan_.bias(strip.grid) + o : plan_.b3 + o - first_];
            if (num_previous_) first_bias_[o] += job_.weights[o < first_ ? plan_.pb + hidden : plan_.p3 + o - first_];
        }
        for (int start = 0; start < length; start += kChunk)
            chunk(strip, start, std::min(kChunk, length - start), inputs);

        if (!job_.grad_latents) return;
        for_own_rows(strip, [&](size_t to, size_t from) {
            for (int x = 0; x < strip.width; x++) grads_[to + x] += grad_own_[from + x];
        });
        if (num_parents(strip) > 0)
            for (int row = 0; row < num_rows; row++) fold_parents(strip, row);
        for (int i = 0; i < plan_.num_hyper; i++)
            if (has_hyper(strip, i)) fold_hyper(strip, i);
        if (num_previous_ && frame_grads_)
            for_previous_rows(strip, [&](int x0, int count, size_t to, size_t from) {
                for (int x = x0; x < x0 + count; x++) frame_grads_[to + x] += grad_previous_[from + x];
            });
    }

    // f(first column, columns, p, q) for each row of the previous latent frame that taps of a strip reach: what latent
    // p + x of the frame is in the strip's rows stands at q + x.
    template <typename F>
    void for_previous_rows(const Strip& strip, F f) const {
        const auto [dy, dx] = job_.windows[strip.grid];
        const int first = std::max(0, dx - 1), end = std::min(strip.width, strip.width + 1 + dx);
        if (first >= end) return;
        for (int y = strip.y0 - 1; y <= strip.y1; y++) {
            const int row = y + dy;
            if (row < 0 || row >= strip.height) continue;
            const Size& grid = plan_.grids[strip.grid];
            f(first, end - first, plan_.grid_starts[strip.grid] + (size_t)(strip.top + row) * grid.width + strip.left,
              (size_t)kReach + (size_t)(y - strip.y0 + 1) * strip.stride() - dx);
        }
    }

    void fill_previous(const Strip& strip) {
        std::fill_n(previous_, plane_size(strip), 0.0f);
        if (!job_.previous) return;
        for_previous_rows(strip, [&](int x0, int count, size_t from, size_t to) {
            std::copy_n(job_.previous + from + x0, count, previous_ + to + x0);
        });
    }

    // What a hyper grid in the strip is made of: its latents in the same part, or the next coarser plane over it.
    HyperPart hyper_source(const Strip& strip, bool is_own) const {
        return is_own ? hyper_part(plan_, strip.grid, strip.top, strip.left)
                      : hyper_part(plan_, strip.grid + 1, strip.top / 2, strip.left / 2);
    }

    // A hyper grid at the strip's resolution.
    void fill_hyper(const Strip& strip, int i) {
        const int level = strip.grid, num_rows = strip.y1 - strip.y0;
        const bool is_own = plan_.hyper_level(i) == level;
        const HyperPart part = hyper_source(strip, is_own);
        for (int row = 0; row < num_rows; row++) {
            float* to = hyper_[i] + (size_t)row * strip.stride();
            if (is_own)
                std::copy_n(hyper_planes_.at(i, level) + part.start + (size_t)(strip.y0 + row) * part.row, strip.width,
                            to);
            else enlarge_row(hyper_planes_.at(i, level + 1), part, strip.y0 + row, strip.width, scratch_, to);
            std::fill_n(to + strip.width, kMargin, 0.0f);
        }
        std::fill_n(hyper_[i] + (size_t)num_rows * strip.stride(), kChunk, 0.0f);
    }

    void fold_hyper(const Strip& strip, int i) {
        const int level = strip.grid;
        const bool is_own = plan_.hyper_level(i) == level;
        const HyperPart part = hyper_source(strip, is_own);
        for (int row = 0; row < strip.y1 - strip.y0; row++) {
            const float* from = grad_hyper_[i] + kReach + (size_t)row * strip.stride();
            if (!is_own) {
                fold_row(from, part, strip.y0 + row, grad_planes_.at(i, level + 1));
                continue;
            }
            float* to = grad_planes_.at(i, level) + part.start + (size_t)(strip.y0 + row) * part.row;
            for (int x = 0; x < strip.width; x++) to[x] += from[x];
        }
    }

    // Part of the grid `up` levels above that lies over the strip's patch: its size and the flat index of row y.
    struct Above {
        int height, width;
        size_t start, row;
    };
    Above above(const Strip& strip, int up) const {
        const int k = strip.grid + up;
        const size_t row = plan_.grids[k].width;
        const int round = (1 << up) - 1;
        return {(strip.height + round) >> up, (strip.width + round) >> up,
                plan_.grid_starts[k] + (size_t)(strip.top >> up) * row + (strip.left >> up), row};
    }

    void spread_parents(const Strip& strip, int row) {
        const int y = strip.y0 + row, width = strip.width, half = (width + 1) / 2;
        const size_t to = (size_t)row * strip.stride();
        const Above p = above(strip, 1);
        const int py = y >> 1, sy = y & 1 ? 1 : -1;
        float* source = source_ + kReach;
        const auto load = [&](int from) {
            if (from < 0 || from >= p.height) std::fill_n(source, p.width, 0.0f);
            else std::copy_n(job_.latents + p.start + (size_t)from * p.row, p.width, source);
            source[p.width] = 0.0f;  // source[-1] is never written
        };
        const auto spread = [&](float* target, int even, int odd) {
            for (int i = 0; i < half; i++) {
                target[2 * i] = source[i + even];
                target[2 * i + 1] = source[i + odd];
            }
            for (int i = width; i < width + kMargin; i++) target[i] = 0.0f;
        };
        load(py);
        spread(parents_[0] + to, 0, 0);
        spread(parents_[2] + to, -1, 1);
        spread(parents_[5] + to, 1, -1);
        load(py + sy);
        spread(parents_[1] + to, 0, 0);
        spread(parents_[3] + to, -1, 1);
        load(py - sy);
        spread(parents_[4] + to, 0, 0);
        if (num_parents(strip) < 7) return;
        const Above g = above(strip, 2);
        const float* from = job_.latents + g.start + (size_t)(y >> 2) * g.row;
        float* target = parents_[6] + to;
        for (int i = 0; i < g.width; i++)
            for (int j = 0; j < 4; j++) target[4 * i + j] = from[i];  // at most up to the row's end
        for (int i = width; i < width + kMargin; i++) target[i] = 0.0f;
    }

    void fold_parents(const Strip& strip, int row) {
        const int y = strip.y0 + row;
        const size_t from = (size_t)kReach + (size_t)row * strip.stride();
        const Above p = above(strip, 1);
        const int py = y >> 1, sy = y & 1 ? 1 : -1, n = p.width;
        const float* g[kNumParents];
        for (int i = 0; i < kNumParents; i++) g[i] = grad_parents_[i] + from;
        float* target = grads_ + p.start + (size_t)py * p.row;
        for (int i = 0; i < n; i++)
            target[i] += ((g[0][2 * i] + g[0][2 * i + 1]) + (g[2][2 * i + 2] + g[2][2 * i - 1])) +
                         (g[5][2 * i - 2] + g[5][2 * i + 3]);
        if (py + sy >= 0 && py + sy < p.height) {
            target = grads_ + p.start + (size_t)(py + sy) * p.row;
            for (int i = 0; i < n; i++)
                target[i] += (g[1][2 * i] + g[1][2 * i + 1]) + (g[3][2 * i + 2] + g[3][2 * i - 1]);
        }
        if (py - sy >= 0 && py - sy < p.height) {
            target = grads_ + p.start + (size_t)(py - sy) * p.row;
            for (int i = 0; i < n; i++) target[i] += g[4][2 * i] + g[4][2 * i + 1];
        }
        if (num_parents(strip) < 7) return;
        const Above a = above(strip, 2);
        target = grads_ + a.start + (size_t)(y >> 2) * a.row;
        for (int i = 0; i < a.width; i++) {
            const float* four = g[6] + 4 * i;
            target[i] += (four[0] + four[1]) + (four[2] + four[3]);
        }
    }

    // Positions start .. start + length - 1 of the strip: forward, bits, backward.
    void chunk(const Strip& strip, int start, int length, int inputs) {
        const int stride = strip.stride(), origin = kReach + kHalo * stride + start;
        for (int i = 0; i < plan_.num_taps; i++)
            b_[i] = own_ + origin + plan_.taps[i].first * stride + plan_.taps[i].second;
        for (int i = 0; i < num_previous_; i++)
            b_[plan_.num_taps + i] =
                previous_ + kReach + stride + start + kPreviousTaps[i].first * stride + kPreviousTaps[i].second;
        const int first_hyper = own_taps_ + kNumParents, num_parents_here = num_parents(strip);
        for (int i = own_taps_; i < std::min(inputs, first_hyper); i++)
            b_[i] = i - own_taps_ < num_parents_here ? parents_[i - own_taps_] + start : zero_row();
        for (int i = first_hyper; i < inputs; i++)
            b_[i] = has_hyper(strip, i - first_hyper) ? hyper_[i - first_hyper] + start : zero_row();
        const VF limit = splatf(kEntropyLimit);
        layer(b_.data(), inputs, first_forward_.data(), first_bias_.data(), rows_, length,
              [&](int o, int64_t n, VF sum) {
                  storef(hidden_[o] + n, minf(splatf(highest_[o]), maxf(splatf(lowest_[o]), sum)));
              });
        const std::vector<float*>& last = two_ ? second_ : hidden_;
        if (two_) {
            for (int i = 0; i < first_; i++) a_[i] = hidden_[i];
            layer(a_.data(), first_, second_forward_.data(), job_.weights + plan_.b2, last_, length,
                  [&](int o, int64_t n, VF sum) { storef(second_[o] + n, rectified(sum, limit)); });
        }
        std::vector<const float*>& a = a_;
        for (int i = 0; i < last_; i++) a[i] = last[i];
        layer(a.data(), last_, last_forward_.data(), zeros_.data(), 2, length,
              [&](int o, int64_t n, VF sum) { storef(outputs_[o] + n, sum + loadf(hidden_[first_ + o] + n)); });

        // The outputs' gradients take their place.
        const float* here = own_ + origin;
        float* grad_here = job_.grad_latents ? grad_own_ + origin : nullptr;
        const VF weight = splatf((float)job_.bits_weight);
        VF total = splatf(0.0f);
        for (int n = 0; n < length; n += kFloats) {
            const LaplaceScale found = laplace_scale(loadf(outputs_[1] + n));
            storef(scale_ + n, found.scale);
            storef(inverse_ + n, found.inverse);
        }
        for (int n = 0; n < length; n += kFloats) {
            const VF difference = loadf(here + n) - loadf(outputs_[0] + n);
            const LaplaceTails found = laplace_tails(magnitude(difference), loadf(inverse_ + n));
            storef(outputs_[0] + n, difference);
            storef(upper_ + n, found.upper);
            storef(lower_ + n, found.lower);
        }
        for (int n = 0; n < length; n += kFloats) {
            const Bits found =
                laplace_bits(loadf(outputs_[0] + n), loadf(outputs_[1] + n), {loadf(scale_ + n), loadf(inverse_ + n)},
                             {loadf(upper_ + n), loadf(lower_ + n)});
            const VF mask = loadf(mask_ + start + n);
            total = fma(found.bits, mask, total);
            if (!grad_here && !wants_weights_) continue;
            const VF factor = mask * weight, by_x = found.by_x * factor;
            storef(hidden_[first_] + n, -by_x);
            storef(hidden_[first_ + 1] + n, found.by_scale * factor);
            if (grad_here) storef(grad_here + n, by_x + loadf(grad_here + n));
        }
        bits_[strip.grid] += sum_lanes(total);
        if (grad_here || wants_weights_) backward(strip, start, length, inputs);
    }

    void backward(const Strip& strip, int start, int length, int inputs) {
        // What reads shifted meets zeros past the end.
        const int reach = std::min(kChunk, length + 2 * kReach), whole = (length + kFloats - 1) / kFloats * kFloats;
        for (int o = first_; o < rows_; o++) std::fill(hidden_[o] + whole, hidden_[o] + kChunk, 0.0f);
        const float* outputs[2] = {hidden_[first_], hidden_[first_ + 1]};
        std::vector<const float*>&a = a_, &b = b_;
        const std::vector<float*>& last = two_ ? second_ : hidden_;

        for (int i = 0; i < last_; i++) a[i] = last[i];
        if (wants_weights_) last_sums_.add(outputs, a.data(), length);
        layer(outputs, 2, job_.weights + plan_.w3, zeros_.data(), last_, reach,
              [&](int o, int64_t n, VF sum) { let_pass(last[o] + n, sum, kEntropyLimit); });
        if (two_) {
            std::vector<const float*>& units = units_;
            units.assign(hidden_.begin(), hidden_.begin() + first_);
            units.push_back(ones_);
            if (wants_weights_) second_sums_.add(a.data(), units.data(), length);
            layer(a.data(), last_, job_.weights + plan_.w2, zeros_.data(), first_, reach,
                  [&](int o, int64_t n, VF sum) { let_pass(hidden_[o] + n, sum, kEntropyLimit); });
        }
        for (int i = 0; i < rows_; i++) a[i] = hidden_[i];
        if (wants_weights_) {
            for (int i = inputs; i < inputs_; i++) b[i] = zero_row();
            b[inputs_] = ones_;
            first_sums_.add(a.data(), b.data(), length);
        }
        if (!job_.grad_latents) return;
        combine_back(strip, inputs, start, reach);
        scatter(strip, start, length);
    }

    std::vector<const float*> units_;  // the first layer's, then ones
    float zero_row_[kChunk] = {};
    const float* zero_row() const { return zero_row_; }

    // Gradients of taps and parents, from those of the first layer's sums in a_.
    void combine_back(const Strip& strip, int inputs, int start, int reach) {
        float* targets[c3::pyramid::kMaxTaps + kMaxPrevious + kNumParents + kMaxHyper];
        const int first_hyper = own_taps_ + kNumParents, num_parents_here = num_parents(strip);
        for (int i = 0; i < own_taps_; i++) targets[i] = tap_grads_[i] + kReach;
        for (int i = own_taps_; i < std::min(inputs, first_hyper); i++)
            targets[i] = i - own_taps_ < num_parents_here ? grad_parents_[i - own_taps_] + kReach + start : unread_;
        for (int i = first_hyper; i < inputs; i++)
            targets[i] = has_hyper(strip, i - first_hyper) ? grad_hyper_[i - first_hyper] + kReach + start : unread_;
        const int stride = inputs_;  // of the matrix, whose last columns a grid without parents has no use for
        for_blocks(inputs, kBlockRows, [&](int first, int size) {
            with_size<kBlockRows>(size, [&](auto rows) {
                layer_rows<decltype(rows)::value>(a_.data(), rows_, first_back_.data(), stride, zeros_.data(), reach,
                                                  first,
                                                  [&](int i, int64_t at, VF sum) { storef(targets[i] + at, sum); });
            });
        });
    }

    // Adds the taps' gradients to the latents that they read.
    void scatter(const Strip& strip, int start, int length) {
        const int stride = strip.stride();
        for (int dy = -kHalo; dy <= 0; dy++)
            scatter_row(grad_own_ + kReach + (kHalo + dy) * stride + start, dy, plan_.taps.data(), plan_.num_taps, 0,
                        length);
        if (!num_previous_ || !frame_grads_) return;
        for (int dy = -1; dy <= 1; dy++)
            scatter_row(grad_previous_ + kReach + (1 + dy) * stride + start, dy, kPreviousTaps, num_previous_,
                        plan_.num_taps, length);
    }

    // Those of a row of taps, which are the ones from `first` on.
    void scatter_row(float* target, int dy, const std::pair<int, int>* taps, int num_taps, int first, int length) {
        const float* from[7];
        int count = 0;
        for (int i = 0; i < num_taps; i++)
            if (taps[i].first == dy) from[count++] = tap_grads_[first + i] + kReach - taps[i].second;
        if (!count) return;
        with_size<7>(count, [&](auto size) {
            constexpr int C = decltype(size)::value;
            for (int n = -kMargin; n < length + kMargin; n += kFloats) {
                VF sum = loadf(target + n);
#pragma GCC unroll 7
                for (int i = 0; i < C; i++) sum = sum + loadf(from[i] + n);
                storef(target + n, sum);
            }
        });
    }
};

// Adds what other threads found of a part of the gradients to what the first one did.
void add_up(const Plan& plan, const Job& job, const std::vector<Worker>& workers, int part, int num_parts) {
    const auto add = [&](float* to, size_t count, auto of_worker) {
        const size_t from = count * part / num_parts, end = count * (part + 1) / num_parts;
        for (size_t other = 1; other < workers.size(); other++) {
            const float* grads = of_worker(workers[other]);
            for (size_t i = from; i < end; i++) to[i] += grads[i];
        }
    };
    add(job.grad_latents, plan.num_latents, [](const Worker& worker) { return worker.own_grads(); });
    if (job.grad_previous)
        add(job.grad_previous, plan.num_latents, [](const Worker& worker) { return worker.own_frame_grads(); });
    add(workers[0].enlarged_grads(), HyperPlanes::count(plan),
        [](const Worker& worker) { return worker.enlarged_grads(); });
}

}  // namespace
}  // namespace pyramid

using namespace pyramid;

void pyramid_rate(const Plan& plan, const Job& job, int num_threads) {
    const size_t num_enlarged = HyperPlanes::count(plan);
    // Nothing is written to the latents: at their own resolution planes are read alone.
    const HyperPlanes hyper(plan, num_enlarged ? plan.arenas[0]->take(num_enlarged) : nullptr,
                            const_cast<float*>(job.latents));
    in_parallel(std::max(1, std::min(num_threads, plan.num_hyper)), [&](int part) {
        for (int i = part; i < plan.num_hyper; i += num_threads) hyper.enlarge(i);
    });
    std::vector<Worker> workers;
    workers.reserve(num_threads);
    for (int part = 0; part < num_threads; part++)
        workers.emplace_back(plan, job, hyper, *plan.arenas[part + 1], part, num_threads);
    in_parallel(num_threads, [&](int part) { workers[part].run(); });
    for (const auto& worker : workers) {
        for (size_t k = 0; k < plan.grids.size(); k++) job.bits[k] += worker.bits()[k];
        for (size_t i = 0; i < worker.weight_grads().size(); i++) job.grad_weights[i] += worker.weight_grads()[i];
    }
    if (!job.grad_latents) return;
    if (num_threads > 1) in_parallel(num_threads, [&](int part) { add_up(plan, job, workers, part, num_threads); });
    const HyperPlanes grads(plan, workers[0].enlarged_grads(), job.grad_latents);
    in_parallel(std::max(1, std::min(num_threads, plan.num_hyper)), [&](int part) {
        for (int i = part; i < plan.num_hyper; i += num_threads) grads.fold(i);
    });
}

}  // namespace C3_ISA
}  // namespace c3
