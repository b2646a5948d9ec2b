# SPDX-License-Identifier: MIT
"""eval/classic_set.py: the same bytes and frames as eval/classic.py, one frame at a time, and jobs that go on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from c3video.errors import ConfigError, SourceError
from c3video.media.sink import open_sink
from c3video.metrics import mse, psnr_db
from c3video.video import ArraySource
from eval import classic, classic_set
from eval.classic_set import IvfDecoder, Setting, encode_to_ivf
from handover.clips import read_clips
from handover.files import write_json
from tests.conftest import moving_clip


def write_run(out: Path, clip: ArraySource, name: str = "moving") -> Path:
    """A run folder of one y4m clip."""
    out.mkdir(exist_ok=True)
    path = out / f"{name}.y4m"
    with open_sink(path, clip.format) as sink:
        for frame in clip:
            sink.write(frame)
    entry = {"name": name, "path": str(path), "first": 0, "last": clip.num_frames, "max_gradient_norm": None}
    write_json(out / "clips.json", [entry | {"width": clip.format.width, "height": clip.format.height}])
    return path


@pytest.mark.parametrize(
    "setting",
    [Setting("x264", "medium", "psnr"), Setting("x265", "medium"), Setting("svtav1", "8"), Setting("vp9", "4")],
)
def test_streamed_encode_equals_that_in_memory(tmp_path: Path, setting: Setting) -> None:
    clip = moving_clip(5, 64, 72)
    whole = classic.encode(list(clip), clip.format, setting.codec, 30, preset=setting.preset, tune=setting.tune or None)
    path = tmp_path / "stream.ivf"
    with path.open("wb") as file:
        record = encode_to_ivf(clip, clip.format, setting, 30, file)
    assert (record["num_frames"], record["size_bytes"], record["raw_size_bytes"]) == (
        5,
        whole.size_bytes,
        whole.raw_size_bytes,
    )
    decoder = IvfDecoder(path, setting.codec, clip.format)
    for planes, frame in zip(decoder, whole.frames, strict=True):
        for a, b in zip(planes, frame.planes, strict=True):
            np.testing.assert_array_equal(a, b)
    assert decoder.cpu_seconds > 0


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gray"])
@pytest.mark.parametrize("codec", ["x264", "x265", "svtav1", "vp9"])
def test_rgb_and_gray_come_back_as_such(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    clip = moving_clip(1, 66, 71, pix_fmt)
    path = tmp_path / "stream.ivf"
    with path.open("wb") as file:
        record = encode_to_ivf(clip, clip.format, Setting.parse(codec), 4, file)
    (planes,), (frame,) = list(IvfDecoder(path, codec, clip.format)), list(clip)
    least_db = 30 if (codec, pix_fmt) == ("svtav1", "gbrp") else 38  # 4:2:0 costs the edges of colours
    for a, b in zip(planes, frame.planes, strict=True):
        assert a.shape == b.shape
        assert psnr_db(mse(a, b), 255) > least_db
    assert record["pix_fmt"] == {"gbrp": "yuv444p", "gray": "gray"}[pix_fmt] or codec in ("svtav1", "vp9")


def test_settings_are_parsed_and_checked() -> None:
    assert Setting.parse("x265:slow:psnr") == Setting("x265", "slow", "psnr")
    assert Setting.parse("svtav1") == Setting("svtav1", "6", "")
    for text in ("vp7", "vp9:1:psnr", "x264:a:b:c"):
        with pytest.raises(ConfigError):
            Setting.parse(text)


def test_truncated_file_is_our_error(tmp_path: Path) -> None:
    clip = moving_clip(3, 64, 64)
    file = io.BytesIO()
    encode_to_ivf(clip, clip.format, Setting("x264", "ultrafast"), 30, file)
    path = tmp_path / "cut.ivf"
    path.write_bytes(file.getvalue()[:-5])
    with pytest.raises(SourceError, match="truncated"):
        list(IvfDecoder(path, "x264", clip.format))


def test_run_writes_streams_once_and_passes_over_what_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, moving_clip(3, 32, 48))  # too small for x265
    clips = read_clips(tmp_path)
    settings = [Setting("x264", "ultrafast"), Setting("x265", "ultrafast")]
    assert classic_set.run(tmp_path, clips, settings, [30, 40]) == 0
    files = sorted(path.name for path in (tmp_path / "classic").iterdir())
    assert files == [f"moving_libx264_ultrafast_{crf}.{suffix}" for crf in (30, 40) for suffix in ("ivf", "json")]
    assert capsys.readouterr().err.count("passed over") == 1
    made = (tmp_path / "classic" / files[0]).stat().st_mtime_ns
    assert classic_set.run(tmp_path, clips, settings, [30, 40]) == 0
    assert (tmp_path / "classic" / files[0]).stat().st_mtime_ns == made
    record = json.loads((tmp_path / "classic" / files[1]).read_text())
    assert (record["clip"], record["encoder"], record["crf"], record["frames"]) == ("moving", "libx264", 30, [0, 3])


def test_budget_leaves_the_rest_for_the_next_run(tmp_path: Path) -> None:
    write_run(tmp_path, moving_clip(2, 32, 32))
    left = classic_set.run(tmp_path, read_clips(tmp_path), [Setting("x264", "ultrafast")], [30], budget_minutes=-1.0)
    assert left == 1
    assert not (tmp_path / "classic").exists()
