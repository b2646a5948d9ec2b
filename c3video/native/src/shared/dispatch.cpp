// SPDX-License-Identifier: MIT
#include "shared/dispatch.h"

#include <stdexcept>

namespace c3 {

const char* name_of(InstructionSet set) {
    switch (set) {
        case InstructionSet::avx2: return "avx2";
        case InstructionSet::avx512: return "avx512";
        case InstructionSet::avx512vnni: return "avx512vnni";
        default: return "plain";
    }
}

const std::vector<InstructionSet>& usable_instruction_sets() {
    static const std::vector<InstructionSet> usable = [] {
        std::vector<InstructionSet> sets;
#if defined(C3_HAS_AVX2) || defined(C3_HAS_AVX512)
        __builtin_cpu_init();
#endif
#ifdef C3_HAS_AVX512
        const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#ifdef C3_HAS_AVX512VNNI
        if (avx512 && __builtin_cpu_supports("avx512vnni")) sets.push_back(InstructionSet::avx512vnni);
#endif
        if (avx512) sets.push_back(InstructionSet::avx512);
#endif
#ifdef C3_HAS_AVX2
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(InstructionSet::avx2);
#endif
        sets.push_back(InstructionSet::plain);
        return sets;
    }();
    return usable;
}

InstructionSet instruction_set(const std::string& name) {
    for (const InstructionSet set : usable_instruction_sets())
        if (name.empty() || name == name_of(set)) return set;
    throw std::invalid_argument("this processor or build has no kernels for '" + name + "'");
}

}  // namespace c3
