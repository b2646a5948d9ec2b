# SPDX-License-Identifier: MIT
"""The header line of YUV4MPEG2 (y4m), read by `source.py` and written by `sink.py`.

A y4m stream is that line, then for each frame a line `FRAME` and its planes, unpadded, little-endian. The
line knows size, frame rate, aspect ratio, range, field order and chroma location; primaries, transfer and matrix
have no place in it. The tags are those of FFmpeg (libavformat/yuv4mpegdec.c, yuv4mpegenc.c), which has the chroma
location of 8-bit 4:2:0 only: for the others it goes into a comment of ours, XCHROMALOC.
"""

from __future__ import annotations

from fractions import Fraction

from c3video.errors import ConfigError, SourceError
from c3video.video import BOTTOM_FIELD_FIRST, PROGRESSIVE, TOP_FIELD_FIRST, VideoFormat

MAGIC = b"YUV4MPEG2"
FRAME_MAGIC = b"FRAME"
MAX_LINE_BYTES = 1024
"""Longest header or frame line that is read; FFmpeg writes under 128."""

_LEFT, _CENTRE, _TOP_LEFT = 1, 2, 3
_TAGS: dict[str, tuple[str, int]] = {
    # C tag -> pixel format, chroma location
    "420jpeg": ("yuv420p", _CENTRE),
    "420mpeg2": ("yuv420p", _LEFT),
    "420paldv": ("yuv420p", _TOP_LEFT),
    "420": ("yuv420p", _CENTRE),
    "422": ("yuv422p", 0),
    "444": ("yuv444p", 0),
    "mono": ("gray", 0),
    "420p10": ("yuv420p10le", 0),
    "422p10": ("yuv422p10le", 0),
    "444p10": ("yuv444p10le", 0),
    "mono10": ("gray10le", 0),
}
PIX_FMTS = frozenset(pix_fmt for pix_fmt, _ in _TAGS.values())
"""Pixel formats that a header line can name."""
_NEAREST = {
    # What other tags start with -> the coded format that keeps most of them.
    "444alpha": "yuv444p",
    **{"420p": "yuv420p10le", "422p": "yuv422p10le", "444p": "yuv444p10le", "mono": "gray10le"},
    **{"411": "yuv422p", "410": "yuv420p", "440": "yuv444p"},
}
_RANGES = {"LIMITED": 1, "FULL": 2}
_LOCATIONS = {"LEFT": 1, "CENTER": 2, "TOPLEFT": 3, "TOP": 4, "BOTTOMLEFT": 5, "BOTTOM": 6}
_FIELDS = {"p": PROGRESSIVE, "t": TOP_FIELD_FIRST, "b": BOTTOM_FIELD_FIRST}
DEFAULT_RATE = Fraction(25)
"""Where none is known."""


def parse_header(line: bytes) -> VideoFormat:
    """The format that a header line describes, checked.

    One unit of time is one frame. A rate of 0 is read as 25, as FFmpeg does.

    Args:
        line: without the newline.

    Raises:
        SourceError: not a header, or one of a format that is not supported.
    """
    magic, *fields = line.decode("latin-1").split(" ")
    if magic.encode("latin-1") != MAGIC:
        raise SourceError(f"y4m header is {line[:40]!r}: must start with {MAGIC.decode()!r}")
    values = {field[0]: field[1:] for field in fields if field and field[0] != "X"}
    extensions = dict(field[1:].split("=", 1) for field in fields if field.startswith("X") and "=" in field)
    tag = values.get("C", "420jpeg")
    if tag not in _TAGS:
        nearest = next((name for start, name in _NEAREST.items() if tag.startswith(start)), None)
        how = f"; --pix-fmt {nearest} converts it on the way in" if nearest else ""
        raise SourceError(f"y4m colour space C{tag} is not supported: must be one of C{', C'.join(_TAGS)}{how}")
    pix_fmt, chroma_location = _TAGS[tag]
    try:
        rate = _ratio(values.get("F", "0:0")) or DEFAULT_RATE
        video = VideoFormat(
            width=int(values["W"]),
            height=int(values["H"]),
            pix_fmt=pix_fmt,
            time_base=1 / rate,
            frame_rate=rate,
            sample_aspect_ratio=_ratio(values.get("A", "0:0")),
            color_range=_RANGES.get(extensions.get("COLORRANGE", ""), 0),
            chroma_location=_LOCATIONS.get(extensions.get("CHROMALOC", ""), chroma_location),
            field_order=_FIELDS.get(values.get("I", ""), 0),
        )
        video.check()
    except KeyError as error:
        raise SourceError(f"y4m header {line[:80]!r} has no {error.args[0]} (W is width, H height)") from None
    except ValueError as error:  # ConfigError is one
        raise SourceError(f"y4m header {line[:80]!r}: {error}") from error
    return video


def _ratio(text: str) -> Fraction:
    numerator, denominator = (int(term) for term in text.split(":"))
    return Fraction(numerator, denominator) if denominator else Fraction(0)


def header_line(video: VideoFormat) -> bytes:
    """The header line of a format, with its newline.

    A y4m stream has one rate: the average one is written where the frame rate varies, 25 where none is known.

    Raises:
        ConfigError: y4m has no tag for the pixel format (planar RGB).
    """
    tags = {pix_fmt: tag for tag, (pix_fmt, _) in reversed(_TAGS.items())}  # the first tag of each format
    if video.pix_fmt not in PIX_FMTS:
        options = f"-pix_fmt {video.pix_fmt} -s {video.width}x{video.height}"
        raise ConfigError(
            f"y4m cannot carry {video.pix_fmt}: write OUT.mkv (-f matroska to a pipe), or raw video (OUT.yuv) and read "
            f"it with `ffmpeg -f rawvideo {options} -r {video.frame_rate or DEFAULT_RATE} -i OUT.yuv`"
        )
    tag = tags[video.pix_fmt]
    if video.pix_fmt == "yuv420p":
        tag = {_LEFT: "420mpeg2", _TOP_LEFT: "420paldv"}.get(video.chroma_location, tag)
    rate, aspect = video.frame_rate or DEFAULT_RATE, video.sample_aspect_ratio
    fields = [
        MAGIC.decode(),
        f"W{video.width}",
        f"H{video.height}",
        f"F{rate.numerator}:{rate.denominator}",
        # FFmpeg writes p where it does not know, and not all that read y4m take the ? of the unknown.
        "I" + next((letter for letter, order in _FIELDS.items() if order == video.field_order), "p"),
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0}",
        f"C{tag}",
    ]
    if not video.layout.is_gray:
        fields.append(f"XYSCSS={tag.upper()}")
    fields += [f"XCOLORRANGE={name}" for name, number in _RANGES.items() if number == video.color_range]
    if video.chroma_location != _TAGS[tag][1]:
        fields += [f"XCHROMALOC={name}" for name, number in _LOCATIONS.items() if number == video.chroma_location]
    return " ".join(fields).encode() + b"\n"


def carries_chroma_location(video: VideoFormat) -> bool:
    """Whether all that read y4m learn it: by a tag, or since it is what they take where there is none."""
    tagged = {location for pix_fmt, location in _TAGS.values() if pix_fmt == video.pix_fmt and location}
    return video.chroma_location in (tagged or {_LEFT})
