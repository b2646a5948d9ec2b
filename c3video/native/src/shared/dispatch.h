// SPDX-License-Identifier: MIT
// One table of kernels for each instruction set that was compiled in; the best one that this processor has is used.
#pragma once
#include <string>
#include <vector>

#include "hybrid/analysis.h"
#include "hybrid/block_errors.h"
#include "hybrid/frame.h"
#include "c3/latents.h"
#include "hybrid/motion.h"
#include "shared/peak.h"
#include "hybrid/rounding.h"
#include "hybrid/search.h"
#include "hybrid/subbands.h"
#include "c3/synthesis.h"

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
