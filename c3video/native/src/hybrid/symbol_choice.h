// SPDX-License-Identifier: MIT
// Choosing the symbols of a plane's subbands by rate and distortion, and counting their bits:
// c3video/hybrid/fit/symbol_choice.py.
#pragma once
#include <cstdint>
#include <vector>

#include "hybrid/context_network.h"
#include "hybrid/subbands.h"
#include "shared/writer.h"

namespace c3 {

// One subband to be chosen.
struct Coefficients {
    const float* floats;    // (h, w), or null
    const double* doubles;  // (h, w), where there are no floats
    const float* slopes;    // (h, w) squared steps that a bit is worth, or null where `slope` holds
    float slope;
    int step;
};

// `slice.own` has the features of the plane before and room for this plane's, and the reference, if there is one, those
// of the sum of all references. `slice.symbols` holds this plane's subbands alone.
struct ChoiceJob {
    const SignNetwork* signs;
    SliceJob slice;
    int plane;
    std::vector<Coefficients> bands;
    int num_passes;  // each choice sees those before it; after the first pass it weighs what it does to others as well
    const float* costs;       // (64 * 16, 65) bits of magnitudes in each table (coding/sparse_tables.costs)
    const float* sign_costs;  // (33, 2) what signs take beyond what is in them
};

// Writes symbols and features of one plane; returns its bits.
using ChoosePlane = double(const ContextNetwork& network, SliceScratch& scratch, const ChoiceJob& job);

// Writes the symbols of a slice, whose features are there.
using WriteSlice = void(Writer& writer, const SparseTables& tables, const ContextNetwork& network,
                        const SignNetwork& signs, SliceScratch& scratch, const SliceJob& slice);

}  // namespace c3
