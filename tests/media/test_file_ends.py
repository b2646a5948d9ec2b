# SPDX-License-Identifier: MIT
"""Files that end before their outermost parts do."""

from __future__ import annotations

import io

import pytest

from c3video.media.file_ends import missing_end
from c3video.media.matroska import element


def box(kind: bytes, size: int, *, long: bool = False) -> bytes:
    """An mp4 box of zeros, so many bytes in all."""
    head = (1).to_bytes(4, "big") + kind + size.to_bytes(8, "big") if long else size.to_bytes(4, "big") + kind
    return head + bytes(size - len(head))


SEGMENT = element(0x1A45DFA3, bytes(20)) + element(0x18538067, bytes(100))
MP4 = box(b"ftyp", 24) + box(b"moov", 80) + box(b"mdat", 100)
LATE = box(b"ftyp", 24) + box(b"mdat", 100, long=True) + box(b"moov", 80)
RIFF = b"RIFF" + (92).to_bytes(4, "little") + b"AVI " + bytes(88)


@pytest.mark.parametrize("data", [SEGMENT, MP4, LATE, RIFF])
def test_whole_files_miss_nothing(data: bytes) -> None:
    assert missing_end(io.BytesIO(data)) is None
    assert missing_end(io.BytesIO(data + bytes(9))) is None


@pytest.mark.parametrize("data", [SEGMENT, MP4, RIFF])
@pytest.mark.parametrize("cut", [1, 50])
def test_what_is_missing_is_said_in_bytes(data: bytes, cut: int) -> None:
    assert (
        missing_end(io.BytesIO(data[:-cut])) == f"is cut short: it has {len(data) - cut} bytes of at least {len(data)}"
    )


def test_missing_index_is_said() -> None:
    words = "is cut short: it has 100 bytes of at least 124, and no index (moov), which such files have at their end"
    assert missing_end(io.BytesIO(LATE[:100])) == words


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        bytes(40),
        b"YUV4MPEG2 W4 H2\n",
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff",
        SEGMENT[:34],
        box(b"ftyp", 24) + bytes(4) + b"mdat" + bytes(10),  # to the end of the file, however long
        box(b"ftyp", 24) + (4).to_bytes(4, "big") + b"oops" + bytes(10),
    ],
)
def test_nothing_is_said_of_what_is_not_understood(data: bytes) -> None:
    file = io.BytesIO(data)
    assert missing_end(file) is None
    assert file.tell() == 0


def test_segment_of_unknown_size_misses_nothing() -> None:
    data = element(0x1A45DFA3, bytes(20)) + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(5)
    assert missing_end(io.BytesIO(data)) is None


def test_file_need_not_start_at_its_start() -> None:
    file = io.BytesIO(b"other" + MP4[:-7])
    file.seek(5)
    assert missing_end(file) == f"is cut short: it has {len(MP4) - 7} bytes of at least {len(MP4)}"
    assert file.tell() == 5
