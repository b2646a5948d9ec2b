# SPDX-License-Identifier: MIT
"""Streams of few bytes are valid, and what becomes of them is said."""

from __future__ import annotations

from pathlib import Path

import pytest

import c3video
from eval.large_streams import decoded, empty, flat, zero_picture


@pytest.mark.parametrize("stream", [flat(48, 32, 3, "yuv420p"), zero_picture(64, 48)])
def test_streams_decode_to_as_many_samples_as_they_say(stream: object, tmp_path: Path) -> None:
    path = tmp_path / "large.c3v"
    stream.write(path)  # type: ignore[attr-defined]
    with c3video.open(path) as clip:
        assert sum(plane.size for frame in clip for plane in frame.planes) == stream.num_samples  # type: ignore[attr-defined]


def test_what_is_refused_says_why_and_takes_little(tmp_path: Path) -> None:
    path = tmp_path / "large.c3v"
    empty(c3video.config.PROFILES["default"].model, 16384, 8192, 1).write(path)
    outcome, peak = decoded(path)
    assert outcome.startswith("refused: frames of 16384 x 8192")
    assert peak < 100 << 20
