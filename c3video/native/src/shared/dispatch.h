// SPDX-License-Identifier: MIT
// Which instruction set a kernel runs on. Kernel files are compiled once for each instruction set, every time into a
// namespace of that name (C3_ISA, from CMakeLists.txt); bindings ask for the kernels of a domain by the name of a set:
//
//     const auto chosen = c3::kernels<c3::HybridDecodeKernels>(isa);
//     chosen.predict_plane(job, prediction);
//
// A domain is one list of kernels, from which its struct, the declarations and the filling by name are made. To add a
// kernel:
//   1. its header gives it a type, that of a function:    using Blur = void(const BlurJob& job, float* samples);
//   2. its file defines it, within namespaces c3 and C3_ISA, and stands in CMakeLists.txt;
//   3. its domain's list (c3/kernels.h, hybrid/kernels.h ...) has a line of it:    KERNEL(Blur, blur)
// Names are unique among the kernels of all domains that one file of bindings includes. To add a domain: a list in a
// header of its own, which only bindings include, and beneath it C3_DOMAIN(ItsKernels, ITS_LIST). C3_FLOAT_DOMAIN is
// for kernels to which VNNI, which is for integers, adds nothing: they are compiled for AVX-512 (`float_kernels` in
// CMakeLists.txt) and run under the name of VNNI too.
#pragma once
#include <string>
#include <vector>

namespace c3 {

// In rising order. `plain` is what the compiler makes of loops and of vectors of 128 bits: NEON on ARM.
enum class InstructionSet { plain, avx2, avx512, avx512vnni };

const char* name_of(InstructionSet set);

// What was compiled in and this processor knows, best first; the last one is `plain`.
const std::vector<InstructionSet>& usable_instruction_sets();

// By its name, the best one for an empty name. Throws std::invalid_argument where it is not usable.
InstructionSet instruction_set(const std::string& name);

template <typename Domain>
Domain kernels(const std::string& isa) {
    Domain chosen;
    fill(chosen, instruction_set(isa));
    return chosen;
}

#ifdef C3_HAS_AVX2
#define C3_WITH_AVX2(...) __VA_ARGS__
#else
#define C3_WITH_AVX2(...)
#endif
#ifdef C3_HAS_AVX512
#define C3_WITH_AVX512(...) __VA_ARGS__
#else
#define C3_WITH_AVX512(...)
#endif
#ifdef C3_HAS_AVX512VNNI
#define C3_WITH_AVX512VNNI(...) __VA_ARGS__
#else
#define C3_WITH_AVX512VNNI(...)
#endif

#define C3_KERNEL_FIELD(type, name) type* name;
#define C3_KERNEL_DECLARATION(type, name) type name;
#define C3_KERNEL_BY_NAME(type, name) filled.name = name;

#define C3_KERNELS_ON(isa, Domain, LIST)                         \
    namespace isa {                                              \
    LIST(C3_KERNEL_DECLARATION)                                  \
    inline void fill(Domain& filled) { LIST(C3_KERNEL_BY_NAME) } \
    }
#define C3_DOMAIN_KERNELS(Domain, LIST)             \
    struct Domain {                                 \
        LIST(C3_KERNEL_FIELD)                       \
    };                                              \
    C3_KERNELS_ON(plain, Domain, LIST)              \
    C3_WITH_AVX2(C3_KERNELS_ON(avx2, Domain, LIST)) \
    C3_WITH_AVX512(C3_KERNELS_ON(avx512, Domain, LIST))
#define C3_DOMAIN_FILL(Domain, vnni)                                                         \
    inline void fill(Domain& filled, InstructionSet set) {                                   \
        switch (set) {                                                                       \
            C3_WITH_AVX2(case InstructionSet::avx2 : return avx2::fill(filled);)             \
            C3_WITH_AVX512(case InstructionSet::avx512 : return avx512::fill(filled);)       \
            C3_WITH_AVX512VNNI(case InstructionSet::avx512vnni : return vnni::fill(filled);) \
            default: return plain::fill(filled);                                             \
        }                                                                                    \
    }

#define C3_DOMAIN(Domain, LIST)                                 \
    C3_DOMAIN_KERNELS(Domain, LIST)                             \
    C3_WITH_AVX512VNNI(C3_KERNELS_ON(avx512vnni, Domain, LIST)) \
    C3_DOMAIN_FILL(Domain, avx512vnni)
#define C3_FLOAT_DOMAIN(Domain, LIST) \
    C3_DOMAIN_KERNELS(Domain, LIST)   \
    C3_DOMAIN_FILL(Domain, avx512)

}  // namespace c3
