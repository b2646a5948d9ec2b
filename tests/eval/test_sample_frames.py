# SPDX-License-Identifier: MIT
"""Sample frames are the decoded samples, with an index of what they are of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import c3video
from c3video.errors import SourceError
from c3video.media.source import open_source
from eval.run_folder import SampleFrame, read_sample_frames
from eval.sample_frames import Sample, as_rgb, sample_clip, write_sample_frames
from tests.conftest import encode_quickly, moving_clip

CLIP = Path(__file__).parents[2] / "pipelines" / "clips" / "bunny_320x180.mkv"


def test_pictures_are_the_frames_and_replace_older_ones(tmp_path: Path) -> None:
    source = moving_clip(2, 20, 30)
    frames = list(source)
    write_sample_frames(tmp_path, "sea", "0.001", 0, [Sample(frames[0], source.format, "source")])
    write_sample_frames(tmp_path, "sky", "0.001", 0, [Sample(frames[0], source.format, "source")])
    ours = Sample(frames[1], source.format, "c3video", "fast", "0.001", 0.5, 31.25)
    write_sample_frames(tmp_path, "sea", "0.001", 1, [ours])
    assert read_sample_frames(tmp_path) == (
        SampleFrame("sky", "0.001", "source", "", "", 0),
        SampleFrame("sea", "0.001", "c3video", "fast", "0.001", 1, 0.5, 31.25),
    )
    picture = np.asarray(Image.open(tmp_path / "frames" / "sea_0.001_c3video.png"))
    np.testing.assert_array_equal(picture, as_rgb(frames[1], source.format))


def test_large_frames_give_their_middle(tmp_path: Path) -> None:
    source = moving_clip(1, 562, 1000, "gray")
    frame = next(iter(source))
    write_sample_frames(tmp_path, "sea", "1", 0, [Sample(frame, source.format, "source")])
    picture = np.asarray(Image.open(tmp_path / "frames" / "sea_1_source.png"))
    np.testing.assert_array_equal(picture, as_rgb(frame, source.format)[11:551, 20:980])


def test_a_stream_stands_beside_others_of_its_size(tmp_path: Path) -> None:
    with open_source(CLIP, frames=(0, 2)) as source:
        (tmp_path / "s.c3v").write_bytes(encode_quickly(source))
    sample_clip(tmp_path, "bunny", "0.001", CLIP, tmp_path / "s.c3v", preset="quick", frames=(0, 2), codecs=("x264",))
    lines = read_sample_frames(tmp_path)
    assert [(line.codec, line.frame) for line in lines] == [("source", 1), ("c3video", 1), ("libx264", 1)]
    with c3video.open(tmp_path / "s.c3v") as clip:
        decoded, format = list(clip)[1], clip.format
    picture = np.asarray(Image.open(tmp_path / "frames" / lines[1].file_name))
    np.testing.assert_array_equal(picture, as_rgb(decoded, format))
    assert lines[1].bpp == (tmp_path / "s.c3v").stat().st_size * 8 / (2 * 320 * 180)
    assert lines[2].bpp is not None
    with pytest.raises(SourceError, match="frame 7"):
        sample_clip(tmp_path, "bunny", "0.001", CLIP, tmp_path / "s.c3v", frames=(0, 2), number=7)
    shutil.rmtree(tmp_path / "frames")
