// SPDX-License-Identifier: MIT
// Work split over threads in a fixed way: part k of n is always the same work, so that sums repeat bit for bit.
#pragma once
#include <thread>
#include <vector>

namespace c3 {

// Runs work(part) for part = 0 .. num_parts - 1, each on a thread of its own, the first one on this thread.
// `work` must not throw: it gets its memory beforehand.
template <typename Work>
void in_parallel(int num_parts, const Work& work) {
    std::vector<std::thread> threads;
    threads.reserve(num_parts > 1 ? num_parts - 1 : 0);
    int started = 1;
    try {
        for (; started < num_parts; started++) threads.emplace_back([&work, started] { work(started); });
    } catch (...) {  // no more threads to be had: this one does the rest
        for (int part = started; part < num_parts; part++) work(part);
    }
    work(0);
    for (auto& thread : threads) thread.join();
}

}  // namespace c3
