# SPDX-License-Identifier: MIT
"""Frames <-> the planes that the hybrid model codes (docs/c3v.md, section 11).

    Y, U, V or gray ------------------------------------> as they are
    G, B, R --- luma Y, colour differences Cg and Co ---> planes of two bits more, so that nothing is rounded

What the planes of RGB have in common, which is most of what they hold, is then coded once.

Source: Malvar and Sullivan, YCoCg-R: a color space with RGB reversibility and low dynamic range, JVT-I014 (2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.video import PixelLayout, Planes, VideoFormat, sample_dtype

_COLOR_BITS = 2
"""More of each sample of RGB's coded planes."""

UNIT_NORM = 256
# fmt: off
_RGB_NORMS = (443, 443, 362)
# fmt: on
"""Length of what one of Y, Cg and Co adds to a pixel's (R, G, B), in units of 1 / UNIT_NORM: roots of 3, 3 and 2."""


@dataclass(frozen=True)
class CodedFormat:
    """What the planes of a frame are to the hybrid model.

    Args:
        shapes: (h, w) of each plane.
        shifts: (vertical, horizontal) of each against the first.
        bit_depth: of their samples.
        norms: how much an error in each counts in the samples of the video, in units of 1 / UNIT_NORM.
        full_range: what stands for the largest sample of the video.
        is_rgb: whether they were made of RGB.
        chroma_offset: indexes by which the quantisation steps of the planes after the first are finer.
    """

    shapes: tuple[tuple[int, int], ...]
    shifts: tuple[tuple[int, int], ...]
    bit_depth: int
    norms: tuple[int, ...]
    full_range: int
    is_rgb: bool
    chroma_offset: int = 0

    def step_index(self, of_frame: int, plane: int) -> int:
        """Index of the quantisation step of a plane of a frame with that index."""
        return max(0, of_frame - self.chroma_offset) if plane else of_frame

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the planes."""
        return sample_dtype(self.bit_depth)


def coded_format(video: VideoFormat) -> CodedFormat:
    """How frames of a format are coded."""
    layout = video.layout
    bits = _COLOR_BITS if layout.is_rgb else 0
    norms = _RGB_NORMS if layout.is_rgb else (UNIT_NORM,) * len(layout.planes)
    return CodedFormat(
        video.plane_shapes,
        layout.planes,
        layout.bit_depth + bits,
        norms,
        layout.max_value << bits,
        layout.is_rgb,
    )


def _middle(layout: PixelLayout) -> int:
    """What stands for no difference of colours."""
    return 1 << (layout.bit_depth + _COLOR_BITS - 1)


def to_coded(planes: Planes, layout: PixelLayout) -> Planes:
    """Planes to be coded of those of a frame."""
    if not layout.is_rgb:
        return planes
    green, blue, red = (plane.astype(np.int16) for plane in planes)
    middle = _middle(layout)
    ends, twice_green = red + blue, 2 * green
    coded = ends + twice_green, twice_green - ends + middle, 2 * (red - blue) + middle
    return tuple(plane.astype(np.uint16) for plane in coded)


def from_coded(planes: tuple[NDArray[np.unsignedinteger], ...], layout: PixelLayout) -> Planes:
    """Planes of a frame, of its dtype, from decoded ones."""
    if not layout.is_rgb:
        return tuple(plane.astype(layout.dtype, copy=False) for plane in planes)
    luma, green_difference, orange_difference = (plane.astype(np.int16) for plane in planes)
    middle = _middle(layout)
    luma += 2  # for rounding
    ends = luma - green_difference
    orange_difference -= middle
    found = luma + green_difference - middle, ends - orange_difference + middle, ends + orange_difference + middle
    return tuple(np.clip(plane >> _COLOR_BITS, 0, layout.max_value).astype(layout.dtype) for plane in found)
