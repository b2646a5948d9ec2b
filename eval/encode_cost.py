# SPDX-License-Identifier: MIT
"""What encoding costs: CPU seconds a megapixel and peak memory of `c3v encode`, by clip and preset.

    python -m eval.encode_cost clip.mkv --presets ultrafast fast --frames 0:16

Each encode is a process of its own, and all it does counts: start, reading, fit, coding.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import c3video
from c3video.config import PROFILES

_MIB_A_UNIT = (1 << 20) if sys.platform == "darwin" else (1 << 10)
"""Units of ru_maxrss in a MiB: bytes on macOS, KiB elsewhere."""


@dataclass(frozen=True)
class Cost:
    """Of one encode.

    Args:
        num_pixels: luma samples of all frames.
        cpu_seconds: of all its threads, in user and system mode.
        peak_mib: largest resident memory.
    """

    num_pixels: int
    num_frames: int
    cpu_seconds: float
    peak_mib: float

    @property
    def cpu_seconds_a_megapixel(self) -> float:
        return 1e6 * self.cpu_seconds / self.num_pixels


def measure(clip: Path, profile: str, preset: str, frames: str, threads: int) -> Cost:
    """Encode some frames of a clip. Raises OSError where that fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.c3v"
        command = [sys.executable, "-m", "c3video", "encode", str(clip), str(out), "--quiet", "--frames", frames]
        process = subprocess.Popen(
            [*command, "--profile", profile, "--preset", preset, "--threads", str(threads)],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise OSError(f"{clip}: encoding with {preset} ended with exit code {process.returncode}")
        with c3video.open(out) as decoder:
            num_frames, video = len(decoder), decoder.format
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Cost(num_frames * video.width * video.height, num_frames, cpu_seconds, usage.ru_maxrss / _MIB_A_UNIT)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.encode_cost", description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--profile", choices=PROFILES, default="default")
    parser.add_argument("--presets", nargs="+", default=["ultrafast", "fast", "medium"])
    parser.add_argument("--frames", default="0:32", metavar="A:B")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print("| clip | frames | preset | CPU s a megapixel | CPU s | peak MiB |\n|---|---|---|---|---|---|")
    for clip in options.clips:
        for preset in options.presets:
            cost = measure(clip, options.profile, preset, options.frames, options.threads)
            print(
                f"| {clip.stem} | {cost.num_frames} | {preset} | {cost.cpu_seconds_a_megapixel:.1f} | "
                f"{cost.cpu_seconds:.1f} | {cost.peak_mib:.0f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
