// SPDX-License-Identifier: MIT
#include "shared/dispatch.h"

#define C3_DECLARE(isa)                                                                                     \
    namespace c3 {                                                                                          \
    namespace isa {                                                                                         \
    void decode_grid(Reader& reader, const Tables& tables, const GridJob& job, int32_t* symbols);           \
    void synthesise(const SynthesisJob& job, uint16_t* samples);                                            \
    double integer_peak();                                                                                  \
    void reconstruct_plane(const FrameJob& job, uint16_t* samples);                                         \
    void predict_plane(const FrameJob& job, int16_t* prediction);                                           \
    void make_phases(const PhaseJob& job, Phases& phases);                                                  \
    void block_errors(const ErrorsJob& job, float* errors);                                                 \
    void search_field(const SearchJob& job, int32_t* vectors, int32_t* modes, int32_t* splits);             \
    void read_slice(Reader&, const SparseTables&, const ContextNetwork&, SliceScratch&, const SliceJob&);   \
    void read_motion(Reader&, const SparseTables&, const ContextNetwork&, const MotionJob&);                \
    double choose_plane(const ContextNetwork&, SliceScratch&, const RoundingJob&);                          \
    double count_slice(const ContextNetwork&, SliceScratch&, const SliceJob&, const float*, int16_t*);      \
    void analyse(const AnalysisJob& job);                                                                   \
    }                                                                                                       \
    }
#define C3_KERNELS(isa)                                                                                         \
    {#isa, isa::decode_grid, isa::synthesise, isa::integer_peak, isa::reconstruct_plane, isa::predict_plane,    \
     isa::make_phases, isa::block_errors, isa::search_field, isa::read_slice, isa::read_motion,                 \
     isa::choose_plane, isa::count_slice, isa::analyse}

C3_DECLARE(plain)
#ifdef C3_X86
C3_DECLARE(avx2)
C3_DECLARE(avx512)
C3_DECLARE(avx512vnni)
#endif

namespace c3 {

std::vector<Kernels> usable_kernels() {
    std::vector<Kernels> usable;
#ifdef C3_X86
    __builtin_cpu_init();
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx512 && __builtin_cpu_supports("avx512vnni")) usable.push_back(C3_KERNELS(avx512vnni));
    if (avx512) usable.push_back(C3_KERNELS(avx512));
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) usable.push_back(C3_KERNELS(avx2));
#endif
    usable.push_back(C3_KERNELS(plain));
    return usable;
}

}  // namespace c3
