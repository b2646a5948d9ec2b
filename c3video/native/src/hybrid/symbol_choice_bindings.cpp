// SPDX-License-Identifier: MIT
// The seam between Python and what the encoder does from a residual to its symbols: the wavelet, the choice of symbols
// and their writing. Everything that comes from Python is checked here, then the GIL is let go.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

#include "hybrid/kernels.h"
#include "shared/seam.h"

using namespace nb::literals;

namespace {

template <typename T>
using Array2 = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using AnyArray2 = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Costs = nb::ndarray<const float, nb::shape<c3::kNumZeros, c3::kNumTails, c3::kCostRange + 1>, nb::c_contig,
                          nb::device::cpu>;
using SignCosts = nb::ndarray<const float, nb::shape<2 * c3::kSignEvenTable + 1, 2>, nb::c_contig, nb::device::cpu>;
using Bands = std::vector<Array2<int64_t>>;

constexpr int kMaxSide = 1 << 15, kMaxPasses = 64;
constexpr size_t kMaxSymbols = 1 << 28;
constexpr double kMaxCoefficient = 1 << 30;
constexpr float kMaxSlope = 1 << 20;

void check_network(const c3::ContextNetwork& network, int depth) {
    require(network.num_inputs == c3::kSubbandInputs && network.num_classes == c3::kSubbandClasses,
            "not a network of subbands");
    require(depth >= 0, "a depth is not negative");
}

template <typename Arrays>
void check_shapes(const Arrays& bands) {
    require(bands.size() % 3 == 1 && bands.size() <= 3 * c3::kMaxSubbandLevels + 1,
            "one subband and three a level, of at most 5");
    size_t count = 0;
    for (const auto& band : bands) {
        require(band.shape(0) <= kMaxSide && band.shape(1) <= kMaxSide, "a side must be at most 2^15");
        count += band.size();
    }
    require(count <= kMaxSymbols, "a plane of more than 2^28 symbols");
}

template <typename First, typename Second>
void require_same_shapes(const First& first, const Second& second) {
    require(first.size() == second.size(), "as many of one kind of subbands as of the other");
    for (size_t i = 0; i < first.size(); i++)
        require(first[i].shape(0) == second[i].shape(0) && first[i].shape(1) == second[i].shape(1),
                "shapes of subbands differ");
}

std::vector<c3::FeaturePlane> blank_features(const Bands& bands) {
    std::vector<c3::FeaturePlane> planes(bands.size());
    for (size_t i = 0; i < bands.size(); i++) planes[i].resize((int)bands[i].shape(0), (int)bands[i].shape(1));
    return planes;
}

std::vector<c3::FeaturePlane> features_of(const Bands& bands) {
    std::vector<c3::FeaturePlane> planes = blank_features(bands);
    for (size_t i = 0; i < bands.size(); i++) {
        const int64_t* symbol = bands[i].data();
        for (int y = 0; y < planes[i].height; y++) {
            int16_t* values = planes[i].values(y);
            uint64_t* bits = planes[i].bits(y);
            for (int x = 0; x < planes[i].width; x++, symbol++) {
                if (*symbol == 0) continue;
                const int64_t magnitude = std::clamp<int64_t>(*symbol, -c3::kMaxMagnitude, c3::kMaxMagnitude);
                values[x] = c3::kMagnitudeFeatures[std::abs(magnitude)];
                bits[x / 64] |= 1ull << x % 64;
            }
        }
    }
    return planes;
}

std::vector<int32_t> narrow(const Array2<int64_t>& band) {
    std::vector<int32_t> symbols(band.size());
    int64_t largest = 0;
    for (size_t i = 0; i < symbols.size(); i++) {
        largest = std::max(largest, std::abs(std::max(band.data()[i], -INT64_MAX)));
        symbols[i] = (int32_t)band.data()[i];
    }
    require(largest <= c3::kMaxSubbandSymbol, "a symbol must be at most 2^15 in size");
    return symbols;
}

// Of subbands of floats: their own, or null for other types.
template <typename T>
const T* reals(const AnyArray2& array) {
    return array.dtype() == nb::dtype<T>() ? static_cast<const T*>(array.data()) : nullptr;
}

template <typename T>
void require_moderate(const T* values, size_t count, double largest) {
    bool good = true;
    for (size_t i = 0; i < count; i++) good &= std::abs(values[i]) <= (T)largest;  // not so where it is no number
    require(good, "coefficients or slopes are too large or not finite");
}

auto choose_plane(const c3::ContextNetwork& network, const c3::SignNetwork& signs, Costs costs, SignCosts sign_costs,
                  const Bands& before, const Bands& reference, int plane, int depth,
                  const std::vector<AnyArray2>& coefficients, const std::vector<int>& steps,
                  const std::vector<Array2<float>>& slopes, float slope, int num_passes, const std::string& isa) {
    check_network(network, depth);
    require(plane >= 0 && plane < c3::kMaxSubbandPlanes && (plane > 0) == !before.empty(),
            "the plane before, of planes 1 to 3");
    require(num_passes >= 0 && num_passes <= kMaxPasses, "0..64 passes");
    check_shapes(coefficients);
    require_same_shapes(coefficients, reference);
    if (!before.empty()) check_shapes(before);
    require(steps.size() == coefficients.size(), "a step for each subband");
    if (!slopes.empty()) require_same_shapes(coefficients, slopes);
    const auto chosen = c3::kernels<c3::HybridFitKernels>(isa);
    c3::ChoiceJob job;
    job.plane = plane, job.num_passes = num_passes, job.signs = &signs;
    job.costs = costs.data(), job.sign_costs = sign_costs.data();
    std::vector<nb::ndarray<nb::numpy, int32_t>> symbols;
    require(slopes.empty() ? std::abs(slope) <= kMaxSlope : true, "coefficients or slopes are too large or not finite");
    for (size_t i = 0; i < coefficients.size(); i++) {
        const AnyArray2& band = coefficients[i];
        const c3::Coefficients one{reals<float>(band), reals<double>(band), slopes.empty() ? nullptr : slopes[i].data(),
                                   slope, steps[i]};
        require(steps[i] >= 1 && steps[i] < 1 << 15, "a step must be 1..2^15 - 1");
        if (one.floats == nullptr && one.doubles == nullptr)
            throw nb::type_error("coefficients must be float32 or float64");
        if (one.floats) require_moderate(one.floats, band.size(), kMaxCoefficient);
        else require_moderate(one.doubles, band.size(), kMaxCoefficient);
        if (one.slopes) require_moderate(one.slopes, band.size(), kMaxSlope);
        job.bands.push_back(one);
        symbols.push_back(new_array<int32_t>(band.shape(0), band.shape(1)));
        std::fill_n(static_cast<int32_t*>(symbols.back().data()), band.size(), 0);
        job.slice.symbols.push_back(static_cast<int32_t*>(symbols.back().data()));
    }
    double bits = 0.0;
    {
        nb::gil_scoped_release release;
        c3::SliceFeatures own, known;
        c3::SliceScratch scratch;
        own.planes.resize(plane + 1), known.planes.resize(plane + 1);
        if (plane > 0) own.planes[plane - 1] = features_of(before);
        own.planes[plane] = blank_features(reference);
        known.planes[plane] = features_of(reference);
        job.slice.depth = depth, job.slice.num_references = 1;
        job.slice.references[0] = &known, job.slice.own = &own;
        bits = chosen.choose_plane(network, scratch, job);
    }
    return nb::make_tuple(symbols, bits);
}

// Calls `take` with what a slice's symbols are known by.
template <typename Take>
void with_slice(const c3::ContextNetwork& network, const std::vector<Bands>& symbols,
                const std::vector<Bands>& reference, int depth, Take&& take) {
    check_network(network, depth);
    require(symbols.size() >= 1 && symbols.size() <= c3::kMaxSubbandPlanes && symbols.size() == reference.size(),
            "1..4 planes of both");
    for (size_t plane = 0; plane < symbols.size(); plane++) {
        check_shapes(symbols[plane]);
        require_same_shapes(symbols[plane], reference[plane]);
    }
    nb::gil_scoped_release release;
    c3::SliceFeatures own, known;
    c3::SliceScratch scratch;
    std::vector<std::vector<int32_t>> narrowed;
    c3::SliceJob slice{depth, 1, {&known, nullptr}, &own, {}};
    for (size_t plane = 0; plane < symbols.size(); plane++) {
        own.planes.push_back(features_of(symbols[plane]));
        known.planes.push_back(features_of(reference[plane]));
        for (const auto& band : symbols[plane]) narrowed.push_back(narrow(band));
    }
    for (auto& band : narrowed) slice.symbols.push_back(band.data());
    take(scratch, slice);
}

void write_slice(c3::Writer& writer, const c3::SparseTables& tables, const c3::ContextNetwork& network,
                 const c3::SignNetwork& signs, const std::vector<Bands>& symbols, const std::vector<Bands>& reference,
                 int depth, const std::string& isa) {
    const auto write = c3::kernels<c3::HybridFitKernels>(isa).write_slice;
    with_slice(network, symbols, reference, depth, [&](c3::SliceScratch& scratch, const c3::SliceJob& slice) {
        write(writer, tables, network, signs, scratch, slice);
    });
}

auto analyse(Array2<float> plane, int levels, const std::string& isa) {
    require(plane.shape(0) >= 1 && plane.shape(1) >= 1 && plane.shape(0) <= kMaxSide && plane.shape(1) <= kMaxSide &&
                plane.size() <= kMaxSymbols,
            "a plane of 1..2^28 samples, a side of at most 2^15");
    require(levels >= 0 && levels <= c3::kMaxSubbandLevels, "0..5 levels");
    const auto chosen = c3::kernels<c3::HybridFitKernels>(isa);
    c3::AnalysisJob job{(int)plane.shape(0), (int)plane.shape(1), levels, plane.data(), {}};
    std::vector<nb::ndarray<nb::numpy, float>> bands(1 + 3 * levels);
    size_t height = plane.shape(0), width = plane.shape(1);
    for (int level = levels - 1; level >= 0; level--) {
        const size_t low_height = (height + 1) / 2, low_width = (width + 1) / 2;
        const size_t shapes[][2] = {{low_height, width / 2}, {height / 2, low_width}, {height / 2, width / 2}};
        for (int i = 0; i < 3; i++) bands[1 + 3 * level + i] = new_array<float>(shapes[i][0], shapes[i][1]);
        height = low_height, width = low_width;
    }
    bands[0] = new_array<float>(height, width);
    for (auto& band : bands) job.bands.push_back(static_cast<float*>(band.data()));
    {
        nb::gil_scoped_release release;
        chosen.analyse(job);
    }
    return bands;
}

}  // namespace

void bind_symbol_choice(nb::module_& m) {
    m.def("choose_plane", &choose_plane, "network"_a, "signs"_a, nb::arg("costs").noconvert(),
          nb::arg("sign_costs").noconvert(), nb::arg("before").noconvert(), nb::arg("reference").noconvert(), "plane"_a,
          "depth"_a, nb::arg("coefficients").noconvert(), "steps"_a, nb::arg("slopes").noconvert(), "slope"_a,
          "num_passes"_a, "isa"_a);
    m.def("write_slice", &write_slice, "writer"_a, "tables"_a, "network"_a, "signs"_a, nb::arg("symbols").noconvert(),
          nb::arg("reference").noconvert(), "depth"_a, "isa"_a);
    m.def("analyse", &analyse, nb::arg("plane").noconvert(), "levels"_a, "isa"_a);
}
