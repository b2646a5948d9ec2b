# SPDX-License-Identifier: MIT
"""c3video/metrics.py: formulas by hand, averaging rules, and files that cannot be compared."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from c3video.errors import SourceError
from c3video.metrics import bpp, compare, measure, mse, psnr_db, ssim, yuv611
from c3video.video import ArraySource, Frame, VideoFormat
from tests.conftest import encode_quickly, moving_clip

HEIGHT, WIDTH = 18, 22


def make_format(pix_fmt: str = "yuv420p", width: int = WIDTH, height: int = HEIGHT) -> VideoFormat:
    return VideoFormat(
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


def make_frames(format: VideoFormat, num_frames: int = 2, seed: int = 0) -> list[Frame]:
    rng = np.random.default_rng(seed)
    layout = format.layout
    return [
        Frame(
            planes=tuple(
                rng.integers(20, layout.max_value - 20, shape).astype(layout.dtype) for shape in format.plane_shapes
            ),
            pts=index,
            duration=1,
        )
        for index in range(num_frames)
    ]


def shifted(frame: Frame, *steps: int) -> Frame:
    """The frame with `steps[k]` added to every sample of plane k."""
    planes = tuple((plane + step).astype(plane.dtype) for plane, step in zip(frame.planes, steps, strict=True))
    return Frame(planes, frame.pts, frame.duration)


def write_y4m(path: Path, frames: list[Frame], width: int = WIDTH, height: int = HEIGHT, tag: str = "420") -> Path:
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C{tag}\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in frame.planes))
    return path


def test_mse_does_not_wrap_around() -> None:
    black, white = np.zeros((2, 3), np.uint8), np.full((2, 3), 255, np.uint8)
    assert mse(black, white) == mse(white, black) == 255**2


def test_mse_of_other_shapes_is_an_error() -> None:
    with pytest.raises(ValueError, match="shapes"):
        mse(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


@pytest.mark.parametrize(("error", "max_value", "expected"), [(1.0, 255, 48.1308), (16.0, 1023, 48.1563)])
def test_psnr_is_ten_log_of_peak_squared_over_mse(error: float, max_value: int, expected: float) -> None:
    assert psnr_db(error, max_value) == pytest.approx(expected, abs=1e-4)


def test_psnr_of_equal_planes_is_infinite() -> None:
    assert psnr_db(0.0, 255) == math.inf


def test_yuv611_weighs_luma_six_times() -> None:
    assert yuv611(40.0, 32.0, 24.0) == 37.0


def test_bpp_counts_luma_samples() -> None:
    assert bpp(1000, 4, 10, 50) == 4.0


def test_ssim_of_flat_planes_is_the_luminance_term() -> None:
    a, b = np.full((16, 16), 100, np.uint8), np.full((16, 16), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b, 255) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))


def test_ssim_of_equal_planes_is_one() -> None:
    plane = np.random.default_rng(0).integers(0, 1024, (17, 19)).astype(np.uint16)
    assert ssim(plane, plane, 1023) == pytest.approx(1.0)


def test_ssim_needs_a_whole_window() -> None:
    format = make_format(width=10, height=40)
    frames = make_frames(format)
    assert measure(frames, frames, format).ssim is None


def test_psnr_is_averaged_over_frames_and_not_over_errors() -> None:
    format = make_format()
    frames = make_frames(format)
    result = measure(frames, [shifted(frames[0], 1, 2, 2), shifted(frames[1], 4, 2, 2)], format)
    assert result.psnr_y == pytest.approx((psnr_db(1, 255) + psnr_db(16, 255)) / 2)
    assert result.psnr_u == result.psnr_v == pytest.approx(psnr_db(4, 255))
    assert result.psnr_y is not None
    assert result.psnr_yuv611 == pytest.approx((6 * result.psnr_y + 2 * psnr_db(4, 255)) / 8)
    assert result.num_frames == 2
    assert result.bpp is None


def test_psnr_all_is_of_the_error_of_all_samples_of_all_frames() -> None:
    format = make_format()
    frames = make_frames(format)
    result = measure(frames, [shifted(frames[0], 1, 2, 3), shifted(frames[1], 4, 0, 0)], format)
    # 4:2:0: a plane of chroma has a quarter of the samples of luma
    assert result.psnr_all == pytest.approx(psnr_db((4 * 1 + 4 + 9 + 4 * 16) / (2 * 6), 255))
    assert "psnr_all" not in result.differing


def test_rgb_clips_have_figures_of_r_g_and_b() -> None:
    format = make_format("gbrp")
    frames = make_frames(format)
    distorted = [shifted(frames[0], 1, 2, 3), shifted(frames[1], 4, 5, 6)]
    result = measure(frames, distorted, format, size_bytes=99)
    assert result.psnr_g == pytest.approx((psnr_db(1, 255) + psnr_db(16, 255)) / 2)
    assert result.psnr_r == pytest.approx((psnr_db(9, 255) + psnr_db(36, 255)) / 2)
    assert result.psnr_rgb == pytest.approx((psnr_db(14 / 3, 255) + psnr_db(77 / 3, 255)) / 2)
    assert result.psnr_rgb_seq == pytest.approx(psnr_db(91 / 6, 255))
    assert result.psnr_y is None
    assert result.ssim is not None
    assert result.bpp == bpp(99, 2, HEIGHT, WIDTH)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_rgb_figure_of_a_yuv_clip_follows_the_change(pix_fmt: str) -> None:
    format = make_format(pix_fmt, width=23, height=17)
    depth_step = (format.layout.max_value + 1) // 256
    # mid-gray without chroma, so that no sample is clipped and luma alone moves R, G and B alike
    flat = Frame(tuple(np.full(s, 128 * depth_step, format.layout.dtype) for s in format.plane_shapes), 0, 1)
    result = measure([flat], [shifted(flat, 10 * depth_step, 0, 0)], format)
    assert result.psnr_rgb == result.psnr_rgb_seq
    # limited range: ten steps of luma are 10 x 255 / 219 of RGB
    assert result.psnr_rgb == pytest.approx(psnr_db((10 * 255 / 219) ** 2, 255), abs=0.5)


def test_gray_clips_have_luma_only() -> None:
    format = make_format("gray")
    frames = make_frames(format)
    result = measure(frames, [shifted(frame, 2) for frame in frames], format)
    assert result.psnr_y == pytest.approx(psnr_db(4, 255))
    assert result.psnr_yuv611 is result.psnr_rgb is None


def test_unknown_matrix_withholds_only_the_rgb_figures() -> None:
    format = replace(make_format(), color_space=8)  # YCgCo
    frames = make_frames(format)
    result = measure(frames, frames, format)
    assert result.psnr_yuv611 == math.inf
    assert result.psnr_rgb is result.psnr_rgb_seq is None


def test_equal_clips_make_valid_json() -> None:
    format = make_format()
    frames = make_frames(format)
    facts = json.loads(json.dumps(measure(frames, frames, format).as_dict(), allow_nan=False))
    assert facts["psnr_y"] == facts["psnr_rgb_seq"] == "inf"
    assert "bpp" not in facts
    assert facts["ssim"] == pytest.approx(1.0)


def test_text_has_a_line_for_each_figure() -> None:
    format = make_format()
    frames = make_frames(format)
    lines = measure(frames, frames, format, size_bytes=10).as_text().splitlines()
    assert [line.split()[0] for line in lines] == [
        *("frames", "size", "bpp", "PSNR", "psnr_y", "psnr_u", "psnr_v", "psnr_yuv611", "psnr_rgb"),
        *("psnr_all", "ssim"),
    ]


def test_one_exact_frame_leaves_finite_figures_beside_the_infinite_mean() -> None:
    """A black leader, say, that any codec gives back exactly."""
    format = make_format()
    frames = make_frames(format, 3)
    distorted = [frames[0], shifted(frames[1], 1, 2, 2), shifted(frames[2], 4, 2, 2)]
    result = measure(frames, distorted, format)
    assert result.num_exact == 1
    assert result.psnr_y == result.psnr_yuv611 == math.inf
    assert result.differing["psnr_y"] == pytest.approx((psnr_db(1, 255) + psnr_db(16, 255)) / 2)
    assert result.psnr_y_seq == pytest.approx(psnr_db(17 / 3, 255))
    assert result.psnr_u_seq == pytest.approx(psnr_db(8 / 3, 255))
    assert result.psnr_yuv611_seq == pytest.approx((6 * psnr_db(17 / 3, 255) + 2 * psnr_db(8 / 3, 255)) / 8)
    text = result.as_text()
    assert "1 of them exact" in text
    (line,) = [line for line in text.splitlines() if line.startswith("psnr_y ")]
    assert line.split()[1:] == ["inf", "42.110", "40.598"]
    facts = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert facts["differing"]["psnr_y"] == pytest.approx(42.11, abs=0.01)


def test_text_says_pooling_and_which_ssim() -> None:
    format = make_format()
    frames = make_frames(format)
    text = measure(frames, [shifted(frame, 1, 1, 1) for frame in frames], format).as_text()
    for words in ("mean of frames", "of all frames' MSE", "Gaussian window of 11x11, mean of frames"):
        assert words in text
    assert "inf" not in text
    assert "exact" not in text


def test_figures_of_each_frame_are_noted() -> None:
    format = make_format()
    frames = make_frames(format, 2)
    found: list[tuple[int, dict[str, float]]] = []
    distorted = [shifted(frames[0], 1, 2, 2), shifted(frames[1], 4, 2, 2)]
    measure(frames, distorted, format, note=lambda pts, figures: found.append((pts, figures)))
    assert [(pts, figures["psnr_y"]) for pts, figures in found] == [
        (0, pytest.approx(psnr_db(1, 255))),
        (1, pytest.approx(psnr_db(16, 255))),
    ]


def test_clip_that_ends_early_is_named() -> None:
    format = make_format()
    frames = make_frames(format, 3)
    with pytest.raises(SourceError, match=r"short\.mkv ends after 2 frames but long\.mkv goes on"):
        measure(frames, frames[:2], format, names=("long.mkv", "short.mkv"))


def test_no_frames_is_an_error() -> None:
    with pytest.raises(SourceError, match="no frames"):
        measure([], [], make_format())


def test_compare_reads_files_and_counts_their_bytes(tmp_path: Path) -> None:
    frames = make_frames(make_format())
    reference = write_y4m(tmp_path / "a.y4m", frames)
    distorted = write_y4m(tmp_path / "b.y4m", [shifted(frame, 3, 0, 0) for frame in frames])
    result = compare(reference, distorted)
    assert result.psnr_y == pytest.approx(psnr_db(9, 255))
    assert result.psnr_u == math.inf
    assert result.size_bytes == distorted.stat().st_size
    assert result.bpp == pytest.approx(8 * distorted.stat().st_size / (2 * HEIGHT * WIDTH))


def test_compare_takes_the_frame_range_of_the_reference(tmp_path: Path) -> None:
    frames = make_frames(make_format(), 4)
    reference = write_y4m(tmp_path / "a.y4m", frames)
    result = compare(reference, write_y4m(tmp_path / "b.y4m", frames[1:3]), frames=(1, 3))
    assert result.num_frames == 2
    assert result.psnr_y == math.inf


def test_compare_converts_a_yuv_reference_for_an_rgb_clip(tmp_path: Path) -> None:
    from c3video.media.source import open_source

    reference = write_y4m(tmp_path / "a.y4m", make_frames(make_format()))
    with open_source(reference, as_rgb=True) as source:
        data = b"".join(plane.tobytes() for frame in source for plane in frame.planes)
    (tmp_path / "b.yuv").write_bytes(data)
    result = compare(reference, tmp_path / "b.yuv", size=(WIDTH, HEIGHT), pix_fmt="gbrp")
    assert result.pix_fmt == "gbrp"
    assert result.psnr_rgb == math.inf


def test_reference_on_its_head_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = moving_clip(1, HEIGHT, WIDTH)
    paths = [tmp_path / name for name in ("turned.c3v", "upright.c3v")]
    for path, rotation in zip(paths, (180, 0), strict=True):
        turned = ArraySource([frame.planes for frame in clip], replace(clip.format, rotation=rotation))
        path.write_bytes(encode_quickly(turned))
    compare(*paths)
    assert "turned.c3v is stored turned or mirrored" in caplog.text
    caplog.clear()
    compare(*paths, rotate=True)
    compare(paths[1], paths[1])
    assert not caplog.records


@pytest.mark.parametrize(
    ("pix_fmt", "width", "tag", "message"),
    [
        ("yuv420p", 24, "420", "is 24x18 but .* is 22x18"),
        ("yuv444p", WIDTH, "444", "is yuv444p but .* is yuv420p"),
    ],
)
def test_clips_of_other_formats_are_refused(tmp_path: Path, pix_fmt: str, width: int, tag: str, message: str) -> None:
    reference = write_y4m(tmp_path / "a.y4m", make_frames(make_format()))
    other = make_frames(make_format(pix_fmt, width=width))
    with pytest.raises(SourceError, match=message):
        compare(reference, write_y4m(tmp_path / "b.y4m", other, width=width, tag=tag))


def test_missing_file_is_a_source_error(tmp_path: Path) -> None:
    reference = write_y4m(tmp_path / "a.y4m", make_frames(make_format()))
    with pytest.raises(SourceError, match=r"none\.y4m"):
        compare(reference, tmp_path / "none.y4m")
