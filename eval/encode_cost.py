# SPDX-License-Identifier: MIT
"""What encoding costs and gives: CPU time and memory of `c3v encode` and the loss of its file, by clip and preset.

    python -m eval.encode_cost clip.mkv --presets ultrafast fast --frames 0:16
    python -m eval.encode_cost clip.mkv --profile pyramid --presets fast medium slow --crop 176x144 --seeds 0 1

Each encode is a process of its own, and all it does counts: start, reading, fit, coding. The loss is that of the fits,
MSE over all coded samples on [0, 1] + rd_weight x bpp, of the decoded frames and of all bytes of the file. Presets that
are no better than the one before them are named at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean

import c3video
from c3video import metrics
from c3video.config import PROFILES
from c3video.media.sink import open_sink
from c3video.media.source import open_source
from c3video.video import Frame
from eval.ablate import crop_size
from eval.launch import launch


@dataclass(frozen=True)
class Cost:
    """Of one encode.

    Args:
        num_pixels: luma samples of all frames.
        cpu_seconds: of all its threads, in user and system mode.
        peak_mib: largest resident memory.
        size_bytes: of the file.
        mse: over all samples of all frames, on [0, 1].
        rd_weight: that it was encoded with.
    """

    num_pixels: int
    num_frames: int
    cpu_seconds: float
    peak_mib: float
    size_bytes: int
    mse: float
    rd_weight: float

    @property
    def cpu_seconds_a_megapixel(self) -> float:
        return 1e6 * self.cpu_seconds / self.num_pixels

    @property
    def loss(self) -> float:
        return self.mse + self.rd_weight * 8 * self.size_bytes / self.num_pixels


def measure(
    clip: Path, profile: str, preset: str, frames: str, threads: int, rd_weight: float = 1e-3, seed: int = 0
) -> Cost:
    """Encode some frames of a clip. Raises OSError where that fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.c3v"
        command = [sys.executable, "-m", "c3video", "encode", str(clip), str(out), "--quiet", "--frames", frames]
        command += ["--profile", profile, "--preset", preset, "--rd-weight", str(rd_weight), "--seed", str(seed)]
        run = launch([*command, "--threads", str(threads)], os.environ | {"OMP_NUM_THREADS": str(threads)})
        sys.stderr.write(run.stderr)
        if run.exit_code:
            raise OSError(f"{clip}: encoding with {preset} ended with exit code {run.exit_code}")
        with c3video.open(out) as decoder:
            num_frames, video = len(decoder), decoder.format
        return Cost(
            num_frames * video.width * video.height,
            num_frames,
            run.cpu_seconds,
            run.peak_bytes / (1 << 20),
            out.stat().st_size,
            _mse(clip, out, frames, PROFILES[profile].as_rgb),
            rd_weight,
        )


def _span(frames: str) -> tuple[int, int | None]:
    """A:B, A: or :B, which `c3v encode` has taken."""
    first, _, last = frames.partition(":")
    return int(first or 0), int(last) if last else None


def _mse(clip: Path, out: Path, frames: str, as_rgb: bool) -> float:
    """Mean squared error of a decoded file on [0, 1]."""
    errors, count = 0.0, 0
    with c3video.open(out) as decoder, open_source(clip, frames=_span(frames), as_rgb=as_rgb) as source:
        for found, wanted in zip(decoder, source, strict=True):
            for a, b in zip(found.planes, wanted.planes, strict=True):
                errors += a.size * metrics.mse(b, a)
                count += a.size
        return errors / count / decoder.format.layout.max_value**2


def cropped(clip: Path, width: int, height: int, frames: str, folder: Path) -> Path:
    """The middle of some frames of a clip as a file in `folder`, from even places, every sample kept."""
    out = folder / f"{clip.stem}.mkv"
    with open_source(clip, frames=_span(frames)) as source:
        video = source.format
        if width > video.width or height > video.height:
            raise OSError(f"{clip}: is {video.width}x{video.height}, smaller than {width}x{height}")
        top, left = (video.height - height) // 4 * 2, (video.width - width) // 4 * 2
        inner = replace(video, width=width, height=height)
        with open_sink(out, inner) as sink:
            for frame in source:
                planes = [
                    plane[top >> down :, left >> across :][:rows, :columns]
                    for plane, (down, across), (rows, columns) in zip(
                        frame.planes, video.layout.planes, inner.plane_shapes, strict=True
                    )
                ]
                sink.write(Frame(tuple(planes), frame.pts, frame.duration))
    return out


def _rows(options: argparse.Namespace, clip: Path, frames: str) -> list[float]:
    """Print the lines of a clip; returns the mean loss of each preset over the seeds."""
    losses = []
    for preset in options.presets:
        costs = [
            measure(clip, options.profile, preset, frames, options.threads, options.rd_weight, seed)
            for seed in options.seeds
        ]
        for seed, cost in zip(options.seeds, costs, strict=True):
            print(
                f"| {clip.stem} | {cost.num_frames} | {preset} | {seed} | {1e4 * cost.loss:.3f} | {cost.size_bytes} | "
                f"{cost.cpu_seconds_a_megapixel:.1f} | {cost.cpu_seconds:.1f} | {cost.peak_mib:.0f} |",
                flush=True,
            )
        losses.append(mean(cost.loss for cost in costs))
    return losses


def main() -> int:
    """Print the table; returns 1 where a preset is no better than the one before it."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.encode_cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--profile", choices=PROFILES, default="default")
    parser.add_argument("--presets", nargs="+", default=["ultrafast", "fast", "medium"], help="from quick to slow")
    parser.add_argument("--frames", default="0:32", metavar="A:B")
    parser.add_argument("--crop", type=crop_size, metavar="WxH", help="only the middle of each frame")
    parser.add_argument("--rd-weight", type=float, default=1e-3, metavar="W")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="presets are compared by the mean of these")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print("| clip | frames | preset | seed | loss x 1e4 | bytes | CPU s a megapixel | CPU s | peak MiB |")
    print("|---|--:|---|--:|--:|--:|--:|--:|--:|")
    worse = []
    for clip in options.clips:
        with tempfile.TemporaryDirectory() as folder:
            source, frames = clip, options.frames
            if options.crop:
                height, width = options.crop
                source, frames = cropped(clip, width, height, frames, Path(folder)), "0:"
            losses = _rows(options, source, frames)
        for (before, preset), (shorter, longer) in zip(pairwise(options.presets), pairwise(losses), strict=True):
            if longer >= shorter:
                worse.append(f"{clip.stem}: {preset} has {100 * (longer / shorter - 1):.1f}% more loss than {before}")
    if len(options.presets) > 1:
        print("\n" + ("\n".join(worse) or "every preset is better than the one before it"))
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
