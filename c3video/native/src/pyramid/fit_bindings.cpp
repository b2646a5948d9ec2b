// SPDX-License-Identifier: MIT
// The seam between Python and the fit of the pyramid model. Results are written into arrays that Python made; every
// size is checked here, then the GIL is let go.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <optional>
#include <string>

#include "pyramid/fit_kernels.h"
#include "shared/seam.h"

using namespace nb::literals;

namespace {

using namespace c3::pyramid;
using In = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using InDoubles = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr int kMaxAxis = 1 << 15;

void require_threads(int num_threads) {
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
}

// What is written must not be read or written elsewhere in the same call.
struct Ranges {
    std::vector<std::pair<const char*, const char*>> read, written;

    template <typename A>
    void add(const A& array, bool is_written) {
        const std::pair<const char*, const char*> range{(const char*)array.data(),
                                                        (const char*)array.data() + array.nbytes()};
        const auto apart = [&](const auto& other) {
            return range.second <= other.first || other.second <= range.first;
        };
        for (const auto& other : written) require(apart(other), "arrays overlap");
        if (is_written)
            for (const auto& other : read) require(apart(other), "arrays overlap");
        (is_written ? written : read).push_back(range);
    }
};

using GroupNumbers =
    std::tuple<int, int, int, int, int>;  // as PlaneGroup: planes, y and x exponents, given, first grid

void make_plan(Plan& plan, int height, int width, int num_grids, const std::vector<std::pair<int, int>>& taps,
               int num_previous, const std::vector<int>& hidden, int synthesis_width, int refine_width,
               int filter_reach, int patch_size, int num_hyper, const std::vector<GroupNumbers>& groups) {
    require(height >= 1 && height <= kMaxAxis && width >= 1 && width <= kMaxAxis,
            "a picture is 1..32768 high and wide");
    require(num_grids >= 1 && num_grids <= kMaxGrids, "1..8 grids");
    require(taps.size() >= 1 && taps.size() <= (size_t)kMaxTaps, "1..16 taps");
    for (const auto& [dy, dx] : taps)
        require(dy >= -3 && dy <= 0 && dx >= -3 && dx <= 3 && (dy < 0 || dx < 0),
                "a tap lies before its latent, 3 rows and columns off at most");
    require(num_previous >= 0 && num_previous <= kMaxPrevious, "0..9 taps in the previous latent frame");
    require(hidden.size() == 1 || hidden.size() == 2, "one or two hidden layers");
    for (int w : hidden) require(w >= 1 && w <= kMaxWidth, "hidden layers are 1..48 wide");
    require(synthesis_width >= 1 && synthesis_width <= kMaxWidth, "synthesis_width must be 1..48");
    require(refine_width >= 0 && refine_width <= kMaxRefine, "refine_width must be 0..32");
    require(filter_reach >= 0 && filter_reach <= kMaxReach, "filter_reach must be 0..3");
    require(patch_size >= 128 && patch_size <= kMaxAxis && patch_size % 128 == 0,
            "patch_size must be a multiple of 128");
    require(num_hyper >= 0 && num_hyper <= std::min(num_grids, kMaxHyper), "0..4 hyper grids, no more than others");
    require(groups.size() == 1 || groups.size() == 2, "one or two groups of planes");
    plan.num_taps = (int)taps.size();
    plan.num_previous = num_previous;
    plan.taps = taps;
    plan.hidden = hidden;
    plan.synthesis_width = synthesis_width;
    plan.refine_width = refine_width;
    plan.filter_reach = filter_reach;
    plan.patch_size = patch_size;
    plan.num_hyper = num_hyper;
    plan.num_latents = 0;
    const auto halved = [](int length, int times) { return (length + (1 << times) - 1) >> times; };
    for (int k = 0; k < num_grids + num_hyper; k++) {
        const int level = k < num_grids ? k : k - num_hyper;
        plan.grids.push_back({halved(height, level), halved(width, level)});
        plan.grid_starts.push_back(plan.num_latents);
        plan.num_latents += plan.grids.back().count();
    }
    size_t place = 0;
    const auto array = [&](size_t count) {
        place += count;
        return place - count;
    };
    const size_t inputs = plan.num_inputs(), first = hidden[0], last = hidden.back();
    plan.w1 = array(first * inputs);
    plan.b1 = array(num_grids * first);
    plan.w2 = plan.b2 = 0;
    if (hidden.size() == 2) {
        plan.w2 = array(last * first);
        plan.b2 = array(last);
    }
    plan.w3 = array(2 * last);
    plan.b3 = array(2);
    plan.l = array(2 * inputs);
    plan.p1 = array(first * num_previous);
    plan.pb = array(num_previous ? num_grids * first : 0);
    plan.pl = array(2 * num_previous);
    plan.p3 = array(num_previous ? 2 : 0);
    plan.h1 = array(first * num_hyper);
    plan.hl = array(2 * (size_t)num_hyper);
    plan.hb = array(num_hyper * first);
    plan.u = array((size_t)(num_grids - 1) * kUpsamplingTaps);
    plan.f = array(filter_reach ? (size_t)num_grids * (filter_reach + 1) : 0);
    plan.num_samples = plan.num_planes = 0;
    for (const auto& [planes, y, x, given, first_grid] : groups) {
        const bool is_first = plan.groups.empty();
        require(planes >= 1 && planes <= kMaxPlanes, "a group has 1..3 planes");
        if (is_first)
            require(y == 0 && x == 0 && given == 0 && first_grid == 0,
                    "the first group has luma's size and reads all grids");
        else
            require(plan.groups[0].num_planes == 1 && x == 1 && (y == 0 || y == 1) && given == 1 && first_grid == y,
                    "the second group is chroma of 4:2:0 or 4:2:2 and reads luma");
        Group group{};
        group.num_planes = planes;
        group.y_exponent = y;
        group.x_exponent = x;
        group.num_given = given;
        group.first_grid = first_grid;
        group.num_latent_inputs = num_grids - first_grid;
        group.num_inputs = group.num_latent_inputs + given;
        group.size = {halved(height, y), halved(width, x)};
        const size_t z = group.num_inputs, units = synthesis_width, refine = refine_width, c = planes;
        group.v1 = array(units * z);
        group.c1 = array(units);
        group.v2 = array(c * units);
        group.c2 = array(c);
        group.m = array(c * z);
        if (refine) {
            group.r1 = array(refine * c * 9);
            group.d1 = array(refine);
            group.r2 = array(c * refine);
            group.d2 = array(c);
        }
        group.first_plane = plan.num_planes;
        plan.num_planes += planes;
        plan.num_samples += c * group.size.count();
        plan.groups.push_back(group);
    }
    plan.num_weights = place;
}

// With bits_weight or error_weights None that part is left out.
void run(const Plan& plan, In latents, bool is_later, std::optional<In> previous,
         const std::vector<std::pair<int, int>>& windows, In weights, In targets, std::optional<double> bits_weight,
         std::optional<InDoubles> error_weights, std::optional<In> importance, Doubles bits, Doubles squared_errors,
         std::optional<Out> samples, std::optional<Out> grad_latents, std::optional<Out> grad_previous,
         std::optional<Doubles> grad_weights, int num_threads, const std::string& isa) {
    require(latents.shape(0) == plan.num_latents, "as many latents as the plan has");
    require(weights.shape(0) == plan.num_weights, "as many weights as the plan has");
    require(targets.shape(0) == plan.num_samples || !error_weights, "as many targets as the plan has samples");
    require(!error_weights || error_weights->shape(0) == (size_t)plan.num_planes, "a weight for each plane's errors");
    require(!importance || importance->shape(0) == plan.num_samples, "an importance for each sample");
    require(bits.shape(0) == plan.grids.size(), "bits: one a grid");
    require(squared_errors.shape(0) == (size_t)plan.num_planes, "squared errors: one a plane");
    require(!samples || samples->shape(0) == plan.num_samples, "as many samples as the plan has");
    require(!grad_latents || grad_latents->shape(0) == plan.num_latents, "a gradient has the size of its values");
    require(!previous || previous->shape(0) == plan.num_latents, "a frame has as many latents as the other");
    require(!is_later || plan.num_previous > 0, "a later frame needs taps in the one before");
    require(!previous || is_later, "the first frame has none before it");
    require(windows.size() == plan.grids.size(), "a window for each grid");
    for (const auto& [y, x] : windows) require(std::abs(y) <= kMaxWindow && std::abs(x) <= kMaxWindow, "windows to 31");
    require(!grad_previous || (grad_latents && previous && grad_previous->shape(0) == plan.num_latents),
            "a gradient has the size of its values");
    require(!grad_weights || grad_weights->shape(0) == plan.num_weights, "a gradient has the size of its values");
    require_threads(num_threads);
    Ranges ranges;
    for (const In* array : {&latents, &weights, &targets}) ranges.add(*array, false);
    for (const Doubles* array : {&bits, &squared_errors}) ranges.add(*array, true);
    if (importance) ranges.add(*importance, false);
    if (previous) ranges.add(*previous, false);
    if (samples) ranges.add(*samples, true);
    if (grad_previous) ranges.add(*grad_previous, true);
    if (grad_latents) ranges.add(*grad_latents, true);
    if (grad_weights) ranges.add(*grad_weights, true);
    if (bits_weight) require(*bits_weight >= 0.0, "the weight of bits must be 0 or more");

    const auto chosen = c3::kernels<c3::PyramidFitKernels>(isa);
    Job job{};
    job.latents = latents.data();
    job.is_later = is_later;
    if (previous) job.previous = previous->data();
    job.windows = windows.data();
    job.weights = weights.data();
    job.targets = targets.data();
    job.bits_weight = bits_weight.value_or(0.0);
    job.bits = bits.data();
    job.squared_errors = squared_errors.data();
    if (error_weights) job.error_weights = error_weights->data();
    if (importance) job.importance = importance->data();
    if (samples) job.samples = samples->data();
    if (grad_latents) job.grad_latents = grad_latents->data();
    if (grad_previous) job.grad_previous = grad_previous->data();
    if (grad_weights) job.grad_weights = grad_weights->data();
    nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> turn(plan.turn);
    std::fill_n(job.bits, plan.grids.size(), 0.0);
    std::fill_n(job.squared_errors, plan.num_planes, 0.0);
    if (job.grad_latents) std::fill_n(job.grad_latents, plan.num_latents, 0.0f);
    if (job.grad_previous) std::fill_n(job.grad_previous, plan.num_latents, 0.0f);
    if (job.grad_weights) std::fill_n(job.grad_weights, plan.num_weights, 0.0);
    while (plan.arenas.size() < (size_t)num_threads + 1) plan.arenas.push_back(std::make_unique<Arena>());
    for (auto& arena : plan.arenas) arena->reset();
    if (bits_weight) chosen.pyramid_rate(plan, job, num_threads);
    for (auto& arena : plan.arenas) arena->reset();
    if (error_weights) chosen.pyramid_distortion(plan, job, num_threads);
    bool finite = true;
    for (size_t k = 0; k < plan.grids.size(); k++) finite = finite && std::isfinite(job.bits[k]);
    for (int p = 0; p < plan.num_planes; p++) finite = finite && std::isfinite(job.squared_errors[p]);
    if (!finite) plan.arenas.clear();  // what is not a number stays in none of the places that count on zeros
}

// (latents that changed, by how much less the loss is).
std::pair<int64_t, double> choose(const Plan& plan, Out latents, In weights, In targets, In slopes, double bits_weight,
                                  InDoubles error_weights, std::optional<In> importance, int num_grids, int longest,
                                  int num_threads, const std::string& isa) {
    require(latents.shape(0) == plan.num_latents, "as many latents as the plan has");
    require(weights.shape(0) == plan.num_weights, "as many weights as the plan has");
    require(targets.shape(0) == plan.num_samples, "as many targets as the plan has samples");
    require(slopes.shape(0) == plan.num_latents, "a slope for each latent");
    require(error_weights.shape(0) == (size_t)plan.num_planes, "a weight for each plane's errors");
    require(!importance || importance->shape(0) == plan.num_samples, "an importance for each sample");
    require(bits_weight > 0.0, "the weight of bits must be above 0");
    require(num_grids >= 0, "grids are 0 or more");
    require(longest >= 1 && longest <= c3::pyramid::kLongestChoice, "sides of rectangles are 1 .. 32");
    require_threads(num_threads);
    Ranges ranges;
    for (const In* array : {&weights, &targets, &slopes}) ranges.add(*array, false);
    if (importance) ranges.add(*importance, false);
    ranges.add(latents, true);
    const auto chosen = c3::kernels<c3::PyramidFitKernels>(isa);
    ChoiceJob job{latents.data(),
                  weights.data(),
                  targets.data(),
                  slopes.data(),
                  bits_weight,
                  error_weights.data(),
                  importance ? importance->data() : nullptr,
                  num_grids,
                  longest,
                  0,
                  0.0};
    nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> turn(plan.turn);
    chosen.pyramid_choose(plan, job, num_threads);
    return {job.changes, job.gain};
}

QuantiseJob quantise_job(const In& latents, float temperature, Out& steps, std::optional<Out>& slopes, Ranges& ranges) {
    require(std::isfinite(temperature) && temperature > 0.0f, "temperature must be above 0");
    require(steps.shape(0) == latents.shape(0), "as many steps as latents");
    require(!slopes || slopes->shape(0) == latents.shape(0), "as many slopes as latents");
    ranges.add(latents, false);
    ranges.add(steps, true);
    if (slopes) ranges.add(*slopes, true);
    return {(int64_t)latents.shape(0), latents.data(), temperature, steps.data(), slopes ? slopes->data() : nullptr};
}

void add_noise(In latents, float temperature, float deviation, uint64_t seed, std::optional<In> given, Out steps,
               std::optional<Out> slopes, int num_threads, const std::string& isa) {
    require_threads(num_threads);
    require(std::isfinite(deviation) && deviation >= 0.0f, "deviation must be 0 or more");
    require(!given || given->shape(0) == latents.shape(0), "as much noise as latents");
    Ranges ranges;
    if (given) ranges.add(*given, false);
    const QuantiseJob job = quantise_job(latents, temperature, steps, slopes, ranges);
    const auto chosen = c3::kernels<c3::PyramidFitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.pyramid_add_noise(job, {deviation, seed, given ? given->data() : nullptr}, num_threads);
}

void adam(Out parameter, In grad, std::optional<In> slopes, Out mean, Out square, double rate, double beta1,
          double beta2, double epsilon, double longest, int64_t step, int num_threads, const std::string& isa) {
    require_threads(num_threads);
    for (size_t size : {grad.shape(0), mean.shape(0), square.shape(0), slopes ? slopes->shape(0) : grad.shape(0)})
        require(size == parameter.shape(0), "parameter, gradient, slopes and moments must be of one size");
    require(step >= 1, "steps count from 1");
    require(longest > 0.0, "longest must be above 0");
    require(beta1 >= 0.0 && beta1 < 1.0 && beta2 >= 0.0 && beta2 < 1.0, "betas must be 0 or more, below 1");
    Ranges ranges;
    ranges.add(grad, false);
    if (slopes) ranges.add(*slopes, false);
    for (const Out* array : {&parameter, &mean, &square}) ranges.add(*array, true);
    const double mean_correction = 1.0 - std::pow(beta1, (double)step),
                 square_correction = 1.0 - std::pow(beta2, (double)step);
    const AdamJob job{(int64_t)parameter.shape(0),
                      grad.data(),
                      slopes ? slopes->data() : nullptr,
                      parameter.data(),
                      mean.data(),
                      square.data(),
                      (float)(1.0 - beta1),
                      (float)beta2,
                      (float)(1.0 - beta2),
                      (float)(rate / mean_correction),
                      (float)(1.0 / std::sqrt(square_correction)),
                      (float)epsilon,
                      (float)(longest * rate)};
    const auto chosen = c3::kernels<c3::PyramidFitKernels>(isa);
    nb::gil_scoped_release release;
    chosen.pyramid_adam(job, num_threads);
}

}  // namespace

void bind_pyramid_fit(nb::module_& m) {
    nb::class_<Plan>(m, "PyramidFitPlan")
        .def(
            "__init__",
            [](Plan* self, int height, int width, int num_grids, const std::vector<std::pair<int, int>>& taps,
               int num_previous, const std::vector<int>& hidden, int synthesis_width, int refine_width,
               int filter_reach, int patch_size, int num_hyper, const std::vector<GroupNumbers>& groups) {
                new (self) Plan();
                try {
                    make_plan(*self, height, width, num_grids, taps, num_previous, hidden, synthesis_width,
                              refine_width, filter_reach, patch_size, num_hyper, groups);
                } catch (...) {
                    self->~Plan();
                    throw;
                }
            },
            "height"_a, "width"_a, "num_grids"_a, "taps"_a, "num_previous"_a, "hidden"_a, "synthesis_width"_a,
            "refine_width"_a, "filter_reach"_a, "patch_size"_a, "num_hyper"_a, "groups"_a)
        .def_ro("num_latents", &Plan::num_latents)
        .def_ro("num_weights", &Plan::num_weights)
        .def_ro("num_samples", &Plan::num_samples);
    m.def("pyramid_fit_step", &run, "plan"_a, "latents"_a.noconvert(), "is_later"_a, "previous"_a.noconvert().none(),
          "windows"_a, "weights"_a.noconvert(), "targets"_a.noconvert(), "bits_weight"_a.none(),
          "error_weights"_a.noconvert().none(), "importance"_a.noconvert().none(), "bits"_a.noconvert(),
          "squared_errors"_a.noconvert(), "samples"_a.noconvert().none(), "grad_latents"_a.noconvert().none(),
          "grad_previous"_a.noconvert().none(), "grad_weights"_a.noconvert().none(), "num_threads"_a, "isa"_a);
    m.def("pyramid_choose", &choose, "plan"_a, "latents"_a.noconvert(), "weights"_a.noconvert(),
          "targets"_a.noconvert(), "slopes"_a.noconvert(), "bits_weight"_a, "error_weights"_a.noconvert(),
          "importance"_a.noconvert().none(), "num_grids"_a, "longest"_a, "num_threads"_a, "isa"_a);
    m.def("pyramid_add_noise", &add_noise, "latents"_a.noconvert(), "temperature"_a, "deviation"_a, "seed"_a,
          "given"_a.noconvert().none(), "steps"_a.noconvert(), "slopes"_a.noconvert().none(), "num_threads"_a, "isa"_a);
    m.def("pyramid_adam", &adam, "parameter"_a.noconvert(), "grad"_a.noconvert(), "slopes"_a.noconvert().none(),
          "mean"_a.noconvert(), "square"_a.noconvert(), "rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "longest"_a,
          "step"_a, "num_threads"_a, "isa"_a);
}
