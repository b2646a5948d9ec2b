# SPDX-License-Identifier: MIT
"""Whether a container goes on after the end of its file: sizes of its outermost parts against the file's."""

from __future__ import annotations

import os
from typing import BinaryIO

_MP4_STARTS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_MOST_BOXES = 100_000
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_end(file: BinaryIO) -> str | None:
    """What is missing of an mp4, mov, Matroska, AVI or WAV file that was cut short, in words; else None.

    Args:
        file: one that can be sought; it is where it was afterwards.
    """
    here = file.tell()
    try:
        size = file.seek(0, os.SEEK_END) - here
        file.seek(here)
        start = file.read(12)
        if start[4:8] in _MP4_STARTS:
            return _missing_box(file, here, size)
        if start[:4] == _EBML:
            end = _matroska_end(file, here)
        elif start[:4] == b"RIFF":
            end = 8 + int.from_bytes(start[4:8], "little")
        else:
            return None
        return _cut(size, end) if end is not None and end > size else None
    finally:
        file.seek(here)


def _cut(size: int, end: int) -> str:
    return f"is cut short: it has {size} bytes of at least {end}"


def _missing_box(file: BinaryIO, here: int, size: int) -> str | None:
    """The same of boxes: a size of 32 or 64 bits and four letters each."""
    at, has_index = 0, False
    for _ in range(_MOST_BOXES):
        if at + 8 > size:
            break
        file.seek(here + at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        has_index = has_index or kind in (b"moov", b"moof")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # to the end of the file
            return None
        if length < 8:
            return None  # no box: FFmpeg may know better
        at += length
        if at > size:
            return _cut(size, at) + ("" if has_index else ", and no index (moov), which such files have at their end")
    return None


def _matroska_end(file: BinaryIO, here: int) -> int | None:
    """Where the segment says that it ends; None where it does not."""
    file.seek(here + 4)
    head_size, at = _size(file.read(8))
    if head_size is None:
        return None
    at += 4 + head_size
    file.seek(here + at)
    start = file.read(12)
    if start[:4] != _SEGMENT:
        return None
    size, width = _size(start[4:])
    return None if size is None else at + 4 + width + size


def _size(data: bytes) -> tuple[int | None, int]:
    """An EBML size and how many bytes it takes; None where it is not known."""
    if not data or not data[0]:
        return None, 0
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), width
