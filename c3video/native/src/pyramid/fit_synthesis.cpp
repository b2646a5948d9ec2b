// SPDX-License-Identifier: MIT
// From latents to planes and their squared errors, and the gradients all the way back. Compiled once for each
// instruction set.
//
// Planes of a group lie in rows of one stride, so that positions can be counted through rows and their ends. What is
// computed at the ends of rows is never used: gradients there are zero.
#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "pyramid/fit_filter.h"
#include "pyramid/fit_plan.h"
#include "pyramid/fit_products.h"
#include "pyramid/fit_upsampling.h"
#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

using c3::pyramid::Group;
using c3::pyramid::Job;
using c3::pyramid::kGivenGain;
using c3::pyramid::kMaxPlanes;
using c3::pyramid::kMaxRefine;
using c3::pyramid::kMaxWidth;
using c3::pyramid::kRefineLimit;
using c3::pyramid::kSynthesisLimit;
using c3::pyramid::Plan;

namespace {

constexpr int kChunk = 192;
constexpr int kFlushPositions = 1 << 15;
constexpr int kMaxInputs = c3::pyramid::kMaxGrids + 1;
static_assert(kChunk % kStep == 0 && kChunk + 2 * kFloats <= kSlack);

// Planes of a group. Rows are those of `stride_of`; x and dy have a row more above the first and below the last.
struct GroupPlanes {
    const Group* group;
    int stride;
    float* inputs[kMaxInputs];       // z
    float* grad_inputs[kMaxInputs];  // by z
    float* x[kMaxPlanes];            // before refinement
    float* samples[kMaxPlanes];      // clipped
    float* grad_samples[kMaxPlanes];
    bool is_refined_back;  // whether the gradients by x are there already

    size_t extended() const { return (size_t)(group->size.height + 2) * stride + kSlack; }
};

// The synthesis of a group, its matrices laid out.
struct Network {
    int hidden, planes, inputs, refine, rows;  // rows: hidden units and below them the linear path
    std::vector<float> forward, forward_bias, back, second_forward, second;
    std::vector<float> refine_forward, refine_bias, refine_back, refine_second_forward, refine_second;
    std::vector<float> zeros, second_bias, lowest, highest;

    Network(const Plan& plan, const Group& g, const float* w)
        : hidden(plan.synthesis_width), planes(g.num_planes), inputs(g.num_inputs), refine(plan.refine_width),
          rows(hidden + planes) {
        // Hidden units are held between 0 and their limit, the linear path is not.
        lowest.assign(rows, -std::numeric_limits<float>::infinity());
        highest.assign(rows, std::numeric_limits<float>::infinity());
        std::fill_n(lowest.begin(), hidden, 0.0f);
        std::fill_n(highest.begin(), hidden, kSynthesisLimit);
        for (auto* matrix : {&forward, &back}) matrix->resize((size_t)rows * inputs);
        for (int o = 0; o < rows; o++)
            for (int i = 0; i < inputs; i++)
                forward[(size_t)i * rows + o] = back[(size_t)o * inputs + i] =
                    o < hidden ? w[g.v1 + (size_t)o * inputs + i] : w[g.m + (size_t)(o - hidden) * inputs + i];
        forward_bias.assign(w + g.c1, w + g.c1 + hidden);
        forward_bias.insert(forward_bias.end(), w + g.c2, w + g.c2 + planes);
        second.assign(w + g.v2, w + g.v2 + (size_t)planes * hidden);
        second_forward.resize(second.size());
        for (int c = 0; c < planes; c++)
            for (int o = 0; o < hidden; o++) second_forward[(size_t)o * planes + c] = second[(size_t)c * hidden + o];
        const int taps = 9 * planes;
        zeros.assign(std::max({rows, inputs, taps, refine}), 0.0f);
        if (!refine) return;
        refine_back.assign(w + g.r1, w + g.r1 + (size_t)refine * taps);
        refine_forward.resize(refine_back.size());
        for (int r = 0; r < refine; r++) {
            float sum = 0.0f;  // the block reads x - 1/2
            for (int i = 0; i < taps; i++) {
                refine_forward[(size_t)i * refine + r] = refine_back[(size_t)r * taps + i];
                sum += refine_back[(size_t)r * taps + i];
            }
            refine_bias.push_back(w[g.d1 + r] - 0.5f * sum);
        }
        refine_second.assign(w + g.r2, w + g.r2 + (size_t)planes * refine);
        refine_second_forward.resize(refine_second.size());
        for (int c = 0; c < planes; c++)
            for (int r = 0; r < refine; r++)
                refine_second_forward[(size_t)r * planes + c] = refine_second[(size_t)c * refine + r];
        second_bias.assign(w + g.d2, w + g.d2 + planes);
    }
};

inline void store_upto(float* p, int64_t n, int64_t length, VF v) {
    if (n < length) store_first(p + n, v, (int)std::min<int64_t>(kFloats, length - n));
}

// One thread's buffers and sums.
struct Part {
    Arena& arena;
    std::vector<double> weight_grads, squared_errors;
    std::vector<VF> upsampling_sums;
    float *rows[kMaxWidth + kMaxPlanes], *taps[9 * kMaxPlanes], *ones, *mask, *target, *samples[kMaxPlanes];
    float* grad_x[kMaxPlanes];  // of this part's rows and one more at either side
    Upsampler upsampler;
    OwnFilter filter;
    std::vector<double> filter_sums;  // (grids, taps)

    Part(const Plan& plan, const Job& job, Arena& memory)
        : arena(memory), weight_grads(job.grad_weights ? plan.num_weights : 0, 0.0),
          squared_errors(plan.num_planes, 0.0), upsampling_sums(4 * plan.num_grids(), splatf(0.0f)),
          upsampler(memory, plan.grids[0].width), filter(memory, plan.grids[0].width),
          filter_sums(plan.num_grids() * (plan.filter_reach + 1), 0.0) {
        for (float*& row : rows) row = arena.take(kChunk);
        for (float*& row : samples) row = arena.take(kChunk);
        mask = arena.take(kChunk);
        target = arena.take(kChunk);
        for (float*& row : taps) {
            row = arena.take(kChunk + 4 * kFloats);
            std::fill_n(row, kChunk + 4 * kFloats, 0.0f);
        }
        ones = arena.take(kChunk);
        std::fill_n(ones, kChunk, 1.0f);
    }
};

class Distortion {
public:
    Distortion(const Plan& plan, const Job& job, int num_threads)
        : plan_(plan), job_(job), shared_(*plan.arenas[0]), num_threads_(num_threads),
          wants_back_(job.grad_latents || job.grad_weights) {
        parts_.reserve(num_threads);
        for (int part = 0; part < num_threads; part++) parts_.emplace_back(plan, job, *plan.arenas[part + 1]);
    }

    void run() {
        take_levels();
        filter_latents();
        for (int k = plan_.num_grids() - 1; k > 0; k--)
            for_rows(plan_.grids[k].height, [&](int part, int y0, int y1) { upsample(k, parts_[part], y0, y1); });
        for (const Group& group : plan_.groups) networks_.emplace_back(plan_, group, job_.weights);
        for (const Group& group : plan_.groups) {
            groups_.push_back(make_planes(group));
            forward(groups_.back(), networks_[groups_.size() - 1]);
        }
        if (wants_back_) {
            for (size_t g = groups_.size(); g-- > 0;) {
                backward(groups_[g], networks_[g]);
                if (plan_.groups[g].num_given) unpool_given(groups_[g]);
            }
            for (int k = 1; k < plan_.num_grids(); k++) hand_up(k);
            filter_back();
        }
        finish();
    }

private:
    const Plan& plan_;
    const Job& job_;
    Arena& shared_;
    const int num_threads_;
    const bool wants_back_;
    std::vector<Part> parts_;
    std::vector<std::vector<float*>> levels_, grad_levels_;  // [k][j - k]: grid j at level k; first sample of row 0
    const float* own_;                                       // latents as levels take them: filtered, or as they are
    float* grad_own_;                                        // the gradients of these; null where nobody wants them
    std::vector<Network> networks_;
    std::vector<GroupPlanes> groups_;

    // f(part, first row, end): rows shared out among threads, each with at least some.
    template <typename F>
    void for_rows(int height, F f) {
        const int parts = std::clamp(height / 8, 1, num_threads_);
        in_parallel(parts, [&](int part) {
            f(part, (int)((int64_t)height * part / parts), (int)((int64_t)height * (part + 1) / parts));
        });
    }
    int num_parts(int height) const { return std::clamp(height / 8, 1, num_threads_); }

    float* take_plane(const Size& size) { return shared_.take(plane_floats(size)) + kPad; }

    void take_levels() {
        levels_.resize(plan_.num_grids());
        grad_levels_.resize(plan_.num_grids());
        for (int k = 0; k < plan_.num_grids(); k++) {
            const Size& size = plan_.grids[k];
            for (int j = k; j < plan_.num_grids(); j++) {
                levels_[k].push_back(take_plane(size));
                // What lies behind the rows is read, for nothing.
                std::fill_n(levels_[k].back() - kPad + (size_t)size.height * stride_of(size), kSlack, 0.0f);
                if (wants_back_) grad_levels_[k].push_back(take_plane(size));
            }
        }
    }

    const float* filter_taps(int k) const { return job_.weights + plan_.f + (size_t)k * (plan_.filter_reach + 1); }

    void filter_latents() {
        own_ = job_.latents;
        grad_own_ = job_.grad_latents;
        if (!plan_.filter_reach) return;
        float* filtered = shared_.take(plan_.num_latents);
        for (int k = 0; k < plan_.num_grids(); k++)
            for_rows(plan_.grids[k].height, [&](int part, int y0, int y1) {
                parts_[part].filter.forward(job_.latents + plan_.grid_starts[k], plan_.grids[k], filter_taps(k),
                                            plan_.filter_reach, filtered + plan_.grid_starts[k], y0, y1);
            });
        own_ = filtered;
        if (!wants_back_) return;
        grad_own_ = shared_.take(plan_.num_latents);
        std::fill_n(grad_own_, plan_.num_latents, 0.0f);
    }

    void filter_back() {
        if (!plan_.filter_reach) return;
        float* to = job_.grad_latents ? job_.grad_latents : shared_.take(plan_.num_latents);
        for (int k = 0; k < plan_.num_grids(); k++)
            for_rows(plan_.grids[k].height, [&](int part, int r0, int r1) {
                double* sums =
                    job_.grad_weights ? parts_[part].filter_sums.data() + k * (plan_.filter_reach + 1) : nullptr;
                parts_[part].filter.backward(job_.latents + plan_.grid_starts[k], plan_.grids[k], filter_taps(k),
                                             plan_.filter_reach, grad_own_ + plan_.grid_starts[k],
                                             to + plan_.grid_starts[k], r0, r1, sums);
            });
    }

    // Rows y0 .. y1 of level k, from its own grid and the level above.
    void upsample(int k, Part& part, int y0, int y1) {
        const Size& size = plan_.grids[k];
        for (int y = y0; y < y1; y++) {
            float* row = levels_[k][0] + (size_t)y * stride_of(size);
            std::copy_n(own_ + plan_.grid_starts[k] + (size_t)y * size.width, size.width, row);
            repeat_edges(row, size.width);
        }
        for (int j = k + 1; j < plan_.num_grids(); j++)
            part.upsampler.forward(levels_[k + 1][j - k - 1], plan_.grids[k + 1], job_.weights + plan_.u + 4 * k,
                                   levels_[k][j - k], size, y0, y1);
    }

    // Gradients of rows r0 .. r1 of level k from those of the level below it.
    void upsample_back(int k, Part& part, int r0, int r1) {
        if (r0 >= r1) return;
        // Chroma of half the resolution has handed its gradients to level 1 already.
        const bool begun = k == 1 && plan_.groups.size() == 2 && plan_.groups[1].y_exponent;
        VF* sums = job_.grad_weights ? part.upsampling_sums.data() + 4 * (k - 1) : nullptr;
        for (int j = k; j < plan_.num_grids(); j++)
            part.upsampler.backward(levels_[k][j - k], plan_.grids[k], job_.weights + plan_.u + 4 * (k - 1),
                                    grad_levels_[k - 1][j - k + 1], plan_.grids[k - 1], grad_levels_[k][j - k], begun,
                                    r0, r1, sums);
    }

    // Rows y0 .. y1 of level k's gradients that are those of its own grid.
    void hand_to_latents(int k, int y0, int y1) {
        if (!grad_own_) return;
        const Size& size = plan_.grids[k];
        for (int y = y0; y < y1; y++) {
            const float* from = grad_levels_[k][0] + (size_t)y * stride_of(size);
            float* to = grad_own_ + plan_.grid_starts[k] + (size_t)y * size.width;
            for (int x = 0; x < size.width; x++) to[x] += from[x];
        }
    }

    // The gradients of level k: what of them is left to do for level 1, all for those above.
    void hand_up(int k) {
        const Size& size = plan_.grids[k];
        if (k == 1) {
            const int parts = num_parts(plan_.grids[0].height);
            in_parallel(parts, [&](int part) {  // between what two parts could do alone
                upsample_back(1, parts_[part], ready_rows(part).second,
                              part + 1 < parts ? ready_rows(part + 1).first : size.height);
            });
        } else {
            for_rows(size.height, [&](int part, int r0, int r1) { upsample_back(k, parts_[part], r0, r1); });
        }
        for_rows(size.height, [&](int, int y0, int y1) { hand_to_latents(k, y0, y1); });
    }

    // Rows of level 1 whose gradient comes from rows of level 0 that are all in one part: row r reads 2r - 3 .. 2r + 4.
    std::pair<int, int> ready_rows(int part) const {
        const int height = plan_.grids[0].height, parts = num_parts(height);
        const int y0 = (int)((int64_t)height * part / parts), y1 = (int)((int64_t)height * (part + 1) / parts);
        const int first = y0 == 0 ? 0 : (y0 + 4) / 2;
        return {first, std::max(first, ready_below(y1))};
    }
    // End of those that read no row from y on.
    int ready_below(int y) const { return y == plan_.grids[0].height ? (y + 1) / 2 : std::max(0, y - 3) / 2; }

    bool is_pooled(const Group& group) const { return group.x_exponent && !group.y_exponent; }

    GroupPlanes make_planes(const Group& group) {
        GroupPlanes planes{};
        planes.group = &group;
        planes.stride = stride_of(group.size);
        const int level = group.y_exponent;
        for (int i = 0; i < group.num_inputs; i++) {
            const bool is_level = i < group.num_latent_inputs && !is_pooled(group);
            planes.inputs[i] = is_level ? levels_[level][i] : take_plane(group.size);
            if (!is_level) std::fill_n(planes.inputs[i] - kPad, plane_floats(group.size), 0.0f);
            if (wants_back_) planes.grad_inputs[i] = is_level ? grad_levels_[level][i] : take_plane(group.size);
        }
        if (is_pooled(group))
            for_rows(group.size.height, [&](int, int y0, int y1) {
                for (int i = 0; i < group.num_latent_inputs; i++)
                    for (int y = y0; y < y1; y++) {
                        const float* from = levels_[0][i] + (size_t)y * stride_of(plan_.grids[0]);
                        float* to = planes.inputs[i] + (size_t)y * planes.stride;
                        for (int x = 0; x < group.size.width; x++)
                            to[x] = 0.5f * (from[2 * x] + from[2 * x + 1]);  // edges are repeated
                    }
            });
        for (int c = 0; c < group.num_planes; c++) {
            // Pointers are to the first sample of row 0.
            float* memory = shared_.take(planes.extended() + kFloats);
            std::fill_n(memory, kFloats, 0.0f);  // the first tap of the row above row 0 reads one float before it
            planes.x[c] = memory + kFloats + planes.stride + kPad;
            planes.samples[c] = take_plane(group.size);
            planes.grad_samples[c] = take_plane(group.size);
        }
        return planes;
    }

    // The luma samples made before, pooled, in steps about 0.
    void pool_given(GroupPlanes& planes) {
        const Group& group = *planes.group;
        const GroupPlanes& luma = groups_[0];
        float* given = planes.inputs[group.num_latent_inputs];
        const Size& from = luma.group->size;
        for_rows(group.size.height, [&](int, int y0, int y1) {
            for (int y = y0; y < y1; y++) {
                const int y_above = y << group.y_exponent,
                          y_below = std::min(y_above + group.y_exponent, from.height - 1);
                const float *above = luma.samples[0] + (size_t)y_above * luma.stride,
                            *below = luma.samples[0] + (size_t)y_below * luma.stride;
                float* to = given + (size_t)y * planes.stride;
                for (int x = 0; x < from.width / 2; x++)
                    to[x] = (kGivenGain / 4) * ((above[2 * x] + above[2 * x + 1]) + (below[2 * x] + below[2 * x + 1])) -
                            kGivenGain / 2;
                if (from.width % 2)
                    to[from.width / 2] =
                        (kGivenGain / 2) * (above[from.width - 1] + below[from.width - 1]) - kGivenGain / 2;
            }
        });
    }

    void unpool_given(const GroupPlanes& planes) {
        const Group& group = *planes.group;
        const GroupPlanes& luma = groups_[0];
        const float* given = planes.grad_inputs[group.num_latent_inputs];
        const Size& to = luma.group->size;
        for_rows(to.height, [&](int, int y0, int y1) {
            for (int y = y0; y < y1; y++) {
                const float* from = given + (size_t)(y >> group.y_exponent) * planes.stride;
                float* row = luma.grad_samples[0] + (size_t)y * luma.stride;
                // A row that stands for the one below as well has both parts; 4:2:2 has one row with all.
                const bool is_last_alone = group.y_exponent && to.height % 2 && y == to.height - 1;
                const float factor = !group.y_exponent || is_last_alone ? kGivenGain / 2 : kGivenGain / 4;
                for (int x = 0; x < to.width / 2; x++) {
                    row[2 * x] += factor * from[x];
                    row[2 * x + 1] += factor * from[x];
                }
                if (to.width % 2) row[to.width - 1] += 2.0f * factor * from[to.width / 2];
            }
        });
    }

    // Latents that chroma of 4:2:2 read as means of two: their gradients go to the full resolution.
    void hand_down_pooled(int y0, int y1) {
        if (groups_.size() < 2 || !is_pooled(*groups_[1].group)) return;
        const GroupPlanes& planes = groups_[1];
        const Size& to = plan_.grids[0];
        for (int i = 0; i < planes.group->num_latent_inputs; i++)
            for (int y = y0; y < y1; y++) {
                const float* from = planes.grad_inputs[i] + (size_t)y * planes.stride;
                float* row = grad_levels_[0][i] + (size_t)y * stride_of(to);
                for (int x = 0; x < to.width / 2; x++) {
                    row[2 * x] += 0.5f * from[x];
                    row[2 * x + 1] += 0.5f * from[x];
                }
                if (to.width % 2) row[to.width - 1] += from[to.width / 2];
            }
    }

    // f(first position, length) for chunks of rows y0 .. y1; position 0 stands kPad before the first sample of row 0.
    template <typename F>
    void for_chunks(int y0, int y1, int stride, F f) {
        const int64_t end = (int64_t)y1 * stride;
        for (int64_t start = (int64_t)y0 * stride; start < end; start += kChunk)
            f(start, (int)std::min<int64_t>(kChunk, end - start));
    }

    // Rows of a plane that are worked on from one step to the next before others, so that they stay near.
    static int near_rows(int stride) { return std::max(8, 4096 / stride); }

    void forward(GroupPlanes& planes, const Network& net) {
        const Group& group = *planes.group;
        const int stride = planes.stride, height = group.size.height, width = group.size.width;
        const bool is_first = &planes == &groups_[0], is_last = groups_.size() == plan_.groups.size();
        if (group.num_given) pool_given(planes);
        for_rows(height, [&](int part, int y0, int y1) {
            for (int y = y0; y < y1; y += near_rows(stride)) {
                const int end = std::min(y + near_rows(stride), y1);
                if (is_first) upsample(0, parts_[part], y, end);
                for_chunks(y, end, stride,
                           [&](int64_t start, int length) { synthesise(planes, net, parts_[part], start, length); });
            }
            for (int c = 0; c < net.planes; c++) {
                float* x = planes.x[c];
                for (int y = y0; y < y1; y++) repeat_edges(x + (int64_t)y * stride, width);
                if (y0 == 0) std::copy_n(x - kPad, stride, x - kPad - stride);
                if (y1 == height) {
                    float* last = x - kPad + (int64_t)(height - 1) * stride;
                    std::copy_n(last, stride, last + stride);
                    std::fill_n(last + 2 * stride, kSlack, 0.0f);
                }
            }
        });
        planes.is_refined_back = is_last && wants_back_;
        for_rows(height, [&](int part, int y0, int y1) {
            // What no later group reads goes back at once.
            if (planes.is_refined_back) return refine_back(planes, net, parts_[part], y0, y1, true);
            for (int y = y0; y < y1; y += near_rows(stride)) {
                const int end = std::min(y + near_rows(stride), y1);
                for_chunks(y, end, stride, [&](int64_t start, int length) {
                    float* targets[kMaxPlanes];
                    for (int c = 0; c < net.planes; c++) targets[c] = planes.samples[c] - kPad + start;
                    refine(planes, net, parts_[part], start, length, targets);
                });
                for (int c = 0; c < net.planes; c++)
                    for (int row = y; row < end; row++) take_errors(planes, parts_[part], c, row);
            }
        });
    }

    // Hidden units into `rows`, and below them the linear path.
    void hidden_units(const GroupPlanes& planes, const Network& net, Part& part, int64_t start, int length) {
        const float* inputs[kMaxInputs];
        for (int i = 0; i < net.inputs; i++) inputs[i] = planes.inputs[i] - kPad + start;
        const float *lowest = net.lowest.data(), *highest = net.highest.data();
        layer(inputs, net.inputs, net.forward.data(), net.forward_bias.data(), net.rows, length,
              [&](int o, int64_t n, VF sum) {
                  storef(part.rows[o] + n, minf(splatf(highest[o]), maxf(splatf(lowest[o]), sum)));
              });
    }

    void synthesise(const GroupPlanes& planes, const Network& net, Part& part, int64_t start, int length) {
        hidden_units(planes, net, part, start, length);
        layer(part.rows, net.hidden, net.second_forward.data(), net.zeros.data(), net.planes, length,
              [&](int c, int64_t n, VF sum) {
                  store_upto(planes.x[c] - kPad + start, n, length, sum + loadf(part.rows[net.hidden + c] + n));
              });
    }

    static void find_taps(const GroupPlanes& planes, int64_t start, const float** taps) {
        for (int c = 0; c < planes.group->num_planes; c++)
            for (int i = 0; i < 9; i++)
                taps[9 * c + i] = planes.x[c] - kPad + start + (i / 3 - 1) * planes.stride + i % 3 - 1;
    }

    // Hidden units of the refinement into `rows`.
    void refined_units(const GroupPlanes& planes, const Network& net, Part& part, int64_t start, int length) {
        const float* taps[9 * kMaxPlanes];
        find_taps(planes, start, taps);
        const VF limit = splatf(kRefineLimit);
        layer(taps, 9 * net.planes, net.refine_forward.data(), net.refine_bias.data(), net.refine, length,
              [&](int r, int64_t n, VF sum) { storef(part.rows[r] + n, rectified(sum, limit)); });
    }

    // Samples of a chunk into `targets`; the refinement's hidden units stay in `rows`.
    void refine(const GroupPlanes& planes, const Network& net, Part& part, int64_t start, int length,
                float* const* targets) {
        if (!net.refine) {
            for (int c = 0; c < net.planes; c++) std::copy_n(planes.x[c] - kPad + start, length, targets[c]);
            return;
        }
        refined_units(planes, net, part, start, length);
        layer(part.rows, net.refine, net.refine_second_forward.data(), net.second_bias.data(), net.planes, length,
              [&](int c, int64_t n, VF sum) {
                  store_upto(targets[c], n, length, sum + loadf(planes.x[c] - kPad + start + n));
              });
    }

    // Clips a row of samples and takes its errors.
    void take_errors(const GroupPlanes& planes, Part& part, int c, int row) {
        const Group& group = *planes.group;
        const int width = group.size.width, plane = group.first_plane + c;
        const size_t at = plane_start(group, c) + (size_t)row * width;
        float* samples = planes.samples[c] + (size_t)row * planes.stride;
        float* grad = planes.grad_samples[c] + (size_t)row * planes.stride;
        const float* target = job_.targets + at;
        const float* importance = job_.importance ? job_.importance + at : nullptr;
        const VF factor = splatf((float)(2.0 * job_.error_weights[plane])), zero = splatf(0.0f), one = splatf(1.0f);
        VF total = zero;
        int x = 0;
        for (; x < width; x += kFloats) {
            const int count = std::min(kFloats, width - x);
            const VF found = count == kFloats ? loadf(samples + x) : load_first(samples + x, count);
            const VF sample = minf(one, maxf(zero, found));
            const VF error = sample - (count == kFloats ? loadf(target + x) : load_first(target + x, count));
            VF counted = error;
            if (importance)
                counted = error * (count == kFloats ? loadf(importance + x) : load_first(importance + x, count));
            total = fma(counted, error, total);
            store_first(samples + x, sample, count);
            store_first(grad + x, counted * factor, count);
        }
        for (int i = 1; i <= kPad; i++) grad[-i] = grad[width - 1 + i] = 0.0f;
        part.squared_errors[plane] += sum_lanes(total);
        if (job_.samples) std::copy_n(samples, width, job_.samples + at);
    }

    // Clips the samples of a chunk and turns them into the gradients of their errors.
    void take_chunk_errors(const GroupPlanes& planes, Part& part, int64_t start, int length) {
        const Group& group = *planes.group;
        const VF zero = splatf(0.0f), one = splatf(1.0f);
        for (int c = 0; c < group.num_planes; c++) {
            const int plane = group.first_plane + c;
            const size_t plane_at = plane_start(group, c);
            // f(place in the chunk, place in the plane, length) for what rows have of the chunk.
            const auto for_pieces = [&](auto f) {
                for (int n = 0; n < length;) {
                    const int64_t row = (start + n) / planes.stride;
                    const int column = (int)(start + n - row * planes.stride) - kPad, begin = std::max(0, column);
                    const int count = std::min(group.size.width - begin, length - n - (begin - column));
                    if (count > 0) f(n + begin - column, plane_at + row * group.size.width + begin, count);
                    n += planes.stride - kPad - column;
                }
            };
            // The mask has what samples count, and zeros beside the picture.
            const bool is_new = c == 0 || job_.importance;
            if (c == 0) std::fill_n(part.mask, kChunk, 0.0f);
            std::fill_n(part.target, kChunk, 0.0f);
            for_pieces([&](int n, size_t at, int count) {
                std::copy_n(job_.targets + at, count, part.target + n);
                if (is_new && job_.importance) std::copy_n(job_.importance + at, count, part.mask + n);
                if (is_new && !job_.importance) std::fill_n(part.mask + n, count, 1.0f);
            });
            const VF factor = splatf((float)(2.0 * job_.error_weights[plane]));
            VF total = zero;
            for (int n = 0; n < kChunk; n += kFloats) {
                const VF mask = loadf(part.mask + n), sample = minf(one, maxf(zero, loadf(part.samples[c] + n)));
                const VF error = if_less(zero, mask, sample - loadf(part.target + n), zero);
                const VF counted = error * mask;
                total = fma(counted, error, total);
                if (job_.samples) storef(part.target + n, sample);
                storef(part.samples[c] + n, counted * factor);
            }
            part.squared_errors[plane] += sum_lanes(total);
            if (job_.samples)
                for_pieces(
                    [&](int n, size_t at, int count) { std::copy_n(part.target + n, count, job_.samples + at); });
        }
    }

    size_t plane_start(const Group& group, int c) const {
        size_t start = 0;
        for (const Group& other : plan_.groups) {
            if (&other == &group) return start + c * group.size.count();
            start += other.num_planes * other.size.count();
        }
        return start;
    }

    void backward(const GroupPlanes& planes, const Network& net) {
        const int stride = planes.stride, height = planes.group->size.height;
        const bool is_first = &planes == &groups_[0];
        if (!planes.is_refined_back)
            for_rows(height, [&](int part, int y0, int y1) { refine_back(planes, net, parts_[part], y0, y1, false); });
        for_rows(height, [&](int number, int y0, int y1) {
            Part& part = parts_[number];
            const bool is_last = number + 1 == num_parts(height);
            for (int c = 0; c < net.planes && net.refine; c++) {
                float *first = part.grad_x[c] + stride, *last = part.grad_x[c] + (size_t)(y1 - y0) * stride;
                // Rows that others found for this part's ends; past the picture they are the repeated edges.
                const float* above = number
                                         ? parts_[number - 1].grad_x[c] + rows_of(height, number - 1) * stride + stride
                                         : part.grad_x[c];
                const float* below = is_last ? last + stride : parts_[number + 1].grad_x[c];
                for (int x = 0; x < stride; x++) first[x] += above[x];
                for (int x = 0; x < stride; x++) last[x] += below[x];
                for (float* row = first; row <= last; row += stride) {
                    float* samples = row + kPad;
                    const int width = planes.group->size.width;
                    samples[0] += samples[-1];
                    samples[width - 1] += samples[width];
                    for (int i = 1; i <= kPad; i++) samples[-i] = samples[width - 1 + i] = 0.0f;
                }
            }
            synthesis_back(planes, net, part, y0, y1, [&](int y, int end) {
                if (!is_first) return;
                hand_down_pooled(y, end);
                hand_to_latents(0, y, end);
                if (plan_.num_grids() == 1) return;
                const auto [from, to] = ready_rows(number);
                upsample_back(1, part, std::max(from, y == y0 ? 0 : ready_below(y)),
                              end == y1 ? to : std::min(to, ready_below(end)));
            });
        });
    }

    size_t rows_of(int height, int part) const {
        const int parts = num_parts(height);
        return (int64_t)height * (part + 1) / parts - (int64_t)height * part / parts;
    }

    // Gradients by x of rows y0 .. y1, and what the rows beside them get. `with_errors`: from the errors that are taken
    // here, else from those that were before.
    void refine_back(const GroupPlanes& planes, const Network& net, Part& part, int y0, int y1, bool with_errors) {
        const Group& group = *planes.group;
        const size_t size = (size_t)(y1 - y0 + 2) * planes.stride + kSlack;
        for (int c = 0; c < net.planes; c++) {
            part.grad_x[c] = part.arena.take(size + 2 * kFloats) + kFloats;
            std::fill_n(part.grad_x[c] - kFloats, kFloats, 0.0f);
        }
        size_t cleared = 0;
        const int stride = planes.stride, num_taps = 9 * net.planes;
        const bool wants_weights = job_.grad_weights != nullptr;
        DotSums first(wants_weights ? net.refine : 0, num_taps + 1),
            second(wants_weights ? net.planes : 0, net.refine + 1);
        const auto flush = [&] {
            double* grad = part.weight_grads.data();
            first.flush([&](int r, int i, double sum) {
                if (i < num_taps) {
                    grad[group.r1 + (size_t)r * num_taps + i] += sum;
                } else {  // the block reads x - 1/2
                    grad[group.d1 + r] += sum;
                    for (int tap = 0; tap < num_taps; tap++) grad[group.r1 + (size_t)r * num_taps + tap] -= 0.5 * sum;
                }
            });
            second.flush([&](int c, int r, double sum) {
                grad[r < net.refine ? group.r2 + (size_t)c * net.refine + r : group.d2 + c] += sum;
            });
        };
        int since_flush = 0;
        for_chunks(y0, y1, stride, [&](int64_t start, int length) {
            const int reach = std::min(kChunk, length + 2 * kFloats);
            const float *grads[kMaxPlanes], *units[kMaxRefine + 1], *taps[9 * kMaxPlanes + 1];
            if (with_errors) {
                refine(planes, net, part, start, length, part.samples);
                take_chunk_errors(planes, part, start, length);
                for (int c = 0; c < net.planes; c++) grads[c] = part.samples[c];
            } else {
                if (net.refine) refined_units(planes, net, part, start, length);
                for (int c = 0; c < net.planes; c++) grads[c] = planes.grad_samples[c] - kPad + start;
            }
            const int64_t here = start - (int64_t)y0 * stride + stride;
            const size_t touched = start + length == (int64_t)y1 * stride ? size : here + length + stride + 4 * kFloats;
            for (int c = 0; c < net.planes; c++) {
                if (touched > cleared) std::fill_n(part.grad_x[c] + cleared, touched - cleared, 0.0f);
                float* target = part.grad_x[c] + here;
                for (int n = 0; n < length; n++) target[n] += grads[c][n];
            }
            cleared = std::max(cleared, touched);
            if (!net.refine) return;
            for (int r = 0; r < net.refine; r++) units[r] = part.rows[r];
            units[net.refine] = part.ones;
            second.add(grads, units, length);
            // Past the end of these rows the next ones' gradients lie: they are left to their own chunks.
            layer(grads, net.planes, net.refine_second.data(), net.zeros.data(), net.refine, length,
                  [&](int r, int64_t n, VF sum) { let_pass(part.rows[r] + n, sum, kRefineLimit); });
            for (int r = 0; r < net.refine; r++) std::fill(part.rows[r] + length, part.rows[r] + kChunk, 0.0f);
            find_taps(planes, start, taps);
            taps[num_taps] = part.ones;
            first.add(units, taps, length);
            layer(units, net.refine, net.refine_back.data(), net.zeros.data(), num_taps, reach,
                  [&](int i, int64_t n, VF sum) { storef(part.taps[i] + kFloats + n, sum); });
            for (int c = 0; c < net.planes; c++)
                for (int dy = -1; dy <= 1; dy++) {
                    float* target = part.grad_x[c] + here + dy * stride;
                    float* const* from = part.taps + 9 * c + 3 * (dy + 1);
                    for (int n = -1; n < length + 1; n += kFloats)
                        storef(target + n, ((loadf(target + n) + loadf(from[0] + kFloats + 1 + n)) +
                                            (loadf(from[1] + kFloats + n) + loadf(from[2] + kFloats - 1 + n))));
                }
            if ((since_flush += length) > kFlushPositions) {
                flush();
                since_flush = 0;
            }
        });
        if (wants_weights && net.refine) flush();
    }

    // `then(y, end)` is called when the inputs' gradients of rows y .. end are there.
    template <typename Then>
    void synthesis_back(const GroupPlanes& planes, const Network& net, Part& part, int y0, int y1, Then then) {
        const Group& group = *planes.group;
        const int stride = planes.stride;
        const bool wants_weights = job_.grad_weights != nullptr;
        DotSums first(wants_weights ? net.rows : 0, net.inputs + 1), second(wants_weights ? net.planes : 0, net.hidden);
        const auto flush = [&] {
            double* grad = part.weight_grads.data();
            first.flush([&](int o, int i, double sum) {
                if (i == net.inputs) grad[o < net.hidden ? group.c1 + o : group.c2 + o - net.hidden] += sum;
                else
                    grad[o < net.hidden ? group.v1 + (size_t)o * net.inputs + i
                                        : group.m + (size_t)(o - net.hidden) * net.inputs + i] += sum;
            });
            second.flush([&](int c, int o, double sum) { grad[group.v2 + (size_t)c * net.hidden + o] += sum; });
        };
        int since_flush = 0;
        const auto chunk = [&](int64_t start, int length) {
            hidden_units(planes, net, part, start, length);
            const float *grads[kMaxPlanes], *units[kMaxWidth + kMaxPlanes], *inputs[kMaxInputs + 1];
            for (int c = 0; c < net.planes; c++) grads[c] = part.grad_x[c] + stride + start - (int64_t)y0 * stride;
            for (int o = 0; o < net.hidden; o++) units[o] = part.rows[o];
            for (int c = 0; c < net.planes; c++) units[net.hidden + c] = grads[c];
            second.add(grads, units, length);
            layer(grads, net.planes, net.second.data(), net.zeros.data(), net.hidden, length,
                  [&](int o, int64_t n, VF sum) { let_pass(part.rows[o] + n, sum, kSynthesisLimit); });
            for (int i = 0; i < net.inputs; i++) inputs[i] = planes.inputs[i] - kPad + start;
            inputs[net.inputs] = part.ones;
            first.add(units, inputs, length);
            layer(units, net.rows, net.back.data(), net.zeros.data(), net.inputs, length,
                  [&](int i, int64_t n, VF sum) { store_upto(planes.grad_inputs[i] - kPad + start, n, length, sum); });
            if ((since_flush += length) > kFlushPositions) {
                flush();
                since_flush = 0;
            }
        };
        for (int y = y0; y < y1; y += near_rows(stride)) {
            const int end = std::min(y + near_rows(stride), y1);
            for_chunks(y, end, stride, chunk);
            then(y, end);
        }
        if (wants_weights) flush();
    }

    void finish() {
        for (Part& part : parts_) {
            for (int p = 0; p < plan_.num_planes; p++) job_.squared_errors[p] += part.squared_errors[p];
            for (size_t i = 0; i < part.weight_grads.size(); i++) job_.grad_weights[i] += part.weight_grads[i];
            if (job_.grad_weights)
                for (int i = 0; i < 4 * (plan_.num_grids() - 1); i++)
                    job_.grad_weights[plan_.u + i] += sum_lanes(part.upsampling_sums[i]);
            if (job_.grad_weights && plan_.filter_reach)
                for (size_t i = 0; i < part.filter_sums.size(); i++)
                    job_.grad_weights[plan_.f + i] += part.filter_sums[i];
        }
    }
};

}  // namespace
}  // namespace pyramid

using namespace pyramid;

void pyramid_distortion(const Plan& plan, const Job& job, int num_threads) { Distortion(plan, job, num_threads).run(); }

}  // namespace C3_ISA
}  // namespace c3
