// SPDX-License-Identifier: MIT
// The seam between Python and the fit of the pyramid model. Results are written into arrays that Python made; every size
// is checked here, then the GIL is let go.
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

#include "../dispatch.h"
#include "fit_plan.h"

#define C3_DECLARE_PYRAMID_FIT(isa)                                            \
    namespace c3 {                                                             \
    namespace isa {                                                            \
    namespace pyramid {                                                        \
    void fit_rate(const c3::pyramid::Plan&, const c3::pyramid::Job&, int);       \
    void fit_distortion(const c3::pyramid::Plan&, const c3::pyramid::Job&, int); \
    }                                                                          \
    }                                                                          \
    }
C3_DECLARE_PYRAMID_FIT(plain)
#ifdef C3_X86
C3_DECLARE_PYRAMID_FIT(avx2)
C3_DECLARE_PYRAMID_FIT(avx512)
#endif

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace c3::pyramid;
using In = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using InDoubles = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr int kMaxAxis = 1 << 15;

void require(bool good, const char* what) {
    if (!good) throw nb::value_error(what);
}

Kernels kernels(const std::string& isa) {
    for (const c3::Kernels& usable : c3::usable_kernels()) {
        const std::string name = usable.name;
        if (!isa.empty() && name != isa) continue;
#ifdef C3_X86
        if (name == "avx2") return {c3::avx2::pyramid::fit_rate, c3::avx2::pyramid::fit_distortion};
        // What VNNI adds is for integers.
        if (name == "avx512" || name == "avx512vnni") return {c3::avx512::pyramid::fit_rate, c3::avx512::pyramid::fit_distortion};
#endif
        return {c3::plain::pyramid::fit_rate, c3::plain::pyramid::fit_distortion};
    }
    throw nb::value_error("this processor or build has no such kernels");
}

// What is written must not be read or written elsewhere in the same call.
struct Ranges {
    std::vector<std::pair<const char*, const char*>> read, written;

    template <typename A>
    void add(const A& array, bool is_written) {
        const std::pair<const char*, const char*> range{(const char*)array.data(), (const char*)array.data() + array.nbytes()};
        const auto apart = [&](const auto& other) { return range.second <= other.first || other.second <= range.first; };
        for (const auto& other : written) require(apart(other), "arrays overlap");
        if (is_written)
            for (const auto& other : read) require(apart(other), "arrays overlap");
        (is_written ? written : read).push_back(range);
    }
};

using GroupNumbers = std::tuple<int, int, int, int, int>;  // as PlaneGroup: planes, y and x exponents, given, first grid

void make_plan(Plan& plan, int height, int width, int num_grids, const std::vector<std::pair<int, int>>& taps,
               const std::vector<int>& hidden, int synthesis_width, int refine_width, int patch_size,
               const std::vector<GroupNumbers>& groups) {
    require(height >= 1 && height <= kMaxAxis && width >= 1 && width <= kMaxAxis, "a picture is 1..32768 high and wide");
    require(num_grids >= 1 && num_grids <= kMaxGrids, "1..8 grids");
    require(taps.size() >= 1 && taps.size() <= (size_t)kMaxTaps, "1..16 taps");
    for (const auto& [dy, dx] : taps)
        require(dy >= -3 && dy <= 0 && dx >= -3 && dx <= 3 && (dy < 0 || dx < 0), "a tap lies before its latent, 3 rows and columns off at most");
    require(hidden.size() == 1 || hidden.size() == 2, "one or two hidden layers");
    for (int w : hidden) require(w >= 1 && w <= kMaxWidth, "hidden layers are 1..48 wide");
    require(synthesis_width >= 1 && synthesis_width <= kMaxWidth, "synthesis_width must be 1..48");
    require(refine_width >= 0 && refine_width <= kMaxRefine, "refine_width must be 0..32");
    require(patch_size >= 128 && patch_size <= kMaxAxis && patch_size % 128 == 0, "patch_size must be a multiple of 128");
    require(groups.size() == 1 || groups.size() == 2, "one or two groups of planes");
    plan.num_taps = (int)taps.size();
    plan.taps = taps;
    plan.hidden = hidden;
    plan.synthesis_width = synthesis_width;
    plan.refine_width = refine_width;
    plan.patch_size = patch_size;
    plan.num_latents = 0;
    const auto halved = [](int length, int times) { return (length + (1 << times) - 1) >> times; };
    for (int k = 0; k < num_grids; k++) {
        plan.grids.push_back({halved(height, k), halved(width, k)});
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
    plan.u = array((size_t)(num_grids - 1) * kUpsamplingTaps);
    plan.num_samples = plan.num_planes = 0;
    for (const auto& [planes, y, x, given, first_grid] : groups) {
        const bool is_first = plan.groups.empty();
        require(planes >= 1 && planes <= kMaxPlanes, "a group has 1..3 planes");
        if (is_first) require(y == 0 && x == 0 && given == 0 && first_grid == 0, "the first group has luma's size and reads all grids");
        else require(plan.groups[0].num_planes == 1 && x == 1 && (y == 0 || y == 1) && given == 1 && first_grid == y,
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
void run(const Plan& plan, In latents, In weights, In gains, In targets, std::optional<double> bits_weight,
         std::optional<InDoubles> error_weights, Doubles bits, Doubles squared_errors, std::optional<Out> samples,
         std::optional<Out> grad_latents, std::optional<Doubles> grad_weights, std::optional<Doubles> grad_gains, int num_threads,
         const std::string& isa) {
    require(latents.shape(0) == plan.num_latents, "as many latents as the plan has");
    require(weights.shape(0) == plan.num_weights, "as many weights as the plan has");
    require(gains.shape(0) == plan.grids.size(), "a gain for each grid");
    require(targets.shape(0) == plan.num_samples || !error_weights, "as many targets as the plan has samples");
    require(!error_weights || error_weights->shape(0) == (size_t)plan.num_planes, "a weight for each plane's errors");
    require(bits.shape(0) == plan.grids.size(), "bits: one a grid");
    require(squared_errors.shape(0) == (size_t)plan.num_planes, "squared errors: one a plane");
    require(!samples || samples->shape(0) == plan.num_samples, "as many samples as the plan has");
    require(!grad_latents || grad_latents->shape(0) == plan.num_latents, "a gradient has the size of its values");
    require(!grad_weights || grad_weights->shape(0) == plan.num_weights, "a gradient has the size of its values");
    require(!grad_gains || grad_gains->shape(0) == plan.grids.size(), "a gradient has the size of its values");
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
    Ranges ranges;
    for (const In* array : {&latents, &weights, &gains, &targets}) ranges.add(*array, false);
    for (const Doubles* array : {&bits, &squared_errors}) ranges.add(*array, true);
    if (samples) ranges.add(*samples, true);
    if (grad_latents) ranges.add(*grad_latents, true);
    if (grad_weights) ranges.add(*grad_weights, true);
    if (grad_gains) ranges.add(*grad_gains, true);
    if (bits_weight) require(*bits_weight >= 0.0, "the weight of bits must be 0 or more");

    const Kernels use = kernels(isa);
    Job job{};
    job.latents = latents.data();
    job.weights = weights.data();
    job.gains = gains.data();
    job.targets = targets.data();
    job.bits_weight = bits_weight.value_or(0.0);
    job.bits = bits.data();
    job.squared_errors = squared_errors.data();
    if (error_weights) job.error_weights = error_weights->data();
    if (samples) job.samples = samples->data();
    if (grad_latents) job.grad_latents = grad_latents->data();
    if (grad_weights) job.grad_weights = grad_weights->data();
    if (grad_gains) job.grad_gains = grad_gains->data();
    nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> turn(plan.turn);
    std::fill_n(job.bits, plan.grids.size(), 0.0);
    std::fill_n(job.squared_errors, plan.num_planes, 0.0);
    if (job.grad_latents) std::fill_n(job.grad_latents, plan.num_latents, 0.0f);
    if (job.grad_weights) std::fill_n(job.grad_weights, plan.num_weights, 0.0);
    if (job.grad_gains) std::fill_n(job.grad_gains, plan.grids.size(), 0.0);
    while (plan.arenas.size() < (size_t)num_threads + 1) plan.arenas.push_back(std::make_unique<Arena>());
    for (auto& arena : plan.arenas) arena->reset();
    if (bits_weight) use.rate(plan, job, num_threads);
    for (auto& arena : plan.arenas) arena->reset();
    if (error_weights) use.distortion(plan, job, num_threads);
    bool finite = true;
    for (size_t k = 0; k < plan.grids.size(); k++) finite = finite && std::isfinite(job.bits[k]);
    for (int p = 0; p < plan.num_planes; p++) finite = finite && std::isfinite(job.squared_errors[p]);
    if (!finite) plan.arenas.clear();  // what is not a number stays in none of the places that count on zeros
}

}  // namespace

void bind_pyramid_fit(nb::module_& m) {
    nb::class_<Plan>(m, "PyramidFitPlan")
        .def("__init__",
             [](Plan* self, int height, int width, int num_grids, const std::vector<std::pair<int, int>>& taps,
                const std::vector<int>& hidden, int synthesis_width, int refine_width, int patch_size,
                const std::vector<GroupNumbers>& groups) {
                 new (self) Plan();
                 try {
                     make_plan(*self, height, width, num_grids, taps, hidden, synthesis_width, refine_width, patch_size, groups);
                 } catch (...) {
                     self->~Plan();
                     throw;
                 }
             },
             "height"_a, "width"_a, "num_grids"_a, "taps"_a, "hidden"_a, "synthesis_width"_a, "refine_width"_a, "patch_size"_a, "groups"_a)
        .def_ro("num_latents", &Plan::num_latents)
        .def_ro("num_weights", &Plan::num_weights)
        .def_ro("num_samples", &Plan::num_samples);
    m.def("pyramid_fit_step", &run, "plan"_a, "latents"_a.noconvert(), "weights"_a.noconvert(), "gains"_a.noconvert(),
          "targets"_a.noconvert(), "bits_weight"_a.none(), "error_weights"_a.noconvert().none(), "bits"_a.noconvert(),
          "squared_errors"_a.noconvert(), "samples"_a.noconvert().none(), "grad_latents"_a.noconvert().none(),
          "grad_weights"_a.noconvert().none(), "grad_gains"_a.noconvert().none(), "num_threads"_a, "isa"_a = "");
}
