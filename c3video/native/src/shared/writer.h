// SPDX-License-Identifier: MIT
// The writing side of shared/ans.h: constriction's AnsCoder, byte for byte.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "shared/ans.h"
#include "shared/sparse_tables.h"

namespace c3 {

// Collects the slots of symbols; the last one is coded first, so nothing can be written before the end.
class Writer {
public:
    // Makes room for so many further symbols.
    void expect(size_t count) { slots_.reserve(slots_.size() + count); }

    // A residual of a table (scale * 16 + fraction + 8). Returns what it exceeds its slots by: 0, or what `excess` is
    // to be given once the batch is through.
    int residual(const Tables& tables, int table, int residual) {
        const int radius = tables.radius[table / kNumFractions];
        const int beyond = std::abs(residual) > radius ? std::abs(residual) - radius : 0;
        const int slot = beyond ? (residual > 0 ? 2 * radius + 2 : 0) : residual + radius + 1;
        const uint32_t* bounds = tables.bounds.data() + tables.start[table] + slot;
        put(bounds[0], bounds[1] - bounds[0]);
        return beyond;
    }

    // A symbol under one of the sparse tables, and what it exceeds its slots by.
    void sparse(const SparseTables& tables, unsigned table, int symbol) {
        const int slot = symbol < -kSparseRadius ? 0 : symbol > kSparseRadius ? kSparseBounds - 2 : kZeroSlot + symbol;
        const int32_t* bound = tables.bounds_of(table) + slot;
        put((uint32_t)bound[0], (uint32_t)(bound[1] - bound[0]));
        if (std::abs(symbol) > kSparseRadius) excess(std::abs(symbol) - kSparseRadius);
    }

    // The magnitude of a symbol likewise, whose sign is coded apart.
    void magnitude(const SparseTables& tables, unsigned table, int magnitude) {
        const int32_t* bound = tables.magnitudes_of(table) + std::min(magnitude, kSparseRadius + 1);
        put((uint32_t)bound[0], (uint32_t)(bound[1] - bound[0]));
        if (magnitude > kSparseRadius) excess(magnitude - kSparseRadius);
    }

    void excess(int value) {
        int length = 0;
        while (value >> length) length++;
        raw(length, kLengthBits);
        for (int shift = 0; shift < length - 1; shift += kChunkBits) {
            const int bits = length - 1 - shift < kChunkBits ? length - 1 - shift : kChunkBits;
            raw(value >> shift & ((1 << bits) - 1), bits);
        }
    }

    // What the tables promise for all so far.
    double bits() const { return bits_ - std::log2(probability_); }

    std::vector<uint32_t> finish() const;

    struct Slot {
        uint32_t from, width;
    };
    const std::vector<Slot>& slots() const { return slots_; }

private:
    void put(uint32_t from, uint32_t width) {
        slots_.push_back({from, width});
        probability_ *= width * (1.0 / (1 << kPrecisionBits));
        if (probability_ < 1e-200) {
            bits_ -= std::log2(probability_);
            probability_ = 1;
        }
    }

    void raw(int value, int bits) {
        const uint32_t width = 1u << (kPrecisionBits - bits);
        put(value * width, width);
    }

    std::vector<Slot> slots_;
    double bits_ = 0,
           probability_ = 1;  // of the last symbols, whose bits are not in `bits_` yet: a logarithm takes long
};

// A payload in the making: writers are pushed from the last to the first, so that only one need be there at a time.
class Stack {
public:
    void push(const Writer& writer) {
        for (auto slot = writer.slots().rbegin(); slot != writer.slots().rend(); ++slot) {
            if (state_ >> (64 - kPrecisionBits) >= slot->width) {
                words_.push_back((uint32_t)state_);
                state_ >>= 32;
            }
            state_ = (state_ / slot->width) << kPrecisionBits | (slot->from + state_ % slot->width);
        }
    }

    std::vector<uint32_t> finish() const {
        std::vector<uint32_t> words = words_;
        for (uint64_t state = state_; state; state >>= 32) words.push_back((uint32_t)state);
        return words;
    }

private:
    std::vector<uint32_t> words_;
    uint64_t state_ = 0;
};

inline std::vector<uint32_t> Writer::finish() const {
    Stack stack;
    stack.push(*this);
    return stack.finish();
}

}  // namespace c3
