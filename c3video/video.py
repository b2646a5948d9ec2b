# SPDX-License-Identifier: MIT
"""What a video is to the codec: its pixel layout, its format and its frames; planes <-> cells.

    source -> Frame (planes) -> cells -> ... -> cells -> Frame (planes) -> sink

A *cell* is the smallest block of luma with whole samples of every plane; the model codes cells, a channel a
sample. The order of planes, of channels and of the bytes under `frame_crc32` is part of the stream format
(docs/c3v.md).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.errors import ConfigError
from c3video.limits import check_range

Planes = tuple[NDArray[Any], ...]
"""Planes (h, w) of one frame, uint8 or uint16, in the order of their PixelLayout."""

MAX_SIDE = 16_384
"""Largest width or height in luma samples."""

MAX_PIXELS = 1 << 27
"""Most luma samples in a frame: what a header may ask memory for."""

_MAX_TERM = (1 << 31) - 1


def sample_dtype(bit_depth: int) -> np.dtype[Any]:
    """uint8 for 8 bits, uint16 in the machine's byte order for more."""
    return np.dtype(np.uint8 if bit_depth == 8 else np.uint16)


@dataclass(frozen=True)
class PixelLayout:
    """How the samples of a frame are laid out in planes.

    Args:
        name: FFmpeg's name of the pixel format.
        number: its number in a .c3v header; never reused.
        planes: (vertical_shift, horizontal_shift) of each plane against luma: 1 is half the resolution.
        bit_depth: bits a sample, 8 or 10.
    """

    name: str
    number: int
    planes: tuple[tuple[int, int], ...]
    bit_depth: int

    @property
    def cell_height(self) -> int:
        """Luma rows of a cell: 2 for 4:2:0, else 1."""
        return 1 << max(vertical for vertical, _ in self.planes)

    @property
    def cell_width(self) -> int:
        """Luma columns of a cell: 2 for 4:2:0 and 4:2:2, else 1."""
        return 1 << max(horizontal for _, horizontal in self.planes)

    @property
    def num_cell_channels(self) -> int:
        """Samples of a cell in all planes: 6 for 4:2:0, 4 for 4:2:2, 3 for 4:4:4 and RGB, 1 for gray."""
        return sum(rows * columns for rows, columns in self.plane_cells)

    @property
    def plane_cells(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of samples that each plane has in a cell."""
        return tuple((self.cell_height >> v, self.cell_width >> h) for v, h in self.planes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the planes."""
        return sample_dtype(self.bit_depth)

    @property
    def is_rgb(self) -> bool:
        """Whether the planes are G, B, R (FFmpeg's order for planar RGB)."""
        return self.name.startswith("gbr")

    @property
    def is_gray(self) -> bool:
        """Whether luma is all there is."""
        return len(self.planes) == 1

    @property
    def max_value(self) -> int:
        """Largest sample: 255 or 1023."""
        return (1 << self.bit_depth) - 1


_FULL = (0, 0)
LAYOUTS: dict[str, PixelLayout] = {
    layout.name: layout
    for layout in (
        # Numbers are on the wire since version 1: add, never change or reuse.
        PixelLayout("yuv420p", 1, (_FULL, (1, 1), (1, 1)), 8),
        PixelLayout("yuv422p", 2, (_FULL, (0, 1), (0, 1)), 8),
        PixelLayout("yuv444p", 3, (_FULL, _FULL, _FULL), 8),
        PixelLayout("gray", 4, (_FULL,), 8),
        PixelLayout("gbrp", 5, (_FULL, _FULL, _FULL), 8),
        PixelLayout("yuv420p10le", 6, (_FULL, (1, 1), (1, 1)), 10),
        PixelLayout("yuv422p10le", 7, (_FULL, (0, 1), (0, 1)), 10),
        PixelLayout("yuv444p10le", 8, (_FULL, _FULL, _FULL), 10),
        PixelLayout("gray10le", 9, (_FULL,), 10),
        PixelLayout("gbrp10le", 10, (_FULL, _FULL, _FULL), 10),
    )
}
"""The pixel formats that are coded, by FFmpeg's name."""


@dataclass(frozen=True)
class MasteringDisplay:
    """The screen that a film was graded on (SMPTE ST 2086), in the integers of HEVC and AV1.

    Args:
        red, green, blue, white: chromaticities (x, y) in units of 0.00002, 0..65535; all 0 where unknown.
        max_luminance, min_luminance: in units of 0.0001 cd/m2, 0..2^32-1; both 0 where unknown.
    """

    red: tuple[int, int]
    green: tuple[int, int]
    blue: tuple[int, int]
    white: tuple[int, int]
    max_luminance: int
    min_luminance: int

    @property
    def values(self) -> tuple[int, ...]:
        """The ten numbers in the order of the fields."""
        return (*self.red, *self.green, *self.blue, *self.white, self.max_luminance, self.min_luminance)

    @classmethod
    def of_values(cls, values: Sequence[int]) -> MasteringDisplay:
        """The inverse of `values`."""
        red, green, blue, white = ((values[i], values[i + 1]) for i in (0, 2, 4, 6))
        return cls(red, green, blue, white, values[8], values[9])


@dataclass(frozen=True)
class ContentLight:
    """How light the pictures get (CTA-861.3), in cd/m2, 0..65535; 0 where unknown.

    Args:
        max_content: of the brightest pixel (MaxCLL).
        max_average: of the brightest frame's average (MaxFALL).
    """

    max_content: int
    max_average: int


PROGRESSIVE, TOP_FIELD_FIRST, BOTTOM_FIELD_FIRST = 1, 2, 3
"""Values of VideoFormat.field_order; 0 where unknown."""


@dataclass(frozen=True)
class VideoFormat:
    """What all frames of a clip have in common. Code points are those of ISO/IEC 23091-2 and FFmpeg.

    Args:
        width, height: in luma samples, 1..16384 each, at most 2^27 together.
        pix_fmt: one of LAYOUTS.
        time_base: seconds of one unit of a frame's pts.
        frame_rate: frames a second, average where it varies; 0 where unknown.
        sample_aspect_ratio: width / height of a luma sample; 0 where unknown.
        color_primaries, color_trc, color_space: code points; 2 where unspecified.
        color_range: 0 unspecified, 1 limited (tv), 2 full (pc).
        chroma_location: 0 unspecified, 1 left, 2 centre, 3 top left, 4 top, 5 bottom left, 6 bottom.
        field_order: 0 unknown, 1 progressive, 2 the top field is shown first, 3 the bottom field is.
        rotation: degrees clockwise by which a player turns the pictures: 0, 90, 180 or 270.
        mirrored: whether it flips them left to right before that.
        mastering_display, content_light: of HDR; None where unknown.
    """

    width: int
    height: int
    pix_fmt: str
    time_base: Fraction = Fraction(1, 25)
    frame_rate: Fraction = Fraction(0)
    sample_aspect_ratio: Fraction = Fraction(0)
    color_primaries: int = 2
    color_trc: int = 2
    color_space: int = 2
    color_range: int = 0
    chroma_location: int = 0
    field_order: int = 0
    rotation: int = 0
    mirrored: bool = False
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None

    @property
    def layout(self) -> PixelLayout:
        """Raises ConfigError for a pixel format that is not coded."""
        try:
            return LAYOUTS[self.pix_fmt]
        except KeyError:
            message = f"pixel format {self.pix_fmt!r} is not supported: use one of {', '.join(LAYOUTS)}"
            raise ConfigError(message) from None

    @property
    def plane_shapes(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of each plane; odd sizes round up, as in FFmpeg."""
        # -(-n >> s) is ceil(n / 2^s): the minus binds first, and >> rounds down.
        return tuple((-(-self.height >> v), -(-self.width >> h)) for v, h in self.layout.planes)

    @property
    def cell_shape(self) -> tuple[int, int]:
        """(Hc, Wc): the frame in cells, odd sizes rounded up."""
        return -(-self.height // self.layout.cell_height), -(-self.width // self.layout.cell_width)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame without padding, as raw video and y4m store it."""
        return sum(h * w for h, w in self.plane_shapes) * self.layout.dtype.itemsize

    def check(self) -> None:
        """Raise ConfigError where a value is out of its range; trust none from a file before."""
        self.layout  # noqa: B018 (raises for an unknown pix_fmt)
        check_range("width", self.width, 1, MAX_SIDE)
        check_range("height", self.height, 1, MAX_SIDE)
        if self.width * self.height > MAX_PIXELS:
            raise ConfigError(
                f"frame of {self.width} x {self.height} = {self.width * self.height} luma samples: "
                f"must be at most {MAX_PIXELS}"
            )
        for name, value, low in (
            ("time_base", self.time_base, 1),
            ("frame_rate", self.frame_rate, 0),
            ("sample_aspect_ratio", self.sample_aspect_ratio, 0),
        ):
            check_range(f"numerator of {name}", value.numerator, low, _MAX_TERM)
            check_range(f"denominator of {name}", value.denominator, 1, _MAX_TERM)
        for name in ("color_primaries", "color_trc", "color_space"):
            check_range(name, getattr(self, name), 0, 255)
        check_range("color_range", self.color_range, 0, 2)
        check_range("chroma_location", self.chroma_location, 0, 6)
        check_range("field_order", self.field_order, 0, 3)
        if self.rotation not in (0, 90, 180, 270):
            raise ConfigError(f"rotation = {self.rotation}: must be 0, 90, 180 or 270")
        if self.mastering_display is not None:
            for place in self.mastering_display.values[:8]:
                check_range("chromaticity of mastering_display", place, 0, 0xFFFF)
            for light in self.mastering_display.values[8:]:
                check_range("luminance of mastering_display", light, 0, 0xFFFF_FFFF)
        if self.content_light is not None:
            for light in (self.content_light.max_content, self.content_light.max_average):
                check_range("content_light", light, 0, 0xFFFF)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Args:
        planes: (h, w) C-contiguous, of the layout's dtype; may be read-only.
        pts: when to show it, in units of the format's time_base.
        duration: how long, in the same units; 0 where unknown.
    """

    planes: Planes
    pts: int
    duration: int = 0


class ArraySource:
    """Frames from memory, for users of NumPy and for tests; the same face as `source.Source`.

    Args:
        frames: a list of planes a frame, or an array (T, H, W) of gray, or (T, P, H, W) where all P planes
            have one size (4:4:4: Y, U, V; gbrp: G, B, R). Frame t has pts t and duration 1.
        format: of all of them.

    Raises:
        ConfigError: the format is out of range or a frame does not fit it.
    """

    def __init__(self, frames: NDArray[Any] | Sequence[Planes], format: VideoFormat) -> None:
        format.check()
        if isinstance(frames, np.ndarray):
            expected = 3 if format.layout.is_gray else 4
            if frames.ndim != expected:
                raise ConfigError(
                    f"array of shape {frames.shape} for {format.pix_fmt}: must have {expected} dimensions, "
                    f"{'(T, H, W)' if expected == 3 else '(T, planes, H, W)'}"
                )
            frames = [(frame,) if frame.ndim == 2 else tuple(frame) for frame in frames]
        self.format = format
        self._frames: list[Planes] = []
        for index, planes in enumerate(frames):
            check_planes(planes, format, f"frame {index}")
            self._frames.append(tuple(np.ascontiguousarray(plane) for plane in planes))

    @property
    def num_frames(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        for index, planes in enumerate(self._frames):
            yield Frame(planes, pts=index, duration=1)


def check_planes(planes: Planes, format: VideoFormat, name: str) -> None:
    """Raise ConfigError unless number, shapes, type and range of `planes` are those of `format`.

    Args:
        name: what the message calls the frame.
    """
    layout = format.layout
    found, expected = tuple(plane.shape for plane in planes), format.plane_shapes
    if found != expected:
        raise ConfigError(
            f"{name}: planes of shapes {found}; {format.pix_fmt} of {format.width} x {format.height} has {expected}"
        )
    for number, plane in enumerate(planes):
        if plane.dtype != layout.dtype:
            raise ConfigError(f"{name}, plane {number}: {plane.dtype}; {layout.name} has {layout.dtype}")
        # 8-bit samples cannot be too large: only the others are looked at.
        if layout.bit_depth != 8 and plane.max() > layout.max_value:
            raise ConfigError(
                f"{name}, plane {number}: sample {plane.max()} is above {layout.max_value}, the largest of "
                f"{layout.bit_depth} bits; are its bits shifted or its bytes swapped?"
            )


def frame_hash(planes: Planes) -> int:
    """What a stream says of a frame's samples: the lower 16 bits of `frame_crc32`."""
    return frame_crc32(planes) & 0xFFFF


def frame_crc32(planes: Planes) -> int:
    """CRC-32 (zlib's) over the planes of a frame in order.

    Each plane counts row by row without padding, samples of more than 8 bits as two bytes, the low one first.
    """
    crc = 0
    for plane in planes:
        crc = zlib.crc32(plane_bytes(plane), crc)
    return crc


def plane_bytes(plane: NDArray[Any]) -> memoryview:
    """Bytes of a plane (h, w): rows from the top, no padding, little-endian. A view where it can be one."""
    if sys.byteorder == "big" and plane.dtype.itemsize > 1:
        plane = plane.byteswap()
    return np.ascontiguousarray(plane).data.cast("B")


def planes_to_cells(planes: Planes, format: VideoFormat) -> NDArray[Any]:
    """Gather the samples of each cell.

    Channels are, for each plane in order, its samples of the cell in raster order: Y00 Y01 Y10 Y11 U V for
    4:2:0. Where the frame ends inside a cell, the last row or column of the plane is repeated.

    Returns:
        (C, Hc, Wc) of the same dtype.
    """
    height, width = format.cell_shape
    channels = []
    for plane, (rows, columns) in zip(planes, format.layout.plane_cells, strict=True):
        padding = (0, height * rows - plane.shape[0]), (0, width * columns - plane.shape[1])
        padded = np.pad(plane, padding, mode="edge")
        blocks = padded.reshape(height, rows, width, columns).transpose(1, 3, 0, 2)  # (rows, columns, Hc, Wc)
        channels.append(blocks.reshape(rows * columns, height, width))
    return np.concatenate(channels)


def cells_to_planes(cells: NDArray[Any], format: VideoFormat) -> Planes:
    """The inverse of `planes_to_cells`: (C, Hc, Wc) -> planes, without the padding."""
    height, width = format.cell_shape
    planes, first = [], 0
    for (rows, columns), (plane_height, plane_width) in zip(
        format.layout.plane_cells, format.plane_shapes, strict=True
    ):
        blocks = cells[first : first + rows * columns].reshape(rows, columns, height, width)
        padded = blocks.transpose(2, 0, 3, 1).reshape(height * rows, width * columns)
        planes.append(np.ascontiguousarray(padded[:plane_height, :plane_width]))
        first += rows * columns
    return tuple(planes)
