# SPDX-License-Identifier: MIT
"""What an encode costs, measured on a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import c3video
from c3video.media.source import open_source
from eval.encode_cost import Cost, cropped, measure
from tests.media.clips import encode, pictures


def test_cost_is_that_of_the_process(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.nut", pictures("gray", (16, 8)))
    cost = measure(clip, "default", "ultrafast", "0:2", 1)
    assert (cost.num_frames, cost.num_pixels) == (2, 2 * 16 * 8)
    assert 0.1 < cost.cpu_seconds < 300
    assert 20 < cost.peak_mib < 10_000


def test_cost_is_for_a_million_samples_of_luma() -> None:
    assert Cost(2_000_000, 2, 5.0, 1.0, 1000, 1e-3, 1e-3).cpu_seconds_a_megapixel == 2.5


def test_loss_counts_all_bytes_and_all_samples(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.nut", pictures("yuv420p", (32, 24)))
    cost = measure(clip, "default", "ultrafast", "1:3", 1, 5e-3)
    with open_source(clip, frames=(1, 3)) as source:
        report = c3video.encode(
            source, tmp_path / "out.c3v", preset="ultrafast", rd_weight=5e-3, threads=1, workers=1, overwrite=True
        )
    assert cost.size_bytes == report.size_bytes
    assert cost.mse == pytest.approx(10 ** (-report.psnr_db / 10), rel=1e-6)
    assert cost.loss == pytest.approx(cost.mse + 5e-3 * 8 * cost.size_bytes / (2 * 32 * 24))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray", "yuv422p"])
def test_the_middle_is_cut_out_of_each_plane(tmp_path: Path, pix_fmt: str) -> None:
    clip = encode(tmp_path / "clip.nut", pictures(pix_fmt, (32, 24)))
    out = cropped(clip, 12, 10, "1:3", tmp_path)
    with open_source(clip, frames=(1, 3)) as source, open_source(out) as inner:
        frames, cut = list(source), list(inner)
        layout = source.format.layout
    assert len(cut) == 2
    for whole, part in zip(frames, cut, strict=True):
        for plane, inside, (down, across) in zip(whole.planes, part.planes, layout.planes, strict=True):
            rows, columns = slice(6 >> down, (6 + 10) >> down), slice(10 >> across, (10 + 12) >> across)
            assert np.array_equal(inside, plane[rows, columns])
    with pytest.raises(OSError, match="smaller than 40x10"):
        cropped(clip, 40, 10, "1:3", tmp_path)


def test_failure_says_what_was_encoded(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(OSError, match=r"notes\.txt: encoding with fast ended with exit code 1"):
        measure(tmp_path / "notes.txt", "default", "fast", "0:2", 1)
