# SPDX-License-Identifier: MIT
"""Which layers a run of frames gets: one for what stays still where that is enough, and one for each frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.pyramid.runs import MAX_SPAN

_BLOCK = 16
_STILL_VARIANCE = 0.3
"""A block is still where its samples vary over time by less than this times rd_weight, on [0, 1]: less than what a fit
leaves of them."""
_STILL_SHARE = 0.25
"""Share of still blocks from which a layer for them pays: 0.81 of a clip that gained by it, 0.13 of one that lost
(eval/results/pyramid_trials.md)."""


def choose_spans(luma: Sequence[NDArray[Any]], max_value: int, rd_weight: float) -> tuple[int, ...]:
    """The spans of the layers (runs.py).

    Args:
        luma: the first plane (h, w) of each frame.
        max_value: of a sample.
    """
    if still_share(luma, max_value, _STILL_VARIANCE * rd_weight) < _STILL_SHARE:
        return (0,)
    span = min((len(luma) - 1).bit_length(), MAX_SPAN)
    return (span, 0) if span else (0,)


def still_share(luma: Sequence[NDArray[Any]], max_value: int, largest: float) -> float:
    """Share of blocks whose samples have a mean variance over time below `largest`, on [0, 1]."""
    total, squares = np.zeros(luma[0].shape), np.zeros(luma[0].shape)
    for plane in luma:
        samples: NDArray[np.float64] = plane.astype(np.float64) / max_value
        total += samples
        squares += samples * samples
    variance = squares / len(luma) - np.square(total / len(luma))
    rows, columns = (np.arange(0, size, _BLOCK) for size in variance.shape)
    counts = np.add.reduceat(np.add.reduceat(np.ones_like(variance), rows, axis=0), columns, axis=1)
    means = np.add.reduceat(np.add.reduceat(variance, rows, axis=0), columns, axis=1) / counts
    return float((means < largest).mean())
