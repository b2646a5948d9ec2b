# SPDX-License-Identifier: MIT
"""Quality frame by frame, beside encodes of about the same rate."""

from __future__ import annotations

from collections import defaultdict
from html import escape

from eval.report.chart import Axis, Line, line_chart
from eval.report.series import Palette, legend, middle_first, quality_name, select_box
from eval.run_folder import Point, RunFolder, Series, by_quality

_NEAR_RATE = 1.35
"""Encodes whose rates differ by more than this factor are not put side by side."""


def frames_section(run: RunFolder, palette: Palette) -> str:
    """PSNR over time of each of our encodes, beside the encodes of others that come nearest in rate."""
    metric = "psnr_y" if any(row.psnr_y is not None for row in run.frames) else "psnr_rgb"
    rows: dict[tuple[str, Series, str], list[tuple[float, float]]] = defaultdict(list)
    for row in run.frames:
        value = getattr(row, metric)
        if value is not None and value != float("inf"):
            rows[row.clip, Series(row.codec, row.profile, row.preset, row.tune), row.quality].append(
                (float(row.frame), value)
            )
    figures, shown_series = [], {}
    middle = middle_first({(p.clip, p.quality): 0 for p in run.points if p.series.is_ours and p.num_frames > 1})
    qualities: dict[str, str] = {}
    for clip, quality in middle:
        lines, said = [], []
        ours = [p for p in run.points if p.clip == clip and p.quality == quality and p.series.is_ours]
        for point in [*ours, *_nearest_in_rate(run, ours[0])]:
            curve = sorted(rows.get((clip, point.series, point.quality), ()))
            if len(curve) < 2:
                continue
            series = point.series
            shown_series[series] = True
            lines.append(Line(series.label, palette.css_class(series), curve, dashed=palette.dashed(series)))
            said.append(f"{series.label}, {quality_name(point)}: {point.bpp:.4f} bpp")
        chart = line_chart(
            lines,
            Axis("frame", digits=0),
            Axis(f"{'luma' if metric == 'psnr_y' else 'RGB'} PSNR, dB"),
            title=f"PSNR of each frame of {clip} at rd_weight {quality}",
            width=720,
            height=270,
            extra_class="wide",
        )
        if chart:
            qualities.setdefault(clip, quality)
            figures.append((clip, quality, chart, "; ".join(said)))
    if not figures:
        return ""
    first_clip = min((clip for clip, *_ in figures), key=run.clips.index)
    first = (first_clip, qualities[first_clip])
    drawn = "".join(
        f'<figure data-of="frames" data-clip="{escape(clip)}" data-quality="{escape(quality)}"'
        f"{'' if (clip, quality) == first else ' hidden'}>"
        f'<div class="scroll" tabindex="0">{chart}</div><figcaption>{escape(said)}.</figcaption></figure>'
        for clip, quality, chart, said in figures
    )
    clips = sorted({clip for clip, *_ in figures}, key=run.clips.index)
    values = sorted({quality for _, quality, *_ in figures}, key=by_quality)
    return (
        "<p>How even the quality is over time, beside the encodes of others that come nearest in rate.</p>"
        f'<div class="controls" data-picks="frames">{select_box("Clip", "clip", clips, first[0])}'
        f"{select_box('rd_weight', 'quality', values, first[1])}</div>"
        f"{legend([item for item in run.series if item in shown_series], palette, markers=False)}{drawn}"
    )


def _nearest_in_rate(run: RunFolder, ours: Point) -> list[Point]:
    """Of each other series the point of the same clip nearest in rate, unless that is far."""
    nearest = []
    for series in run.series:
        points = [] if series.is_ours else run.points_of(ours.clip, series)
        if points:
            best = min(points, key=lambda point: max(point.bpp / ours.bpp, ours.bpp / point.bpp))
            if max(best.bpp / ours.bpp, ours.bpp / best.bpp) <= _NEAR_RATE:
                nearest.append(best)
    return nearest
