# SPDX-License-Identifier: MIT
"""How near encodes come to the size or PSNR that they were asked for, in a table.

    clip --preset ultrafast at a --crf--> its size, its PSNR --asked of the preset in question--> what came of it

So the targets are ones that can be met, and another preset than ultrafast does not meet them by that --crf: the size as
it is, the PSNR and 0.5 dB.

    python -m eval.targets CLIP ... [--preset fast] [--crfs 27,36] [--frames N] [--segment N]
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

MORE_DB = 0.5


def rows_of(path: Path, num_frames: int, preset: str, segment: int | None, crfs: Sequence[float]) -> Iterator[str]:
    """Lines of the table."""
    with open_source(path, frames=(0, num_frames)) as source:
        clip = ArraySource([frame.planes for frame in source], source.format)
    length = f"{clip.num_frames} frames, {float(clip.num_frames / (clip.format.frame_rate or 25)):.1f} s"
    for crf in crfs:
        guide = c3video.encode(
            clip, io.BytesIO(), preset="ultrafast", crf=crf, segment_frames=segment, threads=1, workers=1
        )
        targets: list[tuple[int | None, float | None]] = [
            (guide.size_bytes, None),
            (None, round(guide.psnr_db + MORE_DB, 2)),
        ]
        for size, psnr in targets:
            began = time.process_time()
            found = c3video.encode(
                clip,
                io.BytesIO(),
                preset=preset,
                segment_frames=segment,
                threads=1,
                workers=1,
                target_size=size,
                target_psnr=psnr,
            )
            taken = time.process_time() - began
            miss = f"{found.psnr_db - psnr:+.2f} dB" if psnr else f"{100 * (found.size_bytes / (size or 1) - 1):+.1f}%"
            asked = f"{psnr:.2f} dB" if psnr else f"{size} bytes"
            yield (
                f"| {path.stem} | {length} | {len(found)} | {preset} | {asked} | {found.size_bytes} bytes, "
                f"{found.psnr_db:.2f} dB | {miss} | {taken:.0f} |"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, a clip at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="of each at most (default 300)")
    parser.add_argument("--segment", type=int, metavar="N", help="frames a segment (default: as c3v encode)")
    parser.add_argument(
        "--crfs", type=lambda text: [float(word) for word in text.split(",")], default=[27.0, 36.0], metavar="Q,Q"
    )
    arguments = parser.parse_args(argv)
    print(
        "| clip | length | segments | preset | asked for | came out | miss | CPU s |\n" + "|---" * 8 + "|", flush=True
    )
    for path in arguments.clips:
        for line in rows_of(path, arguments.frames, arguments.preset, arguments.segment, arguments.crfs):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
