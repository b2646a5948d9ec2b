# SPDX-License-Identifier: MIT
"""Differences in quality at equal rate: over the rates that two curves share, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from eval.rd import EqualRate, at_equal_rates
from eval.report.chart import Axis, Line, line_chart
from eval.report.series import METRICS, Palette, curve_of, first_point, legend, ours_and_others
from eval.report.words import clip_name, counted, listed, rate_text, short_number, sign_class, table_box
from eval.run_folder import RunFolder, Series


def equal_rate_section(run: RunFolder, metrics: Sequence[str], palette: Palette) -> str:
    """Our first series against all others; "" where nothing shares a rate with it."""
    ours, _ = ours_and_others(run)
    if not ours:
        return ""
    test, others = ours[0], [series for series in run.series if series != ours[0]]
    parts = []
    for index, metric in enumerate(metrics):
        found = {
            (clip, other): difference
            for clip in run.clips
            for other in others
            if (difference := _difference(run, clip, metric, other, test)) is not None
        }
        if found:
            hidden = " hidden" if index else ""
            charts = "".join(_chart(run, clip, others, found, palette) for clip in run.clips)
            parts.append(
                f'<div data-metric="{metric}"{hidden}>{_table(run, metric, test, others, found)}'
                f'<div class="multiples">{charts}</div></div>'
            )
    if not parts:
        return ""
    return (
        f"<p>How many dB {escape(test.label)} is better than each other codec where both need equally many bits. "
        '<span class="win">Above zero: better</span>; <span class="loss">below: worse</span>. '
        "Each line ends where one of the two curves does: beyond the rates that both cover nothing is compared.</p>"
        f"{legend(others, palette, markers=False)}{''.join(parts)}"
        '<p class="note">Between points curves are interpolated as for BD-rates (Akima, over the logarithm of the '
        "rate). A dash: no rate in common.</p>"
    )


def _difference(run: RunFolder, clip: str, metric: str, other: Series, test: Series) -> EqualRate | None:
    return at_equal_rates(curve_of(run, clip, metric, other), curve_of(run, clip, metric, test))


Differences = dict[tuple[str, Series], EqualRate]


def _chart(run: RunFolder, clip: str, others: Sequence[Series], found: Differences, palette: Palette) -> str:
    kbps = first_point(run, clip).kbps_of_bpp
    unit = 1.0 if kbps is None else kbps
    lines = [
        Line(
            other.label,
            palette.css_class(other),
            [(rate * unit, db) for rate, db in zip(difference.rates, difference.differences_db, strict=True)],
            titles=[
                f"{other.label}\n{rate_text(rate, kbps)}: {_signed(db)}"
                for rate, db in zip(difference.rates, difference.differences_db, strict=True)
            ],
            dashed=palette.dashed(other),
        )
        for other in others
        if (difference := found.get((clip, other))) is not None
    ]
    if not lines:
        return ""
    ends = [line.points[place][0] for line in lines for place in (0, -1)]
    zero = Line("", "zero", [(min(ends), 0.0), (max(ends), 0.0)], faint=True)
    first = first_point(run, clip)
    size = f"{first.width}x{first.height}, {counted(first.num_frames, 'frame')}"
    chart = line_chart(
        [zero, *lines],
        Axis("bits per pixel", log=True, digits=4) if kbps is None else Axis("kb/s", log=True, digits=1),
        Axis("dB", digits=2),
        title=f"dB above others at equal rate of {clip}: {listed(line.name for line in lines)}",
    )
    return f'<figure><p class="name">{escape(clip)} <small>{size}</small></p>{chart}</figure>'


def _table(run: RunFolder, metric: str, test: Series, others: Sequence[Series], found: Differences) -> str:
    columns = [other for other in others if any(series == other for _, series in found)]
    rows = []
    for clip in run.clips:
        kbps = first_point(run, clip).kbps_of_bpp
        if any((clip, other) in found for other in columns):
            cells = "".join(_cell(found.get((clip, other)), kbps) for other in columns)
            rows.append(f'<tr><th scope="row">{clip_name(clip)}</th>{cells}</tr>')
    return table_box(
        f"{METRICS[metric]} of {test.label} at the middle of the common rates, less that of",
        ["clip", *(other.label for other in columns)],
        rows,
    )


def _cell(difference: EqualRate | None, kbps: float | None) -> str:
    if difference is None:
        return "<td>–</td>"
    rate, db = difference.middle
    low, high = difference.rates[0], difference.rates[-1]
    unit = 1.0 if kbps is None else kbps
    common = f"{short_number(low * unit)} to {short_number(high * unit)}"
    return (
        f'<td class="{sign_class(-db)}" title="{100 * difference.overlap:.0f}% of the rates of both are common">'
        f"{_signed(db)}<small>at {rate_text(rate, kbps)}</small><small>common: {common}</small></td>"
    )


def _signed(db: float) -> str:
    return f"{db:+.2f} dB".replace("-", "−")
