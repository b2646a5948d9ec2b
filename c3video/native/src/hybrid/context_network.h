// SPDX-License-Identifier: MIT
// A context network as Python hands it over (hybrid/context_network.py), and the features that it reads.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace c3 {

constexpr int kFirstWidth = 16, kSecondWidth = 8, kContextDepths = 7;
constexpr int kFeatureBits = 8, kContextWeightBits = 10, kContextHiddenBits = 10;
constexpr int kMaxFeature = 8 << kFeatureBits, kMaxMagnitude = 255;
constexpr int kSubbandInputs = 26, kSubbandClasses = 32;
constexpr int kMotionInputs = 8, kMotionClasses = 17, kFirstFlagClass = 7;

// Weights fit 16 bits and sums stay below 2^30: checked where one is made (context_bindings.cpp).
struct ContextNetwork {
    int num_inputs, num_classes;
    std::vector<int32_t> first;        // (16, inputs)
    std::vector<int32_t> class_bias;   // (classes, 16)
    std::vector<int32_t> depth_bias;   // (7, 16)
    std::vector<int32_t> second;       // (8, 16)
    std::vector<int32_t> second_bias;  // (8,)
    std::vector<int32_t> last;         // (2, 8)
    std::vector<int32_t> last_bias;    // (classes, 2)
};

constexpr std::array<int16_t, kMaxMagnitude + 1> make_magnitude_features() {
    std::array<int16_t, kMaxMagnitude + 1> features{};
    for (int magnitude = 0; magnitude <= kMaxMagnitude; magnitude++) {
        int exponent = 0;
        while ((magnitude + 1) >> (exponent + 1)) exponent++;
        features[magnitude] = (int16_t)((exponent << kFeatureBits) + (((magnitude + 1) << kFeatureBits) >> exponent) -
                                        (1 << kFeatureBits));
    }
    return features;
}

// log2(1 + magnitude) in units of 1/256, linear between powers of two.
constexpr std::array<int16_t, kMaxMagnitude + 1> kMagnitudeFeatures = make_magnitude_features();

constexpr std::array<uint8_t, kMaxFeature + 1> make_feature_magnitudes() {
    std::array<uint8_t, kMaxFeature + 1> magnitudes{};
    for (int magnitude = 0; magnitude <= kMaxMagnitude; magnitude++)
        magnitudes[kMagnitudeFeatures[magnitude]] = (uint8_t)magnitude;
    return magnitudes;
}

// The magnitude, or kMaxMagnitude, of a feature: no two have the same one.
constexpr std::array<uint8_t, kMaxFeature + 1> kFeatureMagnitudes = make_feature_magnitudes();

}  // namespace c3
