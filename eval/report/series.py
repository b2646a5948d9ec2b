# SPDX-License-Identifier: MIT
"""What the sections share: series and their looks, measures of quality, the choice of a clip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape

from c3video.c3.config import C3Config
from c3video.config import PROFILES
from eval.rd import BD, bd_rate
from eval.report.chart import swatch
from eval.run_folder import Point, RunFolder, Series, by_quality

PAPER = C3Config()

METRICS = {
    "psnr_yuv611": "PSNR 6:1:1",
    "psnr_y": "PSNR of luma",
    "psnr_rgb": "PSNR of RGB",
}
"""In which curves and BD-rates are shown, in this order of preference; columns of points.csv."""

METRIC_NOTES = {
    "psnr_yuv611": "mean over frames of (6 Y + U + V) / 8 of the planes' PSNRs",
    "psnr_y": "mean over frames of the luma plane's PSNR",
    "psnr_rgb": "mean over frames of the PSNR of R, G and B together, converted where they were coded as YUV",
}


def metrics_of(run: RunFolder, clips: Sequence[str]) -> list[str]:
    """Measures that some of these clips have, those that most of them have first: images of RGB have no luma plane."""
    having = {name: {p.clip for p in run.points if p.metric(name) is not None}.intersection(clips) for name in METRICS}
    return sorted((name for name in METRICS if having[name]), key=lambda name: -len(having[name]))


class Palette:
    """CSS classes of series: a colour a codec, a marker and a dash a series."""

    def __init__(self, series: Sequence[Series]) -> None:
        codecs = list(dict.fromkeys(item.codec for item in series))
        self._series = list(series)
        self._color = {codec: index for index, codec in enumerate(codecs)}

    def key(self, series: Series) -> str:
        """Of this series alone, for the legend's buttons."""
        return f"k{self._series.index(series)}"

    def css_class(self, series: Series) -> str:
        ours = "ours " if series.is_ours else ""
        return f"{ours}s{min(7, self._color[series.codec])} {self.key(series)}"

    def marker(self, series: Series) -> int:
        return self._color[series.codec]

    def dashed(self, series: Series) -> bool:
        """Later series of a codec are dashed."""
        return next(other for other in self._series if other.codec == series.codec) != series


def legend(series: Sequence[Series], palette: Palette, *, markers: bool = True) -> str:
    """Buttons that take lines out of the charts of their section."""
    buttons = "".join(
        f'<li><button type="button" aria-pressed="true" data-key="{palette.key(item)}">'
        f"{swatch(palette.css_class(item), palette.marker(item) if markers else None, palette.dashed(item))}"
        f"{escape(item.label)}"
        "</button></li>"
        for item in series
    )
    return f'<ul class="legend" aria-label="Lines shown">{buttons}</ul>'


def ours_and_others(run: RunFolder) -> tuple[list[Series], list[Series]]:
    """(ours, others)."""
    return [item for item in run.series if item.is_ours], [item for item in run.series if not item.is_ours]


def first_point(run: RunFolder, clip: str) -> Point:
    return next(point for point in run.points if point.clip == clip)


def quality_name(point: Point) -> str:
    return f"{'rd_weight' if point.series.is_ours else 'crf'} {point.quality}"


def bd_of(run: RunFolder, clip: str, metric: str, reference: Series, test: Series) -> BD | None:
    return bd_rate(*(curve_of(run, clip, metric, series) for series in (reference, test)))


def curve_of(run: RunFolder, clip: str, metric: str, series: Series) -> list[tuple[float, float]]:
    """(bpp, dB) of the points that have this measure."""
    points = [(point.bpp, point.metric(metric)) for point in run.points_of(clip, series)]
    return [(bpp, value) for bpp, value in points if value is not None]


def middle_first(groups: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(clip, quality) with each clip's middle quality first, then those further from it."""
    qualities: dict[str, list[str]] = defaultdict(list)
    for clip, quality in groups:
        qualities[clip].append(quality)
    ranked = []
    for clip, values in qualities.items():
        values.sort(key=by_quality)
        middle = (len(values) - 1) / 2
        ranked += [(abs(index - middle), clip, quality) for index, quality in enumerate(values)]
    return [(clip, quality) for _, clip, quality in sorted(ranked, key=lambda item: item[0])]


def select_box(label: str, name: str, values: Sequence[str], chosen: str) -> str:
    options = "".join(f"<option{' selected' if value == chosen else ''}>{escape(value)}</option>" for value in values)
    return f'<label>{label} <select name="{name}">{options}</select></label>'


def patch_model_of(profile: str) -> C3Config:
    """The model of a profile of the C3 model, as this version knows it; the paper's for any other."""
    model = PROFILES[profile].model if profile in PROFILES else None
    return model if isinstance(model, C3Config) else PAPER


def grid_name(config: C3Config, grid: int) -> str:
    """Resolution in time and space of a latent grid, as in "1/2, 1/4"."""
    if grid >= len(config.grids):
        return "?"
    exponents = config.grids[grid].time_exponent, config.grids[grid].space_exponent
    return ", ".join(f"1/{1 << exponent}" if exponent else "1" for exponent in exponents)
