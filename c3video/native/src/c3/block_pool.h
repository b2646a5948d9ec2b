// SPDX-License-Identifier: MIT
// Arrays that live for one step of a fit. Fresh memory costs a page fault for each 4 KiB, which is as long as filling
// it; so blocks that were given back are handed out again.
#pragma once
#include <cstdlib>
#include <deque>
#include <mutex>
#include <new>

namespace c3 {

class BlockPool {
public:
    // `size` floats on a cache line of their own, of any value.
    float* take(size_t size) {
        const size_t bytes = (size * sizeof(float) / 64 + 1) * 64;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            for (auto block = kept_.begin(); block != kept_.end(); ++block)
                if (block->bytes == bytes) {
                    float* data = block->data;
                    kept_.erase(block);
                    return data;
                }
        }
        void* data = std::aligned_alloc(64, bytes);
        if (!data) throw std::bad_alloc();
        return static_cast<float*>(data);
    }

    // `size` as it was asked for. Blocks of sizes that nobody asks for any more leave in their turn.
    void give_back(float* data, size_t size) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        try {
            kept_.push_back({data, (size * sizeof(float) / 64 + 1) * 64});
        } catch (const std::bad_alloc&) {
            std::free(data);
        }
        if (kept_.size() > kMostKept) {
            std::free(kept_.front().data);
            kept_.pop_front();
        }
    }

private:
    static constexpr size_t kMostKept = 16;
    struct Block {
        float* data;
        size_t bytes;
    };
    std::mutex mutex_;
    std::deque<Block> kept_;
};

}  // namespace c3
