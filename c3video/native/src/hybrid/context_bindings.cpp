// SPDX-License-Identifier: MIT
// The seam between Python and the readers of subbands and motion: everything that comes from Python is checked here,
// then the GIL is let go.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "hybrid/kernels.h"
#include "hybrid/motion_arguments.h"
#include "shared/arguments.h"

using namespace nb::literals;

namespace {

constexpr size_t kMaxSymbols = 1 << 28;

bool shaped(const Ints2& array, size_t rows, size_t columns) {
    return array.shape(0) == rows && array.shape(1) == columns;
}

// ContextNetwork.check of hybrid/context_network.py.
c3::ContextNetwork make_network(Ints2 first, Ints2 class_bias, Ints2 depth_bias, Ints2 second, Ints1 second_bias,
                                Ints2 last, Ints2 last_bias) {
    using namespace c3;
    const size_t num_inputs = first.shape(1), num_classes = class_bias.shape(0);
    require(num_inputs >= 1 && num_inputs <= 64 && num_classes >= 1 && num_classes <= 64,
            "1..64 inputs, 1..64 classes");
    require(shaped(first, kFirstWidth, num_inputs) && shaped(class_bias, num_classes, kFirstWidth) &&
                shaped(depth_bias, kContextDepths, kFirstWidth) && shaped(second, kSecondWidth, kFirstWidth) &&
                second_bias.shape(0) == kSecondWidth && shaped(last, 2, kSecondWidth) &&
                shaped(last_bias, num_classes, 2),
            "shapes of a context network");
    const auto copied = [](const int32_t* values, size_t count) {
        for (size_t i = 0; i < count; i++)
            require(values[i] >= -32767 && values[i] <= 32767, "a weight must fit 16 bits");
        return std::vector<int32_t>(values, values + count);
    };
    ContextNetwork network{(int)num_inputs,
                           (int)num_classes,
                           copied(first.data(), first.size()),
                           copied(class_bias.data(), class_bias.size()),
                           copied(depth_bias.data(), depth_bias.size()),
                           copied(second.data(), second.size()),
                           copied(second_bias.data(), second_bias.size()),
                           copied(last.data(), last.size()),
                           copied(last_bias.data(), last_bias.size())};
    const auto largest = [](const std::vector<int32_t>& values, size_t start, size_t step) {
        int64_t result = 0;
        for (size_t i = start; i < values.size(); i += step) result = std::max<int64_t>(result, std::abs(values[i]));
        return result;
    };
    const auto total = [](const std::vector<int32_t>& weights, size_t row, size_t columns) {
        int64_t result = 0;
        for (size_t i = row * columns; i < (row + 1) * columns; i++) result += std::abs(weights[i]);
        return result;
    };
    const auto fits = [](int64_t sum) { require(sum < 1 << 30, "the sums of a layer must stay below 2^30"); };
    for (int o = 0; o < kFirstWidth; o++)
        fits(total(network.first, o, num_inputs) * kMaxFeature +
             ((largest(network.class_bias, o, kFirstWidth) + largest(network.depth_bias, o, kFirstWidth))
              << kFeatureBits));
    for (int o = 0; o < kSecondWidth; o++)
        fits(total(network.second, o, kFirstWidth) * 32768 +
             (largest(network.second_bias, o, kSecondWidth) << kContextHiddenBits));
    for (int o = 0; o < 2; o++)
        fits(total(network.last, o, kSecondWidth) * 32768 + (largest(network.last_bias, o, 2) << kContextHiddenBits));
    return network;
}

// Blocks of one size. Fresh memory costs a page fault for each 4 KiB, which is longer than filling it takes, so blocks
// that were given back are handed out again, and large ones ask for large pages. Used with the GIL held.
class SymbolBlocks {
public:
    explicit SymbolBlocks(size_t num_symbols) : bytes_(num_symbols * sizeof(int32_t)) {}
    SymbolBlocks(const SymbolBlocks&) = delete;
    ~SymbolBlocks() {
        for (int32_t* block : kept_) std::free(block);
    }

    int32_t* take() {
        if (!kept_.empty()) {
            int32_t* block = kept_.back();
            kept_.pop_back();
            return block;
        }
        constexpr size_t large_page = 1 << 21;
        const size_t unit = bytes_ >= large_page ? large_page : 64;
        void* block = std::aligned_alloc(unit, (bytes_ / unit + 1) * unit);
        if (block == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
        if (unit == large_page) madvise(block, (bytes_ / unit + 1) * unit, MADV_HUGEPAGE);
#endif
        return static_cast<int32_t*>(block);
    }

    void give_back(int32_t* block) noexcept {
        try {
            kept_.push_back(block);
        } catch (const std::bad_alloc&) {
            std::free(block);
        }
    }

private:
    const size_t bytes_;
    std::vector<int32_t*> kept_;
};

// One slice of the frames of a segment: its shapes and what is used again and again.
class Slice {
public:
    explicit Slice(std::vector<std::vector<std::pair<int, int>>> shapes) : shapes_(std::move(shapes)) {
        require(shapes_.size() >= 1 && shapes_.size() <= c3::kMaxSubbandPlanes, "1..4 planes");
        for (const auto& plane : shapes_) {
            require(plane.size() % 3 == 1 && plane.size() <= 3 * c3::kMaxSubbandLevels + 1,
                    "one subband and three a level, of at most 5");
            for (const auto& [height, width] : plane) {
                require(height >= 0 && width >= 0 && height <= kMaxSide && width <= kMaxSide, "a side must be 0..2^15");
                num_symbols_ += (size_t)height * width;
            }
        }
        require(num_symbols_ <= kMaxSymbols, "a slice of more than 2^28 symbols");
        blocks_ = std::make_shared<SymbolBlocks>(num_symbols_);
    }

    c3::SliceFeatures new_features() const {
        c3::SliceFeatures features;
        for (const auto& plane : shapes_) {
            features.planes.emplace_back(plane.size());
            for (size_t band = 0; band < plane.size(); band++)
                features.planes.back()[band].resize(plane[band].first, plane[band].second);
        }
        return features;
    }

    bool has_shapes_of(const c3::SliceFeatures& features) const {
        const auto same_shape = [](const auto& shape, const auto& band) {
            return shape.first == band.height && shape.second == band.width;
        };
        const auto same_shapes = [&](const auto& ours, const auto& theirs) {
            return std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(), same_shape);
        };
        return std::equal(shapes_.begin(), shapes_.end(), features.planes.begin(), features.planes.end(), same_shapes);
    }

    // Of symbols by subband of all planes.
    c3::SliceFeatures features_of(const std::vector<Ints2>& symbols) const {
        c3::SliceFeatures features = new_features();
        size_t index = 0;
        for (auto& plane : features.planes)
            for (c3::FeaturePlane& band : plane) {
                require(index < symbols.size() && (int64_t)symbols[index].shape(0) == band.height &&
                            (int64_t)symbols[index].shape(1) == band.width,
                        "symbols of another slice");
                const int32_t* symbol = symbols[index++].data();
                for (int y = 0; y < band.height; y++)
                    for (int x = 0; x < band.width; x++, symbol++) {
                        if (*symbol == 0) continue;
                        const int32_t held = std::clamp(*symbol, -c3::kMaxMagnitude, c3::kMaxMagnitude);
                        band.values(y)[x] = c3::kMagnitudeFeatures[std::abs(held)];
                        band.bits(y)[x / 64] |= 1ull << x % 64;
                    }
            }
        require(index == symbols.size(), "symbols of another slice");
        return features;
    }

    // An array for each subband, of any value, all in one block that comes back to us when the last of them goes.
    std::vector<nb::ndarray<nb::numpy, int32_t>> new_symbols() const {
        struct Block {
            std::shared_ptr<SymbolBlocks> from;
            int32_t* symbols;

            explicit Block(std::shared_ptr<SymbolBlocks> blocks) : from(std::move(blocks)), symbols(from->take()) {}
            Block(const Block&) = delete;
            ~Block() { from->give_back(symbols); }
        };
        auto block = std::make_unique<Block>(blocks_);
        int32_t* next = block->symbols;
        nb::capsule owner(block.get(), [](void* p) noexcept { delete static_cast<Block*>(p); });
        block.release();
        std::vector<nb::ndarray<nb::numpy, int32_t>> arrays;
        for (const auto& plane : shapes_)
            for (const auto& [height, width] : plane) {
                const size_t shape[] = {(size_t)height, (size_t)width};
                arrays.emplace_back(next, 2, shape, owner);
                next += shape[0] * shape[1];
            }
        return arrays;
    }

    c3::SliceScratch scratch;

private:
    std::vector<std::vector<std::pair<int, int>>> shapes_;
    size_t num_symbols_ = 0;
    std::shared_ptr<SymbolBlocks> blocks_;
};

c3::SignNetwork make_sign_network(Ints2 first, Ints2 last) {
    require(shaped(first, c3::kSignWidth, c3::kSignInputs) && shaped(last, c3::kSubbandClasses, c3::kSignWidth),
            "shapes of a network of signs");
    for (const Ints2* weights : {&first, &last})
        for (size_t i = 0; i < weights->size(); i++)
            require(std::abs((int64_t)weights->data()[i]) <= 32767, "a weight must fit 16 bits");
    for (int row = 0; row < c3::kSubbandClasses; row++) {
        int64_t total = 0;
        for (int o = 0; o < c3::kSignWidth; o++) total += std::abs((int64_t)last.data()[row * c3::kSignWidth + o]);
        require(total << c3::kSignWeightBits < 1 << 30, "the sums of a layer must stay below 2^30");
    }
    static std::atomic<int> count{0};
    c3::SignNetwork network{{}, {last.data(), last.data() + last.size()}, ++count};
    for (int input = 0; input < c3::kSignInputs; input++)
        for (int o = 0; o < c3::kSignWidth; o++)
            network.first.push_back((int16_t)first.data()[o * c3::kSignInputs + input]);
    return network;
}

auto read_slice(c3::Reader& reader, const c3::SparseTables& tables, const c3::ContextNetwork& network,
                const c3::SignNetwork& signs, Slice& slice, int depth, std::vector<c3::SliceFeatures*> references,
                c3::SliceFeatures& own, std::string isa) {
    require(network.num_inputs == c3::kSubbandInputs && network.num_classes == c3::kSubbandClasses,
            "not a network of subbands");
    require(depth >= 0 && references.size() <= 2, "a depth is not negative, and there are at most two references");
    require(slice.has_shapes_of(own), "features of another slice");
    const auto read = c3::kernels<c3::HybridDecodeKernels>(isa).read_slice;
    c3::SliceJob job{depth, (int)references.size(), {}, &own, {}};
    for (size_t i = 0; i < references.size(); i++) {
        require(references[i] != nullptr && references[i] != &own && slice.has_shapes_of(*references[i]),
                "a reference is missing, of another slice, or what is to be read");
        job.references[i] = references[i];
    }
    auto symbols = slice.new_symbols();
    for (auto& band : symbols) job.symbols.push_back(static_cast<int32_t*>(band.data()));
    {
        nb::gil_scoped_release release;
        read(reader, tables, network, signs, slice.scratch, job);
    }
    return symbols;
}

auto read_motion(c3::Reader& reader, const c3::SparseTables& tables, const c3::ContextNetwork& network,
                 std::pair<int, int> shape, int depth, std::vector<int> times, const std::optional<Earlier>& earlier,
                 std::string isa) {
    require(network.num_inputs == c3::kMotionInputs && network.num_classes == c3::kMotionClasses,
            "not a network of motion");
    require(depth >= 0, "a depth is not negative");
    const c3::MotionFrame frame = motion_frame(shape, times, earlier);
    const auto read = c3::kernels<c3::HybridDecodeKernels>(isa).read_motion;
    int32_t unit = 1;
    auto offsets = new_zeros<int32_t>(times.size(), 2);
    auto vectors = new_zeros<int32_t>(times.size(), 2, 2 * shape.first, 2 * shape.second);
    auto modes = new_zeros<int32_t>(2 * shape.first, 2 * shape.second);
    auto splits = new_zeros<int32_t>(shape.first, shape.second);
    const c3::MotionField field{&unit, static_cast<int32_t*>(offsets.data()), static_cast<int32_t*>(vectors.data()),
                                static_cast<int32_t*>(modes.data()), static_cast<int32_t*>(splits.data())};
    {
        nb::gil_scoped_release release;
        read(reader, tables, network, frame, depth, field);
    }
    return nb::make_tuple(vectors, modes, splits, offsets, unit);
}

auto list_motion(Ints4 vectors, Ints2 modes, Ints2 splits, Ints2 offsets, int32_t unit, std::vector<int> times,
                 const std::optional<Earlier>& earlier, std::string isa) {
    require(splits.shape(0) <= kMaxSide && splits.shape(1) <= kMaxSide, "a field of 1..2^20 blocks");
    const std::pair<int, int> shape{(int)splits.shape(0), (int)splits.shape(1)};
    const c3::MotionFrame frame = motion_frame(shape, times, earlier);
    const bool good_splits = std::all_of(splits.data(), splits.data() + splits.size(),
                                         [](int32_t split) { return split >= 0 && split < 4; });
    require(is_field(vectors, modes, times.size(), shape) && good_splits,
            "vectors, modes and splits must have the shapes of one field, and be in range");
    require(unit >= 1 && unit <= c3::kMostUnit, "unit: 1 or 2");
    const auto are_multiples = [=](const int32_t* values, size_t count) {
        return std::all_of(values, values + count, [=](int32_t value) { return value % unit == 0; });
    };
    require(are_multiples(vectors.data(), vectors.size()) && are_multiples(offsets.data(), offsets.size()),
            "vectors and offsets must be multiples of the unit");
    const bool good_offsets = std::all_of(offsets.data(), offsets.data() + offsets.size(), [](int32_t offset) {
        return std::abs((int64_t)offset) <= c3::kMaxMotionVector;
    });
    require(offsets.shape(0) == times.size() && offsets.shape(1) == 2 && good_offsets,
            "offsets: (references, 2), in range");
    const auto list = c3::kernels<c3::HybridFitKernels>(isa).list_motion;
    // It only reads the field.
    const c3::MotionField field{&unit, const_cast<int32_t*>(offsets.data()), const_cast<int32_t*>(vectors.data()),
                                const_cast<int32_t*>(modes.data()), const_cast<int32_t*>(splits.data())};
    std::vector<c3::MotionSymbol> symbols;
    {
        nb::gil_scoped_release release;
        list(frame, field, symbols);
    }
    const size_t count = symbols.size();
    auto classes = new_zeros<int64_t>(count), values = new_zeros<int64_t>(count);
    auto features = new_zeros<int64_t>(c3::kMotionInputs, count);
    for (size_t i = 0; i < count; i++) {
        static_cast<int64_t*>(classes.data())[i] = symbols[i].symbol_class;
        static_cast<int64_t*>(values.data())[i] = symbols[i].symbol;
        for (int input = 0; input < c3::kMotionInputs; input++)
            static_cast<int64_t*>(features.data())[input * count + i] = symbols[i].features[input];
    }
    return nb::make_tuple(classes, features, values);
}

}  // namespace

void bind_context(nb::module_& m) {
    nb::class_<c3::ContextNetwork>(m, "ContextNetwork")
        .def(
            "__init__",
            [](c3::ContextNetwork* self, Ints2 first, Ints2 class_bias, Ints2 depth_bias, Ints2 second,
               Ints1 second_bias, Ints2 last, Ints2 last_bias) {
                new (self) c3::ContextNetwork(
                    make_network(first, class_bias, depth_bias, second, second_bias, last, last_bias));
            },
            nb::arg("first").noconvert(), nb::arg("class_bias").noconvert(), nb::arg("depth_bias").noconvert(),
            nb::arg("second").noconvert(), nb::arg("second_bias").noconvert(), nb::arg("last").noconvert(),
            nb::arg("last_bias").noconvert());
    nb::class_<c3::SignNetwork>(m, "SignNetwork")
        .def(
            "__init__",
            [](c3::SignNetwork* self, Ints2 first, Ints2 last) {
                new (self) c3::SignNetwork(make_sign_network(first, last));
            },
            nb::arg("first").noconvert(), nb::arg("last").noconvert());
    nb::class_<c3::SliceFeatures>(m, "SliceFeatures");
    nb::class_<Slice>(m, "Slice")
        .def(nb::init<std::vector<std::vector<std::pair<int, int>>>>(), "shapes"_a)
        .def("new_features", &Slice::new_features)
        .def("features_of", &Slice::features_of, nb::arg("symbols").noconvert());
    m.def("read_slice", &read_slice, "reader"_a, "tables"_a, "network"_a, "signs"_a, "slice"_a, "depth"_a,
          "references"_a, "own"_a, "isa"_a);
    nb::class_<Earlier>(m, "EarlierMotion")
        .def(
            "__init__",
            [](Earlier* self, Ints4 vectors, Ints2 modes, std::vector<int> times, int reference) {
                new (self) Earlier{vectors, modes, std::move(times), reference};
            },
            nb::arg("vectors").noconvert(), nb::arg("modes").noconvert(), "times"_a, "reference"_a);
    m.def("read_motion", &read_motion, "reader"_a, "tables"_a, "network"_a, "shape"_a, "depth"_a, "times"_a,
          "earlier"_a.none(), "isa"_a);
    m.def("list_motion", &list_motion, nb::arg("vectors").noconvert(), nb::arg("modes").noconvert(),
          nb::arg("splits").noconvert(), nb::arg("offsets").noconvert(), "unit"_a, "times"_a, "earlier"_a.none(),
          "isa"_a);
}
