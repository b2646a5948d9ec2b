// SPDX-License-Identifier: MIT
// The coder of docs/c3v.md, section 6, on bytes that constriction wrote, and the tables of section 5.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace c3 {

struct Corrupt : std::runtime_error {
    using std::runtime_error::runtime_error;
};

constexpr int kNumScales = 64, kNumFractions = 16, kPrecisionBits = 24;
constexpr int kMaxExcessBits = 20, kLengthBits = 5, kChunkBits = 12;

// All tables, as coding/tables.py computes them; handed over once.
struct Tables {
    std::vector<int32_t> radius;   // (64,)
    std::vector<int32_t> start;    // (64 * 16,) where each table's bounds begin
    std::vector<uint32_t> bounds;  // 2R + 4 a table
};

// Where a reader stands. A value, so that a long loop may take a copy, keep it in registers and put it back.
class Cursor {
public:
    Cursor(const uint32_t* words, size_t count) : first_(words), next_(words + count) {
        refill();
        refill();
    }

    bool empty() const { return state_ == 0 && next_ == first_; }

    // What has not been read, in bits.
    double bits_left() const { return 32.0 * (double)(next_ - first_) + (state_ ? std::log2((double)state_) : 0.0); }

    // The next symbol is the one whose slot [from, to) of its table holds this number.
    uint32_t low() const { return (uint32_t)state_ & ((1u << kPrecisionBits) - 1); }

    // Steps over the symbol of slot [from, from + width).
    void advance(uint32_t from, uint32_t width, uint32_t low) {
        state_ = (state_ >> kPrecisionBits) * width + (low - from);
        refill();
    }

    // Residual of a table; an escape comes back as -(R + 1) or R + 1.
    int residual(const Tables& tables, int scale, int fraction) {
        const uint32_t* bounds = tables.bounds.data() + tables.start[scale * kNumFractions + fraction + 8];
        const int radius = tables.radius[scale];
        const uint32_t value = low();
        int slot = radius + 1;
        if (value < bounds[slot] || value >= bounds[slot + 1]) slot = search(bounds, radius, value);
        advance(bounds[slot], bounds[slot + 1] - bounds[slot], value);
        return slot - radius - 1;
    }

    int excess() {
        const int length = raw(kLengthBits);
        if (length < 1 || length > kMaxExcessBits) throw Corrupt("escape of impossible length; the payload is damaged");
        int value = 1 << (length - 1);
        for (int shift = 0; shift < length - 1; shift += kChunkBits) {
            const int bits = length - 1 - shift < kChunkBits ? length - 1 - shift : kChunkBits;
            value |= raw(bits) << shift;
        }
        return value;
    }

private:
    static int search(const uint32_t* bounds, int radius, uint32_t low) {
        if (radius <= 16) {  // few slots: from the middle outwards
            int slot = radius + 1;
            if (low < bounds[slot]) {
                while (low < bounds[slot]) slot--;
            } else {
                while (low >= bounds[slot + 1]) slot++;
            }
            return slot;
        }
        int first = 0, last = 2 * radius + 3;  // bounds[first] <= low < bounds[last]
        while (last - first > 1) {
            const int middle = (first + last) / 2;
            (low >= bounds[middle] ? first : last) = middle;
        }
        return first;
    }

    int raw(int bits) {
        const uint32_t value = low(), width = 1u << (kPrecisionBits - bits);
        advance(value / width * width, width, value);
        return (int)(value / width);
    }

    void refill() {
        if (state_ < (1ull << 32) && next_ != first_) state_ = state_ << 32 | *--next_;
    }

    const uint32_t *first_, *next_;
    uint64_t state_ = 0;
};

class Reader {
public:
    Reader(const uint8_t* bytes, size_t size) : words_(decoded(bytes, size)), cursor_(words_.data(), words_.size()) {}
    Reader(Reader&&) = default;  // the words stay where they are
    Reader(const Reader&) = delete;

    bool empty() const { return cursor_.empty(); }
    double bits_left() const { return cursor_.bits_left(); }
    int residual(const Tables& tables, int scale, int fraction) { return cursor_.residual(tables, scale, fraction); }
    int excess() { return cursor_.excess(); }
    Cursor& cursor() { return cursor_; }

private:
    static std::vector<uint32_t> decoded(const uint8_t* bytes, size_t size) {
        std::vector<uint32_t> words(size / 4);
        for (size_t i = 0; i < words.size(); i++)
            words[i] = bytes[4 * i] | bytes[4 * i + 1] << 8 | bytes[4 * i + 2] << 16 | (uint32_t)bytes[4 * i + 3] << 24;
        return words;
    }

    std::vector<uint32_t> words_;
    Cursor cursor_;
};

}  // namespace c3
