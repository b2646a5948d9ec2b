# SPDX-License-Identifier: MIT
"""Losses on the way of the fits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape

from eval.report.chart import XY, Axis, Line, Rule, line_chart, swatch
from eval.run_folder import FitStep, RunFolder, by_quality

_MOST_FAINT_LINES = 12


def convergence_section(run: RunFolder) -> str:
    """A chart a clip, profile and preset, with a line a rate."""
    steps: dict[tuple[str, str, str], list[FitStep]] = defaultdict(list)
    for step in run.convergence:
        if step.loss > 0:
            steps[step.clip, step.profile, step.preset].append(step)
    if not steps:
        return ""
    qualities = sorted({step.quality for step in run.convergence}, key=by_quality)
    several = len({key[1:] for key in steps}) > 1
    panels = []
    for clip, profile, preset in sorted(steps, key=lambda key: (run.clips.index(key[0]), key[1:])):
        chart = _chart(clip, steps[clip, profile, preset], qualities)
        small = f" <small>{escape(profile)}, {escape(preset)}</small>" if several else ""
        panels.append(f'<figure><p class="name">{escape(clip)}{small}</p>{chart}</figure>')
    keys = "".join(
        f'<li><button type="button" aria-pressed="true" data-key="k{index}">'
        f"{swatch(_css_class(index), None)}rd_weight {escape(quality)}</button></li>"
        for index, quality in enumerate(qualities)
    )
    return (
        "<p>The loss that a fit brings down, MSE + rd_weight x bpp on [0, 1], averaged over the patches of a clip; "
        "faint lines are single patches. Upright lines mark where a stage of the fit begins. In the noise stage "
        "latents carry noise in place of rounding, so its losses are not quite those of the file.</p>"
        f'<ul class="legend" aria-label="Lines shown">{keys}</ul><div class="multiples">{"".join(panels)}</div>'
    )


def _chart(clip: str, steps: Sequence[FitStep], qualities: Sequence[str]) -> str:
    lines: list[Line] = []
    for index, quality in enumerate(qualities):
        fits: dict[tuple[int, int], list[XY]] = defaultdict(list)
        for step in steps:
            if step.quality == quality:
                fits[step.segment, step.patch].append((float(step.step), step.loss))
        if not fits:
            continue
        curves = [sorted(curve) for curve in fits.values()]
        lines.append(Line(f"rd_weight {quality}", _css_class(index), _mean(curves)))
        if len(curves) > 1:
            stride = -(-len(curves) // _MOST_FAINT_LINES)
            lines += [Line("", _css_class(index), curve, faint=True) for curve in curves[::stride]]
    begins: dict[str, int] = {}
    for step in steps:
        begins[step.stage] = min(step.step, begins.get(step.stage, step.step))
    later = sorted(begins.items(), key=lambda item: item[1])[1:]
    return line_chart(
        lines,
        Axis("step", digits=0),
        Axis("loss", log=True, digits=1),
        title=f"loss over the steps of the fits of {clip}",
        rules=[Rule(step, stage) for stage, step in later],
    )


def _mean(curves: Sequence[Sequence[XY]]) -> list[XY]:
    """Mean over curves, at the steps that as many as possible have."""
    at_step: dict[float, list[float]] = defaultdict(list)
    for curve in curves:
        for step, loss in curve:
            at_step[step].append(loss)
    most = max(map(len, at_step.values()))
    return [(step, sum(losses) / len(losses)) for step, losses in sorted(at_step.items()) if len(losses) == most]


def _css_class(index: int) -> str:
    return f"s{index % 7} k{index}"
