# SPDX-License-Identifier: MIT
"""eval/measure.py: its tables against figures computed otherwise, and streams that do not fit their originals."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from c3video.c3.config import LatentGrid
from c3video.encoder import encode
from c3video.errors import SourceError
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.media.rgb import FfmpegRgb, RgbSource
from c3video.media.source import open_source
from c3video.metrics import compare, psnr_db
from c3video.models import multiply_adds
from c3video.video import ArraySource, Frame
from eval import measure
from eval.classic_set import Setting
from eval.classic_set import run as run_classic
from handover.clips import read_clips
from handover.files import write_json
from tests.conftest import TINY_MODEL, encode_quickly, moving_clip
from tests.eval.test_classic_set import write_run

MODEL = replace(TINY_MODEL, grids=(LatentGrid(0, 1, True), LatentGrid(2, 2)))


def add_stream(out: Path, data: bytes, frames: list[int], profile: str = "default") -> Path:
    path = out / "streams" / f"moving_{profile}_quick_0.001.c3v"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    record: dict[str, Any] = {"clip": "moving", "profile": profile, "preset": "quick", "rd_weight": 0.001}
    write_json(
        path.with_suffix(".json"),
        record | {"frames": frames, "encode_seconds": 2.5, "encode_cpu_seconds": 2.0, "commit": "abc"},
    )
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def clip() -> ArraySource:
    return moving_clip(5, 34, 46)


@pytest.fixture(scope="module")
def stream(clip: ArraySource) -> bytes:
    return encode_quickly(clip, MODEL, segment_frames=3)


def test_tables_hold_what_other_ways_compute(tmp_path: Path, clip: ArraySource, stream: bytes) -> None:
    original = write_run(tmp_path, clip)
    path = add_stream(tmp_path, stream, [0, 5])
    units = tmp_path / "units" / path.stem
    units.mkdir(parents=True)
    (units / "0001.steps.csv").write_text("stage,step,loss,psnr_db,bpp,patch\nnoise,1,0.1,10,0.2,0\n")
    run_classic(tmp_path, read_clips(tmp_path), [Setting("x264", "ultrafast")], [30])
    assert measure.run(tmp_path) == 2

    ours, theirs = rows_of(tmp_path / "points.csv")
    assert tuple(ours) == measure.POINT_COLUMNS
    expected = compare(original, path)
    for name in ("psnr_y", "psnr_u", "psnr_v", "psnr_yuv611", "ssim"):
        assert float(ours[name]) == pytest.approx(getattr(expected, name), abs=1e-4)
    assert (ours["codec"], ours["quality"], ours["num_frames"], ours["commit"]) == ("c3video", "0.001", "5", "abc")
    assert int(ours["size_bytes"]) == len(stream)
    assert float(ours["bpp"]) == pytest.approx(8 * len(stream) / (5 * 34 * 46), rel=1e-5)
    assert float(ours["macs_per_pixel"]) == round(multiply_adds(MODEL, "yuv420p").total, 1)
    assert (theirs["codec"], theirs["preset"], theirs["quality"]) == ("libx264", "ultrafast", "30")
    assert float(theirs["psnr_yuv611"]) > 20

    frames = rows_of(tmp_path / "frames.csv")
    assert [(row["codec"], row["frame"]) for row in frames] == [
        (codec, str(index)) for codec in ("c3video", "libx264") for index in range(5)
    ]
    assert np.mean([float(row["psnr_rgb"]) for row in frames[:5]]) == pytest.approx(float(ours["psnr_rgb"]), abs=1e-3)
    bits = rows_of(tmp_path / "bits.csv")
    assert sum(float(row["bits"]) for row in bits) == pytest.approx(8 * len(stream), abs=2)
    windows = rows_of(tmp_path / "windows.csv")
    assert [(row["segment"], row["patch"], row["grid"]) for row in windows] == [("0", "0", "0"), ("1", "0", "0")]
    (step,) = rows_of(tmp_path / "convergence.csv")
    assert (step["clip"], step["segment"], step["stage"], step["loss"]) == ("moving", "1", "noise", "0.1")
    totals = json.loads((tmp_path / "run.json").read_text())
    assert totals["hours"]["c3video"]["encode"] == round(2.5 / 3600, 4)


def test_stream_of_the_frame_model_has_bits_by_level_and_no_windows(tmp_path: Path, clip: ArraySource) -> None:
    file, model = io.BytesIO(), HybridConfig(2)
    encode(clip, file, model, HybridFitConfig(plans=1, passes=0), segment_frames=3)
    write_run(tmp_path, clip)
    add_stream(tmp_path, file.getvalue(), [0, 5])
    measure.run(tmp_path, with_ssim=False)
    (point,) = rows_of(tmp_path / "points.csv")
    assert float(point["macs_per_pixel"]) == round(multiply_adds(model, "yuv420p").total, 1)
    bits = {row["part"]: float(row["bits"]) for row in rows_of(tmp_path / "bits.csv")}
    assert sum(bits.values()) == pytest.approx(8 * len(file.getvalue()), abs=2)
    assert {"level 0", "motion", "subbands weights", "frame table", "header and index"} <= set(bits)
    assert rows_of(tmp_path / "windows.csv") == []


def test_rgb_is_that_of_the_published_experiments(clip: ArraySource) -> None:
    shifted = [Frame((frame.planes[0] // 2, *frame.planes[1:]), frame.pts) for frame in clip]
    planes = [frame.planes for frame in shifted]
    found = measure.quality_of(clip, planes, clip.format, clip.format, with_ssim=False)
    convert = FfmpegRgb(clip.format)
    errors = []
    for a, b in zip(clip, shifted, strict=True):
        pairs = zip(convert(a).planes, convert(b).planes, strict=True)
        errors.append(float(np.mean([(x.astype(int) - y) ** 2 for x, y in pairs])))
    assert found.frames["psnr_rgb"] == pytest.approx([psnr_db(error, 255) for error in errors])
    assert found.means()["psnr_rgb_seq"] == pytest.approx(psnr_db(float(np.mean(errors)), 255))


def test_rgb_stream_is_compared_with_the_converted_original(tmp_path: Path, clip: ArraySource) -> None:
    original = write_run(tmp_path, clip)
    with open_source(original) as source:
        data = encode_quickly(RgbSource(source), MODEL)  # type: ignore[arg-type]
    add_stream(tmp_path, data, [0, 5], profile="paper")
    measure.run(tmp_path, with_ssim=False)
    (point,) = rows_of(tmp_path / "points.csv")
    assert point["psnr_y"] == point["psnr_yuv611"] == point["ssim"] == ""
    assert float(point["psnr_rgb"]) > 10


def test_equal_gray_frames_are_infinitely_good_and_have_one_plane() -> None:
    gray = moving_clip(2, 16, 16, "gray")
    planes = [frame.planes for frame in gray]
    found = measure.quality_of(gray, planes, gray.format, gray.format)
    assert found.means() == {"psnr_y": np.inf, "psnr_rgb": np.inf, "psnr_rgb_seq": np.inf, "ssim": 1.0}
    darker = [tuple(np.maximum(plane, 4) - 4 for plane in frame) for frame in planes]
    means = measure.quality_of(gray, darker, gray.format, gray.format).means()
    assert means["psnr_rgb"] == means["psnr_y"] < 40  # so that images of both kinds stand in one mean


def test_a_stream_is_measured_once_until_it_changes(
    tmp_path: Path, clip: ArraySource, stream: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, clip)
    path = add_stream(tmp_path, stream, [0, 5])
    measure.run(tmp_path, with_ssim=False)
    first = (tmp_path / "points.csv").read_text()
    assert "measure:" in capsys.readouterr().err
    measure.run(tmp_path, with_ssim=False)
    assert "measure:" not in capsys.readouterr().err
    assert (tmp_path / "points.csv").read_text() == first
    decoding = {"decode_seconds": 9.0, "decode_cpu_seconds": 8.0, "peak_memory_mib": 7.0}
    crc = json.loads(next((tmp_path / "measured").iterdir()).read_text())["key"]["stream_crc32"]
    write_json(tmp_path / "decoded" / f"{path.stem}.json", decoding | {"file_crc32": crc})
    measure.run(tmp_path, with_ssim=False)
    (point,) = rows_of(tmp_path / "points.csv")
    assert (point["decode_seconds"], point["peak_memory_mib"]) == ("9.0", "7.0")
    write_json(tmp_path / "decoded" / f"{path.stem}.json", decoding | {"file_crc32": crc + 1})  # of another stream
    measure.run(tmp_path, with_ssim=False)
    assert rows_of(tmp_path / "points.csv")[0]["peak_memory_mib"] == ""


def test_streams_of_other_frames_are_refused(tmp_path: Path, clip: ArraySource, stream: bytes) -> None:
    write_run(tmp_path, clip)
    add_stream(tmp_path, stream, [0, 4])
    with pytest.raises(SourceError, match=r"frames 0:4, but clips\.json says 0:5"):
        measure.run(tmp_path)
    planes = [frame.planes for frame in clip][:4]
    with pytest.raises(SourceError, match="after 4 frames"):
        measure.quality_of(clip, planes, clip.format, clip.format)


def test_a_folder_without_clips_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "clips.json" in error
