// SPDX-License-Identifier: MIT
// The seam between Python and the decoder's kernels of the C3 model: everything that comes from Python is checked here,
// then the GIL is let go.
#include <cstdlib>
#include <string>

#include "c3/kernels.h"
#include "shared/arguments.h"

using namespace nb::literals;

namespace {

c3::Layer make_layer(Ints2 weight, Ints1 bias, int accumulator_bits) {
    c3::Layer layer;
    layer.num_outputs = (int)weight.shape(0);
    layer.num_inputs = (int)weight.shape(1);
    layer.accumulator_bits = accumulator_bits;
    require(layer.num_outputs >= 1 && layer.num_outputs <= c3::kMaxWidth, "a layer has 1..64 outputs");
    require(layer.num_inputs >= 1 && layer.num_inputs <= 64 * 27, "a layer has 1..1728 inputs");
    require(bias.shape(0) == weight.shape(0), "as many biases as outputs");
    require(accumulator_bits >= c3::kOutputBits && accumulator_bits <= 30, "accumulator_bits must be 13..30");
    layer.pairs.assign((size_t)layer.num_outputs * layer.num_pairs(), 0);
    layer.bias.assign(bias.data(), bias.data() + layer.num_outputs);
    for (int o = 0; o < layer.num_outputs; o++) {
        int64_t largest = std::abs((int64_t)bias.data()[o]);
        for (int i = 0; i < layer.num_inputs; i++) {
            const int32_t w = weight.data()[(size_t)o * layer.num_inputs + i];
            require(w >= -32767 && w <= 32767, "a weight must fit 16 bits");
            largest += (int64_t)std::abs(w) * 32768;
            int32_t& pair = layer.pairs[(size_t)o * layer.num_pairs() + i / 2];
            pair |= i % 2 ? (int32_t)((uint32_t)(uint16_t)w << 16) : (int32_t)(uint16_t)w;
        }
        require(largest < (1ll << 30), "the sums of a layer must stay below 2^30");
    }
    return layer;
}

std::vector<c3::Layer> copied(const std::vector<const c3::Layer*>& layers) {
    std::vector<c3::Layer> result;
    for (const c3::Layer* layer : layers) {
        require(layer != nullptr, "a layer is missing");
        result.push_back(*layer);
    }
    return result;
}

void require_chain(const std::vector<c3::Layer>& layers, int num_inputs) {
    for (const auto& layer : layers) {
        require(layer.num_inputs == num_inputs, "a layer's inputs must be the outputs of the one before");
        num_inputs = layer.num_outputs;
    }
}

void require_shape(const c3::GridShape& shape) {
    require(shape.num_frames >= 1 && shape.height >= 1 && shape.width >= 1, "an empty grid");
    require((int64_t)shape.num_frames * shape.height * shape.width <= 1 << 28, "a grid of more than 2^28 latents");
    require(shape.row_slope >= 1 && shape.row_slope <= 16 && shape.frame_slope >= 0 && shape.frame_slope <= 4096,
            "slopes out of range");
}

std::vector<c3::Tap> make_taps(const Ints2& taps) {
    require(taps.shape(0) >= 1 && taps.shape(0) <= 2 * c3::kMaxWidth && taps.shape(1) == 3, "taps (1..128, 3)");
    std::vector<c3::Tap> made;
    for (size_t i = 0; i < taps.shape(0); i++) {
        const int32_t* tap = taps.data() + 3 * i;
        require(std::abs(tap[0]) <= 128 && std::abs(tap[1]) <= 128 && (tap[2] == 0 || tap[2] == 1),
                "a tap is out of range");
        made.push_back({tap[0], tap[1], tap[2] == 1});
    }
    return made;
}

auto decode_grid(c3::Reader& reader, const c3::Tables& tables, std::vector<int> shape, std::vector<int> slopes,
                 int q_step_256, Ints2 taps, std::vector<const c3::Layer*> layers, std::string isa) {
    require(shape.size() == 3 && slopes.size() == 2, "shape (t, h, w), slopes (row, frame)");
    c3::GridJob job{{shape[0], shape[1], shape[2], slopes[0], slopes[1]}, q_step_256, make_taps(taps), copied(layers)};
    require_shape(job.shape);
    require(q_step_256 >= 1 && q_step_256 <= 1024, "q_step_256 must be 1..1024");
    for (const c3::Tap& tap : job.taps)
        require((tap.previous ? job.shape.frame_slope : 0) - tap.dx - job.shape.row_slope * tap.dy > 0,
                "a tap must lie in an earlier wave");
    require(job.layers.size() >= 2 && job.layers.back().num_outputs == 2,
            "at least two layers, the last with two outputs");
    require_chain(job.layers, (int)taps.shape(0));
    auto result = new_array<int32_t>(shape[0], shape[1], shape[2]);
    const auto chosen = c3::kernels<c3::C3DecodeKernels>(isa);
    {
        nb::gil_scoped_release release;
        chosen.decode_grid(reader, tables, job, static_cast<int32_t*>(result.data()));
    }
    return result;
}

// Most bytes that decode_grid takes for a window in the previous frame that may be moved down and to the right, to so
// many places along each axis; `taps` has it where it is furthest up and left.
size_t grid_memory(std::vector<int> shape, int row_slope, Ints2 taps, int num_places, std::string isa) {
    require(shape.size() == 3, "shape (t, h, w)");
    require(num_places >= 1 && num_places <= 65, "1..65 places");
    const auto chosen = c3::kernels<c3::C3DecodeKernels>(isa);
    const std::vector<c3::Tap> first = make_taps(taps);
    size_t most = 0;
    for (int down = 0; down < num_places; down++)
        for (int right = 0; right < num_places; right++) {
            c3::GridShape moved{shape[0], shape[1], shape[2], row_slope, 0};
            std::vector<c3::Tap> at = first;
            for (c3::Tap& tap : at) {
                if (!tap.previous) continue;
                tap.dy += down, tap.dx += right;
                moved.frame_slope = std::max(moved.frame_slope, 1 + tap.dx + row_slope * tap.dy);
            }
            require_shape(moved);
            most = std::max(most, chosen.grid_memory(moved, at));
        }
    return most;
}

// `exponents`: (time, space) of each grid.
size_t synthesis_memory(std::vector<int> shape, Ints2 exponents, int num_channels, int residual_time_size,
                        int num_residual, std::string isa) {
    require(shape.size() == 3 && shape[0] >= 1 && shape[1] >= 1 && shape[2] >= 1, "shape (T, H, W)");
    require((int64_t)shape[0] * shape[1] * shape[2] <= 1 << 28, "a patch of more than 2^28 cells");
    require(exponents.shape(1) == 2 && num_channels >= 1 && num_channels <= c3::kMaxWidth && num_residual >= 0 &&
                num_residual <= 4,
            "exponents (grids, 2), 1..64 channels, 0..4 residual layers");
    c3::SynthesisJob job{shape[0], shape[1], shape[2], 1, 1, residual_time_size, {}, {}, {}};
    for (size_t i = 0; i < exponents.shape(0); i++) {
        const int te = exponents.data()[2 * i], se = exponents.data()[2 * i + 1];
        require(te >= 0 && te <= 7 && se >= 0 && se <= 7, "exponents must be 0..7");
        const auto halved = [](int size, int exponent) { return (size + (1 << exponent) - 1) >> exponent; };
        job.planes.push_back({halved(shape[0], te), halved(shape[1], se), halved(shape[2], se), te, se, nullptr});
    }
    job.residual.resize(num_residual);
    return c3::kernels<c3::C3DecodeKernels>(isa).synthesis_memory(job, num_channels);
}

auto synthesise(std::vector<int> shape, int q_step_256, int max_value, int residual_time_size,
                std::vector<Ints3> symbols, Ints2 exponents, std::vector<const c3::Layer*> pointwise,
                std::vector<const c3::Layer*> residual, std::string isa) {
    require(shape.size() == 3 && shape[0] >= 1 && shape[1] >= 1 && shape[2] >= 1, "shape (T, H, W)");
    require((int64_t)shape[0] * shape[1] * shape[2] <= 1 << 28, "a patch of more than 2^28 cells");
    require(q_step_256 >= 1 && q_step_256 <= 1024 && max_value >= 1 && max_value <= 4095,
            "q_step_256 or max_value out of range");
    require(residual_time_size == 1 || residual_time_size == 3, "residual_time_size must be 1 or 3");
    require(symbols.size() >= 1 && exponents.shape(0) == symbols.size() && exponents.shape(1) == 2,
            "exponents (grids, 2)");
    c3::SynthesisJob job{shape[0],           shape[1], shape[2],          q_step_256,      max_value,
                         residual_time_size, {},       copied(pointwise), copied(residual)};
    for (size_t i = 0; i < symbols.size(); i++) {
        const int te = exponents.data()[2 * i], se = exponents.data()[2 * i + 1];
        require(te >= 0 && te <= 7 && se >= 0 && se <= 7, "exponents must be 0..7");
        const int expected[] = {te, se, se};
        for (int axis = 0; axis < 3; axis++)
            require((int)symbols[i].shape(axis) == (shape[axis] + (1 << expected[axis]) - 1) >> expected[axis],
                    "a grid's shape does not follow from its exponents");
        job.planes.push_back(
            {(int)symbols[i].shape(0), (int)symbols[i].shape(1), (int)symbols[i].shape(2), te, se, symbols[i].data()});
    }
    require(!job.pointwise.empty(), "at least one pointwise layer");
    require_chain(job.pointwise, (int)symbols.size());
    const int channels = job.pointwise.back().num_outputs;
    for (const auto& layer : job.residual)
        require(layer.num_outputs == channels && layer.num_inputs == channels * residual_time_size * 9,
                "a residual layer reads residual_time_size * 9 taps a channel");
    auto result = new_array<uint16_t>(channels, shape[0], shape[1], shape[2]);
    const auto chosen = c3::kernels<c3::C3DecodeKernels>(isa);
    {
        nb::gil_scoped_release release;
        chosen.synthesise(job, static_cast<uint16_t*>(result.data()));
    }
    return result;
}

}  // namespace

void bind_c3(nb::module_& m) {
    nb::class_<c3::Layer>(m, "Layer")
        .def(
            "__init__",
            [](c3::Layer* self, Ints2 weight, Ints1 bias, int accumulator_bits) {
                new (self) c3::Layer(make_layer(weight, bias, accumulator_bits));
            },
            nb::arg("weight").noconvert(), nb::arg("bias").noconvert(), "accumulator_bits"_a);
    m.def("decode_grid", &decode_grid, "reader"_a, "tables"_a, "shape"_a, "slopes"_a, "q_step_256"_a,
          nb::arg("taps").noconvert(), "layers"_a, "isa"_a);
    m.def("grid_memory", &grid_memory, "shape"_a, "row_slope"_a, nb::arg("taps").noconvert(), "num_places"_a, "isa"_a);
    m.def("synthesis_memory", &synthesis_memory, "shape"_a, nb::arg("exponents").noconvert(), "num_channels"_a,
          "residual_time_size"_a, "num_residual"_a, "isa"_a);
    m.def("synthesise", &synthesise, "shape"_a, "q_step_256"_a, "max_value"_a, "residual_time_size"_a,
          nb::arg("symbols").noconvert(), nb::arg("exponents").noconvert(), "pointwise"_a, "residual"_a, "isa"_a);
}
