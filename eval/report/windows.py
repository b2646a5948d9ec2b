# SPDX-License-Identifier: MIT
"""Where each patch looks in its previous latent frame, drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from eval.report.series import grid_name, patch_model_of
from eval.report.words import counted
from eval.run_folder import RunFolder


def windows_section(run: RunFolder) -> str:
    """A panel a clip and profile, with the window of every patch and grid; the hybrid model has none."""
    if not run.windows:
        return ""
    config = patch_model_of(run.windows[0].profile)
    half, size = config.previous_range // 2, config.previous_size
    offsets = [at - half for window in run.windows for at in (window.y, window.x)]
    reach = min(half + 1, max(7, 1 - min(offsets), 1 + max(offsets) + size))
    grids = sorted({window.grid for window in run.windows})
    profiles = list(dict.fromkeys(window.profile for window in run.windows))
    panels = []
    for clip in run.clips:
        for profile in profiles:
            found = [window for window in run.windows if (window.clip, window.profile) == (clip, profile)]
            if found:
                said = counted(len(found), "window") + (f", {profile}" if len(profiles) > 1 else "")
                corners = [(window.grid, window.y - half, window.x - half) for window in found]
                panels.append(
                    f'<figure><p class="name">{escape(clip)} <small>{escape(said)}</small></p>'
                    f"{_panel(clip, corners, grids, size, reach)}</figure>"
                )
    names = {grid: "" if len(profiles) > 1 else f" ({grid_name(config, grid)})" for grid in grids}
    keys = "".join(
        f'<li class="key"><i style="background:var(--c{index % 8})"></i>grid {grid}{names[grid]}</li>'
        for index, grid in enumerate(grids)
    )
    wide = config.previous_range
    return (
        "<p>When a latent is coded, its entropy network looks at its neighbours and at a small window of the previous "
        f"latent frame. Where that window of {size}x{size} lies within {wide}x{wide} is chosen by the fit, for each "
        "grid of each patch: where a picture moves, windows follow. The cross is the latent’s own place; axes count "
        "latents to the right and down; the stronger a square, the more patches (of all segments and rates) chose it."
        f"{'' if len(profiles) > 1 else ' In brackets: the grid’s resolution in time and space.'}</p>"
        f'<ul class="legend">{keys}</ul><div class="multiples small">{"".join(panels)}</div>'
    )


def _panel(clip: str, windows: Sequence[tuple[int, int, int]], grids: Sequence[int], size: int, reach: int) -> str:
    """(grid, dy, dx) corners, drawn around the place of the latent to be coded."""
    side, margin = 240, 26
    unit = (side - margin - 4) / (2 * reach + 1)
    counts, totals = Counter(windows), Counter(grid for grid, _, _ in windows)

    def at(offset: float) -> float:
        return margin + (offset + reach) * unit

    step = 2 if reach <= 10 else 8
    ticks = [value for value in range(-reach, reach + 1) if value % step == 0]
    marks = "".join(
        f'<path class="grid" d="M{at(v + 0.5):.1f} 4V{side - margin}'
        f'M{margin} {at(v + 0.5) - margin + 4:.1f}H{side - 4}"/>'
        f'<text class="tick" x="{at(v + 0.5):.1f}" y="{side - margin + 13}" text-anchor="middle">{v}</text>'
        f'<text class="tick" x="{margin - 5}" y="{at(v + 0.5) - margin + 7.5:.1f}" text-anchor="end">{v}</text>'
        for v in ticks
    )
    squares = []
    for (grid, dy, dx), count in sorted(counts.items(), key=lambda item: item[1]):
        color = grids.index(grid) % 8
        share = count / totals[grid]
        squares.append(
            f'<rect x="{at(dx):.1f}" y="{at(dy) - margin + 4:.1f}" width="{size * unit:.1f}" height="{size * unit:.1f}"'
            f' fill="var(--c{color})" fill-opacity="{0.06 + 0.34 * share:.2f}" stroke="var(--c{color})"'
            f' stroke-opacity="{0.35 + 0.65 * share:.2f}" stroke-width="{1 + share:.1f}">'
            f"<title>grid {grid}: rows {dy} to {dy + size - 1}, columns {dx} to {dx + size - 1}; "
            f"{count} of {totals[grid]} patches</title></rect>"
        )
    cross = at(0.5)
    cross_y = cross - margin + 4
    return (
        f'<svg class="chart" viewBox="0 0 {side} {side}" role="img" aria-label="learned windows of {escape(clip)}">'
        f"{marks}{''.join(squares)}"
        f'<path d="M{cross - 6:.1f} {cross_y:.1f}H{cross + 6:.1f}M{cross:.1f} {cross_y - 6:.1f}V{cross_y + 6:.1f}"'
        ' stroke="var(--ink)" stroke-width="1.5"/></svg>'
    )
