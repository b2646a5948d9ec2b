// SPDX-License-Identifier: MIT
// Bits of latents and their gradient in one pass. Compiled once for each instruction set.
//
// A frame is walked in strips of rows. A strip is copied into rows of `stride` floats with zeros at their ends, so
// that every tap of a context is the same array read from another place and a strip is one long row of positions.
// Chunks of it stay in the first-level cache from the first layer to the gradients of the taps.
#include "c3/fit_rate.h"

#include <algorithm>
#include <cmath>

#include "shared/parallel.h"
#include "shared/products.h"
#include "shared/simd_float_math.h"

namespace c3 {
namespace C3_ISA {

namespace {

constexpr int kChunk = 384;            // positions from taps to gradients in one go
constexpr int kStripPositions = 8192;  // so that a strip, its window and their gradients stay in the second-level cache
constexpr int kFlushPositions = 1 << 15;  // sums of that many floats are exact enough; then they go into doubles
constexpr int kReach = 16;                // floats that a tap may lie before a row, and a vector reach past one
static_assert(kChunk % kStep == 0);

// The distribution of c3/entropy.py and c3/fit/rate.py, which say what the numbers mean.
constexpr float kLogSmallest = -3.4657359028f;  // -5 ln 2
constexpr float kLogLargest = kLogSmallest + 63.0f / 8.0f, kLogOrigin = kLogSmallest + 5.0f / 8.0f;
constexpr float kLocationGain = 4.0f, kScaleGain = 0.5f, kLeastProbability = 1.0f / 65536.0f;

struct Bits {
    VF bits, grad_x, grad_location, grad_scale;  // the last two by the outputs of the network
};

C3_INLINE Bits laplace_bits(VF x, VF location_output, VF scale_output) {
    const VF half = splatf(0.5f), zero = splatf(0.0f);
    const VF log_scale = fma(scale_output, splatf(-kScaleGain), splatf(kLogOrigin));
    const VF kept = at_most(at_least(log_scale, kLogSmallest), kLogLargest), inverse = exp_of(-kept);
    const VF difference = fma(location_output, splatf(-kLocationGain), x), distance = magnitude(difference);
    // Below half a step from the location the bin holds the peak; beyond it both bounds lie on one flank.
    const VF inner = magnitude(distance - half), outer = distance + half;
    const VF upper = exp_of(-inner * inverse), lower = exp_of(-outer * inverse), drop = half * (upper - lower);
    const VF probability = if_less(distance, half, 1.0f - half * (upper + lower), drop);
    const VF slope = if_less(probability, splatf(kLeastProbability), zero, -1.44269504f / probability);
    const VF by_distance = -slope * inverse * drop;
    const VF signed_inner = if_less(distance, half, inner, -inner);
    const VF by_inverse = slope * half * fma(outer, lower, signed_inner * upper);
    const VF by_x = (VF)((VI)by_distance ^ ((VI)difference & (int32_t)0x80000000));
    return {-log2_of(at_least(probability, kLeastProbability)), by_x, -kLocationGain * by_x,
            if_equal(kept, log_scale, kScaleGain * by_inverse * inverse, zero)};
}

struct Strip {
    int grid, frame, y0, y1;
};

// The strips of part `part` of `num_parts`, in order; the parts cost about the same.
template <typename F>
void for_strips(const RatePlan& plan, int margin, int part, int num_parts, F f) {
    const auto row_cost = [&](const RateGrid& grid) {
        return (int64_t)(grid.width + margin) * (plan.num_taps(grid) + 12);
    };
    int64_t total = 0, start = 0;
    for (const auto& grid : plan.grids) total += row_cost(grid) * grid.height * grid.num_frames;
    const int64_t from = total / num_parts * part, to = part + 1 == num_parts ? total : total / num_parts * (part + 1);
    for (int g = 0; g < (int)plan.grids.size(); g++) {
        const RateGrid& grid = plan.grids[g];
        const int64_t cost = row_cost(grid);
        const int rows = std::max(1, kStripPositions / (grid.width + margin));
        for (int t = 0; t < grid.num_frames; t++, start += cost * grid.height) {
            const auto row_at = [&](int64_t place) {
                return (int)std::clamp<int64_t>((place - start + cost - 1) / cost, 0, grid.height);
            };
            const int begin = from <= start ? 0 : row_at(from), end = to <= start ? 0 : row_at(to);
            for (int y = begin; y < end; y += rows) f(Strip{g, t, y, std::min(y + rows, end)});
        }
    }
}

// Taps that lie side by side in one row: their gradients go back together.
struct TapRow {
    bool previous;
    int dy, dx, count, first;  // `first` counts through all taps
};

// One thread's share: its buffers and its part of the sums and gradients.
class Worker {
public:
    Worker(const RatePlan& plan, const RateJob& job, int part, int num_parts)
        : plan_(plan), job_(job), part_(part), num_parts_(num_parts), half_(plan.context_size / 2),
          margin_(std::max(half_, plan.previous_size - 1)), bits_(plan.grids.size(), 0.0) {
        size_t latents = 0, weights = 0, largest_strip = 0, num_taps = 0;
        for (const auto& grid : plan.grids) {
            starts_.push_back({latents, weights});
            latents += (size_t)grid.num_frames * grid.height * grid.width;
            weights += plan.num_weights(grid);
        }
        for_strips(plan, margin_, part, num_parts, [&](const Strip& strip) {
            const RateGrid& grid = plan.grids[strip.grid];
            const size_t frame = (size_t)grid.height * grid.width, start = starts_[strip.grid].latents;
            if (last_ == 0) first_ = start + std::max(0, strip.frame - 1) * frame;
            last_ = start + (strip.frame + 1) * frame;
            largest_strip = std::max(largest_strip, plane_size(strip));
            num_taps = std::max<size_t>(num_taps, plan.num_taps(grid));
        });
        for (Floats* plane : {&current_, &previous_, &mask_}) *plane = Floats(largest_strip);
        layers_.resize(plan.hidden.size() + 1);
        size_t inputs = num_taps, widest = std::max<size_t>(num_taps, 2);
        for (size_t l = 0; l < layers_.size(); l++) {
            const size_t width = l < plan.hidden.size() ? plan.hidden[l] : 2;
            layers_[l].width = (int)width;
            layers_[l].forward = Floats(inputs * width);
            layers_[l].outputs = Floats(width * kChunk);
            if (l < plan.hidden.size()) layers_[l].slopes = Floats(width * kChunk);
            if (job.grad_latents) layers_[l].sums = Floats((inputs + 1) * width * kFloats);
            widest = std::max(widest, width);
            inputs = width;
        }
        columns_.resize(widest + 1);
        rows_.resize(widest);
        if (!job.grad_latents) return;
        zeros_ = Floats(widest);
        ones_ = Floats(kChunk);
        std::fill_n(ones_.data(), kChunk, 1.0f);
        for (Floats* plane : {&grad_current_, &grad_previous_}) *plane = Floats(largest_strip);
        packed_taps_ = Floats(num_taps * plan.hidden[0]);
        tap_grads_ = Floats((size_t)std::max(plan.context_size, plan.previous_size) * kTapStride);
        for (int y = 0; y <= half_; y++)
            tap_rows_.push_back(
                {false, y - half_, -half_, y < half_ ? plan.context_size : half_, y * plan.context_size});
        for (int y = 0; y < plan.previous_size; y++)
            tap_rows_.push_back({true, y, 0, plan.previous_size, plan.num_causal() + y * plan.previous_size});
        weight_grads_.assign(weights, 0.0);
        if (part > 0) own_grads_ = Floats(last_ - first_);
        grads_ = part > 0 ? own_grads_.data() : job.grad_latents + first_;
    }

    void run() {
        int grid = -1;
        int64_t since_flush = 0;
        for_strips(plan_, margin_, part_, num_parts_, [&](const Strip& strip) {
            // The first frame has none before it: its taps would be zeros, which change nothing.
            const RateGrid& shape = plan_.grids[strip.grid];
            const int num_taps = strip.frame ? plan_.num_taps(shape) : plan_.num_causal();
            if (strip.grid != grid || num_taps != num_taps_ || since_flush > kFlushPositions) {
                flush();
                since_flush = 0;
            }
            num_taps_ = num_taps;
            if (strip.grid != grid) prepare(grid = strip.grid);
            walk(strip);
            since_flush += (int64_t)(strip.y1 - strip.y0) * shape.width;
        });
        flush();
    }

    const std::vector<double>& bits() const { return bits_; }
    const std::vector<double>& weight_grads() const { return weight_grads_; }

    // Adds the gradients of latents that are this thread's own.
    void add_grads(float* grad_latents) const {
        for (size_t i = 0; i < own_grads_.size(); i++) grad_latents[first_ + i] += own_grads_.data()[i];
    }

private:
    struct Layer {
        int inputs, width;
        const float *weight, *bias;
        size_t place;    // of its weights among all
        Floats forward;  // weights transposed
        Floats outputs;  // activated, but for the last layer
        Floats slopes;   // of the activation; then the gradients of its sums
        Floats sums;     // of the weights' gradients; vectors
    };
    struct Start {
        size_t latents, weights;
    };

    // A row of tap gradients has zeros around it, which shifted reads meet.
    static constexpr int kTapStride = kChunk + 4 * kReach, kTapStart = kReach;

    const RatePlan& plan_;
    const RateJob& job_;
    const int part_, num_parts_, half_, margin_;
    std::vector<double> bits_, weight_grads_;
    std::vector<Start> starts_;    // of each grid
    size_t first_ = 0, last_ = 0;  // latents that this thread's gradients reach
    Floats own_grads_;
    float* grads_ = nullptr;  // of latent first_
    Floats current_, previous_, mask_, grad_current_, grad_previous_;
    std::vector<Layer> layers_;
    std::vector<TapRow> tap_rows_;
    Floats packed_taps_, tap_grads_, zeros_, ones_;
    std::vector<const float*> columns_, rows_;
    int num_taps_ = 0;

    int stride(const RateGrid& grid) const { return grid.width + margin_; }

    size_t plane_size(const Strip& strip) const {
        const size_t num_rows = strip.y1 - strip.y0 + std::max(half_, plan_.previous_size);
        return num_rows * stride(plan_.grids[strip.grid]) + kChunk + 2 * kReach;
    }

    // Lays out the weights of a grid: transposed for the way forward, by rows of taps for the way back. The step of the
    // latents goes into the first layer, so that taps are read in steps.
    void prepare(int g) {
        const RateGrid& grid = plan_.grids[g];
        size_t place = starts_[g].weights;
        int inputs = plan_.num_taps(grid);
        for (Layer& layer : layers_) {
            layer.inputs = inputs;
            layer.place = place;
            layer.weight = job_.weights + place;
            layer.bias = layer.weight + (size_t)inputs * layer.width;
            const float gain = &layer == layers_.data() ? plan_.q_step : 1.0f;
            for (int o = 0; o < layer.width; o++)
                for (int i = 0; i < inputs; i++)
                    layer.forward.data()[i * layer.width + o] = gain * layer.weight[(size_t)o * inputs + i];
            place += (size_t)(inputs + 1) * layer.width;
            inputs = layer.width;
        }
        if (!job_.grad_latents) return;
        const Layer& first = layers_.front();
        float* packed = packed_taps_.data();
        for (const TapRow& row : tap_rows_) {
            if (row.first + row.count > first.inputs) break;
            for (int o = 0; o < first.width; o++)
                for (int i = 0; i < row.count; i++)
                    *packed++ = plan_.q_step * first.weight[(size_t)o * first.inputs + row.first + i];
        }
    }

    // Takes the sums of the weights' gradients over into doubles and starts anew.
    void flush() {
        if (num_taps_ == 0 || !job_.grad_latents) return;
        for (Layer& layer : layers_) {
            const bool is_first = &layer == layers_.data();
            const int count = is_first ? num_taps_ : layer.inputs;
            const double gain = is_first ? plan_.q_step : 1.0;
            double* grad = weight_grads_.data() + layer.place;
            const float* sums = layer.sums.data();
            for (int o = 0; o < layer.width; o++)
                for (int i = 0; i <= count; i++, sums += kFloats) {
                    const double sum = sum_lanes(loadf(sums));
                    if (i < count) grad[(size_t)o * layer.inputs + i] += gain * sum;
                    else grad[(size_t)layer.width * layer.inputs + o] += sum;
                }
            std::fill_n(layer.sums.data(), (size_t)(count + 1) * layer.width * kFloats, 0.0f);
        }
    }

    // f(row of the grid, column of the grid, place in the plane, length) for the rows that a plane shares with a frame:
    // row 0, column 0 of the plane stands at (y, dx) of the frame.
    template <typename F>
    void for_shared_rows(const RateGrid& grid, int y, int dx, int count, F f) const {
        const int begin = std::max(0, -dx), end = std::min(grid.width - dx, stride(grid));
        if (begin >= end) return;
        for (int row = std::max(0, -y); row < std::min(count, grid.height - y); row++)
            f((size_t)(y + row) * grid.width + begin + dx, (size_t)kReach + (size_t)row * stride(grid) + begin,
              end - begin);
    }

    void walk(const Strip& strip) {
        const RateGrid& grid = plan_.grids[strip.grid];
        const bool has_previous = num_taps_ > plan_.num_causal();
        const int num_rows = strip.y1 - strip.y0, length = num_rows * stride(grid);
        const size_t frame_size = (size_t)grid.height * grid.width;
        const size_t frame = starts_[strip.grid].latents + strip.frame * frame_size;
        const auto for_planes = [&](auto f) {
            f(current_, grad_current_, frame, strip.y0 - half_, 0, num_rows + half_);
            if (has_previous)
                f(previous_, grad_previous_, frame - frame_size, strip.y0 + grid.dy, grid.dx,
                  num_rows + plan_.previous_size - 1);
        };

        for_planes([&](Floats& plane, Floats& grad, size_t at, int y, int dx, int count) {
            std::fill_n(plane.data(), plane_size(strip), 0.0f);
            if (job_.grad_latents) std::fill_n(grad.data(), plane_size(strip), 0.0f);
            for_shared_rows(grid, y, dx, count, [&](size_t from, size_t to, int size) {
                std::copy_n(job_.latents + at + from, size, plane.data() + to);
            });
        });
        std::fill_n(mask_.data(), plane_size(strip), 0.0f);
        for (int row = 0; row < num_rows; row++)
            std::fill_n(mask_.data() + (size_t)row * stride(grid), grid.width, 1.0f);

        for (int start = 0; start < length; start += kChunk) chunk(strip.grid, start, std::min(kChunk, length - start));

        if (!job_.grad_latents) return;
        for_planes([&](Floats&, Floats& grad, size_t at, int y, int dx, int count) {
            for_shared_rows(grid, y, dx, count, [&](size_t to, size_t from, int size) {
                float* target = grads_ + (at - first_) + to;
                for (int i = 0; i < size; i++) target[i] += grad.data()[from + i];
            });
        });
    }

    // Positions start .. start + length - 1 of the strip: forward, bits, backward.
    void chunk(int g, int start, int length) {
        const int row = stride(plan_.grids[g]), origin = kReach + half_ * row + start;
        const float* here = current_.data() + origin;
        for (Layer& layer : layers_) {
            find_inputs(layer, row, start);
            const int count = &layer == layers_.data() ? num_taps_ : layer.inputs;
            float *outputs = layer.outputs.data(), *slopes = layer.slopes.data();
            if (&layer == &layers_.back()) {
                combine(columns_.data(), count, layer.forward.data(), layer.bias, layer.width, length,
                        [&](int o, int64_t n, VF sum) { storef(outputs + o * kChunk + n, sum); });
            } else {
                combine(columns_.data(), count, layer.forward.data(), layer.bias, layer.width, length,
                        [&](int o, int64_t n, VF sum) {
                            VF slope;
                            storef(outputs + o * kChunk + n, activate(sum, slope));
                            storef(slopes + o * kChunk + n, slope);
                        });
            }
        }

        // The outputs' gradients take their place.
        float *locations = layers_.back().outputs.data(), *scales = locations + kChunk;
        float* grad_here = job_.grad_latents ? grad_current_.data() + origin : nullptr;
        VF total = splatf(0.0f);
        for (int n = 0; n < length; n += kFloats) {
            const Bits found = laplace_bits(loadf(here + n), loadf(locations + n), loadf(scales + n));
            const VF mask = loadf(mask_.data() + start + n);
            total = fma(found.bits, mask, total);
            if (!grad_here) continue;
            storef(locations + n, found.grad_location * mask);
            storef(scales + n, found.grad_scale * mask);
            storef(grad_here + n, fma(found.grad_x, mask, loadf(grad_here + n)));
        }
        bits_[g] += sum_lanes(total);
        if (grad_here) backward(row, start, length);
    }

    // columns_: where the inputs of a layer lie.
    void find_inputs(const Layer& layer, int row, int start) {
        if (&layer != layers_.data()) {
            for (int i = 0; i < layer.inputs; i++) columns_[i] = (&layer - 1)->outputs.data() + i * kChunk;
            return;
        }
        const int size = plan_.context_size, window = plan_.previous_size, num_causal = plan_.num_causal();
        for (int k = 0; k < num_causal; k++)
            columns_[k] = current_.data() + kReach + start + (k / size) * row + k % size - half_;
        for (int k = num_causal; k < num_taps_; k++)
            columns_[k] =
                previous_.data() + kReach + start + (k - num_causal) / window * row + (k - num_causal) % window;
    }

    void backward(int row, int start, int length) {
        // What reads shifted meets zeros past the end.
        const int reach = std::min(kChunk, length + 2 * kReach), whole = (length + kFloats - 1) / kFloats * kFloats;
        float* grads = layers_.back().outputs.data();
        for (int o = 0; o < 2; o++) std::fill(grads + o * kChunk + whole, grads + (o + 1) * kChunk, 0.0f);

        for (size_t l = layers_.size(); l-- > 0;) {
            Layer& layer = layers_[l];
            const int count = l ? layer.inputs : num_taps_;
            find_inputs(layer, row, start);
            columns_[count] = ones_.data();  // the last sum is the bias's
            for (int o = 0; o < layer.width; o++) rows_[o] = grads + o * kChunk;
            dot(rows_.data(), layer.width, columns_.data(), count + 1, length,
                reinterpret_cast<VF*>(layer.sums.data()));
            if (l == 0) break;
            grads = layers_[l - 1].slopes.data();
            combine(rows_.data(), layer.width, layer.weight, zeros_.data(), count, reach,
                    [&](int i, int64_t n, VF sum) {
                        float* slope = grads + i * kChunk + n;
                        storef(slope, loadf(slope) * sum);
                    });
        }

        const float* packed = packed_taps_.data();
        for (const TapRow& taps : tap_rows_) {
            if (taps.first + taps.count > num_taps_) break;
            Floats& plane = taps.previous ? grad_previous_ : grad_current_;
            const int y = taps.previous ? taps.dy : taps.dy + half_;
            scatter(taps, packed, plane.data() + kReach + start + y * row, reach, length);
            packed += taps.count * layers_.front().width;
        }
    }

    // Gradients of the taps of one row, added to the latents that they read. rows_: gradients of the first layer's
    // sums.
    void scatter(const TapRow& taps, const float* matrix, float* target, int reach, int length) {
        combine(rows_.data(), layers_.front().width, matrix, zeros_.data(), taps.count, reach,
                [&](int i, int64_t n, VF sum) { storef(tap_grads_.data() + i * kTapStride + kTapStart + n, sum); });
        with_size<kMaxContextSize>(taps.count, [&](auto size) {
            constexpr int count = decltype(size)::value;
            const float* from = tap_grads_.data() + kTapStart - taps.dx;
            for (int n = taps.dx; n < length + taps.dx + count - 1; n += kFloats) {
                VF sum = loadf(target + n);
#pragma GCC unroll 9
                for (int i = 0; i < count; i++) sum = sum + loadf(from + i * (kTapStride - 1) + n);
                storef(target + n, sum);
            }
        });
    }
};

}  // namespace

void fit_rate(const RatePlan& plan, const RateJob& job, int num_threads) {
    std::vector<Worker> workers;
    workers.reserve(num_threads);
    if (job.grad_latents) std::fill_n(job.grad_latents, plan.num_latents(), 0.0f);
    for (int part = 0; part < num_threads; part++) workers.emplace_back(plan, job, part, num_threads);
    in_parallel(num_threads, [&](int part) { workers[part].run(); });
    std::fill_n(job.bits, plan.grids.size(), 0.0);
    for (const auto& worker : workers)
        for (size_t g = 0; g < plan.grids.size(); g++) job.bits[g] += worker.bits()[g];
    if (!job.grad_latents) return;
    for (size_t i = 0; i < plan.num_weights(); i++) {
        double sum = 0.0;
        for (const auto& worker : workers) sum += worker.weight_grads()[i];
        job.grad_weights[i] = (float)sum;
    }
    for (const auto& worker : workers) worker.add_grads(job.grad_latents);
}

}  // namespace C3_ISA
}  // namespace c3
