# SPDX-License-Identifier: MIT
"""Figures of joins and edges, on errors made to measure, and the whole command on a small clip."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from c3video.c3.config import C3Config, isotropic_grids
from c3video.stream.layout import Header
from c3video.video import VideoFormat
from eval.seams import edge_loss_db, main, seams


def test_a_better_first_frame_is_a_jump() -> None:
    errors = np.full((9, 4, 5), 0.01)
    errors[3:6] = 0.001
    found = seams(errors, segment_frames=3)
    assert found.jump_db == pytest.approx((20 - 20) / 2, abs=1e-9)  # 20 dB up at the first join, down at the second
    assert found.usual_db == 0.0
    assert found.change == math.inf
    found = seams(errors[:6], segment_frames=3)
    assert found.jump_db == pytest.approx(20.0)
    assert found.psnr_db == pytest.approx(50.0)


def test_change_counts_errors_that_move_though_no_frame_is_better() -> None:
    errors = np.tile([[0.01, -0.01]], (8, 3, 1)).reshape(8, 3, 2)
    errors += np.arange(8).reshape(8, 1, 1) % 2 * 0.001
    errors[4:] *= -1
    found = seams(errors, segment_frames=4)
    # The median change is 0.001 everywhere; at the join each error turns into its opposite, give or take that.
    assert found.change == pytest.approx(np.square([0.019, 0.021]).mean() / 1e-6, rel=0.02)


def header(rows: int, columns: int) -> Header:
    return Header(VideoFormat(40, 24, "yuv420p"), C3Config(grids=isotropic_grids(3, 1)), 4, rows, columns)


def test_edges_of_patches() -> None:
    errors = np.full((2, 24, 40), 0.01)
    assert edge_loss_db(errors, header(1, 1)) is None
    assert edge_loss_db(errors, header(2, 2)) == pytest.approx(0.0)
    errors[:, 8:16] = 0.1  # around the edge at row 12
    assert edge_loss_db(errors, header(2, 1)) == pytest.approx(20.0)
    errors[:] = 0.01
    errors[:, :, 16:24] = 0.1
    assert edge_loss_db(errors, header(1, 2)) == pytest.approx(20.0)
    assert edge_loss_db(errors, header(2, 1)) == pytest.approx(0.0, abs=1e-9)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "noise.y4m"
    rng, head = np.random.default_rng(0), b"YUV4MPEG2 W64 H64 F25:1 Ip A1:1 C420jpeg\n"
    frames = [b"FRAME\n" + rng.integers(100, 140, 64 * 64 * 3 // 2, dtype=np.uint8).tobytes() for _ in range(34)]
    clip.write_bytes(head + b"".join(frames))
    assert main([str(clip), "--frames", "34", "--preset", "ultrafast", "--codecs", "x264"]) == 0
    _, _, ours, theirs = capsys.readouterr().out.splitlines()
    assert ours.startswith("| noise | c3video default |")
    assert theirs.startswith("|  | x264 |")
    assert main([str(clip), "--frames", "33"]) == 1
    assert "two segments of 32 are the least" in capsys.readouterr().err
