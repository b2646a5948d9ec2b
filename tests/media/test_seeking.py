# SPDX-License-Identifier: MIT
"""A source read from some time on: by seeking, and the same frames as by reading through."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.container import InputContainer

import c3video.media.container
from c3video.media.source import open_source
from c3video.video import frame_crc32
from tests.media.clips import encode, error_of, pictures

CLIPS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp4": ("libx264", "mp4", {"preset": "ultrafast", "g": "12", "bf": "2"}),
    "matroska": ("libx264", "matroska", {"preset": "ultrafast", "g": "12", "bf": "2"}),
    # Key frames that earlier frames of a later group are predicted from, which cannot be had after seeking.
    "open groups": ("libx264", "mpegts", {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0:log-level=none"}),
    "no key frames": ("libx264", "mp4", {"x264-params": "intra-refresh=1:keyint=12:bframes=0:log-level=none"}),
    "program stream": ("mpeg2video", "mpeg", {"g": "9", "bf": "2"}),
    "no time stamps": ("mpeg4", "avi", {"g": "10", "bf": "2"}),
    "each alone": ("ffv1", "nut", {"g": "1"}),
}
STARTS = ("0.04", "0.5", "1", "1.23", "2", "2.2")


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    codec, container, options = CLIPS[request.param]
    frames = pictures("yuv420p", (32, 32), 60)
    path = tmp_path_factory.mktemp("clips") / f"{request.param.replace(' ', '_')}.{container}"
    encode(path, frames, codec, container, options=options)
    return path


def read(path: Path, **options: Any) -> list[tuple[int, int]]:
    with open_source(path, **options) as source:
        return [(frame.pts, frame_crc32(frame.planes)) for frame in source]


@pytest.fixture
def seeks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each search for a key frame found one."""
    found: list[bool] = []
    search = c3video.media.container._sought

    def watched(*arguments: Any) -> Any:
        result = search(*arguments)
        found.append(result is not None)
        return result

    monkeypatch.setattr(c3video.media.container, "_sought", watched)
    return found


def test_frames_are_those_of_reading_through(clip: Path, seeks: list[bool]) -> None:
    whole = read(clip)
    assert len(whole) >= 59
    with open_source(clip) as source:
        step = 1 / source.format.time_base
    zero = whole[0][0]
    for start in STARTS:
        wanted = [(pts, crc) for pts, crc in whole if pts - zero >= Fraction(start) * step]
        assert read(clip, start=Fraction(start)) == wanted, start
        assert read(clip, start=Fraction(start), end=Fraction(start) + 1) == [
            (pts, crc) for pts, crc in wanted if pts - zero < (Fraction(start) + 1) * step
        ]
    assert len(seeks) == 2 * len(STARTS)
    if "no_key" not in clip.name:
        assert seeks[-1]


def test_frames_long_before_the_start_are_not_decoded(
    tmp_path: Path, seeks: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, container, options = CLIPS["mp4"]
    path = encode(tmp_path / "clip.mp4", pictures("yuv420p", (32, 32), 60), codec, container, options=options)
    decoded: list[int] = []
    decode = c3video.media.container._decode

    def watched(*arguments: Any) -> Iterator[av.VideoFrame]:
        for frame in decode(*arguments):
            decoded.append(frame.pts or 0)
            yield frame

    monkeypatch.setattr(c3video.media.container, "_decode", watched)
    assert len(read(path, start=Fraction(2))) == 10
    assert seeks == [True]
    assert len(decoded) == 1 + 12  # the first of the clip, and the group of 12 from frame 48 on


def test_reading_goes_through_where_seeking_fails(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(clip, start=Fraction(2))
    num_tries = 0

    def fail(*arguments: Any, **options: Any) -> None:
        nonlocal num_tries
        num_tries += 1
        raise av.PermissionError(1, "it cannot be sought")

    class Unseekable:
        """A container that cannot be sought."""

        seek = staticmethod(fail)

        def __init__(self, container: InputContainer) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

    open_container = av.open
    monkeypatch.setattr(av, "open", lambda *arguments, **options: Unseekable(open_container(*arguments, **options)))
    assert read(clip, start=Fraction(2)) == expected
    assert num_tries == 1


def test_damage_before_the_start_is_none_of_ours(tmp_path: Path) -> None:
    codec, container, options = CLIPS["mp4"]
    path = encode(tmp_path / "clip.mp4", pictures("yuv420p", (32, 32), 60), codec, container, options=options)
    expected = read(path, start=Fraction(2))
    with av.open(path) as opened:
        packet = [packet for packet in opened.demux(video=0) if packet.size][20]
    data = bytearray(path.read_bytes())
    assert packet.pos is not None
    data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    with open_source(path, start=Fraction(2), strict=True) as source:
        assert [(frame.pts, frame_crc32(frame.planes)) for frame in source] == expected
    with open_source(path) as source:
        assert len(list(source)) < 60
        assert source.faults


def test_start_after_the_end_says_so(clip: Path) -> None:
    assert "there is no frame from 9 s to the end" in error_of(clip, start=Fraction(9))
