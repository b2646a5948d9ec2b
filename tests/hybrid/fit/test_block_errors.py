# SPDX-License-Identifier: MIT
"""Errors of motion candidates: NumPy and the extension agree."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from c3video import native
from c3video.hybrid.fit.block_errors import BlockErrors, centred
from c3video.native import frames as native_frames

IntArray = NDArray[np.int64]


class NativeBlockErrors:
    """`BlockErrors` by the extension."""

    def __init__(
        self, current: NDArray[np.generic], references: list[NDArray[np.generic]], block_size: int, bit_depth: int
    ) -> None:
        self._current, self._block_size = centred(current, bit_depth).astype(np.int16), block_size
        self._phases = [native_frames.PhasePlanes(reference, bit_depth) for reference in references]

    def of(self, reference: int, vectors: IntArray, other: IntArray | None = None) -> NDArray[np.float32]:
        beside = None if other is None else (self._phases[1 - reference], other)
        return native_frames.block_errors(self._current, self._phases[reference], vectors, self._block_size, beside)


KINDS = [
    BlockErrors,
    pytest.param(NativeBlockErrors, marks=pytest.mark.skipif(not native.available(), reason="not built")),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_the_right_vector_has_no_error(kind: type, bit_depth: int) -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 1 << bit_depth, (80, 80)).astype(np.uint16)
    current, reference = wide[8:68, 8:58], wide[5:65, 10:60]  # moved by (3, -2)
    errors = kind(current, [reference], 16, bit_depth)
    right = np.broadcast_to(np.array([12, -8])[:, None, None], (2, 4, 4))
    found = errors.of(0, np.stack([right, np.zeros_like(right)]))
    assert found.shape == (2, 4, 4)
    assert found[0, 1, 1].max() < 1e-6
    assert found[1].min() > 1.0


@pytest.mark.skipif(not native.available(), reason="the extension was not built")
@pytest.mark.parametrize("shape", [(37, 50), (5, 70), (16, 16)])
@pytest.mark.parametrize("block_size", [8, 16, 32])
def test_both_ways_agree(shape: tuple[int, int], block_size: int) -> None:
    rng = np.random.default_rng(1)
    planes = [rng.integers(0, 256, shape).astype(np.uint8) for _ in range(3)]
    ways = [kind(planes[0], planes[1:], block_size, 8) for kind in (BlockErrors, NativeBlockErrors)]
    blocks = (-(-shape[0] // block_size), -(-shape[1] // block_size))
    vectors = rng.integers(-60, 60, (3, 2, *blocks))
    other = rng.integers(-60, 60, (2, *blocks))
    for argument in (None, other):
        expected, found = (way.of(1, vectors, argument) for way in ways)
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=1e-3)
