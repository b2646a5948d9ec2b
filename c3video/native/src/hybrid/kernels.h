// SPDX-License-Identifier: MIT
// The kernels of the hybrid model, chosen by instruction set: see shared/dispatch.h.
#pragma once
#include "hybrid/analysis.h"
#include "hybrid/block_errors.h"
#include "hybrid/frame.h"
#include "hybrid/key_symbols.h"
#include "hybrid/loop_filter.h"
#include "hybrid/motion.h"
#include "hybrid/search.h"
#include "hybrid/subbands.h"
#include "hybrid/symbol_choice.h"
#include "shared/dispatch.h"

namespace c3 {

#define HYBRID_DECODE_KERNELS(KERNEL)           \
    KERNEL(ReadSlice, read_slice)               \
    KERNEL(ReadMotion, read_motion)             \
    KERNEL(PredictPlane, predict_plane)         \
    KERNEL(ReconstructPlane, reconstruct_plane) \
    KERNEL(MakeKeySymbols, make_key_symbols)    \
    KERNEL(FilterPlane, filter_plane)

C3_DOMAIN(HybridDecodeKernels, HYBRID_DECODE_KERNELS)

#define HYBRID_FIT_KERNELS(KERNEL)        \
    KERNEL(MakePhases, make_phases)       \
    KERNEL(BlockErrors, block_errors)     \
    KERNEL(SearchField, search_field)     \
    KERNEL(ListMotion, list_motion)       \
    KERNEL(CoarseVectors, coarse_vectors) \
    KERNEL(ChoosePlane, choose_plane)     \
    KERNEL(WriteSlice, write_slice)       \
    KERNEL(Analyse, analyse)

C3_DOMAIN(HybridFitKernels, HYBRID_FIT_KERNELS)

}  // namespace c3
