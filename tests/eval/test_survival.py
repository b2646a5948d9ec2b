# SPDX-License-Identifier: MIT
"""The table of what survives: what counts as lost, and one source the whole way."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from c3video.video import ContentLight, VideoFormat
from eval.survival import FFMPEG, HEAD, Look, cell, make_sources, make_video, results_of, table

SOURCE = Look(
    VideoFormat(8, 4, "yuv420p", color_primaries=1, color_trc=1, color_space=1, color_range=1, rotation=90),
    (Fraction(0), Fraction(1, 25)),
)


def test_cells_say_what_happened() -> None:
    assert cell("colour", SOURCE, SOURCE) == "yes"
    assert cell("colour", SOURCE, replace(SOURCE, format=VideoFormat(8, 4, "yuv420p"))) == "no"
    assert cell("colour", SOURCE, "no gray") == "refused"
    assert cell("colour", SOURCE, None) == "not tried"
    assert cell("HDR", SOURCE, SOURCE) == "-"
    light = replace(SOURCE, format=replace(SOURCE.format, content_light=ContentLight(1, 2)))
    assert cell("HDR", light, SOURCE) == "no"
    assert cell("rotation", SOURCE, replace(SOURCE, format=VideoFormat(4, 8, "yuv420p"))) == "applied"
    assert cell("rotation", SOURCE, replace(SOURCE, format=VideoFormat(8, 4, "yuv420p"))) == "no"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((Fraction(0), Fraction(40, 1000)), "yes"),
        ((Fraction(1), Fraction(1040, 1000)), "yes"),
        ((Fraction(0), Fraction(404, 10_000)), "yes"),
        ((Fraction(0), Fraction(41, 1000)), "no"),
        ((Fraction(0),), "no"),
    ],
)
def test_times_are_compared_from_the_first_frame_on(times: tuple[Fraction, ...], expected: str) -> None:
    assert cell("times", SOURCE, replace(SOURCE, times=times)) == expected


def test_table_has_a_row_for_what_a_source_has() -> None:
    text = table([("clip", {"source": SOURCE, ".c3v": SOURCE}, ["clip: left out: audio; to bring the audio back"])])
    assert [line.split(" | ")[1] for line in text.splitlines()[2:]] == ["times", "colour", "range", "rotation", "audio"]
    assert all(len(line) <= 120 for line in HEAD.format(ffmpeg=FFMPEG, files="").splitlines())


def test_one_source_the_whole_way(tmp_path: Path) -> None:
    """Uneven times and colours, by every container."""
    colours = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1}
    path = make_video(tmp_path / "clip.mp4", "libx264", "yuv420p", times=(0, 1, 3, 4), **colours)
    found, said = results_of(path, (0, None), tmp_path)
    assert said == []
    source = found["source"]
    assert isinstance(source, Look)
    for way in (".c3v", ".mkv", ".mov"):
        assert {cell(name, source, found[way]) for name in ("times", "colour", "range", "chroma location")} == {"yes"}
    assert cell("times", source, found[".nut"]) == "yes"
    assert cell("colour", source, found[".nut"]) == cell("times", source, found[".y4m"]) == "no"
    if "ffmpeg" in found:
        assert {cell(name, source, found["ffmpeg"]) for name in ("times", "colour", "range")} == {"yes"}


def test_sources_of_every_kind_can_be_made(tmp_path: Path) -> None:
    titles = [title for title, path in make_sources(tmp_path) if path.stat().st_size]
    assert len(titles) == len(set(titles)) >= 10
