// SPDX-License-Identifier: MIT
// Tables of symbols as bindings take them: (i, k), where k = 16 is that of flags.
#pragma once
#include "shared/sparse_tables.h"

inline bool is_sparse_table(int zero, int tail) {
    return zero >= 0 && zero < c3::kNumZeros && tail >= 0 && tail <= c3::kNumTails;
}

inline unsigned sparse_table(int zero, int tail) {
    const unsigned table = (unsigned)(zero * c3::kNumTails);
    return tail == c3::kNumTails ? c3::flag_table(table) : table + (unsigned)tail;
}
