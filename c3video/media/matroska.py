# SPDX-License-Identifier: MIT
"""Frames to Matroska: the one container that keeps everything that a .c3v stream knows of a video.

    head:   EBML head, Segment { SeekHead, Info, Tracks { one track } }
    frame:  Cluster { Timestamp, a block }
    end:    Cues; sizes, duration and the place of the Cues go into the head where the file can be sought

It is written here, not by FFmpeg's muxer, which rounds time stamps to milliseconds, and through PyAV can be told
neither the mastering display nor that fields are interlaced. Elements and their numbers: RFC 9559, for V_FFV1
and V_UNCOMPRESSED draft-ietf-cellar-codec. The codes of samples are FFmpeg's (libavcodec/raw.c): players other than
those built on it know some of them only.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import BinaryIO

from c3video.video import BOTTOM_FIELD_FIRST, PROGRESSIVE, TOP_FIELD_FIRST, VideoFormat

FOURCC = {
    "yuv420p": b"I420",
    "yuv422p": b"Y42B",
    "yuv444p": b"444P",
    "gray": b"Y800",
    "gbrp": b"G3\x00\x08",
    "yuv420p10le": b"Y3\x0b\x0a",
    "yuv422p10le": b"Y3\x0a\x0a",
    "yuv444p10le": b"Y3\x00\x0a",
    "gray10le": b"Y1\x00\x0a",
    "gbrp10le": b"G3\x00\x0a",
}
"""What says how the samples of uncompressed video lie."""

_EBML, _SEGMENT, _SEEK_HEAD, _INFO, _TRACKS = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B
_CLUSTER, _CUES, _VOID, _VIDEO, _COLOUR, _MASTERING = 0x1F43B675, 0x1C53BB6B, 0xEC, 0xE0, 0x55B0, 0x55D0
_DURATION = 0x4489
_UNKNOWN_SIZE = b"\x01" + 7 * b"\xff"
_SITES = {1: (1, 2), 2: (2, 2), 3: (1, 1), 4: (2, 1)}
"""(horizontal, vertical) by chroma location: 1 on the luma sample, 2 half way. There are none for the bottom."""
CHROMA_LOCATIONS = (0, *_SITES)
"""Those that Matroska can say."""
_SECONDS_BETWEEN_CUES = 1


def element(number: int, content: bytes) -> bytes:
    """An EBML element: its number, its size in 8 bytes, its content."""
    return _number(number) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def _number(number: int) -> bytes:
    return number.to_bytes(-(-number.bit_length() // 8), "big")


def _unsigned(number: int, value: int) -> bytes:
    return element(number, value.to_bytes(max(1, -(-value.bit_length() // 8)), "big"))


def _float(number: int, value: float) -> bytes:
    return element(number, struct.pack(">d", value))


class MatroskaWriter:
    """One track of video; each frame is a cluster, so that time stamps may be as far apart and as fine as they like.

    Args:
        file: buffered binary file. Where it can be sought, it gets a length and an index when it is closed.
        video: its time stamps are kept to the nanosecond.
        codec_private: of FFV1; None for uncompressed video.
        frame_rate: 0 where it varies, which readers would not believe beside a rate.
    """

    def __init__(
        self, file: BinaryIO, video: VideoFormat, codec_private: bytes | None, frame_rate: Fraction = Fraction(0)
    ) -> None:
        self._file, self._time_base = file, video.time_base
        # Milliseconds, which every player knows, where they are exact.
        self._scale = 1_000_000 if (video.time_base * 1000).denominator == 1 else 1
        self._cues: list[tuple[int, int]] = []  # (time stamp, where its cluster begins in the segment)
        self._end = 0
        ebml = element(
            _EBML,
            b"".join(_unsigned(number, value) for number, value in ((0x4286, 1), (0x42F7, 1), (0x42F2, 4), (0x42F3, 8)))
            + element(0x4282, b"matroska")
            + _unsigned(0x4287, 4)
            + _unsigned(0x4285, 2),
        )
        segment = _number(_SEGMENT) + _UNKNOWN_SIZE
        info = (
            _unsigned(0x2AD7B1, self._scale)
            + element(0x4D80, b"c3video")
            + element(0x5741, b"c3video")
            + element(_VOID, bytes(9))  # as long as a duration
        )
        self._seekable = file.seekable()
        self._segment_start = (file.tell() if self._seekable else 0) + len(ebml) + len(segment)
        seek_head = element(_VOID, bytes(len(_seek_head(0)) - 9))
        self._duration_at = self._segment_start + len(seek_head) + 12 + len(info) - 18
        head = seek_head + element(_INFO, info) + element(_TRACKS, track(video, codec_private, frame_rate))
        self._position = len(head)
        file.write(ebml + segment + head)

    def write(self, data: bytes | bytearray | memoryview, pts: int, duration: int) -> None:
        """One frame at pts >= 0, both in units of the video's time base; a duration of 0 is not known."""
        start, end = self._ticks(pts), self._ticks(pts + duration)
        self._end = max(self._end, end)
        head = b"\x81\x00\x00"  # of track 1, at the cluster's own time stamp
        if duration:
            # A group whose block refers to none is a key frame.
            size = len(head) + 1 + len(data)
            block = _number(0xA1) + (size | 1 << 56).to_bytes(8, "big") + head + b"\x00"
            tail = _unsigned(0x9B, end - start)
            block = _number(0xA0) + (len(block) + len(data) + len(tail) | 1 << 56).to_bytes(8, "big") + block
        else:
            tail = b""
            block = _number(0xA3) + (len(head) + 1 + len(data) | 1 << 56).to_bytes(8, "big") + head + b"\x80"
        time = _unsigned(0xE7, start)
        content_size = len(time) + len(block) + len(data) + len(tail)
        opening = _number(_CLUSTER) + (content_size | 1 << 56).to_bytes(8, "big") + time + block
        if not self._cues or (start - self._cues[-1][0]) * self._scale >= _SECONDS_BETWEEN_CUES * 10**9:
            self._cues.append((start, self._position))
        self._position += len(opening) + len(data) + len(tail)
        for part in (opening, data, tail):
            self._file.write(part)

    def finish(self) -> None:
        """Index and length, where the file can be sought."""
        if not self._seekable:
            return
        points = (
            element(0xBB, _unsigned(0xB3, time) + element(0xB7, _unsigned(0xF7, 1) + _unsigned(0xF1, position)))
            for time, position in self._cues
        )
        cues = element(_CUES, b"".join(points))
        self._file.write(cues)
        end = self._file.tell()
        for at, data in (
            (self._segment_start - 8, (self._position + len(cues) | 1 << 56).to_bytes(8, "big")),
            (self._segment_start, _seek_head(self._position)),
            (self._duration_at, _float(_DURATION, self._end)),
        ):
            self._file.seek(at)
            self._file.write(data)
        self._file.seek(end)

    def _ticks(self, pts: int) -> int:
        return round(pts * self._time_base * 10**9 / self._scale)


def _seek_head(cues: int) -> bytes:
    """Where the Cues are, from the segment's start; always of one size."""
    seek = element(0x53AB, _number(_CUES)) + element(0x53AC, cues.to_bytes(8, "big"))
    return element(_SEEK_HEAD, element(0x4DBB, seek))


def track(video: VideoFormat, codec_private: bytes | None, frame_rate: Fraction) -> bytes:
    """The TrackEntry of a video."""
    fields = [_unsigned(number, value) for number, value in ((0xD7, 1), (0x73C5, 1), (0x83, 1), (0x9C, 0))]
    if frame_rate:
        fields.append(_unsigned(0x23E383, round(10**9 / frame_rate)))
    if codec_private is None:
        fields.append(element(0x86, b"V_UNCOMPRESSED"))
    else:
        fields += [element(0x86, b"V_FFV1"), element(0x63A2, codec_private)]
    return element(0xAE, b"".join(fields) + element(_VIDEO, _picture(video, codec_private is None)))


def _picture(video: VideoFormat, is_raw: bool) -> bytes:
    fields = [_unsigned(0xB0, video.width), _unsigned(0xBA, video.height), *_display(video)]
    if video.field_order:
        fields.append(_unsigned(0x9A, 2 if video.field_order == PROGRESSIVE else 1))
        # Read as fields stored as they are shown; FFmpeg takes the numbers of interleaved ones the other way round.
        fields.append(_unsigned(0x9D, {PROGRESSIVE: 0, TOP_FIELD_FIRST: 1, BOTTOM_FIELD_FIRST: 6}[video.field_order]))
    if is_raw:
        fields.append(element(0x2EB524, FOURCC[video.pix_fmt]))
    if video.rotation or video.mirrored:
        # A mirror is a yaw by half a turn and comes first; a roll turns counter-clockwise.
        roll = (180 - video.rotation) % 360 - 180
        fields.append(
            element(0x7670, _unsigned(0x7671, 0) + _float(0x7673, 180.0 * video.mirrored) + _float(0x7675, roll))
        )
    return b"".join([*fields, element(_COLOUR, _colour(video))])


def _display(video: VideoFormat) -> list[bytes]:
    """The size of the picture on a screen whose pixels are square."""
    aspect = video.sample_aspect_ratio
    if not aspect:
        return [_unsigned(0x54B2, 4)]  # unit: unknown
    width = video.width * aspect
    if width.denominator == 1:
        return [_unsigned(0x54B0, width.numerator), _unsigned(0x54BA, video.height)]
    shape = width / video.height
    return [_unsigned(0x54B0, shape.numerator), _unsigned(0x54BA, shape.denominator), _unsigned(0x54B2, 3)]


def _colour(video: VideoFormat) -> bytes:
    numbers = {
        0x55B1: video.color_space,
        0x55B2: video.layout.bit_depth,
        0x55B9: video.color_range,
        0x55BA: video.color_trc,
        0x55BB: video.color_primaries,
    }
    if video.layout.cell_width > 1:
        numbers |= {0x55B3: 1, 0x55B4: int(video.layout.cell_height > 1)}
    if video.chroma_location in _SITES:
        numbers[0x55B7], numbers[0x55B8] = _SITES[video.chroma_location]
    if video.content_light is not None:
        numbers |= {0x55BC: video.content_light.max_content, 0x55BD: video.content_light.max_average}
    fields = b"".join(_unsigned(number, value) for number, value in numbers.items())
    if video.mastering_display is not None:
        *chromaticities, brightest, darkest = video.mastering_display.values
        screen = []
        if any(chromaticities):
            screen += [_float(0x55D1 + index, value / 50_000) for index, value in enumerate(chromaticities)]
        if brightest:
            screen += [_float(0x55D9, brightest / 10_000), _float(0x55DA, darkest / 10_000)]
        fields += element(_MASTERING, b"".join(screen))
    return fields
