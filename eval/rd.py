# SPDX-License-Identifier: MIT
"""Rate-distortion curves, BD-rate and BD-PSNR: how much less (or more) one codec needs than another.

    OUT/points.csv -> curves by clip and codec -> BD figures, with the overlap they rest on

BD figures are means over the range that both curves cover. Each therefore comes with that range and with the share it
is of what the two cover together; where the curves do not overlap there is no figure.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from c3video.errors import C3VideoError, SourceError

Point = tuple[float, float]
"""(rate in bpp, quality in dB)."""

METHOD = "akima"
"""Interpolation between points of a curve, over the logarithm of the rate (`bjontegaard`'s name of it)."""

QUALITIES = {
    "psnr_yuv611": "our protocol: planes as coded, mean over frames of (6 Y + U + V) / 8",
    "psnr_rgb": "the paper's protocol: RGB as ffmpeg converts by default, mean over frames",
    "psnr_y": "luma alone, mean over frames",
}
"""Columns of points.csv that curves are drawn of."""
_SHOWN = ("psnr_yuv611", "psnr_y", "psnr_rgb")


@dataclass(frozen=True)
class BD:
    """The difference between two curves, `test` against `reference`.

    Args:
        rate_percent: BD-rate, difference in rate at equal quality; negative where `test` needs less.
        psnr_db: BD-PSNR, difference in quality at equal rate; positive where `test` is better; None where the
            curves share qualities but no rates.
        low_db, high_db: range of quality that both curves cover, over which `rate_percent` is a mean.
        overlap: that range as a share of what the two cover together, above 0 and up to 1.
        num_points: of the reference's and of the test's curve that were used.
    """

    rate_percent: float
    psnr_db: float | None
    low_db: float
    high_db: float
    overlap: float
    num_points: tuple[int, int]

    def __str__(self) -> str:
        psnr = "" if self.psnr_db is None else f", BD-PSNR {self.psnr_db:+.2f} dB"
        return (
            f"BD-rate {self.rate_percent:+.1f}%{psnr} over {self.low_db:.1f}..{self.high_db:.1f} dB "
            f"({100 * self.overlap:.0f}% overlap, {self.num_points[0]} and {self.num_points[1]} points)"
        )


def clean_curve(points: Iterable[Point]) -> list[Point]:
    """Points by rising rate, without those that a cheaper one equals or beats, and without infinite ones.

    BD figures are of functions: quality must rise with rate. What is dropped shows in `BD.num_points`.
    """
    curve: list[Point] = []
    for rate, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if math.isfinite(quality) and rate > 0 and (not curve or quality > curve[-1][1]):
            curve.append((rate, quality))
    return curve


def bd_rate(reference: Sequence[Point], test: Sequence[Point]) -> BD | None:
    """BD-rate and BD-PSNR of one curve against another, by the `bjontegaard` package.

    Args:
        reference, test: (bpp, dB) of each point, in any order.

    Returns:
        None where a curve has fewer than two points or the two share no range of quality.

    Source:
        Bjontegaard, Calculation of average PSNR differences between RD-curves, VCEG-M33, 2001; Akima interpolation as
        in Herglotz et al., arXiv 2202.12565.
    """
    a, b = clean_curve(reference), clean_curve(test)
    if len(a) < 2 or len(b) < 2:
        return None
    low, high = max(a[0][1], b[0][1]), min(a[-1][1], b[-1][1])
    if not low < high:
        return None
    import bjontegaard  # imports a plotting library, which takes a second, and only this needs it

    curves = ([p[0] for p in a], [p[1] for p in a], [p[0] for p in b], [p[1] for p in b])
    options = {"method": METHOD, "require_matching_points": False, "min_overlap": 0}
    share_rates = max(a[0][0], b[0][0]) < min(a[-1][0], b[-1][0])
    return BD(
        rate_percent=float(bjontegaard.bd_rate(*curves, **options)),
        psnr_db=float(bjontegaard.bd_psnr(*curves, **options)) if share_rates else None,
        low_db=low,
        high_db=high,
        overlap=(high - low) / (max(a[-1][1], b[-1][1]) - min(a[0][1], b[0][1])),
        num_points=(len(a), len(b)),
    )


@dataclass(frozen=True)
class EqualRate:
    """How much better `test` is than `reference` where both are of one size.

    Args:
        rates: in bpp, rising by one factor: from the lowest to the highest that both curves cover.
        differences_db: at these; positive where `test` is better.
        overlap: that range of the logarithm of the rate, as a share of what the two cover together.
    """

    rates: tuple[float, ...]
    differences_db: tuple[float, ...]
    overlap: float

    @property
    def middle(self) -> tuple[float, float]:
        """(rate, difference) in the middle of the range."""
        place = len(self.rates) // 2
        return self.rates[place], self.differences_db[place]


def at_equal_rates(reference: Sequence[Point], test: Sequence[Point], number: int = 9) -> EqualRate | None:
    """Compare qualities at equal rates, interpolated as in `bd_rate`.

    Args:
        reference, test: (bpp, dB) of each point, in any order.
        number: of rates, odd.

    Returns:
        None where a curve has fewer than two points or the two share no range of rates.
    """
    a, b = clean_curve(reference), clean_curve(test)
    if len(a) < 2 or len(b) < 2:
        return None
    ends = np.log([(curve[0][0], curve[-1][0]) for curve in (a, b)])
    low, high = ends[:, 0].max(), ends[:, 1].min()
    if not low < high:
        return None
    # To the last bit within both, where an interpolation is defined.
    at = np.clip(np.linspace(low, high, number), low, high)
    differences = _quality_at(b, at) - _quality_at(a, at)
    overlap = (high - low) / (ends[:, 1].max() - ends[:, 0].min())
    return EqualRate(tuple(np.exp(at).tolist()), tuple(differences.tolist()), float(overlap))


def _quality_at(curve: Sequence[Point], log_rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return _interpolated(np.log([rate for rate, _ in curve]), np.array([quality for _, quality in curve]), log_rates)


def _interpolated(x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.interpolate import Akima1DInterpolator  # a second, as above

    # Akima's slopes are of four neighbours; a straight line is what is left of it for two points.
    found = np.interp(at, x, y) if len(x) == 2 else Akima1DInterpolator(x, y)(at)
    return np.asarray(found, np.float64)


def rate_at_point(reference: Sequence[Point], point: Point) -> float | None:
    """Difference in rate, in percent, between one point and a curve at the point's quality, interpolated likewise.

    Args:
        reference: (bpp, dB) of each point, in any order.

    Returns:
        None where the curve has fewer than two points or does not reach that quality.
    """
    curve = clean_curve(reference)
    if len(curve) < 2 or not curve[0][1] <= point[1] <= curve[-1][1]:
        return None
    log_rates, qualities = np.log([rate for rate, _ in curve]), np.array([quality for _, quality in curve])
    return 100.0 * (point[0] / math.exp(float(_interpolated(qualities, log_rates, np.array([point[1]]))[0])) - 1.0)


@dataclass(frozen=True, order=True)
class Codec:
    """What one curve is of: the columns of points.csv that do not change along it."""

    codec: str
    profile: str
    preset: str
    tune: str

    def __str__(self) -> str:
        return " ".join(
            part for part in (self.codec, self.profile, self.preset, self.tune and f"tune {self.tune}") if part
        )


def read_points(path: Path) -> list[dict[str, str]]:
    """Rows of a points.csv. Raises SourceError where it is missing or holds none."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}; make it first: python -m eval.measure") from error
    if not rows:
        raise SourceError(f"{path}: holds no points; nothing has been encoded yet")
    return rows


def codec_of(row: Mapping[str, str]) -> Codec:
    """The curve that a row of points.csv is on."""
    return Codec(row["codec"], row["profile"], row["preset"], row["tune"])


def curves(rows: Iterable[Mapping[str, str]], quality: str) -> dict[str, dict[Codec, list[Point]]]:
    """Points by clip and codec; rows without that quality (a plane that the clip lacks) are left out."""
    found: dict[str, dict[Codec, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row[quality]:
            found[row["clip"]][codec_of(row)].append((float(row["bpp"]), float(row[quality])))
    return {clip: dict(codecs) for clip, codecs in found.items()}


def mean_figure(figures: Iterable[BD | None]) -> tuple[float, int] | None:
    """(mean BD-rate in percent, number of clips that have one); None where none has."""
    values = [figure.rate_percent for figure in figures if figure is not None]
    return (sum(values) / len(values), len(values)) if values else None


def table(rows: Sequence[Mapping[str, str]], quality: str) -> str:
    """BD-rate of c3video's curves against all others, a line a pair and clip, and means over clips."""
    lines = [f"{quality} ({QUALITIES.get(quality, 'dB')}); negative: c3video needs fewer bits"]
    by_clip = curves(rows, quality)
    ours = sorted({codec for codecs in by_clip.values() for codec in codecs if codec.codec == "c3video"})
    others = sorted({codec for codecs in by_clip.values() for codec in codecs if codec.codec != "c3video"})
    pairs = [(test, reference) for test in ours for reference in [*others, *(x for x in ours if x < test)]]
    for test, reference in pairs:
        figures = {}
        for clip, codecs in sorted(by_clip.items()):
            if test in codecs and reference in codecs:
                figures[clip] = bd_rate(codecs[reference], codecs[test])
        if not figures:
            continue
        lines.append(f"  {test} against {reference}")
        lines += [
            f"    {clip:24} {figure or 'no figure: the curves do not overlap'}" for clip, figure in figures.items()
        ]
        mean = mean_figure(figures.values())
        if mean is not None and len(figures) > 1:
            lines.append(f"    {'mean':24} BD-rate {mean[0]:+.1f}% over {mean[1]} of {len(figures)} clips")
    return "\n".join(lines)


def point_table(rows: Sequence[Mapping[str, str]], quality: str, rd_weight: float) -> str:
    """How much more or less c3video's point of one rd_weight needs than the others do for its quality, by clip."""
    lines = [f"rate at the {quality} of rd_weight {rd_weight:g}; negative: c3video needs fewer bits"]
    by_clip = curves(rows, quality)
    points = {
        (row["clip"], codec_of(row)): (float(row["bpp"]), float(row[quality]))
        for row in rows
        if row["codec"] == "c3video" and row[quality] and float(row["quality"]) == rd_weight
    }
    others = sorted({codec for codecs in by_clip.values() for codec in codecs if codec.codec != "c3video"})
    for test in sorted({codec for _, codec in points}):
        for reference in others:
            clips = [clip for clip, codec in points if codec == test and reference in by_clip[clip]]
            if not clips:
                continue
            lines.append(f"  {test} against {reference}")
            for clip in sorted(clips):
                found = rate_at_point(by_clip[clip][reference], points[clip, test])
                lines.append(f"    {clip:24} {'out of its range' if found is None else f'{found:+.1f}%'}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print BD figures of a run folder."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.rd",
        description="BD-rate and BD-PSNR of c3video against all other codecs in OUT/points.csv, clip by clip.",
    )
    parser.add_argument("out", type=Path, help="folder of a run, with points.csv")
    parser.add_argument(
        "--quality", choices=QUALITIES, action="append", help=f"default: {', '.join(_SHOWN)}; may be repeated"
    )
    parser.add_argument(
        "--at", type=float, metavar="RD_WEIGHT", help="compare at that point of c3video's curves alone: low rates, 5e-3"
    )
    options = parser.parse_args(arguments)
    try:
        rows = read_points(options.out / "points.csv")
    except C3VideoError as error:
        print(f"rd: {error}", file=sys.stderr)
        return 1
    shown = options.quality or _SHOWN
    if options.at is None:
        print("\n\n".join(table(rows, quality) for quality in shown))
        return 0
    weights = sorted({float(row["quality"]) for row in rows if row["codec"] == "c3video"})
    if options.at not in weights:
        there = ", ".join(f"{weight:g}" for weight in weights)
        print(f"rd: no point of c3video has rd_weight {options.at:g}: there are {there}", file=sys.stderr)
        return 1
    print("\n\n".join(point_table(rows, quality, options.at) for quality in shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
