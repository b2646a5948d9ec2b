// SPDX-License-Identifier: MIT
// The two matrix products that a fit consists of. Columns (cells, samples) lie in the lanes; rows are found through
// pointers, so that the shifted rows of a convolution serve as well as those of a matrix.
//
//     combine   out[o][n]  = finish(bias[o] + sum over k of matrix[k][o] * in[k][n])
//     dot       sums[a][b] += sum over n of in_a[a][n] * in_b[b][n]
#pragma once
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "shared/simd_float.h"

namespace c3 {
namespace C3_ISA {

// Floats on a cache line of their own, zero at first.
class Floats {
public:
    explicit Floats(size_t size = 0) : size_(size) {
        const size_t bytes = (size * sizeof(float) + 64) / 64 * 64;
        data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
        if (!data_) throw std::bad_alloc();
        std::memset(data_.get(), 0, bytes);
    }
    float* data() { return data_.get(); }
    const float* data() const { return data_.get(); }
    size_t size() const { return size_; }

private:
    struct Free {
        void operator()(float* p) const { std::free(p); }
    };
    std::unique_ptr<float, Free> data_;
    size_t size_;
};

// f(integral_constant<size>) for a size of 1 .. N that is only known at run time.
template <int N, typename F>
inline void with_size(int size, F f) {
    if constexpr (N > 1)
        if (size < N) return with_size<N - 1>(size, f);
    f(std::integral_constant<int, N>());
}

// Calls f(start, size) for `total` rows in blocks of at most `largest`, as even as can be.
template <typename F>
inline void for_blocks(int total, int largest, F f) {
    const int count = (total + largest - 1) / largest;
    for (int i = 0; i < count; i++) {
        const int start = total * i / count;
        f(start, total * (i + 1) / count - start);
    }
}

// Sums that a block of `combine` holds in registers: rows x vectors; the inputs and one weight need some as well.
constexpr int kBlockRows = kRegisters == 32 ? 8 : 6;
constexpr int block_vectors(int rows) {
    return kRegisters == 32 ? (rows > 6 ? 3 : rows > 4 ? 4 : 6) : (rows > 4 ? 2 : 3);
}
// All lengths of `combine` are rounded up to a multiple of the widest block: rows need so much room at their ends.
constexpr int kStep = kFloats * 12;
constexpr int64_t round_up(int64_t length) { return (length + kStep - 1) / kStep * kStep; }

template <int R, int V, typename Finish>
inline __attribute__((always_inline)) void combine_block(const float* const* in, int num_inputs, const float* matrix,
                                                         int stride, const float* bias, int64_t n, Finish finish) {
    VF sums[R][V];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) sums[r][v] = splatf(bias[r]);
    for (int k = 0; k < num_inputs; k++, matrix += stride) {
        VF values[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) values[v] = loadf(in[k] + n + v * kFloats);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const VF weight = splatf(matrix[r]);
#pragma GCC unroll 8
            for (int v = 0; v < V; v++) sums[r][v] = fma(values[v], weight, sums[r][v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) finish(r, n + v * kFloats, sums[r][v]);
}

// out[o][n] for o < num_outputs and n < round_up(length): finish(o, n, sum) stores it.
// `matrix` is (num_inputs, num_outputs).
template <typename Finish>
inline void combine(const float* const* in, int num_inputs, const float* matrix, const float* bias, int num_outputs,
                    int64_t length, Finish finish) {
    for_blocks(num_outputs, kBlockRows, [&](int start, int size) {
        with_size<kBlockRows>(size, [&](auto rows) {
            constexpr int R = decltype(rows)::value, V = block_vectors(R);
            for (int64_t n = 0; n < length; n += V * kFloats)
                combine_block<R, V>(in, num_inputs, matrix + start, num_outputs, bias + start, n,
                                    [&](int r, int64_t at, VF sum) { finish(start + r, at, sum); });
        });
    });
}

constexpr int kDotRows = kRegisters == 32 ? 4 : 3;     // rows of the first operand a block
constexpr int kDotColumns = kRegisters == 32 ? 6 : 4;  // and of the second

template <int A, int B>
inline void dot_block(const float* const* a, const float* const* b, int64_t length, VF* sums, int stride) {
    VF total[A][B];
#pragma GCC unroll 8
    for (int i = 0; i < A; i++)
#pragma GCC unroll 8
        for (int j = 0; j < B; j++) total[i][j] = sums[i * stride + j];
    const auto add = [&](int64_t n, auto load) {
        VF left[A];
#pragma GCC unroll 8
        for (int i = 0; i < A; i++) hold(left[i] = load(a[i] + n));
#pragma GCC unroll 8
        for (int j = 0; j < B; j++) {
            const VF right = loadf(b[j] + n);
#pragma GCC unroll 8
            for (int i = 0; i < A; i++) total[i][j] = fma(left[i], right, total[i][j]);
        }
    };
    const int64_t whole = length / kFloats * kFloats;
    for (int64_t n = 0; n < whole; n += kFloats) add(n, [](const float* p) { return loadf(p); });
    if (whole < length) add(whole, [&](const float* p) { return load_first(p, (int)(length - whole)); });
#pragma GCC unroll 8
    for (int i = 0; i < A; i++)
#pragma GCC unroll 8
        for (int j = 0; j < B; j++) sums[i * stride + j] = total[i][j];
}

// sums (num_a, num_b) of vectors; their lanes are added up once, at the end. Rows `b` are read to the end of a vector.
inline void dot(const float* const* a, int num_a, const float* const* b, int num_b, int64_t length, VF* sums) {
    for_blocks(num_b, kDotColumns, [&](int b_start, int b_size) {
        for_blocks(num_a, kDotRows, [&](int a_start, int a_size) {
            with_size<kDotRows>(a_size, [&](auto rows) {
                with_size<kDotColumns>(b_size, [&](auto columns) {
                    dot_block<decltype(rows)::value, decltype(columns)::value>(
                        a + a_start, b + b_start, length, sums + (int64_t)a_start * num_b + b_start, num_b);
                });
            });
        });
    });
}

inline VF sum_row(const float* row, int64_t length) {
    VF sums[4] = {splatf(0), splatf(0), splatf(0), splatf(0)};
    int64_t n = 0;
    for (; n + 4 * kFloats <= length; n += 4 * kFloats)
        for (int v = 0; v < 4; v++) sums[v] = sums[v] + loadf(row + n + v * kFloats);
    for (; n + kFloats <= length; n += kFloats) sums[0] = sums[0] + loadf(row + n);
    if (n < length) sums[1] = sums[1] + load_first(row + n, (int)(length - n));
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace C3_ISA
}  // namespace c3
