# SPDX-License-Identifier: MIT
"""How near encodes come to the size, rate or PSNR that they were asked for, in a table.

    clip --encode at targets of two rates--> what came of it, and what the trials took

The targets are what encodes of the clip at some --crf came to, so that they can be met at all: the size times 1.1, the
PSNR less 0.3 dB.

    python -m eval.targets CLIP ... [--preset fast] [--frames N] [--segment N]
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import c3video
from c3video.media.source import open_source
from c3video.video import ArraySource


def rows_of(path: Path, num_frames: int, preset: str, segment: int, crfs: Sequence[float]) -> Iterator[str]:
    """Lines of the table."""
    with open_source(path, frames=(0, num_frames)) as source:
        clip = ArraySource([frame.planes for frame in source], source.format)
    for crf in crfs:
        began = time.process_time()
        plain = c3video.encode(clip, io.BytesIO(), preset=preset, crf=crf, segment_frames=segment, threads=1)
        plain_seconds = time.process_time() - began
        targets: list[tuple[int | None, float | None]] = [
            (round(1.1 * plain.size_bytes), None),
            (None, round(plain.psnr_db - 0.3, 2)),
        ]
        for size, psnr in targets:
            began = time.process_time()
            found = c3video.encode(
                clip,
                io.BytesIO(),
                preset=preset,
                segment_frames=segment,
                threads=1,
                target_size=size,
                target_psnr=psnr,
            )
            taken = (time.process_time() - began) / plain_seconds
            miss = f"{found.psnr_db - psnr:+.2f} dB" if psnr else f"{100 * (found.size_bytes / (size or 1) - 1):+.1f}%"
            asked = f"{psnr:.2f} dB" if psnr else f"{size} bytes"
            yield f"| {path.stem} | {len(found)} | {asked} | {miss} | {taken:.2f} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, a clip at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="of each at most (default 300)")
    parser.add_argument("--segment", type=int, default=32, metavar="N", help="frames a segment (default 32)")
    parser.add_argument(
        "--crfs", type=lambda text: [float(word) for word in text.split(",")], default=[27.0, 36.0], metavar="Q,Q"
    )
    arguments = parser.parse_args(argv)
    print(
        "| clip | segments | target | miss | CPU seconds of an encode at one crf |\n|---|---|---|---|---|", flush=True
    )
    for path in arguments.clips:
        for line in rows_of(path, arguments.frames, arguments.preset, arguments.segment, arguments.crfs):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
