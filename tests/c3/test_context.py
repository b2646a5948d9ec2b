# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from c3video.c3.config import C3Config
from c3video.c3.context import causal_offsets, gather, plan_walk, previous_offsets
from c3video.c3.patch_model import centred_window

CONFIG = C3Config()
WINDOWS = [None, (30, 31), (0, 0), (61, 61), (0, 61), (61, 0)]


def test_causal_offsets_are_the_24_before_the_centre() -> None:
    offsets = causal_offsets(7)
    assert len(offsets) == 24
    assert offsets[0] == (-3, -3)
    assert offsets[-1] == (0, -1)
    assert all((dy, dx) < (0, 0) for dy, dx in offsets)


def test_centred_window_surrounds_the_position() -> None:
    offsets = previous_offsets(CONFIG, centred_window(CONFIG))
    assert len(offsets) == 16
    assert (0, 0) in offsets
    assert offsets[0] == (-1, -1)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 9, 4), (4, 1, 6), (5, 6, 1)])
@pytest.mark.parametrize("window", WINDOWS)
def test_every_context_is_complete_when_its_wave_is_due(
    shape: tuple[int, int, int], window: tuple[int, int] | None
) -> None:
    """Contexts gathered wave by wave, as a decoder must, equal those looked up in the finished grid."""
    t, h, w = shape
    grid = np.random.default_rng(1).integers(1, 1000, shape).astype(np.float64)
    walk = plan_walk(CONFIG, shape, window)
    source, target = walk.empty(), walk.empty()
    walk.interior(source)[...] = grid
    current = causal_offsets(CONFIG.context_size)
    previous = previous_offsets(CONFIG, window) if window else []

    def at(frame: int, y: int, x: int) -> float:
        return grid[frame, y, x] if 0 <= frame < t and 0 <= y < h and 0 <= x < w else 0.0

    place = np.full(walk.padded_shape, -1)
    walk.interior(place.ravel().view())[...] = np.arange(grid.size).reshape(shape)
    visited = []
    for positions, contexts in gather(target, walk):
        for position, context in zip(positions, contexts.T, strict=True):
            frame, y, x = np.unravel_index(place.ravel()[position], shape)
            expected = [at(frame, y + dy, x + dx) for dy, dx in current]
            expected += [at(frame - 1, y + dy, x + dx) for dy, dx in previous]
            assert context.tolist() == expected
            visited.append((frame, y, x))
        target[positions] = source[positions]
    assert len(visited) == len(set(visited)) == grid.size


def test_waves_are_ordered_by_frame_row_column_within() -> None:
    walk = plan_walk(CONFIG, (4, 9, 11), (30, 31))
    assert all((np.diff(wave) > 0).all() for wave in walk.waves)
