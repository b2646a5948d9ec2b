# SPDX-License-Identifier: MIT
"""Frames by number and by time out of a stream, from files and pipes."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

import c3video.decoder
from c3video.decoder import Decoder
from c3video.errors import ConfigError
from c3video.media.selection import Selection
from c3video.video import Frame
from tests.conftest import encode_quickly, moving_clip

PTS = (50, 51, 53, 60, 61, 64, 70)
"""In units of 1/25 s; three segments of 3, 3 and 1 frames."""


class UnevenClip:
    """A clip whose frames are shown at PTS."""

    def __init__(self) -> None:
        self._clip = moving_clip(len(PTS), 8, 8, "gray")
        self.format, self.num_frames = self._clip.format, self._clip.num_frames

    def __iter__(self) -> Any:
        return (replace(frame, pts=pts) for frame, pts in zip(self._clip, PTS, strict=True))


@pytest.fixture(scope="module")
def stream() -> bytes:
    return encode_quickly(UnevenClip(), segment_frames=3, scene_cuts=False)  # type: ignore[arg-type]


class Pipe(io.BytesIO):
    """Bytes that cannot be gone back to."""

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("kind", [io.BytesIO, Pipe])
@pytest.mark.parametrize(
    ("selection", "expected", "decoded"),
    [
        (Selection(), PTS, [0, 1, 2]),
        (Selection(first=2, last=5), PTS[2:5], [0, 1]),
        (Selection(first=3), PTS[3:], [1, 2]),
        (Selection(first=6, last=7), PTS[6:], [2]),
        (Selection(last=1), PTS[:1], [0]),
        (Selection(start=Fraction(10, 25), end=Fraction(14, 25)), PTS[3:5], [1]),
        (Selection(start=Fraction(9, 25)), PTS[3:], [1, 2]),
        (Selection(start=Fraction(20, 25)), PTS[6:], [2]),
        (Selection(end=Fraction(3, 25)), PTS[:2], [0]),
    ],
)
def test_no_segment_before_the_first_frame_is_decoded(
    stream: bytes,
    kind: type[io.BytesIO],
    selection: Selection,
    expected: tuple[int, ...],
    decoded: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    decode = c3video.decoder.decode_segment

    def watched(header: Any, segment: Any, *rest: Any) -> Any:
        seen.append(segment.number)
        return decode(header, segment, *rest)

    monkeypatch.setattr(c3video.decoder, "decode_segment", watched)
    with Decoder(kind(stream)) as clip:
        assert tuple(frame.pts for frame in clip.select(selection)) == expected
    assert seen == decoded


def test_selected_frames_are_those_of_the_whole_clip(stream: bytes) -> None:
    with Decoder(io.BytesIO(stream)) as clip:
        whole = list(clip)
        part = list(clip.select(Selection(first=2, last=7)))
        again = list(clip.select(Selection(first=0, last=3)))

    def same(one: list[Frame], other: list[Frame]) -> bool:
        return [(f.pts, f.planes[0].tobytes()) for f in one] == [(f.pts, f.planes[0].tobytes()) for f in other]

    assert same(part, whole[2:])
    assert same(again, whole[:3])


def test_frames_that_are_not_there(stream: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with Decoder(io.BytesIO(stream)) as clip:
        with pytest.raises(ConfigError, match="clip: there is no frame 7"):
            list(clip.select(Selection(first=7), "clip"))
        with pytest.raises(ConfigError, match="there is no frame from 2 s to the end"):
            list(clip.select(Selection(start=Fraction(2))))
        assert len(list(clip.select(Selection(first=5, last=9), "clip"))) == 2
    assert "clip: frames 5:9 were asked for, and it ends after frame 6" in caplog.text


def test_damage_is_concealed_where_that_is_asked_for(stream: bytes) -> None:
    damaged = bytearray(stream)
    damaged[stream.index(b"C3R", stream.index(b"C3R") + 3) + 30] ^= 1
    with Decoder(io.BytesIO(damaged), conceal=True) as clip:
        found = [frame.pts for frame in clip.select(Selection())]
    assert set(found) <= set(PTS)
    assert clip.lost
