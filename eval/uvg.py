# SPDX-License-Identifier: MIT
"""What `make uvg-eval` says last: means over clips by the paper's protocol, ours beside it, and the published curves.

The paper's protocol: frames as the RGB of ffmpeg's PNG files, PSNR of each frame, mean over the frames of a clip, then
over clips; bpp of whole files, mean over clips. Ours: the planes as they are coded, (6 Y + U + V) / 8, averaged the
same way.

Published curves are means over all 3,900 frames of the 7 clips. A run over fewer is not put beside them. Rates of the
neural codecs among them, C3's included, are estimates where those codecs write no files.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from c3video.c3.config import PAPER_MODELS
from c3video.errors import C3VideoError, SourceError
from eval.rd import QUALITIES, Codec, Point, bd_rate, codec_of, read_points
from handover.clips import read_clips
from handover.files import read_json, write_csv

ANCHORS = Path(__file__).parent / "anchors"

_MEANS = ("bpp", "psnr_rgb", "psnr_yuv611")
MEAN_COLUMNS = (
    *("codec", "profile", "preset", "tune", "quality", "num_clips"),
    *(*_MEANS, "encode_hours", "decode_hours"),
)


def published(name: str) -> dict[str, list[Point]]:
    """Published curves of a set ("uvg", "kodak", "clic2020"): (bpp, mean RGB PSNR in dB) by codec.

    Raises:
        SourceError: there are none of that name.
    """
    path = ANCHORS / f"{name}_published.tsv"
    curves: dict[str, list[Point]] = defaultdict(list)
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                curves[row["codec"]].append((float(row["bpp"]), float(row["psnr_rgb_db"])))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    return {codec: sorted(points) for codec, points in curves.items()}


def means(rows: Sequence[Mapping[str, str]], clips: Sequence[str]) -> list[dict[str, Any]]:
    """Means over clips of each codec and quality that has them all; hours are sums.

    Args:
        rows: of points.csv.
        clips: names that a mean must have.
    """
    by_curve: dict[tuple[Codec, str], dict[str, Mapping[str, str]]] = defaultdict(dict)
    for row in rows:
        by_curve[codec_of(row), row["quality"]][row["clip"]] = row
    found = []
    for (codec, quality), by_clip in sorted(by_curve.items(), key=lambda item: (item[0][0], float(item[0][1]))):
        if set(by_clip) != set(clips):
            continue
        mean: dict[str, Any] = {
            "codec": codec.codec,
            "profile": codec.profile,
            "preset": codec.preset,
            "tune": codec.tune,
            "quality": quality,
            "num_clips": len(by_clip),
        }
        for name in _MEANS:
            values = [float(row[name]) for row in by_clip.values() if row[name]]
            mean[name] = round(sum(values) / len(values), 6) if len(values) == len(by_clip) else ""
        for name in ("encode", "decode"):
            mean[f"{name}_hours"] = round(sum(float(row[f"{name}_seconds"]) for row in by_clip.values()) / 3600, 4)
        found.append(mean)
    return found


def adaptive(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """For each clip and rd_weight the best of the paper's settings, as rows of the profile `paper-adaptive`.

    The paper chooses for each patch. A stream has one setting, so this is the choice for each clip.

    Args:
        rows: of points.csv; those of settings that a clip has beside others at the same preset and rd_weight count.
    """
    found: dict[tuple[str, str, str], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        if row["profile"] in PAPER_MODELS and row["psnr_rgb_seq"]:
            found[row["clip"], row["preset"], row["quality"]].append(row)

    def loss(row: Mapping[str, str]) -> float:
        return 10 ** (-float(row["psnr_rgb_seq"]) / 10) + float(row["quality"]) * float(row["bpp"])

    best = [min(settings, key=loss) for settings in found.values() if len(settings) == len(PAPER_MODELS)]
    return [{**row, "profile": "paper-adaptive"} for row in best]


def curves_of(rows: Sequence[Mapping[str, Any]], quality: str) -> dict[Codec, list[Point]]:
    """(bpp, dB) of the means, by codec."""
    curves: dict[Codec, list[Point]] = defaultdict(list)
    for row in rows:
        if row[quality] != "":
            curves[codec_of(row)].append((float(row["bpp"]), float(row[quality])))
    return dict(curves)


def summary(rows: Sequence[Mapping[str, Any]], num_clips: int, whole_set: str) -> str:
    """Means and BD figures as text.

    Args:
        rows: of `means`.
        whole_set: name of the published curves that the run may be put beside; "" for none.
    """
    lines = [f"means over {num_clips} clip{'' if num_clips == 1 else 's'}; hours are sums", ""]
    lines.append(f"  {'':40} {'quality':>9} {'bpp':>9} {'RGB dB':>8} {'611 dB':>8} {'enc h':>9} {'dec h':>8}")
    for row in rows:
        figures = [f"{row[name]:8.3f}" if row[name] != "" else f"{'-':>8}" for name in ("psnr_rgb", "psnr_yuv611")]
        hours = f"{row['encode_hours']:9.3f} {row['decode_hours']:8.4f}"
        lines.append(f"  {codec_of(row)!s:40} {row['quality']:>9} {row['bpp']:9.5f} {' '.join(figures)} {hours}")
    for quality in ("psnr_rgb", "psnr_yuv611"):
        curves = curves_of(rows, quality)
        pairs = [(a, b) for a in curves for b in curves if a.codec == "c3video" and (b.codec != "c3video" or b < a)]
        if pairs:
            lines += ["", f"{quality} ({QUALITIES[quality]}); negative: the first needs fewer bits"]
        lines += [
            f"  {test} against {reference}: "
            f"{bd_rate(curves[reference], curves[test]) or 'no figure: the curves do not overlap'}"
            for test, reference in pairs
        ]
    lines += ["", *_published_lines(curves_of(rows, "psnr_rgb"), whole_set)]
    return "\n".join(lines)


def _published_lines(curves: Mapping[Codec, Sequence[Point]], whole_set: str) -> list[str]:
    if not whole_set:
        return ["published curves: not compared, since this run is not of all frames of all clips"]
    lines = ["against published curves (RGB PSNR; eval/anchors); negative: c3video needs fewer bits"]
    for codec, curve in curves.items():
        if codec.codec == "c3video":
            for name, points in published(whole_set).items():
                figure = bd_rate(points, curve)
                lines.append(f"  {codec} against {name}: {figure or 'no figure: the curves do not overlap'}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the means of a run folder and write them to OUT/means.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.uvg",
        description="Means over the clips of OUT/points.csv, BD-rates between them and against published curves.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of a run, with points.csv")
    options = parser.parse_args(arguments)
    try:
        clips = [clip.name for clip in read_clips(options.out)]
        points = read_points(options.out / "points.csv")
        rows = means([*points, *adaptive(points)], clips)
        write_csv(options.out / "means.csv", MEAN_COLUMNS, rows)
        run = read_json(options.out / "run.json") if (options.out / "run.json").exists() else {}
        print(summary(rows, len(clips), run.get("published", "")))
    except (C3VideoError, OSError) as error:
        print(f"uvg: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
