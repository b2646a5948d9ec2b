// SPDX-License-Identifier: MIT
// The seam between Python and the synthesis of a fit. Results are written into arrays that Python made; every shape is
// checked here, then the GIL is let go.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "c3/block_pool.h"
#include "c3/kernels.h"
#include "shared/seam.h"

using namespace nb::literals;

namespace {

template <int dimensions>
using In = nb::ndarray<const float, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
template <int dimensions>
using Out = nb::ndarray<float, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
// All of them are bound with noconvert(): a result written into a converted copy would be lost.
using OutAny = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Weights = std::vector<nb::ndarray<const float, nb::c_contig, nb::device::cpu>>;

constexpr int64_t kMaxSize = 1 << 15;  // of one axis
constexpr int64_t kMaxCells = 1 << 28;
constexpr int kMaxFitWidth = 64;

// As many threads as there is work for: to start one takes as long as some thousand cells.
int threads_for(int64_t num_cells, int num_threads) {
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
    return (int)std::min<int64_t>(num_threads, 1 + num_cells / 4096);
}

template <typename A, typename B>
void require_same_shape(const A& a, const B& b) {
    require(a.ndim() == b.ndim(), "arrays differ in dimensions");
    for (size_t i = 0; i < a.ndim(); i++) require(a.shape(i) == b.shape(i), "arrays differ in shape");
}

// Neither call may write where it still reads.
template <typename A, typename B>
void require_apart(const A& a, const B& b) {
    const auto *a_begin = (const char*)a.data(), *b_begin = (const char*)b.data();
    require(a_begin + a.nbytes() <= b_begin || b_begin + b.nbytes() <= a_begin, "arrays overlap");
}

// An array of any values for results, out of a pool that it goes back to.
nb::object empty(const std::vector<size_t>& shape) {
    static auto* pool = new c3::BlockPool;  // never deleted: arrays may outlive this module
    struct Block {
        float* data;
        size_t size;
    };
    size_t size = 1;
    for (size_t length : shape) {
        require(length <= (size_t)kMaxCells && size * length <= (size_t)kMaxCells * kMaxFitWidth, "an array too large");
        size *= length;
    }
    auto block = std::make_unique<Block>(Block{pool->take(size), size});
    nb::capsule owner(block.get(), [](void* p) noexcept {
        const std::unique_ptr<Block> block(static_cast<Block*>(p));
        pool->give_back(block->data, block->size);
    });
    float* data = block.release()->data;
    return nb::cast(nb::ndarray<nb::pytorch, float>(data, shape.size(), shape.data(), owner));
}

c3::UpsampleJob upsample_job(const std::vector<std::vector<int>>& exponents, float scale, size_t num_latents,
                             const size_t* shape, int num_threads) {
    require(exponents.size() >= 1 && exponents.size() <= 64 && shape[0] == exponents.size(),
            "1..64 grids, a plane each");
    for (int axis = 1; axis < 4; axis++)
        require(shape[axis] >= 1 && (int64_t)shape[axis] <= kMaxSize, "an axis is too long");
    require((int64_t)(shape[1] * shape[2] * shape[3]) <= kMaxCells, "a patch of more than 2^28 cells");
    c3::UpsampleJob job{(int)shape[1], (int)shape[2], (int)shape[3], scale, {}, 0};
    job.num_threads = threads_for((int64_t)(shape[1] * shape[2] * shape[3]), num_threads);
    size_t count = 0;
    for (const auto& pair : exponents) {
        require(pair.size() == 2 && pair[0] >= 0 && pair[0] <= 7 && pair[1] >= 0 && pair[1] <= 7,
                "exponents must be 0..7");
        const auto coarse = [](int size, int exponent) { return (size + (1 << exponent) - 1) >> exponent; };
        job.grids.push_back({coarse(job.num_frames, pair[0]), coarse(job.height, pair[1]), coarse(job.width, pair[1]),
                             pair[0], pair[1]});
        count += (size_t)job.grids.back().num_frames * job.grids.back().height * job.grids.back().width;
    }
    require(count == num_latents, "as many latents as the grids have");
    return job;
}

void upsample(In<1> latents, Out<4> planes, const std::vector<std::vector<int>>& exponents, float scale,
              int num_threads, const std::string& isa) {
    const size_t shape[] = {planes.shape(0), planes.shape(1), planes.shape(2), planes.shape(3)};
    const auto job = upsample_job(exponents, scale, latents.shape(0), shape, num_threads);
    require_apart(latents, planes);
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.upsample(job, latents.data(), planes.data());
}

void upsample_backward(In<4> grad_planes, Out<1> grad_latents, const std::vector<std::vector<int>>& exponents,
                       float scale, int num_threads, const std::string& isa) {
    const size_t shape[] = {grad_planes.shape(0), grad_planes.shape(1), grad_planes.shape(2), grad_planes.shape(3)};
    const auto job = upsample_job(exponents, scale, grad_latents.shape(0), shape, num_threads);
    require_apart(grad_latents, grad_planes);
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.upsample_backward(job, grad_planes.data(), grad_latents.data());
}

// `weights`: of each layer the weight (outputs, inputs), then the bias (outputs,).
c3::PointwiseJob pointwise_job(size_t num_inputs, size_t num_columns, size_t num_outputs, const Weights& weights,
                               int num_threads) {
    require(num_inputs >= 1 && num_inputs <= kMaxFitWidth, "1..64 inputs");
    require((int64_t)num_columns <= kMaxCells, "more than 2^28 columns");
    require(weights.size() >= 2 && weights.size() <= 32 && weights.size() % 2 == 0, "1..16 layers of weight and bias");
    c3::PointwiseJob job{
        {(int)num_inputs}, {}, {}, (int64_t)num_columns, threads_for((int64_t)num_columns, num_threads)};
    for (size_t i = 0; i < weights.size(); i += 2) {
        const auto &weight = weights[i], &bias = weights[i + 1];
        require(weight.ndim() == 2 && bias.ndim() == 1 && weight.shape(0) == bias.shape(0),
                "a weight (o, i) and a bias (o,)");
        require((int)weight.shape(1) == job.widths.back(), "a layer's inputs must be the outputs of the one before");
        require(weight.shape(0) >= 1 && weight.shape(0) <= kMaxFitWidth, "a layer has 1..64 outputs");
        job.widths.push_back((int)weight.shape(0));
        job.weights.push_back(weight.data());
        job.biases.push_back(bias.data());
    }
    require((size_t)job.widths.back() == num_outputs, "as many outputs as the last layer has");
    return job;
}

void pointwise(In<2> inputs, const Weights& weights, Out<2> outputs, int num_threads, const std::string& isa) {
    const auto job = pointwise_job(inputs.shape(0), inputs.shape(1), outputs.shape(0), weights, num_threads);
    require(inputs.shape(1) == outputs.shape(1), "as many output columns as input columns");
    require_apart(inputs, outputs);
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.pointwise(job, inputs.data(), outputs.data());
}

void pointwise_backward(In<2> inputs, const Weights& weights, In<2> grad_outputs, std::optional<Out<2>> grad_inputs,
                        const std::vector<OutAny>& grad_weights, int num_threads, const std::string& isa) {
    const auto job = pointwise_job(inputs.shape(0), inputs.shape(1), grad_outputs.shape(0), weights, num_threads);
    require(inputs.shape(1) == grad_outputs.shape(1), "as many output columns as input columns");
    require(grad_weights.size() == weights.size(), "a gradient for each weight and bias");
    std::vector<float*> grads;
    for (size_t i = 0; i < weights.size(); i++) {
        require_same_shape(grad_weights[i], weights[i]);
        grads.push_back(grad_weights[i].data());
    }
    if (grad_inputs) {
        require_same_shape(*grad_inputs, inputs);
        require_apart(*grad_inputs, inputs);
        require_apart(*grad_inputs, grad_outputs);
    }
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.pointwise_backward(job, inputs.data(), grad_outputs.data(), grad_inputs ? grad_inputs->data() : nullptr,
                              grads);
}

c3::ResidualJob residual_job(const In<4>& inputs, const In<5>& weight, const In<1>& bias, bool active_input,
                             int num_threads) {
    require(inputs.shape(0) >= 1 && inputs.shape(0) <= c3::kMaxResidualChannels, "1..6 channels");
    for (int axis = 1; axis < 4; axis++)
        require(inputs.shape(axis) >= 1 && (int64_t)inputs.shape(axis) <= kMaxSize, "an axis is empty or too long");
    const auto num_cells = (int64_t)(inputs.shape(1) * inputs.shape(2) * inputs.shape(3));
    require(num_cells <= kMaxCells, "a patch of more than 2^28 cells");
    require(
        weight.shape(0) == inputs.shape(0) && weight.shape(1) == inputs.shape(0) && bias.shape(0) == inputs.shape(0),
        "a weight (C, C, kt, 3, 3) and a bias (C,)");
    require((weight.shape(2) == 1 || weight.shape(2) == 3) && weight.shape(3) == 3 && weight.shape(4) == 3,
            "a kernel of 1x3x3 or 3x3x3");
    return {(int)inputs.shape(0), (int)inputs.shape(1), (int)inputs.shape(2),
            (int)inputs.shape(3), (int)weight.shape(2), active_input,
            weight.data(),        bias.data(),          threads_for(num_cells, num_threads)};
}

void residual(In<4> inputs, In<5> weight, In<1> bias, bool active_input, Out<4> outputs, int num_threads,
              const std::string& isa) {
    const auto job = residual_job(inputs, weight, bias, active_input, num_threads);
    require_same_shape(outputs, inputs);
    require_apart(outputs, inputs);
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.residual(job, inputs.data(), outputs.data());
}

void residual_backward(In<4> inputs, In<5> weight, In<1> bias, bool active_input, In<4> grad_outputs,
                       std::optional<Out<4>> grad_inputs, Out<5> grad_weight, Out<1> grad_bias, int num_threads,
                       const std::string& isa) {
    const auto job = residual_job(inputs, weight, bias, active_input, num_threads);
    require_same_shape(grad_outputs, inputs);
    require_same_shape(grad_weight, weight);
    require_same_shape(grad_bias, bias);
    if (grad_inputs) {
        require_same_shape(*grad_inputs, inputs);
        require_apart(*grad_inputs, inputs);
        require_apart(*grad_inputs, grad_outputs);
    }
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.residual_backward(job, inputs.data(), grad_outputs.data(), grad_inputs ? grad_inputs->data() : nullptr,
                             grad_weight.data(), grad_bias.data());
}

double clipped_mse(In<1> samples, In<1> target, std::optional<Out<1>> grad, int num_threads, const std::string& isa) {
    const auto count = (int64_t)samples.shape(0);
    const int threads = threads_for(count, num_threads);
    require_same_shape(samples, target);
    if (grad) {
        require_same_shape(*grad, samples);
        require_apart(*grad, samples);
        require_apart(*grad, target);
    }
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    return chosen.clipped_mse(samples.data(), target.data(), count, grad ? grad->data() : nullptr, threads);
}

}  // namespace

void bind_fit_synthesis(nb::module_& m) {
    const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
    m.def("fit_empty", &empty, "shape"_a);
    m.def("fit_upsample", &upsample, array("latents"), array("planes"), "exponents"_a, "scale"_a, "num_threads"_a,
          "isa"_a);
    m.def("fit_upsample_backward", &upsample_backward, array("grad_planes"), array("grad_latents"), "exponents"_a,
          "scale"_a, "num_threads"_a, "isa"_a);
    m.def("fit_pointwise", &pointwise, array("inputs"), array("weights"), array("outputs"), "num_threads"_a, "isa"_a);
    m.def("fit_pointwise_backward", &pointwise_backward, array("inputs"), array("weights"), array("grad_outputs"),
          array("grad_inputs").none(), array("grad_weights"), "num_threads"_a, "isa"_a);
    m.def("fit_residual", &residual, array("inputs"), array("weight"), array("bias"), "active_input"_a,
          array("outputs"), "num_threads"_a, "isa"_a);
    m.def("fit_residual_backward", &residual_backward, array("inputs"), array("weight"), array("bias"),
          "active_input"_a, array("grad_outputs"), array("grad_inputs").none(), array("grad_weight"),
          array("grad_bias"), "num_threads"_a, "isa"_a);
    m.def("fit_clipped_mse", &clipped_mse, array("samples"), array("target"), array("grad").none(), "num_threads"_a,
          "isa"_a);
}
