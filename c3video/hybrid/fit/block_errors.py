# SPDX-License-Identifier: MIT
"""Squared errors of motion candidates, over the overlapping windows that compensation blends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.compensation import SAMPLE_BITS, TAPS, block_shape, rising

IntArray = NDArray[np.int64]

_MARGIN = 48
"""Samples around a reference; what lies further out reads the margin's edge."""


def centred(plane: NDArray[np.generic], bit_depth: int) -> NDArray[np.float32]:
    """Samples around middle gray, of SAMPLE_BITS bits."""
    return (plane.astype(np.float32) - (1 << (bit_depth - 1))) * np.float32(2.0 ** (SAMPLE_BITS - bit_depth))


class BlockErrors:
    """Errors of one frame's luma against its references, by gathering windows.

    Args:
        current: (h, w) samples.
        references: one or two decoded planes (h, w).
        block_size: 8, 16 or 32.
        bit_depth: of all of them.
    """

    def __init__(
        self,
        current: NDArray[np.generic],
        references: Sequence[NDArray[np.generic]],
        block_size: int,
        bit_depth: int,
    ) -> None:
        self.blocks = block_shape(current.shape, block_size)
        self._phases = [_phase_planes(reference, bit_depth) for reference in references]
        rise = rising(np.arange(block_size), block_size).astype(np.float32) / 64.0
        window = np.concatenate([rise, 1.0 - rise])
        self._rows = _window_places(current.shape[0], self.blocks[0], block_size)
        self._columns = _window_places(current.shape[1], self.blocks[1], block_size)
        inside_y, inside_x = (
            ((places >= 0) & (places < length)) * window
            for places, length in zip((self._rows, self._columns), current.shape, strict=True)
        )
        self._weights = (inside_y[:, None, :, None] * inside_x[None, :, None, :]).astype(np.float32) * 2.0**-28
        self._current = _windows(centred(current, bit_depth), self._rows, self._columns)

    def of(self, reference: int, vectors: IntArray, other: IntArray | None = None) -> NDArray[np.float32]:
        """(K, bh, bw) squared errors over each block's window, full range 1.

        Args:
            reference: index of the one that is searched.
            vectors: (K, 2, bh, bw) candidates in quarter samples.
            other: (2, bh, bw) vectors into the other reference, to predict from the mean of both.
        """
        found = np.empty((len(vectors), *self.blocks), dtype=np.float32)
        beside = None if other is None else self._fetch(1 - reference, other)
        for index, candidate in enumerate(vectors):
            sample = self._fetch(reference, candidate)
            if beside is not None:
                sample = (sample + beside) * np.float32(0.5)
            found[index] = np.einsum("abij,abij->ab", np.square(sample - self._current), self._weights)
        return found

    def _fetch(self, reference: int, vectors: IntArray) -> NDArray[np.float32]:
        """(bh, bw, 2 bs, 2 bs) windows of a reference."""
        phases = self._phases[reference]
        height, width = phases.shape[2:]
        rows = np.clip(self._rows[:, None, :] + (vectors[0] >> 2)[..., None] + _MARGIN, 0, height - 1)
        columns = np.clip(self._columns[None, :, :] + (vectors[1] >> 2)[..., None] + _MARGIN, 0, width - 1)
        y, x = (vectors & 3)[:, :, :, None, None]
        return phases[y, x, rows[..., :, None], columns[..., None, :]]


def _window_places(length: int, blocks: int, side: int) -> IntArray:
    """(blocks, 2 side) sample positions of each block's window along an axis."""
    return np.arange(blocks)[:, None] * side - side // 2 + np.arange(2 * side)[None, :]


def _windows(plane: NDArray[np.float32], rows: IntArray, columns: IntArray) -> NDArray[np.float32]:
    height, width = plane.shape
    y, x = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    return plane[y[:, None, :, None], x[None, :, None, :]]


def _phase_planes(plane: NDArray[np.generic], bit_depth: int) -> NDArray[np.float32]:
    """(4, 4, h + margins, w + margins): a plane at each quarter of a sample, centred, of SAMPLE_BITS bits."""
    padded = np.pad(centred(plane, bit_depth), ((_MARGIN + 3, _MARGIN + 4),) * 2, mode="edge")
    taps = TAPS[::2].astype(np.float32) / 64.0
    height, width = padded.shape[0] - 7, padded.shape[1] - 7
    across = np.stack([sum(taps[p, j] * padded[:, j : j + width] for j in range(8)) for p in range(4)])
    return np.stack([sum(taps[p, i] * across[:, i : i + height] for i in range(8)) for p in range(4)])
