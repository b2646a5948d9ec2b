# SPDX-License-Identifier: MIT
"""Bits by part of each file, as bars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape

from eval.report.series import grid_name, patch_model_of
from eval.report.words import size_text
from eval.run_folder import RunFolder, by_quality


def bits_section(run: RunFolder) -> str:
    """A bar a file, cut into its parts."""
    parts = sorted({row.part for row in run.bits if row.bits > 0}, key=_place)
    if not parts:
        return ""
    colors, profiles = _part_colors(parts), {row.part: row.profile for row in run.bits}
    files: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for row in run.bits:
        files[row.clip, row.profile, row.preset, row.quality][row.part] = row.bits
    order = {clip: index for index, clip in enumerate(run.clips)}
    several = len({(profile, preset) for _, profile, preset, _ in files}) > 1
    bars, last_clip = [], ""
    for key in sorted(files, key=lambda key: (order.get(key[0], len(order)), key[1:3], by_quality(key[3]))):
        clip, profile, preset, quality = key
        if clip != last_clip:
            bars.append(f'<div class="of">{escape(clip)}</div>')
            last_clip = clip
        bars.append(f"<div>{escape(f'{quality} ({profile}, {preset})' if several else quality)}</div>")
        bars.append(_bar({part: files[key][part] for part in parts if files[key].get(part)}, colors))
    keys = "".join(
        f'<li class="key"><i style="background:{colors[part]}"></i>{escape(_part_name(part, profiles[part]))}</li>'
        for part in parts
    )
    weights = [
        sum(bits for part, bits in file.items() if "weights" in part) / (sum(file.values()) or 1.0)
        for file in files.values()
    ]
    return (
        f"<p>Each bar is one file, by rd_weight. {_explanation(parts)}The weights of the networks take "
        f"{_range_text(weights)} of a file.</p>"
        f'<ul class="legend">{keys}</ul><div class="bars">{"".join(bars)}</div>'
    )


def _bar(bits: dict[str, float], colors: dict[str, str]) -> str:
    whole = sum(bits.values()) or 1.0
    shares = {part: 100 * value / whole for part, value in bits.items()}
    pieces = "".join(
        f'<i style="width:{share:.3f}%;background:{colors[part]}"'
        f' title="{escape(part)}: {size_text(bits[part] / 8)}, {share:.1f}%"></i>'
        for part, share in shares.items()
    )
    said = ", ".join(f"{part} {share:.0f}%" for part, share in shares.items())
    return (
        f'<div class="bar" role="img" aria-label="{escape(said)}">{pieces}</div>'
        f'<div class="total">{size_text(whole / 8)}</div>'
    )


def _range_text(shares: Sequence[float]) -> str:
    low, high = (f"{100 * share:.0f}%" for share in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def _explanation(parts: Sequence[str]) -> str:
    words = ""
    if any(part.startswith("grid") for part in parts):
        words += "Latent grids are numbered as in the stream, their resolution in time and space in brackets. "
    if any(part.startswith("level") for part in parts):
        words += (
            "Level 0 is the first frame of a segment, level 1 are the anchors after it, and frames of later levels lie "
            "between those that they are predicted from; motion is coded as vectors, so there are no learned windows. "
        )
    return words


def _part_name(part: str, profile: str) -> str:
    number = part.removeprefix("grid ")
    return f"{part} ({grid_name(patch_model_of(profile), int(number))})" if number.isdigit() else part


def _place(part: str) -> tuple[int, int, str]:
    """Sort key: latents in their own order, motion, weights, the rest. A file need not have all parts of another."""
    kind, _, number = part.partition(" ")
    if kind in ("grid", "level"):
        return (0, int(number), "")
    return (1 if part == "motion" else 2 if "weights" in part else 3, 0, part)


def _part_colors(parts: Sequence[str]) -> dict[str, str]:
    """Latent grids or levels of frames from blue to green, motion in purple, weights in oranges, the rest in greys."""
    grids = [part for part in parts if part.startswith(("grid", "level"))]
    weights = [part for part in parts if "weights" in part]
    rest = [part for part in parts if part not in grids and part not in weights and part != "motion"]
    colors = {"motion": "hsl(285 32% 56%)"}
    for index, part in enumerate(grids):
        share = index / max(1, len(grids) - 1)
        colors[part] = (
            f"hsl({225 - 75 * share:.0f} {62 - 12 * share:.0f}% {38 + 30 * (index % 2 * 0.35 + share * 0.65):.0f}%)"
        )
    colors |= {part: f"hsl({32 - 16 * index} 85% {56 - 6 * index}%)" for index, part in enumerate(weights)}
    colors |= {part: f"hsl(220 6% {50 + 14 * (index % 3)}%)" for index, part in enumerate(rest)}
    return colors
