# SPDX-License-Identifier: MIT
"""What frames that others are predicted from are coded for: the mean of the source along its motion.

    source frame and those around it --> motion search --> aligned frames --> weights --> mean, the frame's target

What shows in one frame only, noise above all, costs bits there and is of no use to the frames that are predicted from
it. Their common part serves all of them. Errors are counted against the source all the same, so that a plan without
the filter may win (hybrid/fit/segment.py).

Source: Wennersten, Hollmann and Ström, Encoder-only GOP-based temporal filter, JVET-O0549; there weights hang on the
quantisation parameter, here on what a bit is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.coded_planes import CodedFormat
from c3video.hybrid.compensation import SAMPLE_BITS, block_shape
from c3video.hybrid.engine import HybridEngine
from c3video.hybrid.fit.block_errors import block_errors
from c3video.hybrid.fit.motion_search import MotionSearch
from c3video.hybrid.frame_order import CodedFrame
from c3video.video import Planes

FloatArray = NDArray[np.float32]

_SHARES = (0.5, 0.4, 0.3)
"""Weights of the frames 1, 2 and 3 away on either side where they match, in units of the frame's own."""

_TOLERANCE = 0.76
"""Mean square difference at which a weight has fallen by e, in units of what a bit is worth; by trial, as the next."""

_RADIUS = 2
"""Differences are averaged over squares of 5 samples: noise of single samples says little of what matches."""


def temporal_target(
    planes: Sequence[Planes],
    index: int,
    coded: CodedFormat,
    block_size: int,
    slope: float,
    engine: HybridEngine,
    num_threads: int = 1,
) -> Planes:
    """A source frame averaged with those up to three frames away, as far as they match it.

    Args:
        planes: of each source frame in display order, as they are coded.
        index: of the frame.
        block_size: of the motion search, in luma samples.
        slope: squared error (full range 1) that a bit is worth; larger means stronger filtering.

    Returns:
        Planes of the same shapes and dtype.
    """
    own = [plane.astype(np.float32) * np.float32(2.0**-coded.bit_depth) for plane in planes[index]]
    sums, totals = [plane.copy() for plane in own], [np.ones_like(plane) for plane in own]
    for distance, share in enumerate(_SHARES, 1):
        for other in (index - distance, index + distance):
            if not 0 <= other < len(planes):
                continue
            aligned = _aligned(planes, index, other, coded, block_size, slope, engine, num_threads)
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


def _aligned(
    planes: Sequence[Planes],
    index: int,
    other: int,
    coded: CodedFormat,
    block_size: int,
    slope: float,
    engine: HybridEngine,
    num_threads: int,
) -> list[FloatArray]:
    """Planes of a frame predicted from another one, full range 1."""
    bit_depth = coded.bit_depth
    current, reference = planes[index], planes[other]
    errors = block_errors(current[0], [reference[0]], block_size, bit_depth)
    start = np.zeros((2, *block_shape(coded.shapes[0], block_size)), dtype=np.int64)
    # Vectors are priced as if they were coded, so that what moves together stays together. The search asks for earlier
    # references and does not mind in which direction time runs.
    frame = CodedFrame(abs(index - other), (0,), 1)
    field = MotionSearch(errors, block_size, slope, frame).field([start], num_threads)
    found = []
    for plane, shifts in enumerate(coded.shifts):
        moved = engine.compensate([reference[plane]], field, block_size, shifts, bit_depth, current[plane].shape)
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
