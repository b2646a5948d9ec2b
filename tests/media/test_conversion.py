# SPDX-License-Identifier: MIT
"""Formats that are not coded, converted where a user names one that is: how samples are rounded, what is said."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.clips import encode, error_of, pictures, read_all, rows
from tests.media.test_container import said


def write(path: Path, pix_fmt: str, samples: list[int], color_range: int = 0) -> Path:
    """A clip of one frame, 4 samples wide, whose planes all begin with these samples of more than 8 bits."""
    frame = av.VideoFrame(len(samples), 2, pix_fmt)
    for plane in frame.planes:
        dtype = "<u2" if pix_fmt.endswith("le") else "u1"
        rows(plane, dtype)[:] = 0
        rows(plane, dtype)[:, : plane.width] = samples[: plane.width]
    frame.color_range = color_range
    return encode(path, [frame], "ffv1", "matroska", color_range=color_range)


@pytest.mark.parametrize(
    ("pix_fmt", "target", "color_range", "samples", "expected"),
    [
        # Limited range: by a power of two, to the nearest, and not above the largest.
        ("yuv420p12le", "yuv420p10le", 1, [1, 2, 257, 4095], [0, 1, 64, 1023]),
        ("yuv444p12le", "yuv444p10", 1, [64, 2048, 2050, 3760], [16, 512, 513, 940]),
        ("yuv420p10le", "yuv420p", 1, [64, 66, 940, 1023], [16, 17, 235, 255]),
        ("yuv420p", "yuv420p10le", 1, [16, 128, 235, 255], [64, 512, 940, 1020]),
        # Full range: in proportion, so that white stays white.
        ("gray16le", "gray10le", 0, [0, 32768, 65535, 64], [0, 512, 1023, 1]),
        ("gray12le", "gray", 2, [0, 2048, 4095, 8], [0, 128, 255, 0]),
        ("gbrp12le", "gbrp10le", 0, [0, 4095, 2048, 2], [0, 1023, 512, 0]),
    ],
)
def test_depth_is_rounded_to_the_nearest(
    tmp_path: Path, pix_fmt: str, target: str, color_range: int, samples: list[int], expected: list[int]
) -> None:
    video, (frame,) = read_all(write(tmp_path / "clip.mkv", pix_fmt, samples, color_range), pix_fmt=target)
    assert video.pix_fmt == (target if target.endswith("le") or "10" not in target else f"{target}le")
    for plane in frame.planes:
        assert plane[0].tolist() == expected[: plane.shape[1]]


@pytest.mark.parametrize(
    ("pix_fmt", "target", "lost"),
    [
        ("yuv422p12le", "yuv422p10", "the lowest 2 of 12 bits are lost"),
        ("yuv411p", "yuv422p", "chroma is resampled from 4:1:1 to 4:2:2"),
        ("yuv440p", "yuv444p", "chroma is resampled from 4:4:0 to 4:4:4"),
        ("yuv440p12le", "yuv444p10", "the lowest 2 of 12 bits are lost; chroma is resampled from 4:4:0 to 4:4:4"),
        ("yuv444p", "yuv420p", "chroma is resampled from 4:4:4 to 4:2:0"),
        ("yuva420p", "yuv420p", "transparency, where there is any, is lost"),
        ("gray16le", "gray10", "the lowest 6 of 16 bits are lost"),
        ("rgb48le", "gbrp10", "the lowest 6 of 16 bits are lost"),
        ("yuv420p", "yuv420p10", "nothing is lost"),
    ],
)
def test_what_is_lost_is_said(
    tmp_path: Path, pix_fmt: str, target: str, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    container = ("ffv1", "matroska") if "440p12" in pix_fmt else ("rawvideo", "nut")
    path = encode(tmp_path / "clip", pictures(pix_fmt), *container)
    video, frames = read_all(path, pix_fmt=target)
    assert len(frames) == 3
    assert f"clip: {pix_fmt} is converted to {video.pix_fmt}: {lost}" in said(caplog)


@pytest.mark.parametrize("pix_fmt", ["rgb48le", "gbrp16le", "gbrap12le"])
def test_samples_of_more_bits_are_moved_without_a_change(tmp_path: Path, pix_fmt: str) -> None:
    """What lies between decoding and rounding: packed samples are unpacked by swscale, exactly."""
    (picture,) = pictures(pix_fmt, (16, 4), 1)
    _, (frame,) = read_all(encode(tmp_path / "clip.nut", [picture]), pix_fmt="gbrp10")
    if pix_fmt == "rgb48le":
        red, green, blue = (rows(picture.planes[0], "<u2")[:, :48][:, place::3] for place in range(3))
        samples = [green, blue, red]
    else:
        samples = [rows(plane, "<u2")[:, :16] for plane in picture.planes[:3]]
    largest = 4095 if "12" in pix_fmt else 65535
    for found, plane in zip(frame.planes, samples, strict=True):
        assert np.abs(found - plane * (1023 / largest)).max() <= 0.5


def test_resampled_chroma_lies_in_the_centre_and_keeps_its_value(tmp_path: Path) -> None:
    frame = pictures("yuv444p", (32, 16), 1)[0]
    for value, plane in zip((90, 60, 200), frame.planes, strict=True):
        rows(plane)[:] = value
    video, (found,) = read_all(encode(tmp_path / "clip.nut", [frame]), pix_fmt="yuv420p")
    assert video.chroma_location == 2
    assert [set(np.unique(plane)) for plane in found.planes] == [{90}, {60}, {200}]
    assert [plane.shape for plane in found.planes] == [(16, 32), (8, 16), (8, 16)]


@pytest.mark.parametrize("name", ["yuv420p", "yuvj420p"])
def test_what_has_that_format_is_left_as_it_is(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    codec = ("mjpeg", "matroska") if name == "yuvj420p" else ("ffv1", "matroska")
    path = encode(tmp_path / "clip.mkv", pictures(name), *codec)
    plain, named = read_all(path), read_all(path, pix_fmt="yuv420p")
    assert plain[0] == named[0]
    for one, other in zip(plain[1], named[1], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))
    assert "converted" not in said(caplog)


@pytest.mark.parametrize(("pix_fmt", "target"), [("gbrp", "yuv420p"), ("yuv420p", "gbrp"), ("yuv444p", "gray")])
def test_one_family_does_not_become_another(tmp_path: Path, pix_fmt: str, target: str) -> None:
    message = error_of(encode(tmp_path / "clip.nut", pictures(pix_fmt)), pix_fmt=target)
    assert f"{pix_fmt} is not converted to {target} here, only YUV to YUV, RGB to RGB and gray to gray" in message


def test_unknown_format_is_refused_with_those_there_are(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.nut", pictures("gray"))
    assert "pixel format 'yuv420p12': must be one of yuv420p, yuv422p" in error_of(path, pix_fmt="yuv420p12")


def test_y4m_of_12_bits_is_converted(tmp_path: Path) -> None:
    planes = np.full(4 * 2 + 2 * 2, 4 * 333, "<u2").tobytes()
    path = tmp_path / "clip.y4m"
    path.write_bytes(b"YUV4MPEG2 W4 H2 F25:1 C420p12 XCOLORRANGE=LIMITED\n" + 2 * (b"FRAME\n" + planes))
    video, frames = read_all(path, pix_fmt="yuv420p10")
    assert (video.pix_fmt, len(frames)) == ("yuv420p10le", 2)
    assert all((plane == 333).all() for frame in frames for plane in frame.planes)
