// SPDX-License-Identifier: MIT
// The forward wavelet of the encoder: c3video/hybrid/wavelet.py, `analyse`, in float32.
#pragma once
#include <vector>

namespace c3 {

struct AnalysisJob {
    int height, width, levels;
    const float* plane;         // (h, w)
    std::vector<float*> bands;  // to be filled, in coding order
};

using Analyse = void(const AnalysisJob& job);

}  // namespace c3
