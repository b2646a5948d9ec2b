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
using c3::pyramid::kMaxTaps;
using c3::pyramid::kMaxWidth;
using c3::pyramid::kNumParents;
using c3::pyramid::kRefineLimit;
using c3::pyramid::kSynthesisLimit;
using c3::pyramid::Plan;
using c3::pyramid::Size;

namespace {

constexpr int kMaxPadded = (kMaxWidth + kFloats - 1) / kFloats * kFloats;

int padded(int count) { return (count + kFloats - 1) / kFloats * kFloats; }

// Outputs of a layer for one place: the matrix lies by inputs, its outputs padded with zeros to whole vectors.
struct Layer {
    int inputs = 0, outputs = 0;
    std::vector<float> matrix, bias;

    Layer() = default;
    // `weight(output, input)`.
    template <typename F>
    Layer(int num_inputs, int num_outputs, F weight, const float* biases)
        : inputs(num_inputs), outputs(padded(num_outputs)), matrix((size_t)num_inputs * outputs, 0.0f),
          bias(outputs, 0.0f) {
        for (int i = 0; i < num_inputs; i++)
            for (int o = 0; o < num_outputs; o++) matrix[(size_t)i * outputs + o] = weight(o, i);
        if (biases) std::copy_n(biases, num_outputs, bias.begin());
    }
    // max(sum, 0), at most `limit`.
    void rectified_to(const float* in, const float* biases, float limit, float* out) const {
        const VF most = splatf(limit);
        for (int o = 0; o < outputs; o += kFloats) {
            // Two sums, since each product waits for the one before it in its sum.
            VF sum = loadf(biases + o), other = splatf(0.0f);
            const float* row = matrix.data() + o;
            int i = 0;
            for (; i + 1 < inputs; i += 2, row += 2 * outputs) {
                sum = fma(splatf(in[i]), loadf(row), sum);
                other = fma(splatf(in[i + 1]), loadf(row + outputs), other);
            }
            if (i < inputs) sum = fma(splatf(in[i]), loadf(row), sum);
            storef(out + o, rectified(sum + other, most));
        }
    }
};

// Rows of weights that are summed over their inputs, each padded with zeros.
struct Rows {
    int stride = 0;
    std::vector<float> values;

    Rows() = default;
    Rows(const float* from, int rows, int length) : stride(padded(length)), values((size_t)rows * stride, 0.0f) {
        for (int r = 0; r < rows; r++)
            std::copy_n(from + (size_t)r * length, length, values.begin() + (size_t)r * stride);
    }
    // `in` has zeros, or anything finite, up to whole vectors.
    VF products(int row, const float* in) const {
        VF total = splatf(0.0f);
        for (int i = 0; i < stride; i += kFloats)
            total = fma(loadf(values.data() + (size_t)row * stride + i), loadf(in + i), total);
        return total;
    }
    float sum(int row, const float* in) const { return sum_lanes(products(row, in)); }
};

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
    Box grown(int by, const Size& size) const {
        return {std::max(y0 - by, 0), std::min(y1 + by, size.height), std::max(x0 - by, 0),
                std::min(x1 + by, size.width)};
    }
    Box with(const Box& other) const {
        return {std::min(y0, other.y0), std::max(y1, other.y1), std::min(x0, other.x0), std::max(x1, other.x1)};
    }
};

// What an attempt makes of a group, until it is kept. Each thread has its own.
struct Trial {
    Box inputs{}, samples{}, window{};  // places whose inputs and samples change; what is known of x around them
    std::vector<float> new_inputs, new_x, new_samples, new_errors;
};

// A group of planes as the latents make it. What belongs to a place lies together.
class Planes {
public:
    Planes(const Plan& plan, const Group& group, const ChoiceJob& job, const Planes* given)
        : group_(group), given_(given), size_(group.size), inputs_(group.num_inputs), count_(group.num_planes),
          refine_(plan.refine_width) {
        const float* w = job.weights;
        hidden_ = Layer(
            inputs_, plan.synthesis_width, [&](int o, int i) { return w[group.v1 + (size_t)o * inputs_ + i]; },
            w + group.c1);
        second_ = Rows(w + group.v2, count_, plan.synthesis_width);
        straight_.assign(w + group.m, w + group.m + (size_t)count_ * inputs_);
        bias_.assign(w + group.c2, w + group.c2 + count_);
        if (refine_) {
            const int taps = 9 * count_;
            // Weights are (channels, planes, places); a place's planes are read together.
            refining_ = Layer(
                taps, refine_,
                [&](int r, int i) { return w[group.r1 + (size_t)r * taps + (size_t)(i % count_) * 9 + i / count_]; },
                w + group.d1);
            refined_ = Rows(w + group.r2, count_, refine_);
            refined_bias_.assign(w + group.d2, w + group.d2 + count_);
        }
        size_t first = 0;
        for (const Group& other : plan.groups) {
            if (&other == &group) break;
            first += other.num_planes * other.size.count();
        }
        for (int c = 0; c < count_; c++) {
            targets_[c] = job.targets + first + c * size_.count();
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
        trial.samples = trial.inputs.grown(refine_ ? 1 : 0, size_);
        trial.window = trial.samples.grown(refine_ ? 1 : 0, size_);
        const Box &inputs = trial.inputs, &samples = trial.samples, &window = trial.window;
        trial.new_inputs.resize(inputs.count() * inputs_);
        trial.new_x.resize(window.count() * count_);
        for (int row = window.y0; row < window.y1; row++)
            std::copy_n(x_.data() + place(row, window.x0) * count_, (size_t)window.width() * count_,
                        trial.new_x.data() + window.place(row, window.x0) * count_);
        for (int row = inputs.y0; row < inputs.y1; row++)
            std::copy_n(all_inputs_.data() + place(row, inputs.x0) * inputs_, (size_t)inputs.width() * inputs_,
                        trial.new_inputs.data() + inputs.place(row, inputs.x0) * inputs_);
        if (k >= group_.first_grid)
            for (const Change& change : changes) {
                const Response &down = down_[k][change.y], &along = along_[k][change.x];
                for (int row = down.start; row < down.end(); row++) {
                    const float part = change.step * down.values[row - down.start];
                    float* z =
                        trial.new_inputs.data() + inputs.place(row, along.start) * inputs_ + k - group_.first_grid;
                    for (const float value : along.values) {
                        *z += part * value;
                        z += inputs_;
                    }
                }
            }
        for (int row = inputs.y0; row < inputs.y1; row++)
            for (int column = inputs.x0; column < inputs.x1; column++) {
                float* z = trial.new_inputs.data() + inputs.place(row, column) * inputs_;
                if (given) z[inputs_ - 1] = given_->pooled(group_, row, column, given);
                synthesise(z, trial.new_x.data() + window.place(row, column) * count_);
            }
        trial.new_samples.resize(samples.count() * count_);
        trial.new_errors.resize(samples.count());
        double growth = 0.0;
        for (int row = samples.y0; row < samples.y1; row++)
            for (int column = samples.x0; column < samples.x1; column++) {
                const size_t at = samples.place(row, column);
                finish(trial.new_x.data(), window, row, column, trial.new_samples.data() + at * count_,
                       trial.new_errors[at]);
                growth += (double)trial.new_errors[at] - errors_[place(row, column)];
            }
        return growth;
    }

    // Keeps what an attempt made.
    void keep(const Trial& trial) {
        const Box &inputs = trial.inputs, &samples = trial.samples;
        for (int row = inputs.y0; row < inputs.y1; row++) {
            const size_t to = place(row, inputs.x0), count = inputs.width();
            std::copy_n(trial.new_inputs.data() + inputs.place(row, inputs.x0) * inputs_, count * inputs_,
                        all_inputs_.data() + to * inputs_);
            std::copy_n(trial.new_x.data() + trial.window.place(row, inputs.x0) * count_, count * count_,
                        x_.data() + to * count_);
        }
        for (int row = samples.y0; row < samples.y1; row++) {
            const size_t from = samples.place(row, samples.x0), to = place(row, samples.x0), count = samples.width();
            std::copy_n(trial.new_samples.data() + from * count_, count * count_, samples_.data() + to * count_);
            std::copy_n(trial.new_errors.data() + from, count, errors_.data() + to);
        }
    }

private:
    const Group& group_;
    const Planes* given_;
    const Size size_;
    const int inputs_, count_, refine_;
    Layer hidden_, refining_;
    Rows second_, refined_;
    std::vector<float> straight_, bias_, refined_bias_;
    const float* targets_[kMaxPlanes];
    float weights_[kMaxPlanes];
    std::vector<Response> down_[kMaxGrids], along_[kMaxGrids];  // by grid and place
    std::vector<float> all_inputs_, x_, samples_, errors_;      // by place

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
        all_inputs_.assign(size_.count() * inputs_, 0.0f);
        x_.resize(size_.count() * count_);
        samples_.resize(size_.count() * count_);
        errors_.resize(size_.count());
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
                        all_inputs_.data() + (response.start + i) * size_.width * inputs_ + (k - group_.first_grid);
                    for (int x = 0; x < size_.width; x++) to[(size_t)x * inputs_] += response.values[i] * wide[x];
                }
            }
        }
        for (int y = 0; y < size_.height; y++)
            for (int x = 0; x < size_.width; x++) {
                float* z = all_inputs_.data() + place(y, x) * inputs_;
                if (given_) z[inputs_ - 1] = given_->pooled(group_, y, x, nullptr);
                synthesise(z, x_.data() + place(y, x) * count_);
            }
        const Box all{0, size_.height, 0, size_.width};
        for (int y = 0; y < size_.height; y++)
            for (int x = 0; x < size_.width; x++)
                finish(x_.data(), all, y, x, samples_.data() + place(y, x) * count_, errors_[place(y, x)]);
    }

    void synthesise(const float* z, float* x) const {
        alignas(64) float units[kMaxPadded];
        hidden_.rectified_to(z, hidden_.bias.data(), kSynthesisLimit, units);
        for (int c = 0; c < count_; c++) {
            float sum = bias_[c] + second_.sum(c, units);
            for (int i = 0; i < inputs_; i++) sum += straight_[(size_t)c * inputs_ + i] * z[i];
            x[c] = sum;
        }
    }

    // Samples (planes,) of a place and their error, from x of the places of a box.
    void finish(const float* x, const Box& box, int row, int column, float* samples, float& error) const {
        const float* here = x + box.place(row, column) * count_;
        std::copy_n(here, count_, samples);
        if (refine_) {
            float around[9 * kMaxPlanes];
            float* to = around;
            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++) {
                    const float* from = x + box.place(std::clamp(row + dy, 0, size_.height - 1),
                                                      std::clamp(column + dx, 0, size_.width - 1)) *
                                                count_;
                    for (int c = 0; c < count_; c++) *to++ = from[c] - 0.5f;
                }
            alignas(64) float units[kMaxPadded];
            refining_.rectified_to(around, refining_.bias.data(), kRefineLimit, units);
            for (int c = 0; c < count_; c++) samples[c] += refined_bias_[c] + refined_.sum(c, units);
        }
        error = 0.0f;
        for (int c = 0; c < count_; c++) {
            samples[c] = std::clamp(samples[c], 0.0f, 1.0f);
            const float off = samples[c] - targets_[c][place(row, column)];
            error += weights_[c] * off * off;
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
                           ? trial->new_samples[trial->samples.place(row, column)]
                           : samples_[place(row, column)];
            }
        return kGivenGain * (sum / (float)(rows * columns) - 0.5f);
    }
};

struct Known {
    float bits, location, scale;
};

// A latent whose bits an attempt changes.
struct Involved {
    int k, y, x;
    Known trial;
};

// Those of an attempt. Each thread has its own, with a number of its own for each list that it makes.
struct InvolvedList {
    std::vector<Involved> latents;
    int64_t number, step;
};

// Bits of all latents, each with the distribution that its context gives.
class Bits {
public:
    Bits(const Plan& plan, const ChoiceJob& job, int num_threads)
        : plan_(plan), latents_(job.latents), inputs_(plan.num_inputs()), width_(plan.hidden[0]) {
        const float* w = job.weights;
        first_ = Layer(inputs_, width_, [&](int o, int i) { return w[plan.w1 + (size_t)o * inputs_ + i]; }, nullptr);
        for (int k = 0; k < plan.num_grids(); k++) {
            biases_.emplace_back(first_.outputs, 0.0f);
            std::copy_n(w + plan.b1 + (size_t)k * width_, width_, biases_.back().begin());
        }
        if (plan.hidden.size() == 2)
            second_ = Layer(
                width_, plan.hidden[1], [&](int o, int i) { return w[plan.w2 + (size_t)o * width_ + i]; }, w + plan.b2);
        last_ = Rows(w + plan.w3, 2, plan.hidden.back());
        straight_ = Rows(w + plan.l, 2, inputs_);
        last_bias_[0] = w[plan.b3], last_bias_[1] = w[plan.b3 + 1];
        known_.resize(plan.num_latents);
        listed_.assign(plan.num_latents, -1);
        in_parallel(num_threads, [&](int part) {
            for (int k = 0; k < plan.num_grids(); k++)
                for (int y = part; y < plan.grids[k].height; y += num_threads)
                    for (int x = 0; x < plan.grids[k].width; x++) known_[place(k, y, x)] = found(k, y, x);
        });
    }

    size_t place(int k, int y, int x) const { return plan_.grid_starts[k] + (size_t)y * plan_.grids[k].width + x; }

    // Bits of a latent if it alone takes a value.
    double own_bits(size_t at, float value) const { return bits_of(value, known_[at].location, known_[at].scale); }

    // Bits of all latents whose own value or context changes.
    double list(int k, const Changes& changes, InvolvedList& involved) {
        involved.latents.clear();
        involved.number += involved.step;
        // Those that change come first: they say most of whether it is worth while.
        for (const Change& change : changes) add(k, change.y, change.x, involved);
        for (const Change& change : changes) add_dependents(k, change.y, change.x, involved);
        double sum = 0.0;
        for (const Involved& one : involved.latents) sum += known_[place(one.k, one.y, one.x)].bits;
        return sum;
    }

    // By how much all bits grow, infinitely where that is sure to be by `most` or more.
    //
    // involved, left: what `list` made of these changes.
    double attempt(int k, const Changes& changes, InvolvedList& involved, double left, double most) {
        for (const Change& change : changes) latents_[place(k, change.y, change.x)] += change.step;
        double growth = 0.0;
        for (Involved& one : involved.latents) {
            const double known = known_[place(one.k, one.y, one.x)].bits;
            one.trial = found(one.k, one.y, one.x);
            growth += (double)one.trial.bits - known;
            left -= known;
            if (growth - left >= most) {
                growth = std::numeric_limits<double>::infinity();
                break;
            }
        }
        for (const Change& change : changes) latents_[place(k, change.y, change.x)] -= change.step;
        return growth;
    }

    // Keeps what an attempt found.
    void keep(int k, const Changes& changes, const InvolvedList& involved) {
        for (const Change& change : changes) latents_[place(k, change.y, change.x)] += change.step;
        for (const Involved& one : involved.latents) known_[place(one.k, one.y, one.x)] = one.trial;
    }

private:
    // The part of a grid over the patch that holds a place.
    struct Part {
        int top, left, bottom, right;
        bool holds(int y, int x) const { return y >= top && y < bottom && x >= left && x < right; }
    };

    const Plan& plan_;
    float* latents_;
    const int inputs_, width_;
    Layer first_, second_;
    Rows last_, straight_;
    float last_bias_[2];
    std::vector<std::vector<float>> biases_;
    std::vector<Known> known_;
    std::vector<int64_t> listed_;  // number of the list that each latent was added to last

    Part part_of(int k, int y, int x) const {
        const int side = plan_.patch_size >> k, top = y / side * side, left = x / side * side;
        return {top, left, std::min(top + side, plan_.grids[k].height), std::min(left + side, plan_.grids[k].width)};
    }
    float latent(const Part& part, int k, int y, int x) const {
        return part.holds(y, x) ? latents_[place(k, y, x)] : 0.0f;
    }

    Known found(int k, int y, int x) const {
        alignas(64) float inputs[padded_inputs()] = {};
        const Part part = part_of(k, y, x);
        int i = 0;
        if (y >= part.top + 3 && x >= part.left + 3 && x + 3 < part.right) {
            const float* here = latents_ + place(k, y, x);
            for (const auto& [dy, dx] : plan_.taps) inputs[i++] = here[dy * plan_.grids[k].width + dx];
        } else {
            for (const auto& [dy, dx] : plan_.taps) inputs[i++] = latent(part, k, y + dy, x + dx);
        }
        if (k + 1 < plan_.num_grids()) {
            const int py = y >> 1, px = x >> 1, sy = y & 1 ? 1 : -1, sx = x & 1 ? 1 : -1;
            const Part above = part_of(k + 1, py, px);
            const std::pair<int, int> places[] = {{py, px},           {py + sy, px}, {py, px + sx},
                                                  {py + sy, px + sx}, {py - sy, px}, {py, px - sx}};
            for (const auto& [a, b] : places) inputs[i++] = latent(above, k + 1, a, b);
            if (k + 2 < plan_.num_grids()) inputs[i++] = latents_[place(k + 2, y >> 2, x >> 2)];
        }
        alignas(64) float units[kMaxPadded], more[kMaxPadded];
        first_.rectified_to(inputs, biases_[k].data(), kEntropyLimit, units);
        const float* last = units;
        if (second_.outputs) {
            second_.rectified_to(units, second_.bias.data(), kEntropyLimit, more);
            last = more;
        }
        Known known{};
        known.location = last_bias_[0] + sum_lanes(last_.products(0, last) + straight_.products(0, inputs));
        known.scale = last_bias_[1] + sum_lanes(last_.products(1, last) + straight_.products(1, inputs));
        known.bits = bits_of(latents_[place(k, y, x)], known.location, known.scale);
        return known;
    }
    static constexpr int padded_inputs() { return (kMaxTaps + kNumParents + kFloats - 1) / kFloats * kFloats; }

    // laplace_bits of pyramid/fit/network.py.
    static float bits_of(float value, float location, float output) {
        const float scale = std::exp(std::clamp(output, -3.0f, 4.875f) + (3.0f - 3.4657359028f)),
                    distance = std::abs(value - location), upper = std::exp(-std::abs(distance - 0.5f) / scale),
                    lower = std::exp(-(distance + 0.5f) / scale),
                    inside = distance < 0.5f ? 1.0f - 0.5f * (upper + lower) : 0.5f * (upper - lower),
                    far = distance / (10.0f * scale + 4.0f), fall = 1.0f / (1.0f + far * far);
        return -std::log2(inside + 0x1p-16f * fall * fall);
    }

    void add(int k, int y, int x, InvolvedList& involved) {
        int64_t& listed = listed_[place(k, y, x)];
        if (listed == involved.number) return;
        listed = involved.number;
        involved.latents.push_back({k, y, x, {}});
    }

    void add_dependents(int k, int y, int x, InvolvedList& involved) {
        const Part part = part_of(k, y, x);
        for (const auto& [dy, dx] : plan_.taps)
            if (part.holds(y - dy, x - dx)) add(k, y - dy, x - dx, involved);
        if (k == 0) return;
        const Part children = part_of(k - 1, 2 * y, 2 * x);
        for (int cy = 2 * y - 2; cy < 2 * y + 4; cy++)
            for (int cx = 2 * x - 2; cx < 2 * x + 4; cx++) {
                if (!children.holds(cy, cx)) continue;
                const int a = y - (cy >> 1), b = x - (cx >> 1);
                if (a == 0 || b == 0 || (a == (cy & 1 ? 1 : -1) && b == (cx & 1 ? 1 : -1)))
                    add(k - 1, cy, cx, involved);
            }
        if (k == 1) return;
        const Part finest = part_of(k - 2, 4 * y, 4 * x);
        for (int cy = 4 * y; cy < 4 * y + 4; cy++)
            for (int cx = 4 * x; cx < 4 * x + 4; cx++)
                if (finest.holds(cy, cx)) add(k - 2, cy, cx, involved);
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
        const double left = bits_.list(k, changes, worker.involved), most = (least - least_errors) / job_.bits_weight;
        if (-left >= most) return least;
        if (is_single) {
            const size_t at = bits_.place(k, changes[0].y, changes[0].x);
            if (bits_.own_bits(at, job_.latents[at] + changes[0].step) - left >= most) return least;
        }
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
