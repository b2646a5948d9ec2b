// SPDX-License-Identifier: MIT
// Integers of latents, chosen one by one. A latent may take the value of one beside it or move by one; whichever makes
// the loss least stays. Compiled once for each instruction set.
//
//     a change --> bits of the latents whose contexts hold it
//             \--> inputs of the synthesis that it reaches --> samples, one farther by the refinement --> errors
//                                                                  \--> chroma, which reads luma
//
// What does not depend on it is not looked at, so that a choice costs as little as its reach is small; and most are
// turned down by their own bits, before anything else is computed. pyramid/fit/network.py says what the numbers mean.
#include "pyramid/fit_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "pyramid/fit_hyper.h"
#include "pyramid/fit_laplace.h"
#include "pyramid/fit_products.h"
#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {
namespace pyramid {

using c3::pyramid::ChoiceJob;
using c3::pyramid::Group;
using c3::pyramid::kEntropyLimit;
using c3::pyramid::kGivenGain;
using c3::pyramid::kLongestChoice;
using c3::pyramid::kMaxGrids;
using c3::pyramid::kMaxPlanes;
using c3::pyramid::kMaxRefine;
using c3::pyramid::kMaxTaps;
using c3::pyramid::kMaxWidth;
using c3::pyramid::kNumParents;
using c3::pyramid::kRefineLimit;
using c3::pyramid::kSynthesisLimit;
using c3::pyramid::Plan;
using c3::pyramid::Size;

namespace {

// A layer's matrix, (inputs, outputs), of `weight(output, input)`.
template <typename F>
std::vector<float> by_inputs(int num_inputs, int num_outputs, F weight) {
    std::vector<float> matrix;
    for (int i = 0; i < num_inputs; i++)
        for (int o = 0; o < num_outputs; o++) matrix.push_back(weight(o, i));
    return matrix;
}

// What one latent adds along an axis to a plane of inputs, from place `start` on.
struct Response {
    int start;
    std::vector<float> values;

    int end() const { return start + (int)values.size(); }
    // As of a row of `length` whose ends are repeated.
    float at(int place, int length) const {
        place = std::clamp(place, 0, length - 1);
        return place < start || place >= end() ? 0.0f : values[place - start];
    }
};

// f(place) for the places from `start` to `end`, without those past the ends of a row of `length`.
template <typename F>
Response made(int start, int end, int length, F f) {
    start = std::max(start, 0);
    end = std::min(end, length);
    Response found{start, {}};
    for (int place = start; place < end; place++) found.values.push_back(f(place));
    return found;
}

Response filtered(const Response& in, int length, const float* taps, int reach) {
    return made(in.start - reach, in.end() + reach, length, [&](int x) {
        float sum = taps[0] * in.at(x, length);
        for (int t = 1; t <= reach; t++) sum += taps[t] * (in.at(x - t, length) + in.at(x + t, length));
        return sum;
    });
}

Response upsampled(const Response& in, int length, const float* kernel, int to) {
    return made(2 * (in.start - 2), 2 * (in.end() + 2), to, [&](int place) {
        const int i = place >> 1, first = i - 2 + (place & 1);
        float sum = 0.0f;
        for (int t = 0; t < 4; t++) sum += kernel[place & 1 ? 3 - t : t] * in.at(first + t, length);
        return sum;
    });
}

Response halved(const Response& in, int length, int to) {
    return made(in.start / 2, in.end() / 2 + 1, to,
                [&](int place) { return 0.5f * (in.at(2 * place, length) + in.at(2 * place + 1, length)); });
}

// A latent of the grid in hand that is to change, and by how much.
struct Change {
    int y, x;
    float step;
};
using Changes = std::vector<Change>;

struct Box {
    int y0, y1, x0, x1;

    bool holds(int y, int x) const { return y >= y0 && y < y1 && x >= x0 && x < x1; }
    int height() const { return y1 - y0; }
    int width() const { return x1 - x0; }
    size_t count() const { return (size_t)height() * width(); }
    size_t place(int y, int x) const { return (size_t)(y - y0) * width() + (x - x0); }
    Box grown(int by) const { return {y0 - by, y1 + by, x0 - by, x1 + by}; }
    Box within(const Size& size) const {
        return {std::max(y0, 0), std::min(y1, size.height), std::max(x0, 0), std::min(x1, size.width)};
    }
    Box with(const Box& other) const {
        return {std::min(y0, other.y0), std::max(y1, other.y1), std::min(x0, other.x0), std::max(x1, other.x1)};
    }
};

// Rows are copied by whole vectors, so that some floats behind their ends are read and written as well: each row puts
// right what the one before it spilt, and planes have room behind their last one.
void copy_row(const float* from, int count, float* to) {
    for (int i = 0; i < count; i += kFloats) storef(to + i, loadf(from + i));
}

// As many floats as a plane of so many takes, with what blocks of layers read and write behind it.
size_t with_room(size_t count) { return count + kStep; }

float* room_for(std::vector<float>& floats, size_t count) {
    if (floats.size() < count) floats.resize(count);
    return floats.data();
}

// The first `count` lanes, then zeros.
VF first_lanes(VF v, int count) {
    static constexpr float kLanes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return if_less(loadf(kLanes), splatf((float)count), v, splatf(0.0f));
}

// What an attempt makes of a group, until it is kept. Each thread has its own.
struct Trial {
    Box inputs{}, samples{};  // places whose inputs and samples change
    Box window{};             // those of samples and, where they are refined, of all beside them, off the edges too
    // Plane by plane, each with room: of `inputs`, of `window`, and what layers have in between.
    std::vector<float> new_inputs, new_x, x, new_samples, new_errors, units;
};

// A group of planes as the latents make it, plane by plane.
class Planes {
public:
    Planes(const Plan& plan, const Group& group, const ChoiceJob& job, const Planes* given)
        : group_(group), given_(given), size_(group.size), inputs_(group.num_inputs), count_(group.num_planes),
          width_(plan.synthesis_width), refine_(plan.refine_width), stride_(with_room(group.size.count())) {
        const float* w = job.weights;
        hidden_ = by_inputs(inputs_, width_, [&](int o, int i) { return w[group.v1 + (size_t)o * inputs_ + i]; });
        hidden_bias_ = w + group.c1;
        // The hidden units and the straight path, to which the inputs go themselves.
        output_ = by_inputs(width_ + inputs_, count_, [&](int c, int i) {
            return i < width_ ? w[group.v2 + (size_t)c * width_ + i] : w[group.m + (size_t)c * inputs_ + (i - width_)];
        });
        output_bias_ = w + group.c2;
        if (refine_) {
            const int taps = 9 * count_;
            refining_ = by_inputs(taps, refine_, [&](int r, int i) { return w[group.r1 + (size_t)r * taps + i]; });
            // It is given x - 1/2.
            for (int r = 0; r < refine_; r++) {
                float sum = 0.0f;
                for (int i = 0; i < taps; i++) sum += w[group.r1 + (size_t)r * taps + i];
                refining_bias_.push_back(w[group.d1 + r] - 0.5f * sum);
            }
            refined_ = by_inputs(refine_, count_, [&](int c, int i) { return w[group.r2 + (size_t)c * refine_ + i]; });
            refined_bias_ = w + group.d2;
        }
        size_t start = 0;
        for (const Group& other : plan.groups) {
            if (&other == &group) break;
            start += other.num_planes * other.size.count();
        }
        targets_end_ = job.targets + plan.num_samples;
        for (int c = 0; c < count_; c++, start += size_.count()) {
            targets_[c] = job.targets + start;
            importance_[c] = job.importance ? job.importance + start : nullptr;
            weights_[c] = (float)job.error_weights[group.first_plane + c];
        }
        find_responses(plan, w);
        fill(plan, job.latents);
    }

    // Makes what changes with latents of grid k; returns how much the errors grow.
    //
    // given: what was made of the group that this one reads, null where it reads none.
    double attempt(int k, const Changes& changes, Trial& trial, const Trial* given) const {
        trial.inputs = changed_inputs(k, changes, given ? &given->samples : nullptr);
        trial.samples = trial.inputs.grown(refine_ ? 1 : 0).within(size_);
        const Box& inputs = trial.inputs;
        take_inputs(trial);
        const size_t plane = with_room(inputs.count());
        if (k >= group_.first_grid)
            for (const Change& change : changes) {
                const Response &down = down_[k][change.y], &along = along_[k][change.x];
                for (int row = down.start; row < down.end(); row++) {
                    const float part = change.step * down.values[row - down.start];
                    float* z =
                        trial.new_inputs.data() + (k - group_.first_grid) * plane + inputs.place(row, along.start);
                    for (size_t i = 0; i < along.values.size(); i++) z[i] += part * along.values[i];
                }
            }
        if (given) take_given(trial, given);
        make_x(trial);
        return make_samples(trial);
    }

    // Keeps what an attempt made.
    void keep(const Trial& trial) {
        const Box &inputs = trial.inputs, &samples = trial.samples, &window = trial.window;
        const size_t of_inputs = with_room(inputs.count()), of_window = with_room(window.count());
        for (int row = inputs.y0; row < inputs.y1; row++) {
            const size_t from = inputs.place(row, inputs.x0), to = place(row, inputs.x0);
            for (int i = 0; i < inputs_; i++)
                std::copy_n(trial.new_inputs.data() + i * of_inputs + from, inputs.width(),
                            all_inputs_.data() + i * stride_ + to);
            for (int c = 0; c < count_; c++)
                std::copy_n(trial.new_x.data() + c * of_inputs + from, inputs.width(), x_.data() + c * stride_ + to);
        }
        for (int row = samples.y0; row < samples.y1; row++) {
            const size_t from = (size_t)(row - samples.y0) * window.width(), to = place(row, samples.x0);
            for (int c = 0; c < count_; c++)
                std::copy_n(trial.new_samples.data() + c * of_window + from, samples.width(),
                            samples_.data() + c * stride_ + to);
            std::copy_n(trial.new_errors.data() + from, samples.width(), errors_.data() + to);
        }
    }

private:
    const Group& group_;
    const Planes* given_;
    const Size size_;
    const int inputs_, count_, width_, refine_;
    const size_t stride_;  // from plane to plane
    // Layers, (inputs, outputs).
    std::vector<float> hidden_, output_, refining_, refined_, refining_bias_;
    const float *hidden_bias_, *output_bias_, *refined_bias_ = nullptr;
    const float *targets_[kMaxPlanes], *targets_end_;  // which have no room behind them
    const float* importance_[kMaxPlanes];              // likewise
    float weights_[kMaxPlanes];
    std::vector<Response> down_[kMaxGrids], along_[kMaxGrids];  // by grid and place
    std::vector<float> all_inputs_, x_, samples_, errors_;      // plane by plane

    size_t place(int y, int x) const { return (size_t)y * size_.width + x; }

    // Places whose inputs a latent of grid k reaches by itself; empty where the group does not read its grid.
    Box reach(int k, int y, int x) const {
        if (k < group_.first_grid) return {0, 0, 0, 0};
        const Response &rows = down_[k][y], &columns = along_[k][x];
        return {rows.start, rows.end(), columns.start, columns.end()};
    }
    // Places whose inputs change: by latents themselves, and by samples of `given_` that do.
    Box changed_inputs(int k, const Changes& changes, const Box* samples) const {
        Box own = reach(k, changes[0].y, changes[0].x);
        if (own.height())
            for (const Change& change : changes) own = own.with(reach(k, change.y, change.x));
        if (!samples) return own;
        const Box pooled{samples->y0 >> group_.y_exponent, ((samples->y1 - 1) >> group_.y_exponent) + 1,
                         samples->x0 >> group_.x_exponent, ((samples->x1 - 1) >> group_.x_exponent) + 1};
        return own.height() ? pooled.with(own) : pooled;
    }

    void find_responses(const Plan& plan, const float* w) {
        for (int k = group_.first_grid; k < plan.num_grids(); k++)
            for (const bool is_y : {true, false}) {
                const auto length = [&](int level) {
                    return is_y ? plan.grids[level].height : plan.grids[level].width;
                };
                std::vector<Response>& found = is_y ? down_[k] : along_[k];
                for (int place = 0; place < length(k); place++) {
                    Response response{place, {1.0f}};
                    if (plan.filter_reach)
                        response = filtered(response, length(k), w + plan.f + (size_t)k * (plan.filter_reach + 1),
                                            plan.filter_reach);
                    for (int level = k; level > group_.y_exponent; level--)
                        response =
                            upsampled(response, length(level), w + plan.u + 4 * (size_t)(level - 1), length(level - 1));
                    // Chroma of 4:2:2 reads the finest level, two columns a place.
                    if (!is_y && group_.x_exponent > group_.y_exponent)
                        response = halved(response, length(0), size_.width);
                    found.push_back(std::move(response));
                }
            }
    }

    // All that the latents make.
    void fill(const Plan& plan, const float* latents) {
        all_inputs_.assign(inputs_ * stride_, 0.0f);
        x_.assign(count_ * stride_, 0.0f);
        samples_.assign(count_ * stride_, 0.0f);
        errors_.assign(stride_, 0.0f);
        std::vector<float> wide(size_.width);
        for (int k = group_.first_grid; k < plan.num_grids(); k++) {
            const Size& grid = plan.grids[k];
            for (int y = 0; y < grid.height; y++) {
                std::fill(wide.begin(), wide.end(), 0.0f);
                const float* row = latents + plan.grid_starts[k] + (size_t)y * grid.width;
                for (int x = 0; x < grid.width; x++) {
                    const Response& response = along_[k][x];
                    for (size_t i = 0; i < response.values.size(); i++)
                        wide[response.start + i] += row[x] * response.values[i];
                }
                const Response& response = down_[k][y];
                for (size_t i = 0; i < response.values.size(); i++) {
                    float* to =
                        all_inputs_.data() + (k - group_.first_grid) * stride_ + (response.start + i) * size_.width;
                    for (int x = 0; x < size_.width; x++) to[x] += response.values[i] * wide[x];
                }
            }
        }
        // In bands of some thousand places: all x first, for samples read those of rows beside theirs.
        Trial trial;
        const int rows = std::max(1, 4096 / size_.width);
        for (int y = 0; y < size_.height; y += rows) {
            trial.inputs = {y, std::min(y + rows, size_.height), 0, size_.width};
            take_inputs(trial);
            if (given_) take_given(trial, nullptr);
            make_x(trial);
            keep(trial);
        }
        trial.inputs = {};
        for (int y = 0; y < size_.height; y += rows) {
            trial.samples = {y, std::min(y + rows, size_.height), 0, size_.width};
            make_samples(trial);
            keep(trial);
        }
    }

    // Inputs as they are.
    void take_inputs(Trial& trial) const {
        const Box& inputs = trial.inputs;
        const size_t plane = with_room(inputs.count());
        float* to = room_for(trial.new_inputs, inputs_ * plane);
        for (int i = 0; i < inputs_; i++)
            for (int row = inputs.y0; row < inputs.y1; row++)
                copy_row(all_inputs_.data() + i * stride_ + place(row, inputs.x0), inputs.width(),
                         to + i * plane + inputs.place(row, inputs.x0));
    }

    // What the other group gives, of a trial of it where there is one.
    void take_given(Trial& trial, const Trial* given) const {
        const Box& inputs = trial.inputs;
        float* to = trial.new_inputs.data() + (inputs_ - 1) * with_room(inputs.count());
        for (int row = inputs.y0; row < inputs.y1; row++)
            for (int column = inputs.x0; column < inputs.x1; column++)
                *to++ = given_->pooled(group_, row, column, given);
    }

    // x of the places whose inputs change.
    void make_x(Trial& trial) const {
        const int64_t count = (int64_t)trial.inputs.count();
        const size_t plane = with_room(count);
        float *units = room_for(trial.units, width_ * plane), *x = room_for(trial.new_x, count_ * plane);
        const float* rows[kMaxWidth + kMaxGrids + 1];
        for (int o = 0; o < width_; o++) rows[o] = units + o * plane;
        for (int i = 0; i < inputs_; i++) rows[width_ + i] = trial.new_inputs.data() + i * plane;
        const VF limit = splatf(kSynthesisLimit);
        layer(rows + width_, inputs_, hidden_.data(), hidden_bias_, width_, count,
              [&](int o, int64_t at, VF sum) { storef(units + o * plane + at, rectified(sum, limit)); });
        layer(rows, width_ + inputs_, output_.data(), output_bias_, count_, count,
              [&](int c, int64_t at, VF sum) { storef(x + c * plane + at, sum); });
    }

    // Samples of the places that change, of x as it is but for the trial's, and errors; returns how much these grow.
    double make_samples(Trial& trial) const {
        take_window(trial);
        const Box &samples = trial.samples, &window = trial.window;
        const int width = window.width();
        const size_t plane = with_room(window.count());
        const int64_t length = (int64_t)(samples.height() - 1) * width + samples.width();
        const float* here = trial.x.data() + window.place(samples.y0, samples.x0);
        float *made = room_for(trial.new_samples, count_ * plane), *errors = room_for(trial.new_errors, plane);
        const auto store = [&](int c, int64_t at, VF sum) {
            const VF sample = sum + loadf(here + c * plane + at);
            storef(made + c * plane + at, minf(splatf(1.0f), maxf(splatf(0.0f), sample)));
        };
        if (refine_) {
            float* units = room_for(trial.units, refine_ * plane);
            const float* rows[std::max(9 * kMaxPlanes, kMaxRefine)];
            for (int i = 0; i < 9 * count_; i++)
                rows[i] = trial.x.data() + (i / 9) * plane + (i % 9 / 3) * width + i % 3;
            const VF limit = splatf(kRefineLimit);
            layer(rows, 9 * count_, refining_.data(), refining_bias_.data(), refine_, length,
                  [&](int r, int64_t at, VF sum) { storef(units + r * plane + at, rectified(sum, limit)); });
            for (int r = 0; r < refine_; r++) rows[r] = units + r * plane;
            layer(rows, refine_, refined_.data(), refined_bias_, count_, length, store);
        } else {
            for (int c = 0; c < count_; c++)
                for (int64_t at = 0; at < length; at += kFloats) store(c, at, splatf(0.0f));
        }
        VF growth = splatf(0.0f);
        for (int row = samples.y0; row < samples.y1; row++) {
            const size_t in_trial = (size_t)(row - samples.y0) * width, in_planes = place(row, samples.x0);
            for (int x = 0; x < samples.width(); x += kFloats) {
                VF error = splatf(0.0f);
                for (int c = 0; c < count_; c++) {
                    const size_t at = in_planes + x;
                    const bool has_room = targets_end_ - (targets_[c] + at) >= kFloats;
                    const auto load = [&](const float* plane) {
                        return has_room ? loadf(plane + at)
                                        : load_first(plane + at, std::min(samples.width() - x, kFloats));
                    };
                    const VF off = loadf(made + c * plane + in_trial + x) - load(targets_[c]);
                    const VF counted = importance_[c] ? off * load(importance_[c]) : off;
                    error = fma(splatf(weights_[c]) * counted, off, error);
                }
                storef(errors + in_trial + x, error);
                growth = growth + first_lanes(error - loadf(errors_.data() + in_planes + x), samples.width() - x);
            }
        }
        return sum_lanes(growth);
    }

    // x around samples that change, repeated over the edges.
    void take_window(Trial& trial) const {
        trial.window = trial.samples.grown(refine_ ? 1 : 0);
        const Box &inputs = trial.inputs, &window = trial.window, known = window.within(size_);
        const size_t plane = with_room(window.count());
        float* x = room_for(trial.x, count_ * plane);
        for (int c = 0; c < count_; c++)
            for (int y = window.y0; y < window.y1; y++) {
                const int row = std::clamp(y, 0, size_.height - 1);
                const float* from = x_.data() + c * stride_ + place(row, known.x0);
                float* whole = x + c * plane + window.place(y, window.x0);
                float* to = whole + (known.x0 - window.x0);
                if (row >= inputs.y0 && row < inputs.y1) {
                    const int before = inputs.x0 - known.x0, until = inputs.x1 - known.x0;
                    copy_row(from, before, to);
                    copy_row(trial.new_x.data() + c * with_room(inputs.count()) + inputs.place(row, inputs.x0),
                             inputs.width(), to + before);
                    copy_row(from + until, known.x1 - inputs.x1, to + until);
                } else {
                    copy_row(from, known.width(), to);
                }
                if (window.x0 < known.x0) whole[0] = to[0];
                if (window.x1 > known.x1) to[known.width()] = to[known.width() - 1];
            }
    }

    // What a place of another group is given of this one, which has one plane; of a trial where that has it.
    float pooled(const Group& other, int y, int x, const Trial* trial) const {
        const int rows = 1 << other.y_exponent, columns = 1 << other.x_exponent;
        float sum = 0.0f;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                const int row = std::min(y * rows + i, size_.height - 1),
                          column = std::min(x * columns + j, size_.width - 1);
                sum += trial && trial->samples.holds(row, column)
                           ? trial->new_samples[(size_t)(row - trial->samples.y0) * trial->window.width() +
                                                (column - trial->samples.x0)]
                           : samples_[place(row, column)];
            }
        return kGivenGain * (sum / (float)(rows * columns) - 0.5f);
    }
};

struct Known {
    float bits, location, scale;
};

// A latent whose bits an attempt changes, and what they are then.
struct Involved {
    int y, x;
    size_t at;
    Known trial;
};

// Those of an attempt, in the grid of the changes and the two finer ones. Each thread has its own, with a number of its
// own for each list that it makes.
struct InvolvedList {
    std::vector<Involved> latents[3];
    int64_t number, step;
};

// Bits of all latents, each with the distribution that its context gives.
class Bits {
public:
    Bits(const Plan& plan, const ChoiceJob& job, int num_threads)
        : plan_(plan), latents_(job.latents), inputs_(plan.num_inputs() + plan.num_hyper), width_(plan.hidden[0]),
          enlarged_(HyperPlanes::count(plan)), hyper_(plan, enlarged_.data(), job.latents) {
        in_parallel(num_threads, [&](int part) {
            for (int i = part; i < plan.num_hyper; i += num_threads) hyper_.enlarge(i);
        });
        const float* w = job.weights;
        const int others = plan.num_inputs();
        // Row o of what comes from other inputs, and from hyper grids.
        const auto weight = [&](size_t matrix, size_t of_hyper, int o, int i) {
            return i < others ? w[matrix + (size_t)o * others + i]
                              : w[of_hyper + (size_t)o * plan.num_hyper + (i - others)];
        };
        first_ = by_inputs(inputs_, width_, [&](int o, int i) { return weight(plan.w1, plan.h1, o, i); });
        biases_ = w + plan.b1;
        if (plan.hidden.size() == 2) {
            last_width_ = plan.hidden[1];
            second_ = by_inputs(width_, last_width_, [&](int o, int i) { return w[plan.w2 + (size_t)o * width_ + i]; });
            second_bias_ = w + plan.b2;
        } else {
            last_width_ = width_;
        }
        last_ = by_inputs(last_width_ + inputs_, 2, [&](int o, int i) {
            return i < last_width_ ? w[plan.w3 + (size_t)o * last_width_ + i]
                                   : weight(plan.l, plan.hl, o, i - last_width_);
        });
        last_bias_ = w + plan.b3;
        for (const Size& grid : plan.grids) {
            offsets_.emplace_back();
            for (const auto& [dy, dx] : plan.taps) offsets_.back().push_back((ptrdiff_t)dy * grid.width + dx);
        }
        for (int y = -2; y < 4; y++)
            for (int x = -2; x < 4; x++) {
                const int up = -(y >> 1), left = -(x >> 1);
                if (up == 0 || left == 0 || (up == (y & 1 ? 1 : -1) && left == (x & 1 ? 1 : -1)))
                    children_.emplace_back(y, x);
            }
        known_.resize(plan.num_latents);
        listed_.assign(plan.num_latents, -1);
        in_parallel(num_threads, [&](int part) {
            Involved some[kFloats];
            for (int k = 0; k < plan.num_grids(); k++)
                for (int y = part; y < plan.grids[k].height; y += num_threads)
                    for (int x = 0; x < plan.grids[k].width; x += kFloats) {
                        const int count = std::min(kFloats, plan.grids[k].width - x);
                        for (int i = 0; i < count; i++) some[i] = {y, x + i, place(k, y, x + i), {}};
                        find(k, some, count);
                        for (int i = 0; i < count; i++) known_[some[i].at] = some[i].trial;
                    }
        });
    }

    size_t place(int k, int y, int x) const { return plan_.grid_starts[k] + (size_t)y * plan_.grids[k].width + x; }

    // Bits of a latent if it alone takes a value.
    double own_bits(size_t at, float value) const {
        float bits[kFloats];
        storef(bits, bits_of(splatf(value - known_[at].location), splatf(known_[at].scale)));
        return bits[0];
    }

    // Bits of all latents whose own value or context changes with one.
    double around(int k, const Change& change) const {
        double sum = known_[place(k, change.y, change.x)].bits;
        for_dependents(k, change.y, change.x,
                       [&](int level, int y, int x) { sum += known_[place(k - level, y, x)].bits; });
        return sum;
    }

    // The same of some changes; lists these latents.
    double list(int k, const Changes& changes, InvolvedList& involved) {
        for (std::vector<Involved>& latents : involved.latents) latents.clear();
        involved.number += involved.step;
        // Those that change come first: they say most of whether it is worth while.
        if (changes.size() == 1) {
            const auto add = [&](int level, int y, int x) {
                involved.latents[level].push_back({y, x, place(k - level, y, x), {}});
            };
            add(0, changes[0].y, changes[0].x);
            for_dependents(k, changes[0].y, changes[0].x, add);
        } else {
            const auto add = [&](int level, int y, int x) {
                const size_t at = place(k - level, y, x);
                if (listed_[at] == involved.number) return;
                listed_[at] = involved.number;
                involved.latents[level].push_back({y, x, at, {}});
            };
            for (const Change& change : changes) add(0, change.y, change.x);
            for (const Change& change : changes) for_dependents(k, change.y, change.x, add);
        }
        double sum = 0.0;
        for (const std::vector<Involved>& latents : involved.latents)
            for (const Involved& one : latents) sum += known_[one.at].bits;
        return sum;
    }

    // By how much all bits grow, infinitely where that is sure to be by `most` or more.
    //
    // involved, left: what `list` made of these changes.
    double attempt(int k, const Changes& changes, InvolvedList& involved, double left, double most) {
        for (const Change& change : changes) latents_[place(k, change.y, change.x)] += change.step;
        double growth = 0.0;
        for (int level = 0; level < 3; level++) {
            std::vector<Involved>& latents = involved.latents[level];
            for (size_t start = 0; start < latents.size() && growth - left < most; start += kFloats) {
                const int count = (int)std::min<size_t>(kFloats, latents.size() - start);
                find(k - level, latents.data() + start, count);
                for (size_t i = start; i < start + count; i++) {
                    const double known = known_[latents[i].at].bits;
                    growth += (double)latents[i].trial.bits - known;
                    left -= known;
                }
            }
        }
        for (const Change& change : changes) latents_[place(k, change.y, change.x)] -= change.step;
        return growth - left < most ? growth : std::numeric_limits<double>::infinity();
    }

    // Keeps what an attempt found.
    void keep(int k, const Changes& changes, const InvolvedList& involved) {
        for (const Change& change : changes) latents_[place(k, change.y, change.x)] += change.step;
        for (const std::vector<Involved>& latents : involved.latents)
            for (const Involved& one : latents) known_[one.at] = one.trial;
    }

private:
    // The part of a grid over the patch that holds a place.
    struct Part {
        int top, left, bottom, right;
        bool holds(int y, int x) const { return y >= top && y < bottom && x >= left && x < right; }
        bool holds_around(int y, int x) const { return y > top && y + 1 < bottom && x > left && x + 1 < right; }
    };

    const Plan& plan_;
    float* latents_;
    const int inputs_, width_;
    std::vector<float> enlarged_;
    const HyperPlanes hyper_;  // which no choice changes
    int last_width_;
    // Layers, (inputs, outputs); the last one is given the straight path's inputs too.
    std::vector<float> first_, second_, last_;
    const float *biases_, *second_bias_ = nullptr, *last_bias_;
    std::vector<std::vector<ptrdiff_t>> offsets_;  // of taps, by grid
    std::vector<std::pair<int, int>> children_;    // latents of the next finer grid that read one at (0, 0)
    std::vector<Known> known_;
    std::vector<int64_t> listed_;  // number of the list that each latent was added to last

    Part part_of(int k, int y, int x) const {
        const int side = plan_.patch_size >> k, top = y / side * side, left = x / side * side;
        return {top, left, std::min(top + side, plan_.grids[k].height), std::min(left + side, plan_.grids[k].width)};
    }
    float latent(const Part& part, int k, int y, int x) const {
        return part.holds(y, x) ? latents_[place(k, y, x)] : 0.0f;
    }

    // The network's inputs for a latent, into a lane of each row.
    void take_inputs(int k, int y, int x, float* lane) const {
        const auto put = [&](float value) {
            *lane = value;
            lane += kFloats;
        };
        const Part part = part_of(k, y, x);
        if (y >= part.top + 3 && x >= part.left + 3 && x + 3 < part.right) {
            const float* here = latents_ + place(k, y, x);
            for (const ptrdiff_t offset : offsets_[k]) put(here[offset]);
        } else {
            for (const auto& [dy, dx] : plan_.taps) put(latent(part, k, y + dy, x + dx));
        }
        const bool has_parents = k + 1 < plan_.num_grids(), has_grandparent = k + 2 < plan_.num_grids();
        const int py = y >> 1, px = x >> 1, sy = y & 1 ? 1 : -1, sx = x & 1 ? 1 : -1;
        if (!has_parents) {
            for (int i = 0; i < kNumParents - 1; i++) put(0.0f);
        } else if (const Part above = part_of(k + 1, py, px); above.holds_around(py, px)) {
            const ptrdiff_t row = plan_.grids[k + 1].width;
            const float* here = latents_ + place(k + 1, py, px);
            put(here[0]);
            put(here[sy * row]);
            put(here[sx]);
            put(here[sy * row + sx]);
            put(here[-sy * row]);
            put(here[-sx]);
        } else {
            const std::pair<int, int> places[] = {{py, px},           {py + sy, px}, {py, px + sx},
                                                  {py + sy, px + sx}, {py - sy, px}, {py, px - sx}};
            for (const auto& [a, b] : places) put(latent(above, k + 1, a, b));
        }
        put(has_grandparent ? latents_[place(k + 2, y >> 2, x >> 2)] : 0.0f);
        for (int i = 0; i < plan_.num_hyper; i++) put(plan_.hyper_level(i) < k ? 0.0f : hyper_input(i, k, y, x));
    }

    // A hyper grid at a place of grid k.
    float hyper_input(int i, int k, int y, int x) const {
        if (k > 0 || plan_.hyper_level(i) == 0) return hyper_.at(i, k)[(size_t)y * plan_.grids[k].width + x];
        // The finest resolution is not kept.
        const Part above = part_of(1, y >> 1, x >> 1);
        const float* plane = hyper_.at(i, 1);
        const int py = y >> 1, px = x >> 1, ny = y & 1 ? py + 1 : py - 1, nx = x & 1 ? px + 1 : px - 1;
        const auto at = [&](int row, int column) {
            return above.holds(row, column) ? plane[(size_t)row * plan_.grids[1].width + column] : 0.0f;
        };
        return 0.0625f * (3.0f * (3.0f * at(py, px) + at(ny, px)) + (3.0f * at(py, nx) + at(ny, nx)));
    }

    // Distributions and bits of up to kFloats latents of grid k, with latents as they are, into their trials.
    void find(int k, Involved* some, int count) const {
        // Rows of the last layer's inputs: its hidden units, then all inputs.
        alignas(64) float rows[(kMaxWidth + kMaxTaps + kNumParents + kMaxHyper) * kFloats], hidden[kMaxWidth * kFloats],
            values[kFloats] = {}, outputs[3][kFloats];
        float* inputs = rows + last_width_ * kFloats;
        for (int i = 0; i < count; i++) {
            take_inputs(k, some[i].y, some[i].x, inputs + i);
            values[i] = latents_[some[i].at];
        }
        for (int i = count; i < kFloats; i++)
            for (int j = 0; j < inputs_; j++) inputs[j * kFloats + i] = 0.0f;
        layer(inputs, inputs_, first_, biases_ + (size_t)k * width_, width_, second_.empty() ? rows : hidden);
        if (!second_.empty()) layer(hidden, width_, second_, second_bias_, last_width_, rows);
        VF sums[2] = {splatf(last_bias_[0]), splatf(last_bias_[1])};
        for (int i = 0; i < last_width_ + inputs_; i++)
            for (int o = 0; o < 2; o++) sums[o] = fma(loadf(rows + i * kFloats), splatf(last_[2 * i + o]), sums[o]);
        storef(outputs[0], bits_of(loadf(values) - sums[0], sums[1]));
        storef(outputs[1], sums[0]);
        storef(outputs[2], sums[1]);
        for (int i = 0; i < count; i++) some[i].trial = {outputs[0][i], outputs[1][i], outputs[2][i]};
    }

    // Hidden units of as many latents as a vector has lanes.
    static void layer(const float* in, int num_inputs, const std::vector<float>& matrix, const float* bias,
                      int num_outputs, float* out) {
        const float* rows[kMaxWidth];
        for (int i = 0; i < num_inputs; i++) rows[i] = in + i * kFloats;
        const VF limit = splatf(kEntropyLimit);
        for_blocks(num_outputs, 8, [&](int start, int size) {
            with_size<8>(size, [&](auto size) {
                combine_block<decltype(size)::value, 1>(
                    rows, num_inputs, matrix.data() + start, num_outputs, bias + start, 0,
                    [&](int r, int64_t, VF sum) { storef(out + (start + r) * kFloats, rectified(sum, limit)); });
            });
        });
    }

    static VF bits_of(VF difference, VF output) {
        const VF distance = magnitude(difference);
        const LaplaceScale of = laplace_scale(output);
        return -log2_of(laplace_bin(distance, of.scale, laplace_tails(distance, of.inverse)).probability);
    }

    // f(levels below grid k, y, x) for all latents whose contexts hold one of grid k.
    template <typename F>
    void for_dependents(int k, int y, int x, const F& f) const {
        const Part part = part_of(k, y, x);
        for (const auto& [dy, dx] : plan_.taps)
            if (part.holds(y - dy, x - dx)) f(0, y - dy, x - dx);
        if (k == 0) return;
        const Part children = part_of(k - 1, 2 * y, 2 * x);
        for (const auto& [dy, dx] : children_)
            if (children.holds(2 * y + dy, 2 * x + dx)) f(1, 2 * y + dy, 2 * x + dx);
        if (k == 1) return;
        const Part finest = part_of(k - 2, 4 * y, 4 * x);
        for (int cy = 4 * y; cy < 4 * y + 4; cy++)
            for (int cx = 4 * x; cx < 4 * x + 4; cx++)
                if (finest.holds(cy, cx)) f(2, cy, cx);
    }
};

// Rectangles of latents are gone through in bands of rows of luma, side by side: first those that have to do with one
// band alone, then those at the border of two, which lies far enough from the next. What comes of it does not depend on
// the number of threads.
class Choice {
public:
    Choice(const Plan& plan, ChoiceJob& job, int num_threads)
        : plan_(plan), job_(job), num_threads_(num_threads), num_grids_(std::min(job.num_grids, plan.num_grids())),
          bits_(plan, job, num_threads) {
        groups_.reserve(plan.groups.size());
        for (const Group& group : plan.groups)
            groups_.emplace_back(plan, group, job, group.num_given ? &groups_[0] : nullptr);
    }

    void run() {
        const int num_bands = (plan_.grids[0].height + kBand - 1) / kBand;
        std::vector<Worker> workers;
        for (int part = 0; part < num_threads_; part++) workers.emplace_back(groups_.size(), part, num_threads_);
        for (const bool at_border : {false, true})
            in_parallel(num_threads_, [&](int part) {
                for (int band = part; band < num_bands; band += num_threads_)
                    for (int k = 0; k < std::min(num_grids_, kBandGrids); k++)
                        go_through(k, workers[part], [&](int top, int bottom) {
                            return top / kBand == band && ((bottom - 1) / kBand > band) == at_border;
                        });
            });
        for (int k = kBandGrids; k < num_grids_; k++) go_through(k, workers[0], [](int, int) { return true; });
        for (const Worker& worker : workers) {
            job_.changes += worker.num_changed;
            job_.gain += worker.gain;
        }
    }

private:
    static constexpr std::pair<int, int> kShapes[] = {{1, 1},  {1, 2},  {2, 1},   {2, 2},  {1, 4},
                                                      {4, 1},  {4, 4},  {1, 8},   {8, 1},  {8, 8},
                                                      {1, 16}, {16, 1}, {16, 16}, {1, 32}, {32, 1}};
    // Rows of luma, and the grids whose latents reach so little of them that borders stay apart.
    static constexpr int kBand = 512, kBandGrids = 4;

    // Rows of luma to either side of a latent of grid k that anything about it may touch: contexts of contexts, and the
    // samples that its upsampling reaches, with what refinement and chroma read around them.
    static int margin(int k) { return (7 << k) + 8; }
    static_assert(2 * (2 * ((7 << (kBandGrids - 1)) + 8) + kLongestChoice) <= kBand);

    // Of how single latents bend the errors, what a rectangle's are taken to do at least; found by trial.
    static constexpr double kBendShare = 0.25;

    struct Worker {
        InvolvedList involved;
        std::vector<Trial> trials;
        Changes changes;
        // Of single latents of the grid in hand: by how much more than their slopes say errors grew, summed up, and how
        // many were looked at.
        double bend = 0.0;
        int64_t num_bends = 0;
        int64_t num_changed = 0;
        double gain = 0.0;

        Worker(size_t num_groups, int part, int num_parts) : involved{{}, part, num_parts}, trials(num_groups) {}
    };

    const Plan& plan_;
    ChoiceJob& job_;
    const int num_threads_, num_grids_;
    Bits bits_;
    std::vector<Planes> groups_;

    // `is_wanted(top, end)` of the rows of luma that a rectangle has to do with.
    template <typename F>
    void go_through(int k, Worker& worker, F is_wanted) {
        const Size& grid = plan_.grids[k];
        worker.bend = 0.0;
        worker.num_bends = 0;
        for (const auto& [height, width] : kShapes) {
            if (std::max(height, width) > std::max(1, job_.longest >> (2 * k))) continue;
            // Areas of coarser grids take a third of the time and bring a hundredth of what there is to win.
            if (k > 0 && std::min(height, width) > 1) continue;
            // Larger ones overlap by three quarters.
            for (int y = 0; y + height <= grid.height; y += std::max(1, height / 4)) {
                const int top = std::max(0, (y << k) - margin(k)),
                          end = std::min(plan_.grids[0].height, ((y + height) << k) + margin(k));
                if (!is_wanted(top, end)) continue;
                for (int x = 0; x + width <= grid.width; x += std::max(1, width / 4))
                    choose(k, y, x, height, width, worker);
            }
        }
    }

    // Latents of a rectangle: all of one value beside it, or a single one moved by one.
    void choose(int k, int y, int x, int height, int width, Worker& worker) {
        const Size& grid = plan_.grids[k];
        const auto latent = [&](int row, int column) { return job_.latents[bits_.place(k, row, column)]; };
        float values[6], best = 0.0f;
        int count = 0;
        const auto consider = [&](float value) {
            if (std::find(values, values + count, value) == values + count) values[count++] = value;
        };
        if (y > 0) consider(latent(y - 1, x));
        if (x > 0) consider(latent(y, x - 1));
        if (x + width < grid.width) consider(latent(y, x + width));
        if (y + height < grid.height) consider(latent(y + height, x));
        if (height * width == 1) {
            consider(latent(y, x) + 1.0f);
            consider(latent(y, x) - 1.0f);
        }
        const auto list_changes = [&](float value) {
            worker.changes.clear();
            for (int row = y; row < y + height; row++)
                for (int column = x; column < x + width; column++)
                    if (const float step = value - latent(row, column); step != 0.0f)
                        worker.changes.push_back({row, column, step});
        };
        double least = 0.0;
        for (int i = 0; i < count; i++) {
            list_changes(values[i]);
            const double growth = worker.changes.empty() ? 0.0 : attempt(k, least, worker);
            if (growth >= least) continue;
            least = growth;
            best = values[i];
        }
        if (least == 0.0) return;
        list_changes(best);
        const double left = bits_.list(k, worker.changes, worker.involved);
        bits_.attempt(k, worker.changes, worker.involved, left, kNone);
        attempt_samples(k, worker);
        bits_.keep(k, worker.changes, worker.involved);
        for (size_t g = 0; g < groups_.size(); g++) groups_[g].keep(worker.trials[g]);
        worker.num_changed += (int64_t)worker.changes.size();
        worker.gain -= least;
    }

    static constexpr double kNone = std::numeric_limits<double>::infinity();

    double attempt_samples(int k, Worker& worker) const {
        double growth = 0.0;
        for (size_t g = 0; g < groups_.size(); g++)
            growth += groups_[g].attempt(k, worker.changes, worker.trials[g],
                                         plan_.groups[g].num_given ? &worker.trials[0] : nullptr);
        return growth;
    }

    // By how much the loss grows; `least` where that is sure to be so or more, or as good as sure for a rectangle.
    double attempt(int k, double least, Worker& worker) {
        const Changes& changes = worker.changes;
        double slope = 0.0, squares = 0.0;
        // Errors bend upwards: they fall by no more than their slope says, unless it has changed.
        for (const Change& change : changes) {
            slope += (double)job_.slopes[bits_.place(k, change.y, change.x)] * change.step;
            squares += (double)change.step * change.step;
        }
        const bool is_single = changes.size() == 1;
        const double bend = !is_single && worker.num_bends ? std::max(worker.bend, 0.0) / worker.num_bends : 0.0,
                     least_errors = slope + kBendShare * bend * squares;
        const double most = (least - least_errors) / job_.bits_weight;
        if (is_single) {
            const double left = bits_.around(k, changes[0]);
            const size_t at = bits_.place(k, changes[0].y, changes[0].x);
            if (-left >= most || bits_.own_bits(at, job_.latents[at] + changes[0].step) - left >= most) return least;
        }
        const double left = bits_.list(k, changes, worker.involved);
        if (-left >= most) return least;
        const double rate = bits_.attempt(k, changes, worker.involved, left, most) * job_.bits_weight;
        if (least_errors + rate >= least) return least;
        const double errors = attempt_samples(k, worker);
        if (is_single) {
            worker.bend += (errors - slope) / squares;
            worker.num_bends++;
        }
        return rate + errors;
    }
};

}  // namespace
}  // namespace pyramid

using namespace pyramid;

void pyramid_choose(const Plan& plan, ChoiceJob& job, int num_threads) { Choice(plan, job, num_threads).run(); }

}  // namespace C3_ISA
}  // namespace c3
