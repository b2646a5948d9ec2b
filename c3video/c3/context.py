# SPDX-License-Identifier: MIT
"""Which latents a latent may look at, and in which order a grid is walked (docs/c3v.md, section 8).

    previous latent frame            current latent frame
    . . . . . . .                    o o o o o o o
    . o o o o . .                    o o o o o o o      o  in the context
    . o o o o . .                    o o o o o o o      x  the latent to code
    . o o o o . .                    o o o x . . .
    . o o o o . .

Positions whose contexts are complete at the same time form a *wave*; waves are coded one after the other, so that a
decoder works on whole arrays. Everything outside the grid counts as zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.c3.config import C3Config

IntArray = NDArray[np.int64]


def causal_offsets(size: int) -> list[tuple[int, int]]:
    """(dy, dx) of the current frame's taps in raster order: the first half of a `size` x `size` square."""
    half = size // 2
    return [(index // size - half, index % size - half) for index in range(size * size // 2)]


def previous_offsets(config: C3Config, window: tuple[int, int]) -> list[tuple[int, int]]:
    """(dy, dx) of the previous frame's taps in raster order, for a window whose corner in the wide one is `window`."""
    half = config.previous_range // 2
    return [
        (window[0] - half + row, window[1] - half + column)
        for row in range(config.previous_size)
        for column in range(config.previous_size)
    ]


@dataclass(frozen=True)
class Walk:
    """The order of a grid's positions and the places of their taps, as indexes into a zero-padded flat array.

    Args:
        shape: (t, h, w) of the grid.
        padded_shape: (t + 1, h + pad, w + pad): one zero frame before the first, zero margins around each.
        origin: flat index of position (0, 0, 0).
        offsets: (taps,) flat distance of each tap.
        waves: positions of each wave, flat indexes; within a wave ascending t, then y, then x.
    """

    shape: tuple[int, int, int]
    padded_shape: tuple[int, int, int]
    margins: tuple[int, int]
    offsets: IntArray
    waves: tuple[IntArray, ...]

    def empty(self) -> NDArray[np.float64]:
        """Zeros to walk in, flat."""
        return np.zeros(int(np.prod(self.padded_shape)))

    def interior(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """The (t, h, w) grid inside a padded flat array, as a view."""
        (top, left), (t, h, w) = self.margins, self.shape
        return flat.reshape(self.padded_shape)[1 : t + 1, top : top + h, left : left + w]


def wave_slopes(config: C3Config, window: tuple[int, int] | None) -> tuple[int, int]:
    """(per row, per frame) distance between waves: position (t, y, x) is in wave x + row * y + frame * t.

    The row slope steps past the tap above on the far right; the frame slope past the last tap of the previous window.
    """
    row = config.context_size // 2 + 1
    if window is None:
        return row, 0
    last = max(dx + row * dy for dy, dx in previous_offsets(config, window))
    return row, max(0, last + 1)


def plan_walk(config: C3Config, shape: tuple[int, int, int], window: tuple[int, int] | None) -> Walk:
    """The walk over a grid of `shape` (t, h, w) with its previous-frame window at `window` (None: no window)."""
    t, h, w = shape
    current = causal_offsets(config.context_size)
    previous = previous_offsets(config, window) if window is not None else []
    reach = [*current, *previous, (0, 0)]
    # A tap further out than the grid is wide reads zeros wherever it stands, so margins need not grow with it.
    top, bottom = max(-dy for dy, _ in reach), max(dy for dy, _ in reach)
    left, right = max(-dx for _, dx in reach), max(dx for _, dx in reach)
    padded = (t + 1, h + top + bottom, w + left + right)
    frame_stride, row_stride = padded[1] * padded[2], padded[2]
    offsets = [dy * row_stride + dx for dy, dx in current]
    offsets += [-frame_stride + dy * row_stride + dx for dy, dx in previous]

    row_slope, frame_slope = wave_slopes(config, window)
    frames, rows, columns = np.arange(t)[:, None, None], np.arange(h)[:, None], np.arange(w)
    wave_of = (frame_slope * frames + row_slope * rows + columns).ravel()
    positions = ((frames + 1) * frame_stride + (rows + top) * row_stride + columns + left).ravel()
    order = np.argsort(wave_of, kind="stable")
    starts = np.flatnonzero(np.diff(wave_of[order])) + 1
    return Walk(
        shape=shape,
        padded_shape=padded,
        margins=(top, left),
        offsets=np.array(offsets, dtype=np.int64),
        waves=tuple(np.split(positions[order], starts)),
    )


def gather(flat: NDArray[np.float64], walk: Walk) -> Iterator[tuple[IntArray, NDArray[np.float64]]]:
    """For each wave its positions (N,) and their contexts (taps, N), read when the wave is due."""
    for positions in walk.waves:
        yield positions, flat[walk.offsets[:, None] + positions]
