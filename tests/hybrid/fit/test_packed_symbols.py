# SPDX-License-Identifier: MIT
"""Symbols come out of their packing as they went in, and take little memory there."""

from __future__ import annotations

import numpy as np

from c3video.hybrid.fit.packed_symbols import PackedSymbols
from c3video.hybrid.subbands import MAX_SYMBOL


def test_symbols_come_out_as_they_went_in() -> None:
    rng, packed, frames = np.random.default_rng(0), PackedSymbols(), []
    for share in (0.0, 0.1, 1.0):
        shapes = [[(5, 7), (5, 0), (0, 3), (9, 16)], [(1, 1)]]
        frame = [
            [rng.integers(-9, 10, shape) * (rng.random(shape) < share) for shape in plane_shapes]
            for plane_shapes in shapes
        ]
        frame[0][3][2, 3], frame[0][3][2, 4] = MAX_SYMBOL, -MAX_SYMBOL  # more than 16 bits
        frames.append(frame)
        packed.append(frame)
    assert len(packed) == 3
    for found, expected in zip(packed, frames, strict=True):
        for plane, wanted in zip(found, expected, strict=True):
            for band, other in zip(plane, wanted, strict=True):
                np.testing.assert_array_equal(band, other)
                assert band.dtype == np.int64
    np.testing.assert_array_equal(packed[1:][1][0][0], frames[2][0][0])
    packed[0][0][0][0, 0] = 5  # an array of its own
    assert packed[0][0][0][0, 0] == 0
