# SPDX-License-Identifier: MIT
"""What encoding takes: CPU seconds a megapixel and memory by preset, and what several workers bring.

    clip --c3v encode, by preset and number of workers--> CPU seconds, peak memory of a process, wall seconds

The start of a process (loading torch) is measured once and taken off the CPU seconds of each worker. Wall seconds say
something on an idle machine alone: the best of several runs is taken.

    python -m eval.scale CLIP [--presets ultrafast,fast] [--frames N] [--workers 1,2] [--runs N]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from c3video.media.source import open_source


@dataclass(frozen=True)
class Cost:
    """Of one command and its processes.

    Args:
        cpu_seconds: of all of them.
        peak_bytes: of the largest one.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(command: Sequence[str]) -> Cost:
    """Run a command to its end. Raises RuntimeError where it fails."""
    began = time.perf_counter()
    process = os.posix_spawn(command[0], list(command), os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)}: ended with status {status}")
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(time.perf_counter() - began, cpu, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def table(clip: Path, num_frames: int, presets: Sequence[str], workers: Sequence[int], runs: int) -> str:
    """Markdown: a row for each preset and number of workers."""
    with open_source(clip, frames=(0, num_frames)) as source:
        video, count = source.format, sum(1 for _ in source)
    megapixels = 1e-6 * count * video.width * video.height
    start = min(run([sys.executable, "-c", "import c3video.api"]).cpu_seconds for _ in range(runs))
    lines = [
        f"{clip.stem}, {count} frames ({megapixels:.2f} megapixels), a process begins in {start:.1f} CPU seconds",
        "",
        "| preset | workers | CPU s | CPU s a megapixel | wall s | of one worker's | largest process |",
        "|---|---|---|---|---|---|---|",
    ]
    for preset in presets:
        first = 0.0
        for number in workers:
            costs = []
            for _ in range(runs):
                with tempfile.TemporaryDirectory() as folder:
                    command = [sys.executable, "-m", "c3video", "encode", "-q", str(clip), f"{folder}/out.c3v"]
                    command += ["--preset", preset, "--frames", f"0:{count}", "--workers", str(number)]
                    costs.append(run([*command, "--segment", str(-(-count // max(workers)))]))
            cpu, wall = (min(getattr(cost, name) for cost in costs) for name in ("cpu_seconds", "wall_seconds"))
            first = first or wall
            fits = cpu - start * (1 + (number if number > 1 else 0))
            peak = max(cost.peak_bytes for cost in costs) >> 20
            lines.append(
                f"| {preset} | {number} | {cpu:.1f} | {fits / megapixels:.1f} | {wall:.1f} | {first / wall:.2f} times "
                f"as fast | {peak} MiB |"
            )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--presets", type=lambda text: text.split(","), default=["ultrafast", "fast"], metavar="A,B")
    parser.add_argument("--frames", type=int, default=64, metavar="N", help="from the first on (default 64)")
    parser.add_argument(
        "--workers", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2], metavar="N,N"
    )
    parser.add_argument(
        "--runs", type=int, default=1, metavar="N", help="of each, of which the best counts (default 1)"
    )
    arguments = parser.parse_args(argv)
    print(table(arguments.clip, arguments.frames, arguments.presets, arguments.workers, arguments.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
