# SPDX-License-Identifier: MIT
"""Rate against distortion: the curves, BD-rates, and the curves that others published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from eval.rd import BD, bd_rate, mean_figure
from eval.report.chart import Axis, Line, line_chart, swatch
from eval.report.series import (
    METRIC_NOTES,
    METRICS,
    Palette,
    bd_of,
    first_point,
    legend,
    metrics_of,
    ours_and_others,
    quality_name,
)
from eval.report.words import clip_name, counted, listed, percent_text, sign_class, table_box
from eval.run_folder import RunFolder, Series
from eval.uvg import published

STYLE = Path(__file__).resolve().parent / "chart.css"


def rd_section(run: RunFolder, metrics: Sequence[str], palette: Palette) -> str:
    figures = []
    for index, metric in enumerate(metrics):
        charts, drawn = [], []
        for clip in run.clips:
            chart = _rd_chart(run, clip, metric, palette)
            if not chart:
                continue
            drawn.append(clip)
            first = first_point(run, clip)
            size = f"{first.width}x{first.height}, {counted(first.num_frames, 'frame')}"
            charts.append(f'<figure><p class="name">{escape(clip)} <small>{size}</small></p>{chart}</figure>')
        hidden = " hidden" if index else ""
        without = [clip for clip in run.clips if clip not in drawn]
        note = f"<p class=note>Not of {escape(listed(without))}, which have other planes.</p>" if without else ""
        figures.append(
            f'<div data-metric="{metric}"{hidden}><div class="multiples">{"".join(charts)}</div>{note}</div>'
        )
    radios = "".join(
        f'<label><input type="radio" name="metric" value="{metric}"{"" if index else " checked"}>'
        f"{METRICS[metric]}</label>"
        for index, metric in enumerate(metrics)
    )
    chooser = f'<fieldset class="controls"><legend>Quality as</legend>{radios}</fieldset>' if len(metrics) > 1 else ""
    notes = "; ".join(f"{METRICS[metric]}: {METRIC_NOTES[metric]}" for metric in metrics)
    return (
        "<p>Further up is better, further left is smaller. Each point is one file; rates are on a logarithmic axis, "
        "and each clip has its own range of quality.</p>"
        f"{chooser}{legend(run.series, palette)}{''.join(figures)}"
        f'<p class="note">bpp: bits of the whole file over frames x height x width. {notes}.</p>'
    )


def _rd_chart(run: RunFolder, clip: str, metric: str, palette: Palette) -> str:
    lines = []
    for series in run.series:
        points = [(point, point.metric(metric)) for point in run.points_of(clip, series)]
        known = [(point, value) for point, value in points if value is not None]
        if known:
            lines.append(
                Line(
                    series.label,
                    palette.css_class(series),
                    [(point.bpp, value) for point, value in known],
                    marker=palette.marker(series),
                    titles=[
                        f"{series.label}, {quality_name(point)}\n{point.bpp:.4f} bpp, {value:.2f} dB\n"
                        f"{point.size_bytes:,} bytes"
                        for point, value in known
                    ],
                    dashed=palette.dashed(series),
                )
            )
    return line_chart(
        lines,
        Axis("bits per pixel", log=True, digits=4),
        Axis("dB"),
        title=f"{METRICS[metric]} over bits per pixel of {clip}: {listed(line.name for line in lines)}",
    )


def bd_section(run: RunFolder, metrics: Sequence[str]) -> str:
    ours, _ = ours_and_others(run)
    tables = []
    for index, metric in enumerate(metrics):
        hidden = " hidden" if index else ""
        parts = [_bd_table(run, metric, test, [other for other in run.series if other != test]) for test in ours]
        if any(parts):
            tables.append(f'<div data-metric="{metric}"{hidden}>{"".join(parts)}</div>')
    if not tables:
        return ""
    return (
        "<p>The mean difference in rate at equal quality, over the qualities that both curves cover. "
        '<span class="win">Negative: fewer bits than the column’s codec</span>; '
        '<span class="loss">positive: more</span>. Below each figure stands the share of quality that both cover; '
        "the smaller it is, the less the figure says. A dash: no overlap, so no figure.</p>" + "".join(tables)
    )


def _bd_table(run: RunFolder, metric: str, test: Series, references: Sequence[Series]) -> str:
    columns = {
        reference: {clip: bd_of(run, clip, metric, reference, test) for clip in run.clips} for reference in references
    }
    columns = {reference: column for reference, column in columns.items() if any(column.values())}
    if not columns:
        return ""
    rows = []
    having = {point.clip for point in run.points if point.metric(metric) is not None}
    for name, group in (("clips", run.moving_clips), ("still images", run.still_images)):
        clips = [clip for clip in group if clip in having]
        for clip in clips:
            cells = "".join(_bd_cell(column[clip]) for column in columns.values())
            rows.append(f'<tr><th scope="row">{clip_name(clip)}</th>{cells}</tr>')
        if len(clips) > 1:
            means = "".join(_mean_cell([column[clip] for clip in clips]) for column in columns.values())
            rows.append(f'<tr class="sum"><th scope="row">mean over {name}</th>{means}</tr>')
    return table_box(
        f"BD-rate of {test.label} in {METRICS[metric]}, against",
        ["clip", *(reference.label for reference in columns)],
        rows,
    )


def _mean_cell(figures: Sequence[BD | None]) -> str:
    mean = mean_figure(figures)
    if mean is None:
        return "<td>–</td>"
    return f'<td class="{sign_class(mean[0])}">{percent_text(mean[0])}<small>{mean[1]} of {len(figures)}</small></td>'


def _bd_cell(bd: BD | None) -> str:
    if bd is None:
        return "<td>–</td>"
    said = f"{bd.low_db:.1f} to {bd.high_db:.1f} dB"
    if bd.psnr_db is not None:
        said += f"; BD-PSNR {bd.psnr_db:+.2f} dB"
    return (
        f'<td class="{sign_class(bd.rate_percent)}" title="{said}">{percent_text(bd.rate_percent)}'
        f"<small>{100 * bd.overlap:.0f}% overlap</small></td>"
    )


def published_section(run: RunFolder) -> str:
    """Means over the clips of a known set beside the curves that others published for it, in RGB PSNR."""
    name = str(run.facts.get("published") or "").lower()
    if not name:
        return ""
    lines: list[Line] = []
    curves: dict[str, list[tuple[float, float]]] = {}
    for series in ours_and_others(run)[0]:
        curve = _mean_curve(run, series)
        if curve:
            curves[series.label] = curve
            lines.append(Line(series.label, f"ours s0 k{len(lines)}", curve, marker=0, dashed=bool(lines)))
    if not lines:
        return ""
    theirs = published(name)
    for index, (codec, points) in enumerate(theirs.items()):
        color, again = 1 + index % 7, index >= 7
        lines.append(Line(codec, f"s{color} k{len(lines)}", points, marker=color, dashed=again))
    titled = [
        replace(line, titles=[f"{line.name}\n{bpp:.4f} bpp, {db:.2f} dB" for bpp, db in line.points]) for line in lines
    ]
    chart = line_chart(
        titled,
        Axis("bits per pixel", log=True, digits=4),
        Axis("RGB PSNR, dB"),
        title=f"mean RGB PSNR over mean bits per pixel of {name.upper()}, with published curves",
        width=720,
        height=420,
        extra_class="wide",
    )
    ours, curve = next(iter(curves.items()))
    rows = [
        f'<tr><th scope="row">{escape(codec)}</th>{_bd_cell(bd_rate(points, curve))}</tr>'
        for codec, points in theirs.items()
    ]
    buttons = "".join(
        f'<li><button type="button" aria-pressed="true" data-key="{line.css_class.split()[-1]}">'
        f"{swatch(line.css_class, line.marker, line.dashed)}{escape(line.name)}</button></li>"
        for line in lines
    )
    return (
        f"<p>Means over the clips of {escape(name.upper())}, in RGB PSNR as the published curves have it. The others’ "
        "figures are theirs, read from their publications; rates of neural codecs among them may be estimates.</p>"
        f'<ul class="legend" aria-label="Lines shown">{buttons}</ul>'
        f'<figure><div class="scroll" tabindex="0">{chart}</div></figure>'
        + table_box(f"BD-rate of {ours} against published curves", ["codec", "BD-rate"], rows)
    )


def _mean_curve(run: RunFolder, series: Series) -> list[tuple[float, float]]:
    """(bpp, RGB PSNR) averaged over clips, at the qualities that every clip has."""
    by_rate: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for point in run.points:
        value = point.metric("psnr_rgb")
        if point.series == series and value is not None:
            by_rate[point.quality].append((point.bpp, value))
    whole = [pairs for pairs in by_rate.values() if len(pairs) == len(run.clips)]
    return sorted((sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs)) for pairs in whole)


def rd_picture(run: RunFolder, *, columns: int = 3) -> str:
    """The rate-distortion curves as an SVG file of their own, light or dark as the reader's system is."""
    palette = Palette(run.series)
    metric = metrics_of(run, run.moving_clips or run.clips)[0]
    width, height, head = 360, 260, 26
    charts = [(clip, _rd_chart(run, clip, metric, palette)) for clip in run.clips]
    charts = [(clip, chart) for clip, chart in charts if chart]
    columns = min(columns, len(charts))
    legend_rows, row, at = [], 0, 10.0
    for series in run.series:
        length = 34 + 6.6 * len(series.label)
        if at + length > columns * width:
            row, at = row + 1, 10.0
        legend_rows.append(
            f'<svg x="{at:.0f}" y="{8 + 20 * row}" width="26" height="12">'
            f"{swatch(palette.css_class(series), palette.marker(series), palette.dashed(series))}</svg>"
            f'<text class="axis" x="{at + 32:.0f}" y="{18 + 20 * row}">{escape(series.label)}</text>'
        )
        at += length + 12
    top = 20 * (row + 1) + 12
    parts = [
        f'<text class="head" x="{index % columns * width + 44}" y="{index // columns * (height + head) + top + 16}">'
        f"{escape(clip)}</text>"
        f'<svg x="{index % columns * width}" y="{index // columns * (height + head) + top + head - 4}"'
        f' width="{width}" height="{height}">{chart}</svg>'
        for index, (clip, chart) in enumerate(charts)
    ]
    whole = (columns * width, -(-len(charts) // columns) * (height + head) + top)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {whole[0]} {whole[1]}"'
        f' width="{whole[0]}" height="{whole[1]}" role="img" aria-label="RD curves of {len(charts)} clips">'
        f"<style>{STYLE.read_text()} .chart {{ background: var(--paper) }}</style>"
        + "".join(legend_rows + parts)
        + "</svg>\n"
    )
