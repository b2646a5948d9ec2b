// SPDX-License-Identifier: MIT
// The seam of the pyramid model: everything that comes from Python is checked here, then the GIL is let go.
#include <cstdlib>

#include "pyramid/kernels.h"
#include "shared/arguments.h"
#include "shared/sparse_arguments.h"

using namespace nb::literals;

namespace {

using Grid = nb::ndarray<int16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ConstGrid = nb::ndarray<const int16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Samples8 = nb::ndarray<uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Samples16 = nb::ndarray<uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// Weights (outputs, inputs), biases at the sums' binary point, the half that rounds a sum, the largest input.
c3::Dense make_dense(Ints2 weight, Ints1 bias, int half, int largest_input) {
    c3::Dense layer;
    layer.num_outputs = (int)weight.shape(0);
    layer.num_inputs = (int)weight.shape(1);
    require(layer.num_outputs >= 1 && layer.num_outputs <= c3::kMaxPyramidWidth, "a layer has 1..48 outputs");
    require(layer.num_inputs >= 1 && layer.num_inputs <= 2 * c3::kMaxPyramidPairs, "a layer has 1..48 inputs");
    require(bias.shape(0) == weight.shape(0), "as many biases as outputs");
    require(half >= 0 && half <= 1 << 12 && largest_input >= 1 && largest_input <= 32768,
            "half or largest_input out of range");
    layer.pairs.assign((size_t)layer.num_outputs * layer.num_pairs(), 0);
    for (int o = 0; o < layer.num_outputs; o++) {
        int64_t largest = std::abs((int64_t)bias.data()[o]) + half;
        for (int i = 0; i < layer.num_inputs; i++) {
            const int32_t w = weight.data()[(size_t)o * layer.num_inputs + i];
            require(w >= -32767 && w <= 32767, "a weight must lie in -32767..32767");
            largest += (int64_t)std::abs(w) * largest_input;
            layer.pairs[(size_t)o * layer.num_pairs() + i / 2] |= (int32_t)((uint32_t)(uint16_t)w << (i % 2 ? 16 : 0));
        }
        require(largest < 1ll << 31, "the sums of a layer must stay below 2^31");
        layer.bias.push_back(bias.data()[o] + half);
    }
    return layer;
}

const c3::Dense& given(const c3::Dense* layer) {
    require(layer != nullptr, "a layer is missing");
    return *layer;
}

// What the network is made of, as Python hands it over.
struct EntropyParts {
    Ints2 taps;
    int slope, num_previous, num_hyper;
    std::vector<const c3::Dense*> first, second;
    const c3::Dense *last, *linear;
};

std::vector<c3::PyramidTap> make_taps(const Ints2& taps, int slope) {
    require(slope >= 2 && slope <= 4, "slope must be 2..4");
    require(taps.shape(0) >= 1 && taps.shape(0) <= 16 && taps.shape(1) == 2, "taps (1..16, 2)");
    std::vector<c3::PyramidTap> made;
    for (size_t i = 0; i < taps.shape(0); i++) {
        const int dy = taps.data()[2 * i], dx = taps.data()[2 * i + 1];
        require(dy >= -3 && dy <= 0 && std::abs(dx) <= 3 && dx + slope * dy < 0, "a tap must lie in an earlier wave");
        made.push_back({dy, dx});
    }
    return made;
}

void require_patch_size(int patch_size) {
    require(patch_size >= 128 && patch_size <= 1 << 15 && patch_size % 128 == 0,
            "patch_size must be a multiple of 128");
}

c3::PyramidEntropy make_entropy(const EntropyParts& parts, int num_grids) {
    const Ints2& taps = parts.taps;
    require((int)parts.first.size() == num_grids && parts.second.size() <= 1,
            "a first layer for each grid, at most one second");
    require(parts.num_previous >= 0 && parts.num_previous <= c3::kMaxPreviousTaps, "0..9 taps in the previous frame");
    c3::PyramidEntropy model{make_taps(taps, parts.slope),
                             parts.slope,
                             parts.num_previous,
                             parts.num_hyper,
                             given(parts.first[0]),
                             {},
                             {},
                             given(parts.last),
                             given(parts.linear)};
    require(model.first.num_inputs == (int)taps.shape(0) + parts.num_previous + 7 + parts.num_hyper &&
                model.linear.num_inputs == model.first.num_inputs,
            "inputs are the taps, those in the previous frame, seven more and the hyper grids");
    int inputs = model.first.num_outputs;
    for (const c3::Dense* layer : parts.second) {
        require(given(layer).num_inputs == inputs, "a layer's inputs must be the outputs of the one before");
        inputs = layer->num_outputs;
        model.second.push_back(*layer);
    }
    require(model.last.num_inputs == inputs && model.last.num_outputs == 2 && model.linear.num_outputs == 2,
            "two outputs");
    for (const c3::Dense* layer : parts.first) {
        require(given(layer).pairs == model.first.pairs && layer->num_inputs == model.first.num_inputs,
                "first layers may differ in their biases only");
        model.grid_bias.push_back(layer->bias);
    }
    return model;
}

void require_hyper(int num_hyper, int num_grids) {
    require(num_hyper >= 0 && num_hyper <= c3::kMaxHyper && num_hyper <= num_grids,
            "0..4 hyper grids, no more than others");
}

// How many times the sides of grid k are half those of luma; hyper grids follow the `num_grids` others.
int level_of(int k, int num_grids, int num_hyper) { return k < num_grids ? k : k - num_hyper; }

// Reads patches, or writes them: one of `readers` and `writers` is empty. Returns the bits of each grid.
auto code(const c3::Tables& tables, std::vector<c3::Reader*> readers, std::vector<c3::Writer*> writers,
          std::vector<Grid> grids, std::vector<ConstGrid> previous, Ints2 windows, int patch_size, Ints2 taps,
          int slope, int num_previous, int num_hyper, std::vector<const c3::Dense*> first,
          std::vector<const c3::Dense*> second, const c3::Dense* last, const c3::Dense* linear, int num_threads,
          std::string isa) {
    const int num_grids = (int)grids.size();  // hyper grids too
    require_hyper(num_hyper, num_grids - num_hyper);
    require(num_grids - num_hyper >= 1 && num_grids - num_hyper <= c3::kMaxGrids, "1..8 grids");
    const int height = (int)grids[0].shape(0), width = (int)grids[0].shape(1);
    require(height >= 1 && width >= 1 && (int64_t)height * width <= 1 << 28, "1..2^28 latents");
    const auto level = [&](int k) { return level_of(k, num_grids - num_hyper, num_hyper); };
    for (int k = 0; k < num_grids; k++)
        require((int)grids[k].shape(0) == (height + (1 << level(k)) - 1) >> level(k) &&
                    (int)grids[k].shape(1) == (width + (1 << level(k)) - 1) >> level(k),
                "a grid's shape does not follow from the first one's");
    require(previous.empty() || (int)previous.size() == num_grids, "the previous frame has as many grids, or none");
    for (size_t k = 0; k < previous.size(); k++)
        require(previous[k].shape(0) == grids[k].shape(0) && previous[k].shape(1) == grids[k].shape(1),
                "a grid of the previous frame has the shape of this one's");
    require((int)windows.shape(0) == num_grids && windows.shape(1) == 2, "windows (grids, 2)");
    for (size_t i = 0; i < 2 * windows.shape(0); i++)
        require(std::abs((int64_t)windows.data()[i]) <= c3::kMaxWindow, "windows lie 31 off at most");
    require_patch_size(patch_size);
    const c3::PyramidEntropy model =
        make_entropy({taps, slope, num_previous, num_hyper, first, second, last, linear}, num_grids);
    require(readers.empty() || writers.empty(), "readers or writers");
    const bool reads = writers.empty();
    const size_t num_coders = reads ? readers.size() : writers.size();
    std::vector<c3::PyramidPatch> patches;
    for (int top = 0; top < height; top += patch_size)
        for (int left = 0; left < width; left += patch_size) {
            const size_t i = patches.size();
            require(i < num_coders && (reads ? readers[i] != nullptr : writers[i] != nullptr),
                    "a coder for each patch");
            c3::PyramidPatch patch{reads ? readers[i] : nullptr, reads ? nullptr : writers[i], {}, {}};
            for (int k = 0; k < num_grids; k++) {
                const int h = (int)grids[k].shape(0), w = (int)grids[k].shape(1), shift = level(k);
                const int y = top >> shift, x = left >> shift, size = patch_size >> shift;
                patch.parts.push_back({std::min(size, h - y), std::min(size, w - x),
                                       grids[k].data() + (size_t)y * w + x, (size_t)w,
                                       previous.empty() ? nullptr : previous[k].data() + (size_t)y * w + x,
                                       windows.data()[2 * k], windows.data()[2 * k + 1]});
            }
            patches.push_back(std::move(patch));
        }
    require(patches.size() == num_coders, "a coder for each patch");
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
    const auto chosen = c3::kernels<c3::PyramidKernels>(isa);
    std::vector<double> bits(num_grids);
    {
        nb::gil_scoped_release release;
        chosen.code_pyramid(tables, model, patches, num_threads);
        for (const c3::PyramidPatch& patch : patches)
            for (int k = 0; k < num_grids; k++) bits[k] += patch.bits[k];
    }
    return bits;
}

void require_picture(int num_grids, int height, int width, int num_threads) {
    require(num_grids >= 1 && num_grids <= c3::kMaxGrids, "1..8 grids");
    require(height >= 1 && width >= 1 && (int64_t)height * width <= 1 << 28, "1..2^28 latents");
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
}

size_t latents_memory(int num_grids, int height, int width, int patch_size, Ints2 taps, int slope, bool has_previous,
                      int num_hyper, int num_threads, std::string isa) {
    require_picture(num_grids, height, width, num_threads);
    require_patch_size(patch_size);
    require_hyper(num_hyper, num_grids);
    c3::PyramidSizes sizes{{}, make_taps(taps, slope), slope, has_previous, num_hyper};
    for (int k = 0; k < num_grids + num_hyper; k++) {
        const int level = level_of(k, num_grids, num_hyper);
        sizes.parts.push_back({std::min(patch_size >> level, (height + (1 << level) - 1) >> level),
                               std::min(patch_size >> level, (width + (1 << level) - 1) >> level)});
    }
    const auto in_units = [&](int side) { return (int64_t)(side + patch_size - 1) / patch_size; };
    const int num_walks = (int)std::min<int64_t>(num_threads, in_units(height) * in_units(width));
    return c3::kernels<c3::PyramidKernels>(isa).pyramid_latents_memory(sizes, num_walks);
}

size_t synthesis_memory(int num_grids, int num_planes, int height, int width, int num_threads, std::string isa) {
    require_picture(num_grids, height, width, num_threads);
    require(num_planes >= 1 && num_planes <= 3, "1..3 planes");
    return c3::kernels<c3::PyramidKernels>(isa).pyramid_synthesis_memory(num_grids, num_planes, height, width,
                                                                         num_threads);
}

void write_residuals(c3::Writer& writer, const c3::Tables& tables, Ints1 scales, Ints1 fractions, Ints1 residuals) {
    const size_t count = residuals.shape(0);
    require(scales.shape(0) == count && fractions.shape(0) == count, "as many scales and fractions as residuals");
    std::vector<int> excesses;
    for (size_t i = 0; i < count; i++) {
        const int scale = scales.data()[i], fraction = fractions.data()[i], residual = residuals.data()[i];
        require(scale >= 0 && scale < c3::kNumScales && fraction >= -8 && fraction < 8,
                "a table index is out of range");
        require(std::abs((int64_t)residual) < 1 << c3::kMaxExcessBits, "a residual must be below 2^20");
        const int excess = writer.residual(tables, scale * c3::kNumFractions + fraction + 8, residual);
        if (excess) excesses.push_back(excess);
    }
    for (const int excess : excesses) writer.excess(excess);
}

void write_sparse(c3::Writer& writer, const c3::SparseTables& tables, Ints1 zeros, Ints1 tails, Ints1 symbols) {
    const size_t count = symbols.shape(0);
    require(zeros.shape(0) == count && tails.shape(0) == count, "a table for each symbol");
    for (size_t i = 0; i < count; i++) {
        const int zero = zeros.data()[i], tail = tails.data()[i], symbol = symbols.data()[i];
        require(is_sparse_table(zero, tail), "a table index is out of range");
        require(std::abs((int64_t)symbol) < 1 << c3::kMaxExcessBits, "a symbol must be below 2^20");
        writer.sparse(tables, sparse_table(zero, tail), symbol);
    }
}

template <typename Finished>
nb::bytes finished(const Finished& payload) {
    std::vector<uint8_t> bytes;
    for (const uint32_t word : payload.finish())
        for (int shift = 0; shift < 32; shift += 8) bytes.push_back((uint8_t)(word >> shift));
    return nb::bytes(bytes.data(), bytes.size());
}

c3::PyramidGroup make_group(const std::vector<const c3::Dense*>& layers, int num_inputs, int num_planes) {
    require(layers.size() == 3 || layers.size() == 5, "three layers, or five with a refinement");
    c3::PyramidGroup group{given(layers[0]), given(layers[1]), given(layers[2]), {}, {}};
    require(group.first.num_inputs == num_inputs && group.linear.num_inputs == num_inputs,
            "a group's inputs do not fit its layers");
    require(group.second.num_inputs == group.first.num_outputs,
            "a layer's inputs must be the outputs of the one before");
    require(group.second.num_outputs == num_planes && group.linear.num_outputs == num_planes,
            "an output for each plane");
    if (layers.size() == 5) {
        group.refine = given(layers[3]), group.change = given(layers[4]);
        require(group.refine.num_inputs == 9 * num_planes && group.change.num_inputs == group.refine.num_outputs &&
                    group.change.num_outputs == num_planes,
                "a refinement reads 3x3 places of each plane");
    }
    return group;
}

template <typename Samples>
void synthesise(std::vector<ConstGrid> grids, Ints2 kernels_, Ints2 filters,
                std::vector<std::vector<const c3::Dense*>> groups, std::vector<Samples> planes, int max_value,
                int num_threads, std::string isa) {
    c3::PyramidPicture picture{{}, {}, {}, c3::Chroma::none, {}, {}, max_value};
    const int num_grids = (int)grids.size();
    require(num_grids >= 1 && num_grids <= c3::kMaxGrids, "1..8 grids");
    const int height = (int)grids[0].shape(0), width = (int)grids[0].shape(1);
    require(height >= 1 && width >= 1 && (int64_t)height * width <= 1 << 28, "1..2^28 latents");
    for (int k = 0; k < num_grids; k++) {
        require((int)grids[k].shape(0) == (height + (1 << k) - 1) >> k &&
                    (int)grids[k].shape(1) == (width + (1 << k) - 1) >> k,
                "a grid's shape does not follow from the first one's");
        picture.grids.push_back({(int)grids[k].shape(0), (int)grids[k].shape(1), grids[k].data()});
    }
    require((int)kernels_.shape(0) == num_grids - 1 && kernels_.shape(1) == 4, "kernels (grids - 1, 4)");
    picture.kernels.assign(kernels_.data(), kernels_.data() + kernels_.shape(0) * 4);
    for (int k = 0; k < num_grids - 1; k++) {
        int64_t sum = 128;
        for (int tap = 0; tap < 4; tap++) {
            const int32_t u = picture.kernels[4 * k + tap];
            require(u >= -32767 && u <= 32767, "a weight must lie in -32767..32767");
            sum += (int64_t)std::abs(u) * 32768;
        }
        require(sum < 1ll << 31, "the sums of a kernel must stay below 2^31");
    }
    require(filters.shape(1) == c3::kMaxReach + 1 && (filters.shape(0) == 0 || (int)filters.shape(0) == num_grids),
            "filters (grids, 4) or none");
    picture.filters.assign(filters.data(), filters.data() + filters.shape(0) * filters.shape(1));
    for (size_t k = 0; k < filters.shape(0); k++) {
        int64_t sum = 128;
        for (int tap = 0; tap <= c3::kMaxReach; tap++) {
            const int32_t f = filters.data()[(c3::kMaxReach + 1) * k + tap];
            require(f >= -32767 && f <= 32767, "a weight must lie in -32767..32767");
            sum += (tap ? 2 : 1) * (int64_t)std::abs(f) * 32768;
        }
        require(sum < 1ll << 31, "the sums of a filter must stay below 2^31");
    }
    require(max_value == (sizeof(*planes[0].data()) == 1 ? 255 : 1023),
            "max_value must be 255 for 8 bits, 1023 for 16");
    require(planes.size() == 1 || planes.size() == 3, "one plane or three");
    for (auto& plane : planes) picture.planes.push_back({(int)plane.shape(0), (int)plane.shape(1), plane.data()});
    require(picture.planes[0].height == height && picture.planes[0].width == width,
            "the first plane has the finest grid's shape");
    require(groups.size() == 1 || (groups.size() == 2 && planes.size() == 3), "one group, or two of three planes");
    if (planes.size() == 3) {
        const int h = picture.planes[1].height, w = picture.planes[1].width;
        const bool half_h = h == (height + 1) / 2, half_w = w == (width + 1) / 2;
        require(h == picture.planes[2].height && w == picture.planes[2].width, "the last two planes have one shape");
        if (groups.size() == 1) require(h == height && w == width, "planes of one group have one shape");
        else require(half_w && (half_h || h == height), "chroma has half the columns, and all rows or half of them");
        // A height of 1 is both: who has 4:2:0 says so by the inputs of the second group.
        if (groups.size() == 2) {
            require(!groups[1].empty(), "a layer is missing");
            const bool coarse = given(groups[1][0]).num_inputs == num_grids;
            require(coarse ? half_h : h == height, "chroma's planes do not fit its inputs");
            picture.chroma = coarse ? c3::Chroma::halved : c3::Chroma::halved_columns;
        }
    }
    picture.groups.push_back(make_group(groups[0], num_grids, groups.size() == 1 ? (int)planes.size() : 1));
    if (groups.size() == 2)
        picture.groups.push_back(make_group(groups[1], num_grids + (picture.chroma == c3::Chroma::halved_columns), 2));
    require(num_threads >= 1 && num_threads <= 1024, "num_threads must be 1..1024");
    const auto chosen = c3::kernels<c3::PyramidKernels>(isa);
    nb::gil_scoped_release release;
    chosen.synthesise_pyramid(picture, num_threads);
}

}  // namespace

void bind_pyramid(nb::module_& m) {
    nb::class_<c3::Dense>(m, "PyramidLayer")
        .def(
            "__init__",
            [](c3::Dense* self, Ints2 weight, Ints1 bias, int half, int largest_input) {
                new (self) c3::Dense(make_dense(weight, bias, half, largest_input));
            },
            nb::arg("weight").noconvert(), nb::arg("bias").noconvert(), "half"_a, "largest_input"_a);
    nb::class_<c3::Writer>(m, "Writer")
        .def(nb::init<>())
        .def("residuals", &write_residuals, "tables"_a, nb::arg("scales").noconvert(), nb::arg("fractions").noconvert(),
             nb::arg("residuals").noconvert())
        .def("bits", &c3::Writer::bits)
        .def("sparse", &write_sparse, "tables"_a, nb::arg("zeros").noconvert(), nb::arg("tails").noconvert(),
             nb::arg("symbols").noconvert())
        .def("finish", &finished<c3::Writer>);
    nb::class_<c3::Stack>(m, "Stack")
        .def(nb::init<>())
        .def("push", &c3::Stack::push, "writer"_a, nb::call_guard<nb::gil_scoped_release>())
        .def("finish", &finished<c3::Stack>);
    m.def("code_pyramid", &code, "tables"_a, "readers"_a, "writers"_a, nb::arg("grids").noconvert(),
          nb::arg("previous").noconvert(), nb::arg("windows").noconvert(), "patch_size"_a, nb::arg("taps").noconvert(),
          "slope"_a, "num_previous"_a, "num_hyper"_a, "first"_a, "second"_a, "last"_a, "linear"_a, "num_threads"_a = 1,
          "isa"_a = "");
    m.def("pyramid_latents_memory", &latents_memory, "num_grids"_a, "height"_a, "width"_a, "patch_size"_a,
          nb::arg("taps").noconvert(), "slope"_a, "has_previous"_a, "num_hyper"_a, "num_threads"_a, "isa"_a);
    m.def("pyramid_synthesis_memory", &synthesis_memory, "num_grids"_a, "num_planes"_a, "height"_a, "width"_a,
          "num_threads"_a, "isa"_a);
    m.def("synthesise_pyramid_8", &synthesise<Samples8>, nb::arg("grids").noconvert(), nb::arg("kernels").noconvert(),
          nb::arg("filters").noconvert(), "groups"_a, nb::arg("planes").noconvert(), "max_value"_a, "num_threads"_a = 1,
          "isa"_a = "");
    m.def("synthesise_pyramid_16", &synthesise<Samples16>, nb::arg("grids").noconvert(), nb::arg("kernels").noconvert(),
          nb::arg("filters").noconvert(), "groups"_a, nb::arg("planes").noconvert(), "max_value"_a, "num_threads"_a = 1,
          "isa"_a = "");
}
