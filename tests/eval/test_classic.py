# SPDX-License-Identifier: MIT
"""eval/classic.py: sizes without version text, exact decoding, and published rows of the same encoders."""

from __future__ import annotations

import ctypes
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from c3video.errors import ConfigError
from c3video.media.source import open_source
from c3video.metrics import measure
from c3video.video import Frame, VideoFormat
from eval import classic

CARPHONE = Path(__file__).resolve().parents[3] / "shared" / "data" / "carphone_176x144.mkv"

X264_VERSION_UUID = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")


def make_clip(
    pix_fmt: str = "yuv420p", width: int = 72, height: int = 64, num_frames: int = 5
) -> tuple[list[Frame], VideoFormat]:
    """A blob that moves over a grating, with some noise."""
    format = VideoFormat(
        width=width,
        height=height,
        pix_fmt=pix_fmt,
        time_base=Fraction(1, 25),
        frame_rate=Fraction(25),
        sample_aspect_ratio=Fraction(1),
        color_primaries=2,
        color_trc=2,
        color_space=2,
        color_range=0,
        chroma_location=0,
    )
    rng = np.random.default_rng(0)
    frames = []
    for index in range(num_frames):
        planes = []
        for plane_height, plane_width in format.plane_shapes:
            y, x = np.mgrid[:plane_height, :plane_width]
            blob = np.exp(-((x - 8 - 2 * index) ** 2 + (y - 10) ** 2) / 30)
            signal = 0.4 + 0.1 * np.sin(x / 3) + 0.3 * blob + rng.normal(0, 0.01, x.shape)
            planes.append(np.rint(signal * format.layout.max_value).astype(format.layout.dtype))
        frames.append(Frame(tuple(planes), pts=40 * index, duration=40))
    return frames, format


# codec, preset, crf; bytes without the version SEI, psnr_y and psnr_u, as another script found them.
ANCHORS = [
    ("x264", "medium", 22, 8355, 37.605, 42.693),
    ("x264", "medium", 32, 2731, 31.592, 38.590),
    ("x265", "medium", 27, 4963, 35.507, 41.337),
    ("svtav1", "6", 36, 6139, 37.460, 43.032),
]


@pytest.mark.skipif(not CARPHONE.is_file(), reason=f"{CARPHONE} is not there")
@pytest.mark.parametrize(("codec", "preset", "crf", "size_bytes", "psnr_y", "psnr_u"), ANCHORS)
def test_anchor_rows_of_carphone_are_met(
    codec: str, preset: str, crf: int, size_bytes: int, psnr_y: float, psnr_u: float
) -> None:
    with open_source(CARPHONE, frames=(0, 16)) as source:
        format, frames = source.format, list(source)
    encoded = classic.encode(frames, format, codec, crf, preset=preset)
    # Other versions of an encoder, and of its SIMD code, may differ by a little.
    assert encoded.size_bytes == pytest.approx(size_bytes, rel=0.01)
    quality = measure(frames, encoded.frames, format, size_bytes=encoded.size_bytes)
    assert quality.psnr_y == pytest.approx(psnr_y, abs=0.05)
    assert quality.psnr_u == pytest.approx(psnr_u, abs=0.05)


@pytest.mark.parametrize("codec", list(classic.CODECS))
def test_every_codec_gives_all_frames_back(codec: str) -> None:
    frames, format = make_clip()
    encoded = classic.encode(frames, format, codec, 20)
    assert [frame.pts for frame in encoded.frames] == [frame.pts for frame in frames]
    quality = measure(frames, encoded.frames, format)
    assert quality.psnr_y is not None
    assert quality.psnr_y > 30
    assert 0 < encoded.size_bytes <= encoded.raw_size_bytes
    assert encoded.encode_cpu_seconds > 0
    assert encoded.decode_cpu_seconds > 0


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "gray"])
def test_lossless_x264_returns_the_very_samples(pix_fmt: str) -> None:
    frames, format = make_clip(pix_fmt)
    encoded = classic.encode(frames, format, "x264", 0)
    for frame, decoded in zip(frames, encoded.frames, strict=True):
        for plane, decoded_plane in zip(frame.planes, decoded.planes, strict=True):
            np.testing.assert_array_equal(plane, decoded_plane)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("x264", "yuv420p10le"), ("x265", "yuv420p10le"), ("x264", "gbrp"), ("x265", "gbrp")]
)
def test_ten_bits_and_rgb_keep_their_planes_in_place(codec: str, pix_fmt: str) -> None:
    frames, format = make_clip(pix_fmt)
    encoded = classic.encode(frames, format, codec, 8)
    for plane, decoded_plane in zip(frames[2].planes, encoded.frames[2].planes, strict=True):
        assert plane.dtype == decoded_plane.dtype
        difference = plane.astype(int) - decoded_plane.astype(int)
        assert np.abs(difference).mean() < format.layout.max_value / 100


def test_only_the_version_text_is_subtracted() -> None:
    frames, format = make_clip()
    for codec, least in (("x264", 400), ("x265", 1000)):
        encoded = classic.encode(frames, format, codec, 25)
        assert least < encoded.raw_size_bytes - encoded.size_bytes < 4000


def test_sei_with_other_messages_is_kept() -> None:
    version = b"\x06\x05\x14" + X264_VERSION_UUID + b"x264\x80"
    long_version = b"\x06\x05\xff\x11" + X264_VERSION_UUID + b"o" * (272 - 16) + b"\x80"
    recovery_point = b"\x06\x06\x01\x84\x80"
    both = b"\x06\x06\x01\x84\x05\x14" + X264_VERSION_UUID + b"x264\x80"
    slice_nal = b"\x65\x88\x84\x00\xdf"
    short, start = b"\x00\x00\x01", b"\x00\x00\x00\x01"
    packet = start + version + short + slice_nal + start + recovery_point + start + both + short + long_version
    expected = len(start + version) + len(short + long_version)
    assert classic.version_sei_bytes(packet, sei_nal_type=6) == expected


def test_hevc_sei_has_a_header_of_two_bytes() -> None:
    version = b"\x00\x00\x01\x4e\x01\x05\x14" + X264_VERSION_UUID + b"x265\x80"
    other = b"\x00\x00\x01\x4e\x01\x81\x01\x05\x80"
    assert classic.version_sei_bytes(version + other, sei_nal_type=39) == len(version)


def test_at_size_finds_the_nearest_encode() -> None:
    frames, format = make_clip(width=96, height=64, num_frames=8)
    wanted = classic.encode(frames, format, "x264", 27.5)
    found, quality = classic.at_size(frames, format, "x264", wanted.size_bytes)
    assert found.size_bytes == pytest.approx(wanted.size_bytes, rel=0.03)
    assert quality.size_bytes == found.size_bytes
    assert quality.psnr_y == pytest.approx(measure(frames, wanted.frames, format).psnr_y, abs=0.3)


def test_at_size_out_of_reach_gives_the_end_of_the_range() -> None:
    frames, format = make_clip()
    found, _ = classic.at_size(frames, format, "x264", 1)
    assert found.crf > 45


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "width", "options", "message"),
    [
        ("divx", "yuv420p", 48, {}, "must be one of x264, x265"),
        ("vp9", "yuv420p", 48, {"tune": "psnr"}, "only x264 and x265"),
        ("x264", "gbrp10le", 48, {}, "libx264 cannot encode 48x64 gbrp10le"),
        ("x264", "yuv420p", 47, {}, "libx264 cannot encode 47x64 yuv420p"),
        ("x265", "yuv420p", 48, {}, "frames of 48x64; sides must be at least 64"),
        ("x264", "yuv420p", 48, {"preset": "warp"}, "libx264 cannot encode"),
    ],
)
def test_what_an_encoder_refuses_is_a_config_error(
    codec: str, pix_fmt: str, width: int, options: dict[str, str], message: str
) -> None:
    frames, format = make_clip(pix_fmt, width=width)
    with pytest.raises(ConfigError, match=message):
        classic.encode(frames, format, codec, 25, **options)


def test_no_frames_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="no frames"):
        classic.encode([], make_clip()[1], "x264", 25)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_x264_repeats_itself_whatever_memory_held_before() -> None:
    frames, format = make_clip(width=176, height=144, num_frames=12)
    mallopt = ctypes.CDLL(None).mallopt
    sizes = set()
    for fill in (0xFF, 1):  # new memory is 0 or -258 if taken for motion vectors
        mallopt(-6, fill)
        sizes.add(classic.encode(frames, format, "x264", 32).size_bytes)
    mallopt(-6, 0)
    assert len(sizes) == 1
