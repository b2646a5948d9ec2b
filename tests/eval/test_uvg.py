# SPDX-License-Identifier: MIT
"""eval/uvg.py: means over clips, and when they may be put beside published curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from c3video.errors import SourceError
from eval import uvg
from eval.measure import POINT_COLUMNS
from handover.files import write_csv, write_json

CLIPS = ["Beauty", "Jockey"]
QUALITIES = [(1e-4, 0.4, 40.0), (1e-3, 0.1, 37.0), (3e-3, 0.03, 34.5)]


def write_run(out: Path, **facts: object) -> None:
    rows = []
    for number, clip in enumerate(CLIPS):
        for codec, profile, scale in (("c3video", "paper", 1.0), ("libx265", "", 2.0)):
            for quality, bpp, psnr in QUALITIES:
                row = {"clip": clip, "codec": codec, "profile": profile, "preset": "p", "tune": "", "quality": quality}
                row |= {"bpp": scale * (bpp + 0.01 * number), "psnr_rgb": psnr + 2 * number}
                rows.append(row | {"encode_seconds": 3600, "decode_seconds": 36})
    write_csv(out / "points.csv", POINT_COLUMNS, rows)
    sizes = {"first": 0, "last": 2, "width": 1920, "height": 1080}
    write_json(out / "clips.json", [{"name": clip, "path": "x", **sizes} for clip in CLIPS])
    write_json(out / "run.json", facts)


def test_means_are_over_clips_and_hours_are_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path)
    assert uvg.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "BD-rate -50.0%" in out
    assert "published curves: not compared" in out
    lines = (tmp_path / "means.csv").read_text().splitlines()
    assert lines[1] == "c3video,paper,p,,0.0001,2,0.405,41.0,,2.0,0.02"
    assert len(lines) == 1 + 2 * len(QUALITIES)


def test_only_a_whole_set_is_put_beside_published_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, published="uvg")
    assert uvg.main([str(tmp_path)]) == 0
    assert "c3video paper p against C3 (Adaptive): BD-rate" in capsys.readouterr().out


def test_a_quality_that_a_clip_lacks_has_no_mean(tmp_path: Path) -> None:
    write_run(tmp_path)
    rows = [
        row for row in uvg.read_points(tmp_path / "points.csv") if (row["clip"], row["quality"]) != ("Jockey", "0.001")
    ]
    assert {row["quality"] for row in uvg.means(rows, CLIPS)} == {"0.0001", "0.003"}


def test_the_best_setting_is_chosen_for_each_clip_and_rate() -> None:
    def row(clip: str, profile: str, quality: str, psnr: str, bpp: str) -> dict[str, str]:
        return {"clip": clip, "preset": "p", "quality": quality, "psnr_rgb_seq": psnr, "bpp": bpp, "profile": profile}

    rows = [
        row("a", "paper", "0.001", "30", "0.5"),
        row("a", "paper-per-grid", "0.001", "30", "0.4"),  # the same error for less
        row("a", "paper-shared", "0.001", "31", "0.9"),  # 0.2e-3 less error, 0.5e-3 more bits
        row("a", "paper", "0.01", "30", "0.5"),  # without the others: no choice
        row("a", "default", "0.001", "30", "0.1"),
    ]
    assert uvg.adaptive(rows) == [rows[1] | {"profile": "paper-adaptive"}]


@pytest.mark.parametrize(("name", "num_codecs"), [("uvg", 16), ("kodak", 27), ("clic2020", 10)])
def test_published_curves_are_there_and_rise(name: str, num_codecs: int) -> None:
    curves = uvg.published(name)
    assert len(curves) == num_codecs
    for points in curves.values():
        assert points == sorted(points)


def test_unknown_set_is_our_error() -> None:
    with pytest.raises(SourceError, match="nothing_published"):
        uvg.published("nothing")
