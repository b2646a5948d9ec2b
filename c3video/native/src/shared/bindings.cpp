// SPDX-License-Identifier: MIT
// The seam between Python and what all models share: tables and readers of symbols: everything that comes from Python
// is checked here, then the GIL is let go.
#include <cstdlib>
#include <string>

#include "shared/ans.h"
#include "shared/arguments.h"
#include "shared/kernels.h"
#include "shared/sparse_arguments.h"

using namespace nb::literals;

namespace {

c3::Tables make_tables(Ints1 radius, Ints1 start, Ints1 bounds) {
    const size_t num_tables = c3::kNumScales * c3::kNumFractions;
    require(radius.shape(0) == c3::kNumScales && start.shape(0) == num_tables, "64 radii and 1024 starts");
    c3::Tables tables;
    tables.radius.assign(radius.data(), radius.data() + radius.shape(0));
    tables.start.assign(start.data(), start.data() + start.shape(0));
    tables.bounds.assign(bounds.data(), bounds.data() + bounds.shape(0));
    for (size_t table = 0; table < num_tables; table++) {
        const int64_t r = tables.radius[table / c3::kNumFractions], from = tables.start[table];
        require(r >= 1 && r <= 4096 && from >= 0 && from + 2 * r + 4 <= (int64_t)tables.bounds.size(),
                "a table is cut off");
        require(tables.bounds[from] == 0 && tables.bounds[from + 2 * r + 3] == 1u << c3::kPrecisionBits,
                "a table must run from 0 to 2^24");
        for (int64_t i = from; i < from + 2 * r + 3; i++)
            require(tables.bounds[i] < tables.bounds[i + 1], "a table must rise");
    }
    return tables;
}

c3::Reader make_reader(nb::bytes payload) {
    require(payload.size() % 4 == 0, "a payload must be whole 32-bit words");
    return c3::Reader(static_cast<const uint8_t*>(payload.data()), payload.size());
}

auto read_residuals(c3::Reader& reader, const c3::Tables& tables, Ints1 scales, Ints1 fractions) {
    require(scales.shape(0) == fractions.shape(0), "as many scales as fractions");
    const size_t count = scales.shape(0);
    for (size_t i = 0; i < count; i++)
        require(scales.data()[i] >= 0 && scales.data()[i] < c3::kNumScales && fractions.data()[i] >= -8 &&
                    fractions.data()[i] < 8,
                "a table index is out of range");
    auto result = new_array<int64_t>(count);
    int64_t* out = static_cast<int64_t*>(result.data());
    {
        nb::gil_scoped_release release;
        for (size_t i = 0; i < count; i++) out[i] = reader.residual(tables, scales.data()[i], fractions.data()[i]);
        for (size_t i = 0; i < count; i++) {
            const int radius = tables.radius[scales.data()[i]];
            if (out[i] > radius) out[i] = radius + reader.excess();
            else if (out[i] < -radius) out[i] = -radius - reader.excess();
        }
    }
    return result;
}

c3::SparseTables make_sparse_tables(Ints1 zero, Ints1 tail) {
    require(zero.shape(0) == c3::kNumZeros && tail.shape(0) == c3::kNumTails,
            "64 probabilities of zero and 16 of a tail");
    for (const Ints1* probabilities : {&zero, &tail})
        for (size_t i = 0; i < probabilities->shape(0); i++)
            require(probabilities->data()[i] > 0 && probabilities->data()[i] < 1 << 30,
                    "a probability must be 0..2^30");
    return c3::SparseTables(zero.data(), tail.data());
}

auto read_symbols(c3::Reader& reader, const c3::SparseTables& tables, Ints1 zeros, Ints1 tails) {
    const size_t count = zeros.shape(0);
    require(tails.shape(0) == count, "as many zeros as tails");
    for (size_t i = 0; i < count; i++)
        require(is_sparse_table(zeros.data()[i], tails.data()[i]), "a table index is out of range");
    auto result = new_zeros<int64_t>(count);
    int64_t* out = static_cast<int64_t*>(result.data());
    {
        nb::gil_scoped_release release;
        for (size_t i = 0; i < count; i++)
            out[i] = tables.read(reader.cursor(), sparse_table(zeros.data()[i], tails.data()[i]));
    }
    return result;
}

}  // namespace

void bind_c3(nb::module_& m);
void bind_fit_synthesis(nb::module_& m);
void bind_fit_rate(nb::module_& m);
void bind_frame(nb::module_& m);
void bind_search(nb::module_& m);
void bind_context(nb::module_& m);
void bind_symbol_choice(nb::module_& m);
void bind_pyramid(nb::module_& m);
void bind_pyramid_fit(nb::module_& m);

NB_MODULE(_native, m) {
    // A signal in the middle of a backward pass leaves its graph with torch, which holds plans of ours until the
    // process is gone. Of an orderly end a user is told in one line.
    nb::set_leak_warnings(false);
    bind_c3(m);
    bind_fit_synthesis(m);
    bind_fit_rate(m);
    bind_frame(m);
    bind_search(m);
    bind_context(m);
    bind_symbol_choice(m);
    bind_pyramid(m);
    bind_pyramid_fit(m);
    m.doc() = "Kernels of c3video; use them through c3video.native.";
    nb::exception<c3::Corrupt>(m, "Corrupt", PyExc_ValueError);
    nb::class_<c3::Tables>(m, "Tables")
        .def(
            "__init__",
            [](c3::Tables* self, Ints1 radius, Ints1 start, Ints1 bounds) {
                new (self) c3::Tables(make_tables(radius, start, bounds));
            },
            nb::arg("radius").noconvert(), nb::arg("start").noconvert(), nb::arg("bounds").noconvert());
    nb::class_<c3::Reader>(m, "Reader")
        .def(
            "__init__", [](c3::Reader* self, nb::bytes payload) { new (self) c3::Reader(make_reader(payload)); },
            "payload"_a)
        .def("empty", &c3::Reader::empty)
        .def("bits_left", &c3::Reader::bits_left)
        .def("residuals", &read_residuals, "tables"_a, nb::arg("scales").noconvert(), nb::arg("fractions").noconvert());
    nb::class_<c3::SparseTables>(m, "SparseTables")
        .def(
            "__init__",
            [](c3::SparseTables* self, Ints1 zero, Ints1 tail) {
                new (self) c3::SparseTables(make_sparse_tables(zero, tail));
            },
            nb::arg("zero").noconvert(), nb::arg("tail").noconvert())
        .def(
            "bounds",
            [](const c3::SparseTables& tables, int zero, int tail) {
                require(is_sparse_table(zero, tail), "a table index is out of range");
                const int32_t* first = tables.bounds_of(sparse_table(zero, tail));
                return std::vector<int32_t>(first, first + c3::kSparseBounds);
            },
            "zero"_a, "tail"_a, "Cumulative frequencies of one table, for tests.")
        .def(
            "magnitude_bounds",
            [](const c3::SparseTables& tables, int zero, int tail) {
                require(is_sparse_table(zero, tail) && tail < c3::kNumTails, "a table index is out of range");
                const int32_t* first = tables.magnitudes_of(zero * c3::kNumTails + tail);
                return std::vector<int32_t>(first, first + c3::kMagnitudeBounds);
            },
            "zero"_a, "tail"_a, "Those of magnitudes.");
    m.def("read_symbols", &read_symbols, "reader"_a, "tables"_a, nb::arg("zeros").noconvert(),
          nb::arg("tails").noconvert());
    m.def(
        "integer_peak",
        [](const std::string& isa) {
            const auto chosen = c3::kernels<c3::SharedKernels>(isa);
            nb::gil_scoped_release release;
            return chosen.integer_peak();
        },
        "isa"_a);
    m.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const auto set : c3::usable_instruction_sets()) names.push_back(c3::name_of(set));
        return names;
    });
}
