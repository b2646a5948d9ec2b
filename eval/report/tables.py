# SPDX-License-Identifier: MIT
"""Cost, all points, and the conditions of the run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from eval.report.series import METRICS, quality_name
from eval.report.words import clip_name, counted, figure_text, table_box
from eval.run_folder import Point, RunFolder

_CODE = ("command", "commands", "commit")


def cost_section(run: RunFolder) -> str:
    rows = []
    for series in run.series:
        points = [point for point in run.points if point.series == series]
        memory = [point.peak_memory_mib for point in points if point.peak_memory_mib is not None]
        macs = sorted({round(point.macs_per_pixel) for point in points if point.macs_per_pixel is not None})
        cells = (
            _speed(points, "encode_cpu_seconds", 1e3),
            _speed(points, "decode_cpu_seconds", 1e6),
            _speed(points, "decode_seconds", 1e6),
            f"{max(memory):.0f}" if memory else "–",
            "–" if not macs else f"{macs[0]:,}" if len(macs) == 1 else f"{macs[0]:,} to {macs[-1]:,}",
        )
        tds = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(series.label)}</th>{tds}</tr>')
    if all(row.count("<td>–</td>") == 5 for row in rows):
        return ""
    heads = (
        "codec",
        "encode, kpixel per CPU second",
        "decode, Mpixel per CPU second",
        "decode, Mpixel per second",
        "peak memory, MiB",
        "MACs per pixel",
    )
    return (
        "<p>c3video pays at the encoder, which fits what it codes to the clip in hand. Speeds are pixels over seconds, "
        "all points of a codec together; memory is the most that any of them took; MACs are counted from the model.</p>"
        + table_box("Speed, memory and complexity", heads, rows)
    )


def _speed(points: Sequence[Point], name: str, unit: float) -> str:
    timed = [(point.num_pixels, seconds) for point in points if (seconds := getattr(point, name))]
    if not timed:
        return "–"
    speed = sum(pixels for pixels, _ in timed) / sum(seconds for _, seconds in timed) / unit
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"


def points_section(run: RunFolder, metrics: Sequence[str]) -> str:
    shown = [*metrics, *(["ssim"] if any(point.ssim is not None for point in run.points) else [])]
    heads = ["clip", "codec", "quality", "bytes", "bpp", *(METRICS.get(name, name.upper()) for name in shown)]
    heads += ["encode CPU s", "decode CPU s"]
    rows = []
    for clip in run.clips:
        for series in run.series:
            for point in run.points_of(clip, series):
                cells = [f"{point.size_bytes:,}", f"{point.bpp:.4f}"]
                cells += [figure_text(getattr(point, name), 4 if name == "ssim" else 2) for name in shown]
                cells += [figure_text(point.encode_cpu_seconds, 1), figure_text(point.decode_cpu_seconds, 3)]
                rows.append(
                    f'<tr><th scope="row">{clip_name(clip)}</th><td class="text">{escape(series.label)}</td>'
                    f"<td>{escape(quality_name(point))}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
                )
    table = table_box("Every encode, as in points.csv", heads, rows, text_columns=2)
    return f"<details><summary>{counted(len(rows), 'point')}</summary>{table}</details>"


def conditions_section(run: RunFolder) -> str:
    facts = {name: value for name, value in run.facts.items() if name not in ("title", "published")}
    if facts.get("command") in facts.get("commands", ()):
        del facts["command"]
    commits = sorted({point.commit for point in run.points if point.commit})
    if commits and commits != [facts.get("commit")]:
        facts["commits of the points"] = commits
    if not facts:
        return ""
    items = "".join(
        f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{_fact(value, code=name in _CODE)}</dd>"
        for name, value in facts.items()
        if value not in (None, "", [], {})
    )
    return f'<dl class="facts">{items}</dl>'


def _fact(value: Any, code: bool = False) -> str:
    if isinstance(value, dict):
        return (
            "<ul>"
            + "".join(f"<li>{escape(str(name).replace('_', ' '))}: {_fact(item)}</li>" for name, item in value.items())
            + "</ul>"
        )
    if isinstance(value, list):
        return "<ul>" + "".join(f"<li>{_fact(item, code)}</li>" for item in value) + "</ul>"
    text = escape(f"{value:.4g}" if isinstance(value, float) else str(value))
    return f"<code>{text}</code>" if code else text
