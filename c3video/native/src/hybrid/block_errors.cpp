// SPDX-License-Identifier: MIT
// Compiled once for each instruction set; all give the same numbers.
#include "hybrid/block_errors.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "hybrid/block_window.h"
#include "hybrid/interpolation.h"
#include "shared/parallel.h"

namespace c3 {
namespace C3_ISA {

void make_phases(const PhaseJob& job, Phases& phases) {
    const Reference reference{job.samples, job.height, job.width, job.bit_depth};
    const int height = job.height + 2 * kPhaseMargin, width = job.width + 2 * kPhaseMargin;
    const int num_bands = (height + kStripRows - 1) / kStripRows, num_parts = std::min(job.num_threads, num_bands);
    std::vector<StripRoom> rooms(num_parts);
    in_parallel(num_parts, [&](int part) {
        const int last_band = (int)((int64_t)num_bands * (part + 1) / num_parts);
        for (int band = (int)((int64_t)num_bands * part / num_parts); band < last_band; band++) {
            const int y = band * kStripRows, rows = std::min(kStripRows, height - y);
            for (int x = 0; x < width; x += kStripColumns)
                for (int phase = 0; phase < 16; phase++)
                    interpolate<false>(reference, y - kPhaseMargin, x - kPhaseMargin, rows,
                                       std::min(kStripColumns, width - x), 2 * (phase / 4), 2 * (phase % 4),
                                       phases.data.get() + phase * phases.plane + y * phases.stride + x, phases.stride,
                                       rooms[part]);
        }
    });
}

void block_errors(const ErrorsJob& job, float* errors) {
    struct Room {
        BlockWindow window;
        alignas(64) Window other;
    };
    const int size = 2 * job.block_size, rows = job.block_rows(), columns = job.block_columns();
    const size_t count = (size_t)rows * columns;
    const int num_parts = std::min(job.num_threads, rows);
    const std::unique_ptr<Room[]> rooms(new Room[num_parts]);
    in_parallel(num_parts, [&](int part) {
        BlockWindow& window = rooms[part].window;
        window.set_weights(job.block_size);
        const int last_row = (int)((int64_t)rows * (part + 1) / num_parts);
        for (int row = (int)((int64_t)rows * part / num_parts); row < last_row; row++)
            for (int column = 0; column < columns; column++) {
                window.move_to(job.current, job.height, job.width, row, column);
                const size_t block = (size_t)row * columns + column;
                const Source other{rooms[part].other, size};
                if (job.other) {
                    const Source found =
                        window.source(*job.other, job.other_vectors[block], job.other_vectors[count + block]);
                    for (int i = 0; i < size; i++)
                        std::memcpy(rooms[part].other + i * size, found.samples + i * found.stride,
                                    sizeof(int16_t) * size);
                }
                for (int k = 0; k < job.num_candidates; k++) {
                    const int32_t* vectors = job.vectors + 2 * k * count + block;
                    const Source source = window.source(*job.phases, vectors[0], vectors[count]);
                    errors[k * count + block] = job.other ? window.error(source, other) : window.error(source);
                }
            }
    });
}

}  // namespace C3_ISA
}  // namespace c3
