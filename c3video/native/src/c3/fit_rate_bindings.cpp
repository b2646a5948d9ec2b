// SPDX-License-Identifier: MIT
// The seam between Python and what a fit does with latents: their rate, noise and rounding. Results are written into
// arrays that Python made; every size is checked here, then the GIL is let go.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "c3/kernels.h"
#include "shared/seam.h"

using namespace nb::literals;

namespace {

using In = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutDoubles = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr int64_t kMaxLatents = 1 << 28;
constexpr int kMaxGrids = 64, kMaxAxis = 1 << 15, kMaxOffset = 128;

void require_threads(int num_threads) {
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
}

// What is written must not be read elsewhere in the same call.
template <typename A, typename B>
void require_apart(const A& a, const B& b) {
    const auto *a_begin = (const char*)a.data(), *b_begin = (const char*)b.data();
    require(a_begin + a.nbytes() <= b_begin || b_begin + b.nbytes() <= a_begin, "arrays overlap");
}

c3::RatePlan make_plan(const std::vector<std::vector<int>>& shapes,
                       const std::vector<std::optional<std::pair<int, int>>>& corners, int context_size,
                       int previous_size, float q_step, const std::vector<int>& hidden) {
    require(context_size >= 3 && context_size <= c3::kMaxContextSize && context_size % 2,
            "context_size must be odd, 3..9");
    require(previous_size >= 1 && previous_size <= c3::kMaxPreviousSize, "previous_size must be 1..9");
    require(std::isfinite(q_step) && q_step > 0.0f, "q_step must be above 0");
    require(hidden.size() >= 1 && hidden.size() <= c3::kMaxHiddenLayers, "1..3 hidden layers");
    for (int width : hidden) require(width >= 1 && width <= c3::kMaxHiddenWidth, "hidden layers are 1..64 wide");
    require(shapes.size() >= 1 && shapes.size() <= kMaxGrids && corners.size() == shapes.size(),
            "1..64 grids, a corner or None each");
    c3::RatePlan plan{{}, context_size, previous_size, q_step, hidden};
    int64_t count = 0;
    for (size_t g = 0; g < shapes.size(); g++) {
        require(shapes[g].size() == 3, "a grid has three axes");
        for (int size : shapes[g]) require(size >= 1 && size <= kMaxAxis, "an axis must be 1..32768 long");
        count += (int64_t)shapes[g][0] * shapes[g][1] * shapes[g][2];
        require(count <= kMaxLatents, "more than 2^28 latents");
        const auto corner = corners[g].value_or(std::pair(0, 0));
        require(std::abs((int64_t)corner.first) <= kMaxOffset && std::abs((int64_t)corner.second) <= kMaxOffset,
                "a corner must lie within 128 of its latent");
        plan.grids.push_back(
            {shapes[g][0], shapes[g][1], shapes[g][2], corners[g].has_value(), corner.first, corner.second});
    }
    return plan;
}

void grid_bits(const c3::RatePlan& plan, In latents, In weights, OutDoubles bits, std::optional<Out> grad_latents,
               std::optional<Out> grad_weights, int num_threads, const std::string& isa) {
    require(latents.shape(0) == plan.num_latents(), "as many latents as the plan has");
    require(weights.shape(0) == plan.num_weights(), "as many weights as the plan has");
    require(bits.shape(0) == plan.grids.size(), "bits: one a grid");
    require(grad_latents.has_value() == grad_weights.has_value(), "both gradients or none");
    require_apart(bits, latents);
    require_apart(bits, weights);
    c3::RateJob job{latents.data(), weights.data(), bits.data(), nullptr, nullptr};
    if (grad_latents) {
        require(grad_latents->shape(0) == latents.shape(0) && grad_weights->shape(0) == weights.shape(0),
                "a gradient has the size of its values");
        for (const auto* grad : {&*grad_latents, &*grad_weights}) {
            require_apart(*grad, latents);
            require_apart(*grad, weights);
            require_apart(*grad, bits);
        }
        require_apart(*grad_latents, *grad_weights);
        job.grad_latents = grad_latents->data();
        job.grad_weights = grad_weights->data();
    }
    require_threads(num_threads);
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.fit_rate(plan, job, num_threads);
}

c3::QuantiseJob quantise_job(const In& latents, const std::vector<int64_t>& sizes, const std::vector<float>& scales,
                             float temperature, Out& steps, std::optional<Out>& slopes, int num_threads) {
    require_threads(num_threads);
    require((int64_t)latents.shape(0) <= kMaxLatents, "more than 2^28 latents");
    require(sizes.size() == scales.size() && sizes.size() <= kMaxGrids, "a scale for each size, at most 64");
    int64_t count = 0;
    for (int64_t size : sizes) {
        require(size >= 0 && size <= kMaxLatents, "a size must be 0..2^28");
        count += size;
    }
    require(count == (int64_t)latents.shape(0), "the sizes must sum to the number of latents");
    require(std::isfinite(temperature) && temperature > 0.0f, "temperature must be above 0");
    require(steps.shape(0) == latents.shape(0), "as many steps as latents");
    require_apart(steps, latents);
    if (slopes) {
        require(slopes->shape(0) == latents.shape(0), "as many slopes as latents");
        require_apart(*slopes, latents);
        require_apart(*slopes, steps);
    }
    return {{sizes, scales}, count, latents.data(), temperature, steps.data(), slopes ? slopes->data() : nullptr};
}

void add_noise(In latents, const std::vector<int64_t>& sizes, const std::vector<float>& scales, float temperature,
               float a, uint64_t seed, std::optional<In> uniforms, Out steps, std::optional<Out> slopes,
               int num_threads, const std::string& isa) {
    const auto job = quantise_job(latents, sizes, scales, temperature, steps, slopes, num_threads);
    require(std::isfinite(a) && a >= 1.0f && a <= 100.0f, "a must be 1..100");
    if (uniforms) {
        require(uniforms->shape(0) == latents.shape(0), "as many uniforms as latents");
        require_apart(steps, *uniforms);
        if (slopes) require_apart(*slopes, *uniforms);
    }
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.add_noise(job, {a, uniforms ? uniforms->data() : nullptr, seed}, num_threads);
}

void straight_through(In latents, const std::vector<int64_t>& sizes, const std::vector<float>& scales,
                      float temperature, Out steps, std::optional<Out> slopes, int num_threads,
                      const std::string& isa) {
    const auto job = quantise_job(latents, sizes, scales, temperature, steps, slopes, num_threads);
    const auto chosen = c3::kernels<c3::C3FitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.straight_through(job, num_threads);
}

}  // namespace

void bind_fit_rate(nb::module_& m) {
    nb::class_<c3::RatePlan>(m, "RatePlan")
        .def(
            "__init__",
            [](c3::RatePlan* self, const std::vector<std::vector<int>>& shapes,
               const std::vector<std::optional<std::pair<int, int>>>& corners, int context_size, int previous_size,
               float q_step, const std::vector<int>& hidden) {
                new (self) c3::RatePlan(make_plan(shapes, corners, context_size, previous_size, q_step, hidden));
            },
            "shapes"_a, "corners"_a, "context_size"_a, "previous_size"_a, "q_step"_a, "hidden"_a);
    m.def("fit_grid_bits", &grid_bits, "plan"_a, "latents"_a.noconvert(), "weights"_a.noconvert(), "bits"_a.noconvert(),
          "grad_latents"_a.noconvert().none(), "grad_weights"_a.noconvert().none(), "num_threads"_a, "isa"_a);
    m.def("fit_add_noise", &add_noise, "latents"_a.noconvert(), "sizes"_a, "scales"_a, "temperature"_a, "a"_a, "seed"_a,
          "uniforms"_a.noconvert().none(), "steps"_a.noconvert(), "slopes"_a.noconvert().none(), "num_threads"_a,
          "isa"_a);
    m.def("fit_straight_through", &straight_through, "latents"_a.noconvert(), "sizes"_a, "scales"_a, "temperature"_a,
          "steps"_a.noconvert(), "slopes"_a.noconvert().none(), "num_threads"_a, "isa"_a);
}
