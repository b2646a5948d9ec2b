# SPDX-License-Identifier: MIT
"""Whole files, damaged: always our error with a place, never a hang, never a silently wrong picture."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest

from c3video.decoder import Decoder
from c3video.errors import CorruptSegmentError, NotC3VError, StreamError, TruncatedStreamError
from c3video.video import Frame
from tests.model_streams import MODELS, small_stream


@pytest.fixture(scope="module", params=MODELS)
def stream(request: pytest.FixtureRequest) -> bytes:
    """Three segments of two frames, of each model."""
    return small_stream(request.param, 10, 12, "yuv420p", (2, 2, 2), segment_frames=2)[0]


@pytest.fixture(scope="module")
def frames(stream: bytes) -> list[Frame]:
    return decoded(stream)[0]


def decoded(data: bytes, conceal: bool = False) -> tuple[list[Frame], StreamError | None]:
    """Frames that come out, and the error that ends them."""
    found: list[Frame] = []
    try:
        with Decoder(io.BytesIO(data), conceal=conceal) as clip:
            for frame in clip:
                found.append(frame)
    except StreamError as error:
        return found, error
    return found, None


def record_offsets(data: bytes) -> list[int]:
    """Where the records start, the index last."""
    offsets, at = [], data.index(b"C3R")
    while data[at : at + 3] == b"C3R":
        offsets.append(at)
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little") + 4
    return offsets


def are_prefix(found: list[Frame], frames: list[Frame]) -> bool:
    return all(
        np.array_equal(a, b)
        for left, right in zip(found, frames, strict=False)
        for a, b in zip(left.planes, right.planes, strict=True)
    )


def test_every_cut_gives_the_good_segments_and_then_an_error(stream: bytes, frames: list[Frame]) -> None:
    offsets = record_offsets(stream)
    for size in range(0, len(stream), 13):
        found, error = decoded(stream[:size])
        assert isinstance(error, TruncatedStreamError | NotC3VError), size
        whole = sum(end <= size for end in offsets[1:])
        assert len(found) == 2 * whole
        assert are_prefix(found, frames)


def test_flipped_bits_anywhere_never_show_a_wrong_picture(stream: bytes, frames: list[Frame]) -> None:
    rng = np.random.default_rng(0)
    for position in rng.choice(len(stream), 150, replace=False):
        broken = bytearray(stream)
        broken[position] ^= 1 << int(rng.integers(8))
        found, error = decoded(bytes(broken))
        assert error is not None, position
        assert str(error)
        assert are_prefix(found, frames), position


def test_damaged_segment_names_itself_and_concealment_goes_on(stream: bytes, frames: list[Frame]) -> None:
    offsets = record_offsets(stream)
    broken = bytearray(stream)
    broken[(offsets[1] + offsets[2]) // 2] ^= 0x10
    found, error = decoded(bytes(broken))
    assert isinstance(error, CorruptSegmentError)
    assert error.segment == 1
    assert len(found) == 2
    concealed, error = decoded(bytes(broken), conceal=True)
    assert error is None
    assert [frame.pts for frame in concealed] == [0, 1, 2, 3, 4, 5]
    assert are_prefix(concealed, frames[:2])
    assert are_prefix(concealed[4:], frames[4:])


def test_missing_segment_is_noticed(stream: bytes) -> None:
    offsets = record_offsets(stream)
    without = stream[: offsets[1]] + stream[offsets[2] :]
    found, error = decoded(without)
    assert isinstance(error, CorruptSegmentError)
    assert len(found) == 2
    assert [frame.pts for frame in decoded(without, conceal=True)[0]] == [0, 1, 2, 3, 4, 5]


def repaired(data: bytearray, offset: int) -> bytes:
    """With the CRC of the record at `offset` made right again: what a fuzzer sends."""
    size = int.from_bytes(data[offset + 8 : offset + 12], "little")
    payload = data[offset + 16 : offset + 16 + size]
    data[offset + 16 + size : offset + 20 + size] = zlib.crc32(payload).to_bytes(4, "little")
    return bytes(data)


def test_payload_damage_behind_a_right_crc_is_an_error_too(stream: bytes, frames: list[Frame]) -> None:
    """Then the coder, the ranges or at the latest the frame hashes notice."""
    offset, end = record_offsets(stream)[0:2]
    rng = np.random.default_rng(1)
    for position in rng.choice(np.arange(offset + 16, end - 4), 80, replace=False):
        broken = bytearray(stream)
        broken[position] ^= 1 << int(rng.integers(8))
        found, error = decoded(repaired(broken, offset))
        if error is None:  # a time stamp, or a latent that shows nowhere
            assert len(found) == len(frames)
        assert are_prefix(found, frames)


def test_frame_hash_that_differs_is_an_error(stream: bytes) -> None:
    broken = bytearray(stream)
    offset = record_offsets(stream)[0]
    with Decoder(io.BytesIO(stream)) as clip:
        hashes = b"".join(each.to_bytes(2, "little") for each in next(clip.coded_segments()).frame_hashes)
    broken[broken.index(hashes, offset) + 2] ^= 1
    _, error = decoded(repaired(broken, offset))
    assert isinstance(error, CorruptSegmentError)
    assert "frame 1" in str(error)
    assert error.segment == 0


@pytest.mark.parametrize("data", [b"", b"\x89C3V", b"RIFF....AVI ", b"YUV4MPEG2 W4 H4\n", bytes(1000)])
def test_other_files_are_not_c3v(data: bytes) -> None:
    found, error = decoded(data)
    assert isinstance(error, NotC3VError | TruncatedStreamError)
    assert found == []
