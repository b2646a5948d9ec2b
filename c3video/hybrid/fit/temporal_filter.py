# SPDX-License-Identifier: MIT
"""What frames that others are predicted from are coded for: the mean of the source along its motion.

    source frame and those around it --> motion search --> aligned frames --> weights --> mean, the frame's target

What shows in one frame only, noise above all, costs bits there and is of no use to the frames that are predicted from
it. Their common part serves all of them. Errors are counted against the source all the same, so that a plan without
the filter may win (hybrid/fit/plans.py).

Source: Wennersten, Hollmann and Ström, Encoder-only GOP-based temporal filter, JVET-O0549; there weights depend on
the quantisation parameter, here on what a bit is worth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.compensation import BLOCK_SIZE, SAMPLE_BITS
from c3video.hybrid.fit.motion_search import FrameSearch
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.payload import prior
from c3video.video import Planes

FloatArray = NDArray[np.float32]

_SHARES = (0.5, 0.4, 0.3)
"""Weights of the frames 1, 2 and 3 away on either side where they match, in units of the frame's own."""

_TOLERANCE = 0.76
"""Mean square difference at which a weight has fallen by e, in units of what a bit is worth; by trial, as the next."""

_RADIUS = 2
"""Differences are averaged over squares of 5 samples: noise of single samples says little of what matches."""


def temporal_target(task: FitTask, index: int, slope: float) -> Planes:
    """A source frame averaged with those up to three frames away, as far as they match it.

    Args:
        index: of the frame, in display order.
        slope: squared error (full range 1) that a bit is worth; larger means stronger filtering.

    Returns:
        Planes of the same shapes and dtype.
    """
    planes, coded = task.planes, task.coded_as
    own = [plane.astype(np.float32) * np.float32(2.0**-coded.bit_depth) for plane in planes[index]]
    sums, totals = [plane.copy() for plane in own], [np.ones_like(plane) for plane in own]
    for distance, share in enumerate(_SHARES, 1):
        for other in (index - distance, index + distance):
            if not 0 <= other < len(planes):
                continue
            aligned = _aligned(task, index, other, slope)
            luma_errors = _window_means(np.square(aligned[0] - own[0]))
            for plane, (down, right) in enumerate(coded.shifts):
                errors = luma_errors[:: 1 << down, :: 1 << right]
                if plane:
                    errors = errors + _window_means(np.square(aligned[plane] - own[plane]))
                weights = np.float32(share) * np.exp(errors * np.float32(-1.0 / (_TOLERANCE * slope)))
                sums[plane] += weights * aligned[plane]
                totals[plane] += weights
    means = (np.rint(total / count * 2.0**coded.bit_depth) for total, count in zip(sums, totals, strict=True))
    return tuple(np.clip(mean, 0, (1 << coded.bit_depth) - 1).astype(coded.dtype) for mean in means)


def _aligned(task: FitTask, index: int, other: int, slope: float) -> list[FloatArray]:
    """Planes of a frame predicted from another one, full range 1."""
    coded = task.coded_as
    current, reference = task.planes[index], task.planes[other]
    # Vectors are priced as if they were coded, so that what moves together stays together. The search asks for earlier
    # references and does not mind in which direction time runs; in quarters of a sample, since halves bring nothing.
    frame = CodedFrame(abs(index - other), (0,), 1)
    search = FrameSearch(current[0], [reference[0]], frame, None, prior("motion"), coded.bit_depth, slope, unit=1)
    field = task.fit_engine.search(search, task.num_threads)
    found = []
    for plane, shifts in enumerate(coded.shifts):
        where = ([reference[plane]], field, BLOCK_SIZE, shifts, coded.bit_depth)
        moved = task.engine.compensate(*where, current[plane].shape)
        found.append(moved.astype(np.float32) * np.float32(2.0**-SAMPLE_BITS) + np.float32(0.5))
    return found


def _window_means(values: FloatArray) -> FloatArray:
    """Means over a square around each sample (h, w), edges repeated."""
    side = 2 * _RADIUS + 1
    height, width = values.shape
    padded = np.pad(values, _RADIUS, mode="edge")
    rows = np.sum([padded[i : i + height] for i in range(side)], axis=0)
    means = np.sum([rows[:, i : i + width] for i in range(side)], axis=0) / np.float32(side**2)
    return np.asarray(means, dtype=np.float32)
