// SPDX-License-Identifier: MIT
// The seam between Python and the motion search: everything is checked here, then the GIL is let go.
#include <nanobind/stl/array.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "hybrid/frame_arguments.h"
#include "hybrid/motion_arguments.h"

using namespace nb::literals;

namespace {

using Costs =
    nb::ndarray<const float, nb::shape<c3::kNumZeros, c3::kNumTails + 1, c3::kCosts>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Larger ones serve nobody, and sums of them might run over.
constexpr float kMostBits = 1e6f;
constexpr int kMostPasses = 100;

size_t blocks_along(int length) { return (size_t)(length + c3::kMotionBlock - 1) / c3::kMotionBlock; }

bool is_price(float bits) { return bits >= 0.0f && bits <= kMostBits; }

auto search_field(Centred current, const std::vector<const c3::Phases*>& phases, Ints4 starts, float slope,
                  const std::vector<int>& times, const std::optional<Earlier>& earlier,
                  const c3::ContextNetwork& network, Costs costs, int depth, Floats component_bits,
                  std::array<float, 3> mode_bits, std::array<int, 2> units, int passes, int num_threads,
                  const std::string& isa) {
    require_size((int64_t)current.shape(0), (int64_t)current.shape(1));
    require_settings(c3::kMotionBlock, 8, num_threads);
    c3::SearchJob job{};
    job.current = current.data();
    job.height = (int)current.shape(0), job.width = (int)current.shape(1);
    require(phases.size() == times.size(), "as many references as times");
    require(phases.size() == 1 || phases.size() == 2, "one or two references");
    for (size_t i = 0; i < phases.size(); i++) {
        require(phases[i] != nullptr, "a reference must not be None");
        require(phases[i]->height == job.height && phases[i]->width == job.width,
                "a reference must have the current plane's shape");
        job.phases[i] = phases[i];
    }
    const size_t rows = blocks_along(job.height), columns = blocks_along(job.width);
    job.frame = motion_frame({(int)rows, (int)columns}, times, earlier);
    require(starts.shape(0) == phases.size() && starts.shape(1) == 2 && starts.shape(2) == rows &&
                starts.shape(3) == columns,
            "starts: (references, 2, block rows, block columns)");
    require_vectors(starts);
    job.starts = starts.data();
    require(std::isfinite(slope) && slope > 0.0f && slope <= 1.0f, "slope must be above 0 and at most 1");
    job.slope = slope;
    require(network.num_inputs == c3::kMotionInputs && network.num_classes == c3::kMotionClasses,
            "not a network of motion");
    require(depth >= 0, "a depth is not negative");
    job.network = &network, job.costs = costs.data(), job.depth = depth;
    require(component_bits.size() >= 1 && component_bits.size() <= 1 << 16, "component_bits: 1..65536 of them");
    bool good = std::all_of(component_bits.data(), component_bits.data() + component_bits.size(), is_price) &&
                std::all_of(costs.data(), costs.data() + costs.size(), is_price);
    for (float bits : mode_bits) good &= is_price(bits);
    require(good, "bits must be 0..1e6");
    job.component_bits = component_bits.data();
    job.num_component_bits = (int)component_bits.size();
    for (int mode = 0; mode < 3; mode++) job.mode_bits[mode] = mode_bits[mode];
    require(passes >= 1 && passes <= kMostPasses, "passes must be 1..100");
    require(1 <= units[0] && units[0] <= units[1] && units[1] <= c3::kMostUnit, "units: 1 <= first <= last <= 2");
    job.units[0] = units[0], job.units[1] = units[1];
    job.passes = passes, job.num_threads = num_threads;
    const auto chosen = c3::kernels<c3::HybridFitKernels>(isa);
    auto vectors = new_array<int32_t>(phases.size(), 2, 2 * rows, 2 * columns);
    auto modes = new_array<int32_t>(2 * rows, 2 * columns);
    auto splits = new_array<int32_t>(rows, columns);
    auto offsets = new_array<int32_t>(phases.size(), 2);
    int32_t unit = 1;
    {
        nb::gil_scoped_release release;
        chosen.search_field(job, {&unit, static_cast<int32_t*>(offsets.data()), static_cast<int32_t*>(vectors.data()),
                                  static_cast<int32_t*>(modes.data()), static_cast<int32_t*>(splits.data())});
    }
    return nb::make_tuple(vectors, modes, splits, offsets, unit);
}

auto coarse_vectors(Centred current, Centred reference, const std::string& isa) {
    require_size((int64_t)current.shape(0), (int64_t)current.shape(1));
    require(reference.shape(0) == current.shape(0) && reference.shape(1) == current.shape(1),
            "a reference must have the current plane's shape");
    const c3::CoarseJob job{current.data(), reference.data(), (int)current.shape(0), (int)current.shape(1)};
    const auto chosen = c3::kernels<c3::HybridFitKernels>(isa);
    auto vectors = new_array<int32_t>(2, blocks_along(job.height), blocks_along(job.width));
    {
        nb::gil_scoped_release release;
        chosen.coarse_vectors(job, static_cast<int32_t*>(vectors.data()));
    }
    return vectors;
}

}  // namespace

void bind_search(nb::module_& m) {
    m.def("search_field", &search_field, nb::arg("current").noconvert(), "phases"_a, nb::arg("starts").noconvert(),
          "slope"_a, "times"_a, "earlier"_a.none(), "network"_a, nb::arg("costs").noconvert(), "depth"_a,
          nb::arg("component_bits").noconvert(), "mode_bits"_a, "units"_a, "passes"_a, "num_threads"_a, "isa"_a);
    m.def("coarse_vectors", &coarse_vectors, nb::arg("current").noconvert(), nb::arg("reference").noconvert(), "isa"_a);
}
