// SPDX-License-Identifier: MIT
// The seam between Python and the kernels of frames: everything is checked here, then the GIL is let go.
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "hybrid/frame_arguments.h"

using namespace nb::literals;

namespace {

// The subbands of a (height, width) plane, shapes as wavelet.subband_shapes has them.
std::vector<c3::Subband> checked_subbands(int height, int width, const std::vector<Ints2>& symbols,
                                          const std::vector<int>& steps) {
    require(symbols.size() % 3 == 1 && symbols.size() <= 1 + 3 * c3::kMaxLevels,
            "one subband and three for each of 0..8 levels");
    require(steps.size() == symbols.size(), "one step a subband");
    std::vector<c3::Subband> bands;
    for (size_t i = 0; i < symbols.size(); i++) {
        require(steps[i] >= 1 && steps[i] <= c3::kMaxStep, "a step must be 1..32767");
        bands.push_back({symbols[i].data(), (int)symbols[i].shape(0), (int)symbols[i].shape(1), steps[i]});
    }
    const auto is = [](const c3::Subband& band, int h, int w) { return band.height == h && band.width == w; };
    bool good = true;
    for (size_t level = symbols.size() / 3; level > 0; level--) {
        const c3::Subband* details = &bands[3 * level - 2];
        const int low_height = (height + 1) / 2, low_width = (width + 1) / 2;
        good = good && is(details[0], low_height, width / 2) && is(details[1], height / 2, low_width) &&
               is(details[2], height / 2, width / 2);
        height = low_height, width = low_width;
    }
    require(good && is(bands[0], height, width), "a subband's shape does not follow from the plane's");
    return bands;
}

// A plane without its subbands. The arrays that it points to must outlive it.
c3::FrameJob checked_job(std::pair<int, int> shape, const std::vector<Plane>& references, const Ints4& vectors,
                         const Ints2& modes, const Ints2& splits, int block_size, std::pair<int, int> shifts,
                         int bit_depth, int num_threads) {
    const auto [height, width] = shape;
    require_size(height, width);
    require_settings(block_size, bit_depth, num_threads);
    require(shifts.first >= 0 && shifts.first <= 1 && shifts.second >= 0 && shifts.second <= 1,
            "shifts must be 0 or 1");
    require(references.size() <= 2, "at most two references");
    c3::FrameJob job{};
    job.height = height, job.width = width, job.bit_depth = bit_depth;
    job.side_y = block_size >> shifts.first, job.side_x = block_size >> shifts.second;
    job.shift_y = shifts.first, job.shift_x = shifts.second;
    job.num_references = (int)references.size();
    job.num_threads = num_threads;
    for (size_t i = 0; i < references.size(); i++) {
        require((int64_t)references[i].shape(0) == height && (int64_t)references[i].shape(1) == width,
                "a reference must have the plane's shape");
        job.references[i] = references[i].data();
    }
    if (job.num_references) {
        job.block_rows = (height + job.side_y - 1) / job.side_y;
        job.block_columns = (width + job.side_x - 1) / job.side_x;
        require((int64_t)splits.shape(0) == job.block_rows && (int64_t)splits.shape(1) == job.block_columns,
                "splits: one a block");
        require(modes.shape(0) == 2 * splits.shape(0) && modes.shape(1) == 2 * splits.shape(1), "modes: four a block");
        require((int)vectors.shape(0) == job.num_references && vectors.shape(1) == 2 &&
                    vectors.shape(2) == modes.shape(0) && vectors.shape(3) == modes.shape(1),
                "vectors: (references, 2, 2 block rows, 2 block columns)");
        require_vectors(vectors);
        const int last_mode = job.num_references == 2 ? c3::kBoth : c3::kForward;
        for (size_t i = 0; i < modes.size(); i++)
            require(modes.data()[i] >= c3::kForward && modes.data()[i] <= last_mode, "a mode is out of range");
        job.vectors = vectors.data();
        job.modes = modes.data();
        job.splits = splits.data();
    }
    return job;
}

auto reconstruct_plane(std::pair<int, int> shape, const std::vector<Plane>& references, Ints4 vectors, Ints2 modes,
                       Ints2 splits, int block_size, std::pair<int, int> shifts, int bit_depth,
                       const std::vector<Ints2>& symbols, const std::vector<int>& steps, int num_threads,
                       const std::string& isa) {
    c3::FrameJob job =
        checked_job(shape, references, vectors, modes, splits, block_size, shifts, bit_depth, num_threads);
    job.subbands = checked_subbands(job.height, job.width, symbols, steps);
    const auto chosen = c3::kernels<c3::HybridDecodeKernels>(isa);
    auto result = new_array<uint16_t>(job.height, job.width);
    {
        nb::gil_scoped_release release;
        chosen.reconstruct_plane(job, static_cast<uint16_t*>(result.data()));
    }
    return result;
}

auto predict_plane(std::pair<int, int> shape, const std::vector<Plane>& references, Ints4 vectors, Ints2 modes,
                   Ints2 splits, int block_size, std::pair<int, int> shifts, int bit_depth, int num_threads,
                   const std::string& isa) {
    const c3::FrameJob job =
        checked_job(shape, references, vectors, modes, splits, block_size, shifts, bit_depth, num_threads);
    const auto chosen = c3::kernels<c3::HybridDecodeKernels>(isa);
    auto result = new_array<int16_t>(job.height, job.width);
    {
        nb::gil_scoped_release release;
        chosen.predict_plane(job, static_cast<int16_t*>(result.data()));
    }
    return result;
}

std::vector<nb::ndarray<nb::numpy, int32_t>> plane_symbols(Plane samples, int bit_depth, const std::vector<int>& steps,
                                                           const std::string& isa) {
    const int64_t rows = samples.shape(0), columns = samples.shape(1);
    require_size(rows, columns);
    require_settings(8, bit_depth, 1);
    require(steps.size() % 3 == 1 && steps.size() <= 1 + 3 * c3::kMaxLevels,
            "one step and three for each of 0..8 levels");
    for (int step : steps) require(step >= 1 && step <= c3::kMaxStep, "a step must be 1..32767");
    const int levels = (int)steps.size() / 3;
    c3::KeyJob job{(int)rows, (int)columns, bit_depth, levels, samples.data(), steps, {}};
    std::vector<nb::ndarray<nb::numpy, int32_t>> bands(steps.size());
    size_t height = rows, width = columns;
    for (int level = levels - 1; level >= 0; level--) {
        const size_t low_height = (height + 1) / 2, low_width = (width + 1) / 2;
        const size_t shapes[][2] = {{low_height, width / 2}, {height / 2, low_width}, {height / 2, width / 2}};
        for (int i = 0; i < 3; i++) bands[1 + 3 * level + i] = new_array<int32_t>(shapes[i][0], shapes[i][1]);
        height = low_height, width = low_width;
    }
    bands[0] = new_array<int32_t>(height, width);
    for (auto& band : bands) job.bands.push_back(static_cast<int32_t*>(band.data()));
    const auto make = c3::kernels<c3::HybridDecodeKernels>(isa).make_key_symbols;
    {
        nb::gil_scoped_release release;
        make(job);
    }
    return bands;
}

auto filter_plane(Plane samples, int step, int bit_depth, const c3::Dense& first, const c3::Dense& second,
                  const c3::Dense& last, int num_threads, const std::string& isa) {
    require_size((int64_t)samples.shape(0), (int64_t)samples.shape(1));
    require_settings(8, bit_depth, num_threads);
    require(step >= 1 && step <= c3::kMaxStep, "a step must be 1..32767");
    const auto is = [](const c3::Dense& layer, int inputs, int outputs) {
        return layer.num_inputs == inputs && layer.num_outputs == outputs;
    };
    require(is(first, c3::kFilterNeighbours, c3::kFilterFirst + 1) && is(second, c3::kFilterFirst, c3::kFilterSecond) &&
                is(last, c3::kFilterSecond, 1),
            "layers of 24 to 12 and 1, 12 to 8, 8 to 1");
    const c3::FilterJob job{(int)samples.shape(0),
                            (int)samples.shape(1),
                            bit_depth,
                            step,
                            samples.data(),
                            &first,
                            &second,
                            &last,
                            num_threads};
    const auto chosen = c3::kernels<c3::HybridDecodeKernels>(isa);
    auto result = new_array<uint16_t>(job.height, job.width);
    {
        nb::gil_scoped_release release;
        chosen.filter_plane(job, static_cast<uint16_t*>(result.data()));
    }
    return result;
}

constexpr int round_up(int count, int unit) { return (count + unit - 1) / unit * unit; }

c3::Phases make_phases(Plane samples, int bit_depth, int num_threads, const std::string& isa) {
    require_size((int64_t)samples.shape(0), (int64_t)samples.shape(1));
    require_settings(8, bit_depth, num_threads);
    const c3::PhaseJob job{samples.data(), (int)samples.shape(0), (int)samples.shape(1), bit_depth, num_threads};
    const auto chosen = c3::kernels<c3::HybridFitKernels>(isa);
    c3::Phases phases{job.height, job.width, 0, 0, nullptr};
    // what fills the last vector of a row, and an even number of rows, is written as well
    phases.stride = round_up(job.width + 2 * c3::kPhaseMargin, 32);
    phases.plane = (size_t)phases.stride * round_up(job.height + 2 * c3::kPhaseMargin, 2);
    nb::gil_scoped_release release;
    phases.data = c3::large_array(16 * phases.plane);
    chosen.make_phases(job, phases);
    return phases;
}

auto phase_plane(const c3::Phases& phases, int quarters_y, int quarters_x) {
    require(quarters_y >= 0 && quarters_y < 4 && quarters_x >= 0 && quarters_x < 4, "a phase is 0..3");
    auto result = new_array<int16_t>(phases.height, phases.width);
    auto* out = static_cast<int16_t*>(result.data());
    const int16_t* source = phases.phase(quarters_y, quarters_x);
    for (int y = 0; y < phases.height; y++, source += phases.stride, out += phases.width)
        std::copy(source, source + phases.width, out);
    return result;
}

auto block_errors(Centred current, const c3::Phases& phases, Ints4 vectors, int block_size, const c3::Phases* other,
                  std::optional<Ints3> other_vectors, int num_threads, const std::string& isa) {
    require_settings(block_size, 8, num_threads);
    require((int64_t)current.shape(0) == phases.height && (int64_t)current.shape(1) == phases.width,
            "the current plane must have the reference's shape");
    require(vectors.shape(0) <= 1 << 16, "at most 65536 candidates");
    c3::ErrorsJob job{current.data(), phases.height,         phases.width, block_size, &phases,
                      vectors.data(), (int)vectors.shape(0), other,        nullptr,    num_threads};
    const size_t rows = job.block_rows(), columns = job.block_columns();
    require(vectors.shape(1) == 2 && vectors.shape(2) == rows && vectors.shape(3) == columns,
            "vectors: (candidates, 2, block rows, block columns)");
    require_vectors(vectors);
    require((other != nullptr) == other_vectors.has_value(), "a second reference and its vectors, or neither");
    if (other) {
        require(other->height == phases.height && other->width == phases.width, "the references must have one shape");
        require(other_vectors->shape(0) == 2 && other_vectors->shape(1) == rows && other_vectors->shape(2) == columns,
                "vectors of the second reference: (2, block rows, block columns)");
        require_vectors(*other_vectors);
        job.other_vectors = other_vectors->data();
    }
    const auto chosen = c3::kernels<c3::HybridFitKernels>(isa);
    auto result = new_array<float>(job.num_candidates, rows, columns);
    {
        nb::gil_scoped_release release;
        chosen.block_errors(job, static_cast<float*>(result.data()));
    }
    return result;
}

std::vector<int> rise(int overlap) {
    require(overlap == 2 || overlap == 4 || overlap == 8 || overlap == 16, "an overlap is 2, 4, 8 or 16");
    return {c3::rise(overlap), c3::rise(overlap) + overlap};
}

std::vector<std::vector<int>> taps() {
    std::vector<std::vector<int>> rows;
    for (const auto& row : c3::kTaps) rows.emplace_back(row, row + c3::kNumTaps);
    return rows;
}

}  // namespace

void bind_frame(nb::module_& m) {
    m.def("reconstruct_plane", &reconstruct_plane, "shape"_a, nb::arg("references").noconvert(),
          nb::arg("vectors").noconvert(), nb::arg("modes").noconvert(), nb::arg("splits").noconvert(), "block_size"_a,
          "shifts"_a, "bit_depth"_a, nb::arg("symbols").noconvert(), "steps"_a, "num_threads"_a, "isa"_a);
    m.def("predict_plane", &predict_plane, "shape"_a, nb::arg("references").noconvert(), nb::arg("vectors").noconvert(),
          nb::arg("modes").noconvert(), nb::arg("splits").noconvert(), "block_size"_a, "shifts"_a, "bit_depth"_a,
          "num_threads"_a, "isa"_a);
    nb::class_<c3::Phases>(m, "Phases")
        .def(
            "__init__",
            [](c3::Phases* self, Plane samples, int bit_depth, int num_threads, const std::string& isa) {
                new (self) c3::Phases(make_phases(samples, bit_depth, num_threads, isa));
            },
            nb::arg("samples").noconvert(), "bit_depth"_a, "num_threads"_a, "isa"_a)
        .def("plane", &phase_plane, "quarters_y"_a, "quarters_x"_a);
    m.def("plane_symbols", &plane_symbols, nb::arg("samples").noconvert(), "bit_depth"_a, "steps"_a, "isa"_a);
    m.def("filter_plane", &filter_plane, nb::arg("samples").noconvert(), "step"_a, "bit_depth"_a, "first"_a, "second"_a,
          "last"_a, "num_threads"_a, "isa"_a);
    m.def("block_errors", &block_errors, nb::arg("current").noconvert(), "phases"_a, nb::arg("vectors").noconvert(),
          "block_size"_a, nb::arg("other").none(), nb::arg("other_vectors").noconvert().none(), "num_threads"_a,
          "isa"_a);
    m.def("rise", &rise, "overlap"_a);
    m.def("taps", &taps);
}
