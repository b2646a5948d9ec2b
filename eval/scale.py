# SPDX-License-Identifier: MIT
"""What encoding takes: CPU seconds a megapixel and memory by preset, and what several workers bring.

    clip --c3v encode, by preset and number of workers--> CPU seconds, peak memory of a process, wall seconds

The start of a process (loading torch) is measured once and taken off the CPU seconds of each worker. Wall seconds mean
something where nothing else runs; so the numbers of workers take turns, each run is held against those of the same
turn, and what others used of the machine's cores meanwhile is in the table.

    python -m eval.scale CLIP [--presets ultrafast,fast] [--frames N] [--segment N] [--workers 1,2] [--runs N]
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
from statistics import median

from c3video.media.source import open_source


@dataclass(frozen=True)
class Cost:
    """Of one command and its processes.

    Args:
        cpu_seconds: of all of them.
        peak_bytes: of the largest one.
        others: cores that all else on the machine had at work meanwhile, on average; NaN where nobody knows.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    others: float = float("nan")


def run(command: Sequence[str]) -> Cost:
    """Run a command to its end. Raises RuntimeError where it fails."""
    began, busy = time.perf_counter(), _busy_seconds()
    process = os.posix_spawn(command[0], list(command), os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)}: ended with status {status}")
    wall, cpu = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    others = max(0.0, (_busy_seconds() - busy - cpu) / wall)
    return Cost(wall, cpu, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), others)


def _busy_seconds() -> float:
    """That all cores together have worked since the machine began; NaN where the system does not say."""
    try:
        words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return float("nan")
    user, nice, system, _, _, *interrupts = map(int, words[:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def row(preset: str, number: int, costs: Sequence[Cost], base: Sequence[Cost], start: float, megapixels: float) -> str:
    """A line of the table.

    Args:
        costs: of the runs with this number of workers.
        base: of those with the first number, in the same turns.
        start: CPU seconds in which a process begins.
    """
    cpu = min(cost.cpu_seconds for cost in costs)
    ratios = [one.wall_seconds / cost.wall_seconds for one, cost in zip(base, costs, strict=True)]
    fits = cpu - start * (1 + (number if number > 1 else 0))
    return (
        f"| {preset} | {number} | {cpu:.1f} | {fits / megapixels:.1f} | {min(c.wall_seconds for c in costs):.1f} | "
        f"{max(ratios):.2f} | {median(ratios):.2f} | {median(cost.others for cost in costs):.2f} | "
        f"{max(cost.peak_bytes for cost in costs) >> 20} MiB |"
    )


def table(clip: Path, num_frames: int, segment: int, presets: Sequence[str], workers: Sequence[int], runs: int) -> str:
    """Markdown: a row for each preset and number of workers."""
    with open_source(clip, frames=(0, num_frames)) as source:
        video, count = source.format, sum(1 for _ in source)
    megapixels = 1e-6 * count * video.width * video.height
    start = min(run([sys.executable, "-c", "import c3video.api"]).cpu_seconds for _ in range(max(2, runs)))
    lines = [
        f"{clip.stem}, {count} frames ({megapixels:.2f} megapixels) in {-(-count // segment)} segments, {runs} runs, "
        f"{os.cpu_count()} cores; a process begins in {start:.1f} CPU seconds",
        "",
        "| preset | workers | CPU s | CPU s a megapixel | wall s | times as fast, best | median | cores others used "
        "| largest process |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for preset in presets:
        costs: dict[int, list[Cost]] = {number: [] for number in workers}
        for turn in range(runs):
            for number in workers[:: -1 if turn % 2 else 1]:
                with tempfile.TemporaryDirectory() as folder:
                    command = [sys.executable, "-m", "c3video", "encode", "-q", str(clip), f"{folder}/out.c3v"]
                    command += ["--preset", preset, "--frames", f"0:{count}", "--workers", str(number)]
                    costs[number].append(run([*command, "--segment", str(segment)]))
        lines += [row(preset, number, costs[number], costs[workers[0]], start, megapixels) for number in workers]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--presets", type=lambda text: text.split(","), default=["ultrafast", "fast"], metavar="A,B")
    parser.add_argument("--frames", type=int, default=64, metavar="N", help="from the first on (default 64)")
    parser.add_argument("--segment", type=int, default=8, metavar="N", help="frames a segment (default 8)")
    parser.add_argument(
        "--workers", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2], metavar="N,N"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each (default 3)")
    arguments = parser.parse_args(argv)
    print(
        table(
            arguments.clip,
            arguments.frames,
            arguments.segment,
            arguments.presets,
            arguments.workers,
            arguments.runs,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
