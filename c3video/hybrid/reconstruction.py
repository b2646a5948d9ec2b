# SPDX-License-Identifier: MIT
"""Symbols and motion -> samples of a frame, in exact integers (docs/c3v.md, sections 11 and 12).

references --compensate--> prediction --+--> finish --> samples
symbols --dequantise--> wavelet --------+
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.compensation import MotionField, compensate, finish
from c3video.hybrid.subbands import dequantise
from c3video.hybrid.wavelet import synthesise

IntArray = NDArray[np.int64]


def reconstruct_plane(
    references: Sequence[NDArray[np.generic]],
    field: MotionField | None,
    block_size: int,
    shifts: tuple[int, int],
    bit_depth: int,
    symbols: Sequence[IntArray],
    steps: Sequence[int],
    num_threads: int = 1,
) -> NDArray[np.uint16]:
    """Samples of one plane.

    Args:
        references: decoded planes (h, w) that it is predicted from; none for middle gray.
        field: where from; None without references.
        shifts: (vertical, horizontal) of the plane against luma.
        symbols: (h, w) of each subband in coding order.
        steps: quantisation step of each.
        num_threads: not used here; the native engine has the same signature.

    Returns:
        uint16 (h, w).
    """
    residual = synthesise([dequantise(band, step) for band, step in zip(symbols, steps, strict=True)])
    prediction = predict_plane(references, field, block_size, shifts, bit_depth, residual.shape)
    return finish(prediction, residual, bit_depth)


def predict_plane(
    references: Sequence[NDArray[np.generic]],
    field: MotionField | None,
    block_size: int,
    shifts: tuple[int, int],
    bit_depth: int,
    shape: tuple[int, ...],
) -> IntArray:
    """Prediction of one plane of `shape` (h, w), as `reconstruct_plane` makes it: middle gray without references."""
    if field is None:
        return np.zeros(shape, dtype=np.int64)
    return compensate(references, field, block_size, shifts, bit_depth)
