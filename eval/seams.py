# SPDX-License-Identifier: MIT
"""Do segments and patches show? A clip's errors where they meet, against those elsewhere and against other encoders.

    clip -> c3video, segments of 32 frames --------------------------+--> errors of luma by frame
         -> x264, x265, SVT-AV1: each segment alone, at its size ----+        -> jumps at joins, and elsewhere

A viewer sees a join as a sudden change of the error: `jump` is how many dB better the first frame of a segment is than
the frame before it, `usual` the median difference of all other neighbours, `change` the mean square of the error's
change from frame to frame at joins, in units of its median elsewhere. Of the C3 model also `edges`: by how many dB
samples within 4 of an inner edge of a patch are worse than all others.

    python -m eval.seams a.mkv b.mkv --frames 96
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import c3video
from c3video.c3.decode import patch_grid
from c3video.config import PRESETS, PROFILES
from c3video.decoder import Decoder
from c3video.encoder import EncodeProgress
from c3video.errors import C3VideoError
from c3video.media.source import open_source
from c3video.metrics import psnr_db
from c3video.stream.layout import Header
from c3video.video import ArraySource, Frame, VideoFormat
from eval import classic

SEGMENT_FRAMES = 32
EDGE = 4
"""Luma samples on either side of a patch's edge that count as near it."""

Errors = NDArray[np.float64]
"""(T, h, w): decoded less source luma, full range 1."""


@dataclass(frozen=True)
class Seams:
    """How joins of segments differ from other places; see the page's head.

    Args:
        psnr_db: of luma, mean of all frames.
        jump_db: mean over the joins.
        usual_db: median of the sizes of all other differences of neighbours.
        change: at joins against elsewhere.
    """

    psnr_db: float
    jump_db: float
    usual_db: float
    change: float


def seams(errors: Errors, segment_frames: int = SEGMENT_FRAMES) -> Seams:
    """Figures of a clip of at least two segments of more than one frame."""
    psnr = np.array([psnr_db(float(np.square(frame).mean()), 1) for frame in errors])
    steps = np.diff(psnr)
    changes = np.square(np.diff(errors, axis=0)).mean(axis=(1, 2))
    is_join = np.arange(1, len(errors)) % segment_frames == 0
    usual = np.median(changes[~is_join])
    return Seams(
        float(psnr.mean()),
        float(steps[is_join].mean()),
        float(np.median(np.abs(steps[~is_join]))),
        float(changes[is_join].mean() / usual) if usual else math.inf,
    )


def edge_loss_db(errors: Errors, header: Header) -> float | None:
    """By how much samples near inner edges of patches are worse than others; None without such edges."""
    grid = patch_grid(header)
    if len(grid) == 1:
        return None
    near = np.zeros(errors.shape[1:], dtype=bool)
    for rows, columns in grid:
        top, left = rows.start * header.video.layout.cell_height, columns.start * header.video.layout.cell_width
        if top:
            near[max(0, top - EDGE) : top + EDGE] = True
        if left:
            near[:, max(0, left - EDGE) : left + EDGE] = True
    return float(10 * np.log10(np.square(errors[:, near]).mean() / np.square(errors[:, ~near]).mean()))


def luma_errors(decoded: Sequence[Frame], source: Sequence[Frame], video: VideoFormat) -> Errors:
    """Errors of the first plane."""
    pairs = zip(decoded, source, strict=True)
    return (
        np.stack([ours.planes[0].astype(float) - theirs.planes[0] for ours, theirs in pairs]) / video.layout.max_value
    )


def in_segments(frames: Sequence[Frame], video: VideoFormat, codec: str, first_bytes: int) -> tuple[int, list[Frame]]:
    """Bytes and frames of another encoder, each segment alone, all at the quality that makes the first so large."""
    runs = [frames[first : first + SEGMENT_FRAMES] for first in range(0, len(frames), SEGMENT_FRAMES)]
    crf = classic.at_size(runs[0], video, codec, first_bytes, tune=_tune(codec))[0].crf
    found = [classic.encode(run, video, codec, crf, tune=_tune(codec)) for run in runs]
    return sum(run.size_bytes for run in found), [frame for run in found for frame in run.frames]


def _tune(codec: str) -> str | None:
    return "psnr" if codec in ("x264", "x265") else None


def rows_of(clip: Path, options: argparse.Namespace) -> list[str]:
    """Lines of the table for one clip."""
    with open_source(clip, frames=(0, options.frames)) as source:
        frames, video = list(source), source.format
    if len(frames) < SEGMENT_FRAMES + 2:
        raise C3VideoError(f"{clip}: {len(frames)} frames; two segments of {SEGMENT_FRAMES} are the least")
    file = io.BytesIO()
    with tqdm(total=-(-len(frames) // SEGMENT_FRAMES), desc=clip.stem, unit="segment", leave=False) as bar:

        def report(progress: EncodeProgress) -> None:
            if progress.segment > bar.n:
                bar.update()

        reports = c3video.encode(
            ArraySource([frame.planes for frame in frames], video),
            file,
            profile=options.profile,
            preset=options.preset,
            rd_weight=options.rd_weight,
            segment_frames=SEGMENT_FRAMES,
            scene_cuts=False,
            report=report,
        )
    with Decoder(io.BytesIO(file.getvalue())) as decoder:
        errors = luma_errors(list(decoder), frames, video)
        loss = edge_loss_db(errors, decoder.header)
    sizes = [report.size_bytes for report in reports]
    rows = [row(clip.stem, f"c3video {options.profile}", sum(sizes), seams(errors), loss)]
    for codec in options.codecs.split(",") if options.codecs else ():
        size_bytes, decoded = in_segments(frames, video, codec, sizes[0])
        rows.append(row("", codec, size_bytes, seams(luma_errors(decoded, frames, video)), None))
    return rows


def row(clip: str, codec: str, size_bytes: int, found: Seams, edge_loss: float | None) -> str:
    """One line of Markdown."""
    edges = "" if edge_loss is None else f"{edge_loss:+.2f}"
    return (
        f"| {clip} | {codec} | {size_bytes:,} | {found.psnr_db:.2f} | {found.jump_db:+.2f} | {found.usual_db:.2f} |"
        f" {found.change:.1f} | {edges} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Encode the clips and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m eval.seams"
    )
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=2 * SEGMENT_FRAMES, help="of each clip (default: %(default)s)")
    parser.add_argument("--profile", choices=PROFILES, default="default")
    parser.add_argument("--preset", choices=PRESETS, default="fast")
    parser.add_argument("--rd-weight", type=float, default=1e-3)
    parser.add_argument("--codecs", default="x264,x265,svtav1", help="to put beside it (default: %(default)s)")
    options = parser.parse_args(arguments)
    print("| clip | codec | bytes | PSNR Y, dB | jump, dB | usual, dB | change | edges, dB |")
    print("|---|---|---|---|---|---|---|---|")
    try:
        for clip in options.clips:
            print("\n".join(rows_of(clip, options)), flush=True)
    except C3VideoError as error:
        print(f"seams: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
