// SPDX-License-Identifier: MIT
// Compiled once for each instruction set. Work is cut into tiles that stay in the second-level cache with all that is
// computed from them; each thread has a fixed share of the tiles and sums of its own, added up in the order of threads.
#include "c3/fit_synthesis.h"

#include <algorithm>
#include <exception>

#include "shared/parallel.h"
#include "shared/products.h"

namespace c3 {
namespace C3_ISA {

namespace {

using Rows = std::vector<const float*>;

Rows rows_of(const float* first, int count, int64_t stride) {
    Rows rows((size_t)count);
    for (int i = 0; i < count; i++) rows[(size_t)i] = first + i * stride;
    return rows;
}

Floats transposed(const float* matrix, int rows, int columns) {
    Floats result((size_t)rows * columns);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) result.data()[(size_t)c * rows + r] = matrix[(size_t)r * columns + c];
    return result;
}

// Asks for floats that the next tile will read.
inline void prefetch(const float* from, int64_t count) {
    for (int64_t n = 0; n < count; n += 16) __builtin_prefetch(from + n, 0, 2);
}

// Part `index` of `count` equal parts of 0 .. total - 1.
struct Part {
    int64_t begin, end;

    Part(int64_t total, int index, int count) : begin(total * index / count), end(total * (index + 1) / count) {}
};

// work(thread) for all threads; what one of them throws (there may be no memory) is thrown here.
template <typename Work>
void on_threads(int num_threads, const Work& work) {
    std::vector<std::exception_ptr> errors((size_t)num_threads);
    in_parallel(num_threads, [&](int thread) {
        try {
            work(thread);
        } catch (...) {
            errors[(size_t)thread] = std::current_exception();
        }
    });
    for (const std::exception_ptr& error : errors)
        if (error) std::rethrow_exception(error);
}

// Vectors of sums, one set for each thread; `total` adds up threads and lanes.
class Sums {
public:
    Sums(int num_threads, size_t size) {
        for (int i = 0; i < num_threads; i++) sets_.emplace_back(size * kFloats);
    }
    VF* of(int thread) { return reinterpret_cast<VF*>(sets_[(size_t)thread].data()); }
    float total(size_t index) {
        float sum = 0;
        for (size_t i = 0; i < sets_.size(); i++) sum += sum_lanes(of((int)i)[index]);
        return sum;
    }

private:
    std::vector<Floats> sets_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Upsampling

// Where each output of an axis reads: low and high neighbour and the weight of the high one.
struct Axis {
    std::vector<int> low, high;
    std::vector<float> weight;

    Axis(int size_in, int size_out, int exponent) : low(size_out), high(size_out), weight(size_out) {
        for (int i = 0; i < size_out; i++) {
            const int place = 2 * i + 1 - (1 << exponent), k = place >> (exponent + 1);
            weight[i] = (float)(place - k * (1 << (exponent + 1))) / (float)(1 << (exponent + 1));
            low[i] = std::clamp(k, 0, size_in - 1);
            high[i] = std::clamp(k + 1, 0, size_in - 1);
        }
    }

    // Outputs that read input k lie in [begin, end): those are the outputs of `low` and `high` = k, which never falls.
    void readers(int k, int& begin, int& end) const {
        begin = (int)(std::lower_bound(high.begin(), high.end(), k) - high.begin());
        end = (int)(std::upper_bound(low.begin(), low.end(), k) - low.begin());
    }
    float weight_of(int i, int k) const {
        return (low[i] == k ? 1.0f - weight[i] : 0.0f) + (high[i] == k ? weight[i] : 0.0f);
    }
};

struct GridAxes {
    UpsampleJob::Grid grid;
    int64_t first;  // of its latents in the flat array
    Axis time, rows, columns;

    GridAxes(const UpsampleJob& job, const UpsampleJob::Grid& grid, int64_t first)
        : grid(grid), first(first), time(grid.num_frames, job.num_frames, grid.time_exponent),
          rows(grid.height, job.height, grid.space_exponent), columns(grid.width, job.width, grid.space_exponent) {}
};

std::vector<GridAxes> axes_of(const UpsampleJob& job) {
    std::vector<GridAxes> axes;
    int64_t first = 0;
    for (const auto& grid : job.grids) {
        axes.emplace_back(job, grid, first);
        first += (int64_t)grid.num_frames * grid.height * grid.width;
    }
    return axes;
}

// out = a * wa + b * wb
inline void mix(const float* a, float wa, const float* b, float wb, int count, float* out) {
    for (int i = 0; i < count; i++) out[i] = a[i] * wa + b[i] * wb;
}

inline void add_scaled(const float* in, float weight, int count, float* out) {
    for (int i = 0; i < count; i++) out[i] += in[i] * weight;
}

}  // namespace

// Columns first, while there is little of it; then each output row is a mean of four rows.
void upsample(const UpsampleJob& job, const float* latents, float* planes) {
    const int T = job.num_frames, H = job.height, W = job.width;
    const auto all = axes_of(job);
    on_threads(job.num_threads, [&](int thread) {
        std::vector<float> wide, tall;
        for (size_t g = 0; g < all.size(); g++) {
            const GridAxes& axes = all[g];
            const int h = axes.grid.height, w = axes.grid.width;
            const float* source = latents + axes.first;
            const Part part(T, thread, job.num_threads);
            // the coarse frames that this thread's frames need, to full width
            const int t_begin = part.begin < part.end ? axes.time.low[part.begin] : 0;
            const int t_end = part.begin < part.end ? axes.time.high[part.end - 1] + 1 : 0;
            wide.resize((size_t)(t_end - t_begin) * h * W);
            for (int64_t row = 0; row < (int64_t)(t_end - t_begin) * h; row++) {
                const float* from = source + ((int64_t)t_begin * h + row) * w;
                float* to = wide.data() + row * W;
                if (!axes.grid.space_exponent) {
                    for (int x = 0; x < W; x++) to[x] = from[x] * job.scale;
                    continue;
                }
                for (int x = 0; x < W; x++) {
                    const float low = from[axes.columns.low[x]], high = from[axes.columns.high[x]];
                    to[x] = (low + (high - low) * axes.columns.weight[x]) * job.scale;
                }
            }
            tall.resize((size_t)h * W);
            for (int64_t t = part.begin; t < part.end; t++) {
                const float* low = wide.data() + (int64_t)(axes.time.low[t] - t_begin) * h * W;
                const float* high = wide.data() + (int64_t)(axes.time.high[t] - t_begin) * h * W;
                float* out = planes + ((int64_t)g * T + t) * H * W;
                const bool is_flat = !axes.grid.space_exponent;
                mix(low, 1.0f - axes.time.weight[t], high, axes.time.weight[t], h * W, is_flat ? out : tall.data());
                if (is_flat) continue;
                for (int y = 0; y < H; y++, out += W)
                    mix(tall.data() + (int64_t)axes.rows.low[y] * W, 1.0f - axes.rows.weight[y],
                        tall.data() + (int64_t)axes.rows.high[y] * W, axes.rows.weight[y], W, out);
            }
        }
    });
}

// Coarse row by coarse row: each gathers from the fine rows that read it, so rows are free to go to any thread.
void upsample_backward(const UpsampleJob& job, const float* grad_planes, float* grad_latents) {
    const int T = job.num_frames, H = job.height, W = job.width;
    const auto all = axes_of(job);
    on_threads(job.num_threads, [&](int thread) {
        std::vector<float> wide, row((size_t)W);
        for (size_t g = 0; g < all.size(); g++) {
            const GridAxes& axes = all[g];
            const int t = axes.grid.num_frames, h = axes.grid.height, w = axes.grid.width;
            const Part part(h, thread, job.num_threads);
            for (int y = (int)part.begin; y < part.end; y++) {
                wide.assign((size_t)t * W, 0.0f);
                int begin, end;
                axes.rows.readers(y, begin, end);
                for (int fine = 0; fine < T; fine++) {
                    const float* from = grad_planes + ((int64_t)g * T + fine) * H * W;
                    const float* sum = from + (int64_t)y * W;
                    if (axes.grid.space_exponent) {
                        std::fill(row.begin(), row.end(), 0.0f);
                        for (int i = begin; i < end; i++)
                            add_scaled(from + (int64_t)i * W, axes.rows.weight_of(i, y), W, row.data());
                        sum = row.data();
                    }
                    const float weight = axes.time.weight[fine];
                    if (weight < 1.0f) add_scaled(sum, 1.0f - weight, W, wide.data() + (size_t)axes.time.low[fine] * W);
                    if (weight > 0.0f) add_scaled(sum, weight, W, wide.data() + (size_t)axes.time.high[fine] * W);
                }
                for (int coarse = 0; coarse < t; coarse++) {
                    const float* from = wide.data() + (size_t)coarse * W;
                    float* to = grad_latents + axes.first + ((int64_t)coarse * h + y) * w;
                    if (!axes.grid.space_exponent) {
                        for (int x = 0; x < W; x++) to[x] = from[x] * job.scale;
                        continue;
                    }
                    std::fill(to, to + w, 0.0f);
                    for (int x = 0; x < W; x++) {
                        const float value = from[x] * job.scale;
                        to[axes.columns.low[x]] += value * (1.0f - axes.columns.weight[x]);
                        to[axes.columns.high[x]] += value * axes.columns.weight[x];
                    }
                }
            }
        }
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Pointwise layers

namespace {

constexpr int kTile = 576;               // columns
constexpr int kTileStride = kTile + 16;  // rows of a power of two would meet in the same few sets of a cache
static_assert(kTile % kStep == 0, "a tile must be whole blocks");

// Rows of one tile, those of several layers one after the other.
struct TileRows {
    Floats data;

    explicit TileRows(int64_t num_rows) : data((size_t)num_rows * kTileStride) {}
    float* row(int64_t index) { return data.data() + index * kTileStride; }
    Rows rows(int64_t first, int count) { return rows_of(row(first), count, kTileStride); }
    void load(int64_t first, int count, const float* from, int64_t stride, int64_t column, int64_t size) {
        for (int i = 0; i < count; i++) {
            std::memcpy(row(first + i), from + i * stride + column, sizeof(float) * (size_t)size);
            std::fill(row(first + i) + size, row(first + i) + kTile, 0.0f);
            prefetch(from + i * stride + column + size, std::min<int64_t>(kTile, stride - column - size));
        }
    }
};

// Part `index` of the tiles, called with the first column and the number of columns of each.
template <typename F>
void for_tiles(int64_t num_columns, int index, int count, F f) {
    const Part part((num_columns + kTile - 1) / kTile, index, count);
    for (int64_t tile = part.begin; tile < part.end; tile++)
        f(tile * kTile, std::min<int64_t>(kTile, num_columns - tile * kTile));
}

std::vector<Floats> all_transposed(const PointwiseJob& job) {
    std::vector<Floats> result;
    for (size_t l = 0; l < job.weights.size(); l++)
        result.push_back(transposed(job.weights[l], job.widths[l + 1], job.widths[l]));
    return result;
}

}  // namespace

void pointwise(const PointwiseJob& job, const float* inputs, float* outputs) {
    const int num_layers = (int)job.weights.size(), num_outputs = job.widths.back();
    const int widest = *std::max_element(job.widths.begin(), job.widths.end());
    const auto matrices = all_transposed(job);
    on_threads(job.num_threads, [&](int thread) {
        TileRows first(widest), second(widest);
        for_tiles(job.num_columns, thread, job.num_threads, [&](int64_t column, int64_t size) {
            TileRows *from = &first, *to = &second;
            from->load(0, job.widths[0], inputs, job.num_columns, column, size);
            for (int l = 0; l < num_layers; l++, std::swap(from, to)) {
                const Rows rows = from->rows(0, job.widths[l]);
                const auto layer = [&](auto finish) {
                    combine(rows.data(), job.widths[l], matrices[l].data(), job.biases[l], job.widths[l + 1], size,
                            finish);
                };
                if (l + 1 < num_layers) layer([&](int o, int64_t n, VF sum) { storef(to->row(o) + n, activate(sum)); });
                else layer([&](int o, int64_t n, VF sum) { storef(to->row(o) + n, sum); });
            }
            for (int o = 0; o < num_outputs; o++)
                std::memcpy(outputs + o * job.num_columns + column, from->row(o), sizeof(float) * (size_t)size);
        });
    });
}

// Computes the hidden layers of a tile again, then walks back through them; they never leave the cache.
void pointwise_backward(const PointwiseJob& job, const float* inputs, const float* grad_outputs, float* grad_inputs,
                        const std::vector<float*>& grad_weights) {
    const int num_layers = (int)job.weights.size();
    // rows of layer l's inputs; of its weights and biases among all sums
    std::vector<int64_t> first_row(1, 0), first_sum(1, 0);
    for (int l = 0; l < num_layers; l++) {
        first_row.push_back(first_row.back() + job.widths[l]);
        first_sum.push_back(first_sum.back() + (int64_t)job.widths[l + 1] * (job.widths[l] + 1));
    }
    const auto matrices = all_transposed(job);
    const Floats no_bias((size_t)*std::max_element(job.widths.begin(), job.widths.end()));
    Sums sums(job.num_threads, (size_t)first_sum.back());
    on_threads(job.num_threads, [&](int thread) {
        // `grads` holds the slopes of the activations until the gradients take their place
        TileRows values(first_row.back()), grads(first_row.back() + job.widths.back());
        for_tiles(job.num_columns, thread, job.num_threads, [&](int64_t column, int64_t size) {
            values.load(0, job.widths[0], inputs, job.num_columns, column, size);
            grads.load(first_row[num_layers], job.widths[num_layers], grad_outputs, job.num_columns, column, size);
            for (int l = 0; l + 1 < num_layers; l++) {
                const Rows rows = values.rows(first_row[l], job.widths[l]);
                float *to = values.row(first_row[l + 1]), *slopes = grads.row(first_row[l + 1]);
                combine(rows.data(), job.widths[l], matrices[l].data(), job.biases[l], job.widths[l + 1], size,
                        [&](int o, int64_t n, VF sum) {
                            VF slope;
                            storef(to + o * kTileStride + n, activate(sum, slope));
                            storef(slopes + o * kTileStride + n, slope);
                        });
            }
            for (int l = num_layers - 1; l >= 0; l--) {
                const int in = job.widths[l], out = job.widths[l + 1];
                const Rows grad_rows = grads.rows(first_row[l + 1], out), rows = values.rows(first_row[l], in);
                VF* weight_sums = sums.of(thread) + first_sum[l];
                dot(grad_rows.data(), out, rows.data(), in, size, weight_sums);
                for (int o = 0; o < out; o++) {
                    VF& sum = weight_sums[(int64_t)out * in + o];
                    sum = sum + sum_row(grad_rows[o], size);
                }
                float* to = grads.row(first_row[l]);
                const auto layer = [&](auto finish) {
                    combine(grad_rows.data(), out, job.weights[l], no_bias.data(), in, size, finish);
                };
                if (l > 0)
                    layer([&](int i, int64_t n, VF sum) {
                        float* place = to + i * kTileStride + n;
                        storef(place, sum * loadf(place));
                    });
                else if (grad_inputs) layer([&](int i, int64_t n, VF sum) { storef(to + i * kTileStride + n, sum); });
            }
            for (int i = 0; grad_inputs && i < job.widths[0]; i++)
                std::memcpy(grad_inputs + i * job.num_columns + column, grads.row(i), sizeof(float) * (size_t)size);
        });
    });
    for (int l = 0; l < num_layers; l++) {
        const int64_t num_weights = (int64_t)job.widths[l] * job.widths[l + 1];
        for (int64_t i = 0; i < num_weights; i++) grad_weights[2 * l][i] = sums.total(first_sum[l] + i);
        for (int o = 0; o < job.widths[l + 1]; o++)
            grad_weights[2 * l + 1][o] = sums.total(first_sum[l] + num_weights + o);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Residual convolutions
//
// A band is some rows of one frame. Its rows lie one after the other with two cells of margin each, so that all of it
// is one long row to `combine` and `dot`, and a tap is that row shifted. What falls on margins is not looked at.

namespace {

constexpr int kLead = 16;  // floats before the first row, for taps to its left

// Rows of several channels and frames, in bands.
struct Band {
    int width, stride;
    int64_t plane;
    Floats data;

    Band(int num_planes, int num_rows, int width)
        : width(width), stride(width + 2), plane(kLead + round_up((int64_t)num_rows * (width + 2)) + kStep + kLead),
          data((size_t)num_planes * plane) {}
    float* row(int index, int y) { return data.data() + index * plane + kLead + (int64_t)y * stride; }
};

int rows_per_band(const ResidualJob& job) {
    constexpr int64_t kCacheFloats = 1 << 16;
    const int64_t planes = 2 * job.num_channels * (job.time_size + 1);
    const int64_t rows = kCacheFloats / (planes * (job.width + 2));
    const int count = (int)std::clamp<int64_t>((job.height + rows / 2) / std::max<int64_t>(rows, 1), 1, job.height);
    return (job.height + count - 1) / count;
}

// Calls f(t, y_begin, y_end) for part `index` of the bands of a patch.
template <typename F>
void for_bands(const ResidualJob& job, int index, F f) {
    const int rows = rows_per_band(job), per_frame = (job.height + rows - 1) / rows;
    const Part part((int64_t)job.num_frames * per_frame, index, job.num_threads);
    for (int64_t band = part.begin; band < part.end; band++) {
        const int begin = (int)(band / job.num_frames) * rows;  // frames follow each other: they share their neighbours
        f((int)(band % job.num_frames), begin, std::min(begin + rows, job.height));
    }
}

const float* row_of(const ResidualJob& job, const float* planes, int channel, int t, int y) {
    return planes + (((int64_t)channel * job.num_frames + t) * job.height + y) * job.width;
}
float* row_of(const ResidualJob& job, float* planes, int channel, int t, int y) {
    return planes + (((int64_t)channel * job.num_frames + t) * job.height + y) * job.width;
}

// to[x] = f(vector of a at x, vector of b at x)
template <typename F>
inline void map_row(const float* a, const float* b, int width, float* to, F f) {
    int x = 0;
    for (; x + kFloats <= width; x += kFloats) storef(to + x, f(loadf(a + x), loadf(b + x)));
    if (x < width) {
        float rest[kFloats];
        storef(rest, f(load_first(a + x, width - x), load_first(b + x, width - x)));
        std::memcpy(to + x, rest, sizeof(float) * (size_t)(width - x));
    }
}

// Rows y_begin - 1 .. y_end of frames t - 1 .. t + 1 (or t), edges repeated.
void load_inputs(const ResidualJob& job, const float* inputs, int t, int y_begin, int y_end, Band& band) {
    const int W = job.width;
    for (int c = 0; c < job.num_channels; c++)
        for (int k = 0; k < job.time_size; k++) {
            const int frame = std::clamp(t + k - job.time_size / 2, 0, job.num_frames - 1);
            for (int y = y_begin - 1; y <= y_end; y++) {
                const float* from = row_of(job, inputs, c, frame, std::clamp(y, 0, job.height - 1));
                float* to = band.row(c * job.time_size + k, y - y_begin + 1);
                if (job.active_input) map_row(from, from, W, to + 1, [](VF x, VF) { return activate(x); });
                else std::memcpy(to + 1, from, sizeof(float) * (size_t)W);
                to[0] = to[1];
                to[W + 1] = to[W];
                if (k == job.time_size - 1 && frame + 1 < job.num_frames) prefetch(from + (int64_t)job.height * W, W);
            }
        }
}

// Taps (channel, dt, dy, dx) of the first sample of a band: the order of a weight's inputs.
Rows taps_of(const ResidualJob& job, Band& band) {
    Rows taps;
    for (int plane = 0; plane < job.num_channels * job.time_size; plane++)
        for (int dy = 0; dy < 3; dy++)
            for (int dx = 0; dx < 3; dx++) taps.push_back(band.row(plane, dy) + dx);
    return taps;
}

// Weight of output o, input (i, dt, dy, dx), the input itself included.
float weight_of(const ResidualJob& job, int o, int i, int dt, int dy, int dx) {
    const bool is_self = o == i && dt == job.time_size / 2 && dy == 1 && dx == 1;
    return job.weight[(((o * job.num_channels + i) * job.time_size + dt) * 3 + dy) * 3 + dx] + (is_self ? 1.0f : 0.0f);
}

}  // namespace

void residual(const ResidualJob& job, const float* inputs, float* outputs) {
    const int C = job.num_channels, kt = job.time_size, W = job.width, num_taps = C * kt * 9;
    Floats matrix((size_t)num_taps * C);
    for (int k = 0; k < num_taps; k++)
        for (int o = 0; o < C; o++)
            matrix.data()[k * C + o] = weight_of(job, o, k / (9 * kt), k / 9 % kt, k / 3 % 3, k % 3);
    on_threads(job.num_threads, [&](int thread) {
        const int rows = rows_per_band(job);
        Band in(C * kt, rows + 2, W), out(C, rows, W);
        const Rows taps = taps_of(job, in);
        for_bands(job, thread, [&](int t, int y_begin, int y_end) {
            load_inputs(job, inputs, t, y_begin, y_end, in);
            combine(taps.data(), num_taps, matrix.data(), job.bias, C, (int64_t)(y_end - y_begin) * in.stride,
                    [&](int o, int64_t n, VF sum) { storef(out.row(o, 0) + n, sum); });
            for (int c = 0; c < C; c++)
                for (int y = y_begin; y < y_end; y++)
                    std::memcpy(row_of(job, outputs, c, t, y), out.row(c, y - y_begin), sizeof(float) * (size_t)W);
        });
    });
}

void residual_backward(const ResidualJob& job, const float* inputs, const float* grad_outputs, float* grad_inputs,
                       float* grad_weight, float* grad_bias) {
    constexpr int64_t kChunk = 1536;  // cells that `dot` takes at once, so that all of their taps are near
    const int C = job.num_channels, kt = job.time_size, T = job.num_frames, H = job.height, W = job.width;
    const int num_taps = C * kt * 9;
    Sums weight_sums(job.num_threads, (size_t)C * (num_taps + 1));
    const Floats no_bias((size_t)C);
    on_threads(job.num_threads, [&](int thread) {
        const int rows = rows_per_band(job);
        // gradients lie with two zeros behind each row and two rows more on either side
        Band in(C * kt, rows + 2, W), grad(C * kt, rows + 4, W), back(C, rows + 2, W);
        const Rows taps = taps_of(job, in);
        Floats matrix((size_t)num_taps * C);
        VF* thread_sums = weight_sums.of(thread);
        for_bands(job, thread, [&](int t, int y_begin, int y_end) {
            // rows of the padded frame whose gradient is wanted: margins fall back on the outermost rows
            const int from = y_begin == 0 ? -1 : y_begin, to = y_end == H ? H + 1 : y_end;
            const int first_frame = std::max(t - kt / 2, 0), end_frame = std::min(t + kt / 2 + 1, T);
            for (int c = 0; c < C; c++)
                for (int frame = first_frame; frame < end_frame; frame++)
                    for (int y = from - 1; y <= to; y++) {
                        float* row = grad.row(c * kt + frame - first_frame, y - (from - 1));
                        if (y < 0 || y >= H) std::fill(row, row + W, 0.0f);
                        else {
                            const float* source = row_of(job, grad_outputs, c, frame, y);
                            std::memcpy(row, source, sizeof(float) * (size_t)W);
                            if (frame == end_frame - 1 && frame + 1 < T) prefetch(source + (int64_t)H * W, W);
                        }
                        row[W] = row[W + 1] = 0.0f;
                    }

            load_inputs(job, inputs, t, y_begin, y_end, in);
            const int64_t length = (int64_t)(y_end - y_begin) * in.stride;
            Rows grad_rows, shifted(taps.size());
            for (int c = 0; c < C; c++) grad_rows.push_back(grad.row(c * kt + t - first_frame, y_begin - (from - 1)));
            for (int c = 0; c < C; c++) {
                VF& sum = thread_sums[C * num_taps + c];
                sum = sum + sum_row(grad_rows[c], length);
            }
            for (int64_t n = 0; n < length; n += kChunk) {
                for (size_t k = 0; k < taps.size(); k++) shifted[k] = taps[k] + n;
                dot(shifted.data(), num_taps, grad_rows.data(), C, std::min(kChunk, length - n), thread_sums);
                for (const float*& row : grad_rows) row += kChunk;
            }
            if (!grad_inputs) return;

            // each input gathers from the outputs that read it; frame f reads frame t with the sum of the taps that do
            Rows readers;
            float* weight = matrix.data();
            for (int o = 0; o < C; o++)
                for (int frame = first_frame; frame < end_frame; frame++)
                    for (int dy = 0; dy < 3; dy++)
                        for (int dx = 0; dx < 3; dx++) {
                            readers.push_back(grad.row(o * kt + frame - first_frame, 2 - dy) - dx);
                            for (int i = 0; i < C; i++, weight++) {
                                *weight = 0;
                                for (int dt = 0; dt < kt; dt++)
                                    if (std::clamp(frame + dt - kt / 2, 0, T - 1) == t)
                                        *weight += weight_of(job, o, i, dt, dy, dx);
                            }
                        }
            combine(readers.data(), (int)readers.size(), matrix.data(), no_bias.data(), C,
                    (int64_t)(to - from) * in.stride,
                    [&](int i, int64_t n, VF sum) { storef(back.row(i, 0) + n, sum); });
            for (int c = 0; c < C; c++) {
                for (int y = from; y < to; y++) {
                    float* row = back.row(c, y - from);  // columns -1 .. W
                    row[1] += row[0];
                    row[W] += row[W + 1];
                }
                if (y_begin == 0) add_scaled(back.row(c, 0), 1.0f, W + 2, back.row(c, 1));
                if (y_end == H) add_scaled(back.row(c, H - from), 1.0f, W + 2, back.row(c, H - 1 - from));
                for (int y = y_begin; y < y_end; y++) {
                    const float *sums = back.row(c, y - from) + 1, *values = row_of(job, inputs, c, t, y);
                    float* grads = row_of(job, grad_inputs, c, t, y);
                    if (!job.active_input) std::memcpy(grads, sums, sizeof(float) * (size_t)W);
                    else
                        map_row(sums, values, W, grads, [](VF sum, VF x) {
                            VF slope;
                            activate(x, slope);
                            return sum * slope;
                        });
                }
            }
        });
    });
    for (int c = 0; c < C; c++) {
        for (int k = 0; k < num_taps; k++) grad_weight[c * num_taps + k] = weight_sums.total((size_t)k * C + c);
        grad_bias[c] = weight_sums.total((size_t)C * num_taps + c);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Distortion

double clipped_mse(const float* samples, const float* target, int64_t count, float* grad, int num_threads) {
    constexpr int64_t kRun = 4096;  // summed in float, runs in double
    std::vector<double> totals((size_t)num_threads);
    on_threads(num_threads, [&](int thread) {
        const Part part((count + kRun - 1) / kRun, thread, num_threads);
        const VF zero = splatf(0.0f), one = splatf(1.0f), scale = splatf(2.0f / (float)count);
        double total = 0;
        for (int64_t run = part.begin; run < part.end; run++) {
            const int64_t end = std::min((run + 1) * kRun, count);
            VF sum = zero;
            const auto add = [&](VF x, VF y) {
                const VF clipped = minf(one, maxf(zero, x)), error = clipped - y;
                sum = fma(error, error, sum);
                return if_equal(clipped, x, error * scale, zero);
            };
            int64_t n = run * kRun;
            for (; n + kFloats <= end; n += kFloats) {
                const VF slope = add(loadf(samples + n), loadf(target + n));
                if (grad) storef(grad + n, slope);
            }
            if (n < end) {
                float rest[kFloats];
                storef(rest, add(load_first(samples + n, (int)(end - n)), load_first(target + n, (int)(end - n))));
                if (grad) std::memcpy(grad + n, rest, sizeof(float) * (size_t)(end - n));
            }
            total += sum_lanes(sum);
        }
        totals[(size_t)thread] = total;
    });
    double total = 0;
    for (double part : totals) total += part;
    return count ? total / (double)count : 0.0;
}

}  // namespace C3_ISA
}  // namespace c3
