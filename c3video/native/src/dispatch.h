// SPDX-License-Identifier: MIT
// One table of kernels for each instruction set that was compiled in; the best one that this processor has is used.
#pragma once
#include <string>
#include <vector>

#include "analysis.h"
#include "block_errors.h"
#include "frame.h"
#include "latents.h"
#include "motion.h"
#include "peak.h"
#include "rounding.h"
#include "search.h"
#include "subbands.h"
#include "synthesis.h"

namespace c3 {

struct Kernels {
    const char* name;
    DecodeGrid decode_grid;
    Synthesise synthesise;
    Peak integer_peak;
    ReconstructPlane reconstruct_plane;
    PredictPlane predict_plane;
    MakePhases make_phases;
    BlockErrors block_errors;
    SearchField search_field;
    ReadSlice read_slice;
    ReadMotion read_motion;
    ChoosePlane choose_plane;
    CountSlice count_slice;
    Analyse analyse;
};

// Usable here, best first; the last one is "plain" and always there.
std::vector<Kernels> usable_kernels();

}  // namespace c3
