// SPDX-License-Identifier: MIT
#include "kernels.h"

#include <stdexcept>

#define C3_DECLARE(isa)                                                                                               \
    namespace c3 {                                                                                                    \
    namespace isa {                                                                                                   \
    void code_pyramid(const Tables&, const PyramidEntropy&, std::vector<PyramidPatch>&, int num_threads);             \
    void synthesise_pyramid(const PyramidPicture&, int num_threads);                                                  \
    }                                                                                                                 \
    }
#define C3_KERNELS(isa) \
    if (instruction_set == #isa) return {isa::code_pyramid, isa::synthesise_pyramid};

C3_DECLARE(plain)
#ifdef C3_X86
C3_DECLARE(avx2)
C3_DECLARE(avx512)
C3_DECLARE(avx512vnni)
#endif

namespace c3 {

PyramidKernels pyramid_kernels(const std::string& instruction_set) {
#ifdef C3_X86
    C3_KERNELS(avx512vnni)
    C3_KERNELS(avx512)
    C3_KERNELS(avx2)
#endif
    C3_KERNELS(plain)
    throw std::invalid_argument("no kernels of instruction set " + instruction_set);
}

}  // namespace c3
