# SPDX-License-Identifier: MIT
"""Losses on the way of the fits: step by step for patches, attempt by attempt for the hybrid model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from itertools import accumulate

from eval.report.chart import XY, Axis, Line, Rule, line_chart, swatch
from eval.run_folder import FitStep, RunFolder, by_quality

_MOST_FAINT_LINES = 12


FRAME_MODEL_STAGES = ("plan", "file")
"""Of a segment's attempts, and of what it came to in the file; all other stages are of fits to patches."""


def convergence_section(run: RunFolder) -> str:
    """A chart a clip, profile and preset, with a line a rate; "" where no fit went on to a second figure."""
    fits: dict[tuple[str, str, str], list[FitStep]] = defaultdict(list)
    for step in run.convergence:
        if step.loss > 0:
            fits[step.clip, step.profile, step.preset].append(step)
    qualities = sorted({step.quality for step in run.convergence}, key=by_quality)
    several = len({key[1:] for key in fits}) > 1
    panels, kinds = [], set()
    for clip, profile, preset in sorted(fits, key=lambda key: (run.clips.index(key[0]), key[1:])):
        steps = fits[clip, profile, preset]
        draw = _attempts_chart if steps[0].stage in FRAME_MODEL_STAGES else _steps_chart
        chart = draw(clip, steps, qualities)
        if chart:
            kinds.add(draw)
            small = f" <small>{escape(profile)}, {escape(preset)}</small>" if several else ""
            panels.append(f'<figure><p class="name">{escape(clip)}{small}</p>{chart}</figure>')
    if not panels:
        return ""
    keys = "".join(
        f'<li><button type="button" aria-pressed="true" data-key="k{index}">'
        f"{swatch(_css_class(index), None)}rd_weight {escape(quality)}</button></li>"
        for index, quality in enumerate(qualities)
    )
    said = [words for draw, words in ((_attempts_chart, _OF_ATTEMPTS), (_steps_chart, _OF_STEPS)) if draw in kinds]
    return (
        f"<p>The loss that a fit brings down: MSE + rd_weight x bpp, on [0, 1]. {' '.join(said)}</p>"
        f'<ul class="legend" aria-label="Lines shown">{keys}</ul><div class="multiples">{"".join(panels)}</div>'
    )


_OF_ATTEMPTS = (
    "The hybrid model codes a segment several times: by one plan after another (how far apart anchors are, how much "
    "finer they are coded), then with context networks tuned on what the best plan gave. Lines show the best loss so "
    "far against that of the first attempt: strong ones averages over the segments of a clip, faint ones single "
    "segments. Their last point is the file, with its headers, which is why they can rise at the end."
)
_OF_STEPS = (
    "Fits to patches go step by step; strong lines are averages over the patches of a clip, faint lines single "
    "patches. Upright lines mark where a stage of the fit begins. In the noise stage latents carry noise in place of "
    "rounding, so its losses are not quite those of the file."
)


def _attempts_chart(clip: str, steps: Sequence[FitStep], qualities: Sequence[str]) -> str:
    lines: list[Line] = []
    for index, quality in enumerate(qualities):
        found = [_attempts(fit) for fit in _by_fit(step for step in steps if step.quality == quality)]
        num_attempts = max(map(len, found), default=0)
        if num_attempts < 2:
            continue
        best = [_best_so_far(losses, num_attempts) for losses in found]
        curves = [[(1.0 + at, 100 * (loss / curve[0] - 1)) for at, loss in enumerate(curve)] for curve in best]
        lines += _mean_and_parts(f"rd_weight {quality}", _css_class(index), curves)
    return line_chart(
        lines,
        Axis("attempt", digits=0),
        Axis("loss against the first attempt, %", digits=1),
        title=f"loss of one attempt after the other to code segments of {clip}",
    )


def _attempts(fit: Sequence[FitStep]) -> list[float]:
    """Losses of the attempts at one segment; while one is under way, rows repeat the figures of that before."""
    rows = [(step.stage, step.loss, step.bpp) for step in fit]
    return [row[1] for index, row in enumerate(rows) if index == 0 or row != rows[index - 1]]


def _best_so_far(losses: Sequence[float], num_attempts: int) -> list[float]:
    """As long as asked for: fits that ended earlier stay where they came to, which is what the file has."""
    best = [*accumulate(losses[:-1], min), losses[-1]]
    return best + best[-1:] * (num_attempts - len(best))


def _steps_chart(clip: str, steps: Sequence[FitStep], qualities: Sequence[str]) -> str:
    lines: list[Line] = []
    for index, quality in enumerate(qualities):
        fits = _by_fit(step for step in steps if step.quality == quality)
        if not fits:
            continue
        curves = [[(float(step.step), step.loss) for step in fit] for fit in fits]
        lines += _mean_and_parts(f"rd_weight {quality}", _css_class(index), curves)
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


def _by_fit(steps: Iterable[FitStep]) -> list[list[FitStep]]:
    """Steps of each segment and patch, in the order in which they were taken."""
    fits: dict[tuple[int, int], list[FitStep]] = defaultdict(list)
    for step in steps:
        fits[step.segment, step.patch].append(step)
    return [sorted(fit, key=lambda step: step.step) for fit in fits.values()]


def _mean_and_parts(name: str, css_class: str, curves: Sequence[Sequence[XY]]) -> list[Line]:
    """The mean of curves, and some of them in the background."""
    lines = [Line(name, css_class, _mean(curves))]
    if len(curves) > 1:
        stride = -(-len(curves) // _MOST_FAINT_LINES)
        lines += [Line("", css_class, curve, faint=True) for curve in curves[::stride]]
    return lines


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
