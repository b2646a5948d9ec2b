# SPDX-License-Identifier: MIT
"""The page: what was found in words, then the sections."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from c3video.errors import SourceError
from eval.report.bits import bits_section
from eval.report.convergence import convergence_section
from eval.report.curves import STYLE, bd_section, published_section, rd_section
from eval.report.equal_rate import equal_rate_section
from eval.report.losses import losses_section
from eval.report.over_time import frames_section
from eval.report.pictures import look_section
from eval.report.series import METRIC_NOTES, METRICS, Palette, bd_of, first_point, metrics_of, ours_and_others
from eval.report.tables import conditions_section, cost_section, points_section
from eval.report.windows import windows_section
from eval.report.words import counted, listed, more_or_less, percent_text
from eval.run_folder import RunFolder

_FOLDER = Path(__file__).resolve().parent


def render(run: RunFolder, *, picture_mib: float = 8.0) -> str:
    """The page.

    Args:
        picture_mib: most that sample frames may weigh in it; those nearest to the middle rates come first.

    Raises:
        SourceError: a picture that index.csv names cannot be read.
    """
    palette = Palette(run.series)
    metrics = list(dict.fromkeys([*metrics_of(run, run.moving_clips), *metrics_of(run, run.clips)]))
    if not metrics:
        raise SourceError(f"{run.path / 'points.csv'}: no point has a PSNR ({', '.join(METRICS)})")
    sections = [
        ("rd", "Rate and distortion", rd_section(run, metrics, palette)),
        ("bd", "BD-rate", bd_section(run, metrics)),
        ("equal-rate", "At equal rate", equal_rate_section(run, metrics, palette)),
        ("published", "Beside published figures", published_section(run)),
        ("losses", "Losses beside published ones", losses_section(run)),
        ("look", "What it looks like", look_section(run, picture_mib)),
        ("frames", "Frame by frame", frames_section(run, palette)),
        ("cost", "Cost", cost_section(run)),
        ("bits", "Where the bits go", bits_section(run)),
        ("windows", "Learned windows", windows_section(run)),
        ("convergence", "Convergence", convergence_section(run)),
        ("points", "All points", points_section(run, metrics)),
        ("conditions", "Conditions", conditions_section(run)),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    body = "".join(f'<section id="{name}"><h2>{title}</h2>{content}</section>' for name, title, content in sections)
    title = str(run.facts.get("title") or f"c3video on {_what(run)}")
    style = STYLE.read_text() + (_FOLDER / "page.css").read_text()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>{_summary(run)}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n'
        f"<main>{body}</main>\n"
        "<footer>Made by <code>python -m eval.report</code> from the CSV files beside this page.</footer>\n"
        '<div id="tip" role="status" hidden></div>\n'
        f"<script>\n{(_FOLDER / 'page.js').read_text()}</script>\n</body>\n</html>\n"
    )


def _summary(run: RunFolder) -> str:
    """What was done and how it came out, in sentences."""
    ours, others = ours_and_others(run)
    rates = len({point.quality for point in run.points if point.series in ours})
    frames = sum(first_point(run, clip).num_frames for clip in run.clips)
    lead = f"{_what(run)}, {counted(frames, 'frame')} in all, encoded to real files"
    if ours:
        lead += f" at {counted(rates, 'rate')} by {listed(item.label for item in ours)}"
    if others:
        lead += f" and compared with {listed(dict.fromkeys(item.label.split()[0] for item in others))}"
    lead += (
        ". Sizes are those of whole c3video files, headers and all, and of the others’ streams without a container; "
        "every figure is measured on decoded frames."
    )
    groups = [("clips", run.moving_clips), ("still images", run.still_images)]
    found = []
    for name, clips in groups:
        metric = next(iter(metrics_of(run, clips)), "")
        if metric and (items := _comparisons(run, metric, clips)):
            found.append((name, metric, items))
    said = ""
    for index, (name, metric, items) in enumerate(found):
        on = f" on the {name}" if len(found) > 1 else ""
        is_same = index > 0 and metric == found[index - 1][1]
        measure = "the same measure" if is_same else f"{METRICS[metric]}: {METRIC_NOTES[metric]}"
        said += f"<p>At equal quality ({measure}), {escape(ours[0].label)} compares so{on}:</p>"
        said += f'<ul class="said">{items}</ul>'
    dated = [str(run.facts["date"])[:10]] if run.facts.get("date") else []
    if commit := str(run.facts.get("commit") or ""):
        dated.append(f"commit {commit[:12] if len(commit) == 40 else commit}")
    if (hours := _machine_hours(run)) is not None:
        dated.append(f"{hours:.3g} machine-hours")
    return f'<p class="lead">{escape(lead)}</p>{said}<p class="meta">{escape(" · ".join(dated))}</p>'


def _what(run: RunFolder) -> str:
    """As in "6 clips and 1 still image"."""
    groups = ((len(run.moving_clips), "clip"), (len(run.still_images), "still image"))
    return listed(counted(number, noun) for number, noun in groups if number)


def _comparisons(run: RunFolder, metric: str, clips: Sequence[str]) -> str:
    """A list item for each other codec: the mean BD-rate over clips, its range, and where we lose."""
    ours, others = ours_and_others(run)
    items = []
    for reference in others if ours else []:
        figures = {
            clip: bd_of(run, clip, metric, reference, ours[0])
            for clip in clips
            if all(any(p.metric(metric) is not None for p in run.points_of(clip, x)) for x in (reference, ours[0]))
        }
        found = {clip: bd.rate_percent for clip, bd in figures.items() if bd is not None}
        if not found:
            continue
        mean = sum(found.values()) / len(found)
        best, worst = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
        sentence = f"Against <b>{escape(reference.label)}</b> it needs <b>{more_or_less(mean)}</b>"
        if len(found) > 1:
            sentence += f" on average, from {percent_text(found[best])} ({escape(best)})"
            sentence += f" to {percent_text(found[worst])} ({escape(worst)})"
        if len(found) < len(figures):
            sentence += f"; {len(figures) - len(found)} of {len(figures)} have no qualities in common"
        losses = _losses([clip for clip, rate in found.items() if rate > 0], len(found))
        items.append(f"<li>{sentence}.{losses}</li>")
    return "".join(items)


def _losses(clips: Sequence[str], num_clips: int) -> str:
    if not clips:
        return ""
    if len(clips) == num_clips:
        return " It loses on every one." if num_clips > 1 else ""
    return f" It loses on {escape(listed(clips))}."


def _machine_hours(run: RunFolder) -> float | None:
    for name in ("total_machine_hours", "machine_hours"):
        if isinstance(run.facts.get(name), (int, float)):
            return float(run.facts[name])
    return None
