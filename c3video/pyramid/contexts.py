# SPDX-License-Identifier: MIT
"""What a latent's entropy network reads, and the order of a patch's latents (docs/c3v_pyramid.md, section 3).

    grid k + 2        grid k + 1          grid k
    . . .             . . o . .           . o o o o o
    . g .             . o p o .           o o o o o o      o, p, g  in the context
    . . .             . . o o .           o o o x . .      x        the latent to code

A context is causal taps of the own grid (TAPS), six latents of the grid above around the one that covers x, leaning to
the side of it that x is on, and the latent that covers it two grids above. In a latent frame after the first, places of
the same grid in the frame before come to it, after the causal taps: all are known, so they lie around the latent, or
around a place off by the grid's window, for what moves. Last come the hyper grids, enlarged to the grid's resolution.
Outside of the patch all is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import FloatArray, round_shift
from c3video.pyramid.config import PREVIOUS_TAPS, TAPS, PyramidConfig
from c3video.pyramid.weights import HYPER_BITS, MAX_CONTEXT, MAX_HYPER_CONTEXT

IntArray = NDArray[np.int64]


def wave_slope(num_taps: int) -> int:
    """Distance of the waves of neighbouring rows: (y, x) is in wave x + slope * y, behind all of its taps."""
    return max(dx for dy, dx in TAPS[:num_taps] if dy == -1) + 1


def as_context(latents: NDArray[np.integer]) -> FloatArray:
    """Latents as contexts read them."""
    return np.clip(latents, -MAX_CONTEXT, MAX_CONTEXT).astype(np.float64)


def parent_inputs(shape: tuple[int, int], parent: IntArray | None, grandparent: IntArray | None) -> FloatArray:
    """Inputs (7, h, w) from the grids above, for all latents of a patch's part of a grid.

    Args:
        shape: (h, w).
        parent: the part of the grid above, (ceil(h / 2), ceil(w / 2)), or None.
        grandparent: that of the one above it, or None.
    """
    inputs = np.zeros((7, *shape))
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    if parent is not None:
        around = np.pad(as_context(parent), 1)
        py, px, sy, sx = (y >> 1) + 1, (x >> 1) + 1, 2 * (y & 1) - 1, 2 * (x & 1) - 1
        places = ((py, px), (py + sy, px), (py, px + sx), (py + sy, px + sx), (py - sy, px), (py, px - sx))
        for index, place in enumerate(places):
            inputs[index] = around[place]
    if grandparent is not None:
        inputs[6] = as_context(grandparent)[y >> 2, x >> 2]
    return inputs


def previous_inputs(
    shape: tuple[int, int], previous: IntArray | None, window: tuple[int, int], num_previous: int
) -> FloatArray:
    """Inputs (num_previous, h, w) from the latent frame before, for all latents of a patch's part of a grid.

    Args:
        shape: (h, w).
        previous: the same part in the frame before, or None for zeros.
        window: (y, x), how far off the taps lie.
    """
    inputs = np.zeros((num_previous, *shape))
    if previous is None:
        return inputs
    reach = max(abs(window[0]), abs(window[1])) + 1
    around = np.pad(as_context(previous), reach)
    for index, (dy, dx) in enumerate(PREVIOUS_TAPS[:num_previous]):
        top, left = reach + window[0] + dy, reach + window[1] + dx
        inputs[index] = around[top : top + shape[0], left : left + shape[1]]
    return inputs


def as_hyper_context(latents: NDArray[np.integer]) -> FloatArray:
    """Latents of a hyper grid as contexts of its resolution read them, binary point HYPER_BITS."""
    return np.clip(latents, -MAX_HYPER_CONTEXT, MAX_HYPER_CONTEXT).astype(np.float64) * (1 << HYPER_BITS)


def enlarge(plane: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """A hyper grid (ceil(h / 2), ceil(w / 2)) in a patch as contexts of one resolution read it, at twice that, (h, w).

    Bilinear: of the four places around, those farther off along an axis count a third of the nearer ones.
    """
    around = np.pad(plane, 1)
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    py, px, sy, sx = (y >> 1) + 1, (x >> 1) + 1, 2 * (y & 1) - 1, 2 * (x & 1) - 1
    near = 9.0 * around[py, px] + 3.0 * around[py + sy, px]
    return round_shift(near + 3.0 * around[py, px + sx] + around[py + sy, px + sx], 4)


@dataclass(frozen=True)
class Walk:
    """The order of the latents of a patch's part of a grid, and their taps in a zero-padded flat array.

    Args:
        shape: (h, w).
        padded_shape: (h + 3, w + 6): margins above, left and right as wide as the furthest tap.
        offsets: (taps,) flat distance of each tap.
        waves: of each wave the rows and columns of its latents, by rising row.
    """

    shape: tuple[int, int]
    padded_shape: tuple[int, int]
    offsets: IntArray
    waves: tuple[tuple[IntArray, IntArray], ...]

    def places(self, rows: IntArray, columns: IntArray) -> IntArray:
        """Flat places in the padded array."""
        return (rows + _TOP) * self.padded_shape[1] + columns + _SIDE

    def contexts(self, flat: FloatArray, known: FloatArray) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
        """For each wave its rows (N,), columns (N,) and contexts (taps + K, N), read when the wave is due.

        Args:
            flat: latents so far in a padded array, as contexts read them; filled in between.
            known: (K, h, w): `previous_inputs`, `parent_inputs` and hyper grids.
        """
        for rows, columns in self.waves:
            own = flat[self.offsets[:, None] + self.places(rows, columns)]
            yield rows, columns, np.concatenate([own, known[:, rows, columns]])

    def empty(self) -> FloatArray:
        """Zeros to walk in, flat."""
        return np.zeros(int(np.prod(self.padded_shape)))


_TOP, _SIDE = 3, 3


def plan_walk(config: PyramidConfig, shape: tuple[int, int]) -> Walk:
    """The walk over a patch's part of a grid, of `shape` (h, w)."""
    h, w = shape
    padded = (h + _TOP, w + 2 * _SIDE)
    offsets = [dy * padded[1] + dx for dy, dx in TAPS[: config.num_taps]]
    rows, columns = (index.ravel() for index in np.indices(shape))
    wave_of = columns + wave_slope(config.num_taps) * rows
    order = np.argsort(wave_of, kind="stable")
    starts = np.flatnonzero(np.diff(wave_of[order])) + 1
    waves = zip(np.split(rows[order], starts), np.split(columns[order], starts), strict=True)
    return Walk(shape, padded, np.array(offsets, dtype=np.int64), tuple(waves))
