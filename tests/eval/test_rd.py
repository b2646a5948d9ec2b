# SPDX-License-Identifier: MIT
"""eval/rd.py: BD figures of curves whose difference is known, and of published ones."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from eval import rd
from eval.uvg import published

CURVE = [(0.1, 30.0), (0.2, 33.0), (0.4, 36.0), (0.8, 38.0)]


def test_equal_curves_differ_by_nothing_and_overlap_wholly() -> None:
    found = rd.bd_rate(CURVE, CURVE)
    assert found is not None
    assert (found.rate_percent, found.psnr_db) == (pytest.approx(0), pytest.approx(0))
    assert (found.low_db, found.high_db, found.overlap, found.num_points) == (30, 38, 1, (4, 4))


def test_half_the_rate_is_minus_fifty_percent() -> None:
    found = rd.bd_rate(CURVE, [(rate / 2, quality) for rate, quality in CURVE])
    assert found is not None
    assert found.rate_percent == pytest.approx(-50)
    assert found.psnr_db is not None
    assert found.psnr_db > 2


def test_a_decibel_more_is_bd_psnr_of_one_and_the_overlap_is_said() -> None:
    found = rd.bd_rate(CURVE, [(rate, quality + 1) for rate, quality in CURVE])
    assert found is not None
    assert found.psnr_db == pytest.approx(1)
    assert found.rate_percent < 0
    assert (found.low_db, found.high_db, found.overlap) == (31, 38, pytest.approx(7 / 9))


def test_order_of_points_does_not_matter() -> None:
    assert rd.bd_rate(CURVE[::-1], CURVE[2:] + CURVE[:2]) == rd.bd_rate(CURVE, CURVE)


def test_no_overlap_or_a_single_point_gives_no_figure() -> None:
    assert rd.bd_rate(CURVE, [(0.1, 20.0), (0.2, 29.0)]) is None
    assert rd.bd_rate(CURVE, [(0.1, 20.0), (0.2, 30.0)]) is None  # they only touch
    assert rd.bd_rate(CURVE, [(0.2, 34.0)]) is None
    assert rd.bd_rate([], CURVE) is None


def test_one_point_against_a_curve() -> None:
    assert rd.rate_at_point(CURVE, (0.2, 33.0)) == pytest.approx(0)
    assert rd.rate_at_point(CURVE, (0.22, 33.0)) == pytest.approx(10)
    assert rd.rate_at_point(CURVE[:2], (math.sqrt(0.1 * 0.2) / 2, 31.5)) == pytest.approx(-50)  # a line in log rate
    assert rd.rate_at_point(CURVE, (0.2, 38.1)) is None
    assert rd.rate_at_point(CURVE[:1], (0.1, 30.0)) is None


def test_curves_of_apart_rates_have_no_bd_psnr() -> None:
    found = rd.bd_rate(CURVE, [(rate / 100, quality) for rate, quality in CURVE])
    assert found is not None
    assert found.psnr_db is None
    assert found.rate_percent == pytest.approx(-99)


def test_decibels_at_equal_rate_are_of_the_common_rates_alone() -> None:
    better = [(3 * rate, quality + 2) for rate, quality in CURVE[:3]]
    found = rd.at_equal_rates(CURVE, [(rate, quality + 1) for rate, quality in CURVE])
    assert found is not None
    assert found.differences_db == pytest.approx([1.0] * 9)
    assert (found.rates[0], found.rates[-1], found.overlap) == (pytest.approx(0.1), pytest.approx(0.8), 1)
    assert found.middle == (pytest.approx(math.sqrt(0.08)), pytest.approx(1))
    found = rd.at_equal_rates(CURVE, better)
    assert found is not None
    assert (found.rates[0], found.rates[-1]) == (pytest.approx(0.3), pytest.approx(0.8))
    assert found.overlap == pytest.approx(math.log(0.8 / 0.3) / math.log(12))
    # At 0.6 bpp the other curve has a point, of 35 dB.
    at_its_point = rd.at_equal_rates([(0.1, 30.0), (0.6, 34.5)], [(0.3, 33.0), (0.6, 35.0)])
    assert at_its_point is not None
    assert at_its_point.differences_db[-1] == pytest.approx(0.5)


def test_curves_of_apart_rates_are_not_compared_at_equal_rate() -> None:
    assert rd.at_equal_rates(CURVE, [(10 * rate, quality) for rate, quality in CURVE]) is None
    assert rd.at_equal_rates(CURVE, [(0.2, 34.0)]) is None


def test_points_that_a_cheaper_one_beats_are_dropped_and_counted() -> None:
    noisy = [*CURVE, (0.5, 35.0), (0.4, 34.0), (0.9, math.inf)]
    assert rd.clean_curve(noisy) == CURVE
    found = rd.bd_rate(CURVE, noisy)
    assert found is not None
    assert found.num_points == (4, 4)


# DESIGN.md of the project states these marks of C3 on UVG, in whole percent.
@pytest.mark.parametrize(
    ("codec", "percent"),
    [
        ("HEVC (medium, no bframes)", -29),
        ("VCT", -5),
        ("HEVC (HM 18.0, Random Access)", 55),
        ("VTM (17.0, Random Access)", 93),
        ("HiNeRV", 46),
    ],
)
def test_published_curves_give_the_known_marks(codec: str, percent: int) -> None:
    curves = published("uvg")
    found = rd.bd_rate(curves[codec], curves["C3 (Adaptive)"])
    assert found is not None
    assert round(found.rate_percent) == percent


def test_table_compares_ours_with_others_clip_by_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = ["clip", "codec", "profile", "preset", "tune", "quality", "bpp", "psnr_yuv611", "psnr_y", "psnr_rgb"]
    rows = [
        [clip, codec, profile, "fast", "", index, rate * factor, quality, quality - 1, ""]
        for clip, factor in (("a", 1.0), ("b", 3.0))
        for codec, profile, scale in (("c3video", "default", 0.5), ("libx264", "", 1.0))
        for index, (rate, quality) in enumerate([(rate * scale, quality) for rate, quality in CURVE])
    ]
    with (tmp_path / "points.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    assert rd.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "c3video default fast against libx264 fast" in out
    assert out.count("BD-rate -50.0%") == 6  # two clips and their mean, for all planes and for luma
    assert "mean                     BD-rate -50.0% over 2 of 2 clips" in out
    assert rd.main([str(tmp_path), "--at", "2"]) == 0  # the third point of each curve
    out = capsys.readouterr().out
    assert "rate at the psnr_yuv611 of rd_weight 2; negative: c3video needs fewer bits" in out
    assert out.count("-50.0%") == 4  # two clips, for all planes and for luma
    assert rd.main([str(tmp_path), "--at", "7"]) == 1
    assert "no point of c3video has rd_weight 7: there are 0, 1, 2, 3" in capsys.readouterr().err


def test_missing_points_are_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rd.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "points.csv" in error
