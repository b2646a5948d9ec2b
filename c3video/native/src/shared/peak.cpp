// SPDX-License-Identifier: MIT
// How many multiply-adds a second this core can do, so that a kernel's speed can be held against the machine's.
#include "shared/peak.h"

#include <chrono>

#include "shared/simd.h"

namespace c3 {
namespace C3_ISA {

double integer_peak() {
    using Clock = std::chrono::steady_clock;
    constexpr int kChains = 12;  // enough independent sums to hide the latency of the instruction
    V32 sums[kChains];
    for (int i = 0; i < kChains; i++) sums[i] = splat32(i);
    V16 a = splat(3), b = splat_pair(0x00010002);
    double best = 0;
    for (int trial = 0; trial < 5; trial++) {
        constexpr int kRounds = 200000;
        const auto start = Clock::now();
        for (int round = 0; round < kRounds; round++) {
#pragma GCC unroll 12
            for (int i = 0; i < kChains; i++) sums[i] = multiply_add(sums[i], a, b);
#if defined(__x86_64__)
            asm volatile("" ::: "memory");
#else
            asm volatile("" : "+m"(a), "+m"(b));  // else the compiler sees that every round adds the same
#endif
        }
        const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
        const double rate = (double)kRounds * kChains * kLanes / seconds;
        best = rate > best ? rate : best;
    }
    int32_t kept[kLanes];
    for (int i = 1; i < kChains; i++) sums[0] = add32(sums[0], sums[i]);
    store32(kept, sums[0]);
    volatile int32_t sink = kept[0];
    (void)sink;
    return best;
}

}  // namespace C3_ISA
}  // namespace c3
