# SPDX-License-Identifier: MIT
"""What must hold of every stream, however wrong: each target takes a fuzzer's bytes and raises where it does not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, cast

from c3video.decoder import Decoder
from c3video.errors import LimitError, StreamError
from c3video.video import Frame, frame_crc32
from tests.fuzz.mutation import mutated

MAX_PIXELS = 1 << 14
MAX_FRAMES = 64
MAX_MEMORY = 64 << 20
"""So that a stream takes milliseconds, and what asks for more is refused."""


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def decode_mutated(data: bytes) -> None:
    """A stream with edits behind its checksums."""
    hold(mutated(data))


def decode_bytes(data: bytes) -> None:
    """Bytes as they are."""
    hold(data)


def hold(stream: bytes) -> None:
    """Decode a stream from a file, from a pipe and with damage concealed.

    Raises:
        AssertionError: frames or errors are not what they must be.
        Exception: any that is not ours.
    """
    found, error = _decoded(io.BytesIO(stream))
    piped, _ = _decoded(_Pipe(stream))
    assert piped == found, "a pipe gives other frames than a file"
    assert all(a[0] < b[0] for a, b in pairwise(found)), "time stamps go back"
    concealed, limit = _decoded(io.BytesIO(stream), conceal=True)
    assert concealed[: len(found)] == found, "concealment loses what can be had without it"
    if error is None:
        assert concealed == found
        with _open(io.BytesIO(stream), conceal=False) as clip:
            assert len(clip) == len(found), "the index has another number of frames"
            if found:
                assert _facts(clip[-1]) == found[-1], "the last frame by its number is another"
    elif limit is not None:
        # A header that cannot be read, or a limit: nothing goes on after these.
        assert isinstance(limit, LimitError) or not found, limit


def _open(file: BinaryIO, conceal: bool) -> Decoder:
    return Decoder(file, conceal=conceal, max_pixels=MAX_PIXELS, max_frames=MAX_FRAMES, max_memory=MAX_MEMORY)


def _decoded(file: BinaryIO, conceal: bool = False) -> tuple[list[tuple[int, int]], StreamError | None]:
    """Time stamp and hash of each frame that comes out, and the error that ends them."""
    found: list[tuple[int, int]] = []
    try:
        with _open(file, conceal) as clip:
            for frame in cast(Iterator[Frame], clip.frames()):
                found.append(_facts(frame))
    except StreamError as error:
        return found, error
    return found, None


def _facts(frame: Frame) -> tuple[int, int]:
    return frame.pts, frame_crc32(frame.planes)


TARGETS = {"mutated": decode_mutated, "bytes": decode_bytes}
