# SPDX-License-Identifier: MIT
"""Whoever follows a file gets all that is written to it, and ends when it is whole."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

import c3video
from c3video.errors import TruncatedStreamError
from c3video.stream.following import FollowedFile
from tests.conftest import encode_quickly, moving_clip


def write_slowly(path: Path, data: bytes, pieces: int, is_going_on: threading.Event) -> threading.Thread:
    """A live writer, as `open_output(live=True)` is one; waits in the middle."""

    def write() -> None:
        time.sleep(0.2)
        with path.open("wb", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = -(-len(data) // pieces)
            for number in range(pieces):
                if number == pieces // 2:
                    is_going_on.wait(60)
                file.write(data[number * size : (number + 1) * size])
                time.sleep(0.01)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_all_bytes_come_as_they_are_written(tmp_path: Path) -> None:
    path, data, is_going_on = tmp_path / "growing", bytes(range(256)) * 8, threading.Event()
    thread = write_slowly(path, data, 16, is_going_on)
    found = b""
    with FollowedFile(path) as file:
        assert not file.seekable()
        while piece := file.read(100):
            found += piece
            if len(found) == len(data) // 2:
                assert data.startswith(found)
                is_going_on.set()
        assert found == data
        assert file.read(1) == b""
    thread.join()


def test_frames_come_while_the_stream_grows(tmp_path: Path) -> None:
    data = encode_quickly(moving_clip(6, 16, 16), segment_frames=2)
    path, is_going_on = tmp_path / "live.c3v", threading.Event()
    thread = write_slowly(path, data, 40, is_going_on)
    pts = []
    with c3video.open(path, follow=True) as clip:
        for frame in clip:
            pts.append(frame.pts)
            is_going_on.set()  # the writer waits for a frame that is shown before the file is whole
    thread.join()
    assert pts == [0, 1, 2, 3, 4, 5]


def test_writer_that_dies_ends_it_with_an_error(tmp_path: Path) -> None:
    data = encode_quickly(moving_clip(4, 16, 16), segment_frames=2)
    path = tmp_path / "live.c3v"
    path.write_bytes(data[: len(data) // 2])
    with c3video.open(path, follow=True) as clip, pytest.raises(TruncatedStreamError):
        list(clip)


def test_live_encode_has_its_name_at_once_and_the_bytes_of_any_other(tmp_path: Path) -> None:
    clip, out, other = moving_clip(6, 16, 16), tmp_path / "live.c3v", tmp_path / "other.c3v"
    seen: list[int] = []

    def report(progress: object) -> None:
        seen.append(out.stat().st_size)

    c3video.encode(clip, out, preset="ultrafast", segment_frames=2, live=True, report=report)
    c3video.encode(clip, other, preset="ultrafast", segment_frames=2)
    assert out.read_bytes() == other.read_bytes()
    assert seen == sorted(seen)
    assert len(set(seen)) == 3
