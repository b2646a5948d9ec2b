# SPDX-License-Identifier: MIT
"""Frames of any pixel format -> one that is coded, where a user names it: what that loses is told in words.

The only place beside `source.RgbConverter` where samples change on the way in. Within a family (YUV, RGB, gray): from
one to another there are several ways, and ffmpeg has options for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from c3video.errors import ConfigError, SourceError
from c3video.video import LAYOUTS, PixelLayout, Planes

SWSCALE_FLAGS = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_NO_MATRIX = (0, 2, 3)
"""RGB (wrong for YUV), unspecified and reserved."""

_SCHEMES = {
    # Columns and rows of chroma that 16 x 16 samples of luma have.
    (4, 4): "4:1:0",
    (4, 16): "4:1:1",
    (8, 8): "4:2:0",
    (8, 16): "4:2:2",
    (16, 8): "4:4:0",
    (16, 16): "4:4:4",
}


def matrix_of(color_space: int, usual: int) -> Colorspace:
    """The matrix of a stream as swscale knows it; `usual` where the stream names none.

    Args:
        color_space, usual: numbers of ISO/IEC 23091-2.

    Raises:
        SourceError: the matrix is none that swscale knows.
    """
    space = usual if color_space in _NO_MATRIX else color_space
    if space not in _MATRICES:
        raise SourceError(
            f"colour matrix {space} cannot be converted to RGB: must be one of "
            f"{', '.join(str(number) for number in _MATRICES)} (ISO/IEC 23091-2)"
        )
    return _MATRICES[space]


class Conversion:
    """Decoded frames of one format -> planes of another.

    Depth is changed by rounding to the nearest: by a power of two in limited range, in proportion to the largest
    samples in full range. Chroma gets another resolution by swscale's bicubic filter, as sited in the centre.

    Args:
        found: what frames are decoded to.
        target: what they shall be.
        color_range: of the source: 0 unspecified, 1 limited, 2 full.

    Attributes:
        lost: what the target cannot hold, in words.
        moves_chroma: whether chroma is resampled, and lies in the centre then.

    Raises:
        ConfigError: the two are not of one family.
    """

    def __init__(self, found: av.VideoFormat, target: PixelLayout, color_range: int) -> None:
        family = family_of(found)
        if family is None or family != family_of(av.VideoFormat(target.name)):
            raise ConfigError(
                f"{found.name} is not converted to {target.name} here, only YUV to YUV, RGB to RGB and gray to gray: "
                f"`ffmpeg -i IN -pix_fmt {target.name if target.name != 'gbrp' else 'bgr0'} -c:v ffv1 OUT.mkv` has "
                "options for the rest"
            )
        self._target, self._reformatter = target, VideoReformatter()
        depth = depth_of(found)
        self._from_depth = max(8, depth)
        self._middle = _with_depth(target, self._from_depth)
        # A plane of alpha behind the others is left where it is.
        self._is_middle = found.name.replace("yuva", "yuv").replace("gbrap", "gbrp") == self._middle.name
        self._is_full = family == "rgb" or color_range == 2 or (family == "gray" and color_range == 0)
        before, after = _scheme(found), _scheme(av.VideoFormat(target.name))
        self.moves_chroma = family == "yuv" and before != after
        lost = []
        if depth > target.bit_depth:
            lost.append(f"the lowest {depth - target.bit_depth} of {depth} bits are lost")
        if self.moves_chroma:
            lost.append(f"chroma is resampled from {before} to {after}")
        if found.name == "pal8" or any(component.is_alpha for component in found.components):
            lost.append("transparency, where there is any, is lost")
        self.lost = tuple(lost)

    def __call__(self, frame: av.VideoFrame) -> Planes:
        """The planes of a frame; it may have padding."""
        if not self._is_middle:
            range_ = ColorRange.JPEG if self._is_full else ColorRange.MPEG
            frame = self._reformatter.reformat(
                frame,
                format=self._middle.name,
                src_color_range=range_,
                dst_color_range=range_,
                interpolation=SWSCALE_FLAGS,
                threads=1,
            )
        planes = copied_planes(frame, self._middle)
        return tuple(self._with_target_depth(plane) for plane in planes)

    def _with_target_depth(self, plane: NDArray[Any]) -> NDArray[Any]:
        depth, target = self._from_depth, self._target
        if depth == target.bit_depth:
            return plane
        samples = plane.astype(np.uint32)
        if self._is_full:
            largest = (1 << depth) - 1
            samples = (samples * target.max_value + largest // 2) // largest
        elif depth > target.bit_depth:
            shift = depth - target.bit_depth
            samples = np.minimum((samples + (1 << (shift - 1))) >> shift, target.max_value)
        else:
            samples <<= target.bit_depth - depth
        return samples.astype(target.dtype)


def nearest(found: av.VideoFormat) -> str:
    """The coded format that keeps most of one that is not: its chroma, and its depth up to 10 bits."""
    suffix = "10le" if depth_of(found) > 8 else ""
    family = family_of(found)
    if family == "gray":
        return "gray" + suffix
    if family != "yuv":
        return "gbrp" + suffix
    columns, rows = found.chroma_width(16), found.chroma_height(16)
    if columns == 16:
        return "yuv444p" + suffix
    return ("yuv422p" if rows == 16 else "yuv420p") + suffix


def family_of(found: av.VideoFormat) -> str | None:
    """yuv, rgb or gray; None for floats, raw sensors, XYZ, and what is no picture."""
    if found.name.startswith(("xyz", "bayer")) or depth_of(found) > 16:
        return None
    if found.is_rgb or found.name == "pal8":
        return "rgb"
    return {1: "gray", 3: "yuv"}.get(sum(not component.is_alpha for component in found.components))


def depth_of(found: av.VideoFormat) -> int:
    """Bits of its deepest component; 0 where it has none."""
    return max((component.bits for component in found.components), default=0)


def layout_named(name: str) -> PixelLayout:
    """The coded layout of a name, of ffmpeg's with or without byte order. Raises ConfigError."""
    layout = LAYOUTS.get(name) or LAYOUTS.get(f"{name}le")
    if layout is None:
        raise ConfigError(f"pixel format {name!r}: must be one of {', '.join(LAYOUTS)}")
    return layout


def _with_depth(layout: PixelLayout, depth: int) -> PixelLayout:
    base = layout.name.removesuffix("10le")
    return replace(layout, name=base if depth == 8 else f"{base}{depth}le", bit_depth=depth)


def _scheme(found: av.VideoFormat) -> str:
    columns, rows = found.chroma_width(16), found.chroma_height(16)
    return _SCHEMES.get((columns, rows), f"{columns}x{rows} for 16x16")


def copied_planes(frame: av.VideoFrame, layout: PixelLayout) -> Planes:
    """The planes of the layout, without padding."""
    planes = []
    for plane in frame.planes[: len(layout.planes)]:
        # Rows are padded to line_size bytes; where it is negative, the buffer starts at the last row.
        rows = np.frombuffer(memoryview(plane), layout.dtype.newbyteorder("<")).reshape(plane.height, -1)
        rows = rows[:: 1 if plane.line_size > 0 else -1, : plane.width]
        planes.append(rows.astype(layout.dtype, order="C"))
    return tuple(planes)
