# SPDX-License-Identifier: MIT
"""Losses of pictures beside those that Cool-Chic publishes, by picture and rate."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path

from eval.report.series import ours_and_others
from eval.report.words import table_box
from eval.run_folder import Point, RunFolder, Series

ANCHORS = Path(__file__).resolve().parent.parent / "anchors" / "coolchic_kodak_published.tsv"
REFERENCE = "v5.0"


@cache
def published_losses(version: str = REFERENCE) -> dict[tuple[str, float], float]:
    """Published losses by picture and rd_weight: MSE of RGB on [0, 1] + rd_weight * bpp."""
    with ANCHORS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["version"] == version]
    return {(row["picture"], float(row["rd_weight"])): float(row["loss"]) for row in rows}


def loss_of(point: Point) -> float | None:
    """MSE of RGB + rd_weight * bpp of a picture of ours; None where its quality is no rd_weight."""
    try:
        rd_weight = float(point.quality)
    except ValueError:
        return None
    psnr = point.metric("psnr_rgb_seq")
    return None if psnr is None else 10.0 ** (-psnr / 10.0) + rd_weight * point.bpp


def ratios(run: RunFolder, series: Series) -> dict[str, dict[float, float]]:
    """Loss of each picture at each rd_weight to the published one."""
    found: dict[str, dict[float, float]] = {}
    for point in run.points:
        loss = loss_of(point) if point.series == series else None
        if loss is not None and (point.clip, float(point.quality)) in published_losses():
            rd_weight = float(point.quality)
            found.setdefault(point.clip, {})[rd_weight] = loss / published_losses()[point.clip, rd_weight]
    return found


def losses_section(run: RunFolder) -> str:
    """A table for each way of ours that has a picture and rate of the published ones."""
    tables = [_table(series, found) for series in ours_and_others(run)[0] if (found := ratios(run, series))]
    if not tables:
        return ""
    return (
        "<p>Loss, which is what both fit: MSE of RGB on [0, 1] + rd_weight × bpp, ours of real files, over that which "
        f"Cool-Chic {escape(REFERENCE.removeprefix('v'))} publishes for the picture at the same rd_weight. Below 1 is "
        "better.</p>" + "".join(tables)
    )


def _table(series: Series, found: dict[str, dict[float, float]]) -> str:
    rates = sorted({rate for row in found.values() for rate in row})
    rows = [_row(picture, [row.get(rate) for rate in rates]) for picture, row in sorted(found.items())]
    means = [[row[rate] for row in found.values() if rate in row] for rate in rates]
    rows.append(_row(f"mean of {len(found)}", [sum(column) / len(column) for column in means]))
    return table_box(
        f"{series.label}: loss over Cool-Chic’s", ["picture", *(f"{rate:g}" for rate in rates), "mean"], rows
    )


def _row(name: str, values: Sequence[float | None]) -> str:
    there = [value for value in values if value is not None]
    cells = [*values, sum(there) / len(there)]
    tds = "".join(f"<td>{'–' if value is None else f'{value:.3f}'}</td>" for value in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{tds}</tr>'
