# SPDX-License-Identifier: MIT
"""The README's table: real clips at two presets beside x264 and x265 medium at the same sizes (`make table CLIPS=...`).

Streams and their times are kept in the output folder and not made again. Seconds are CPU seconds of whole processes
(c3v) or of the encoder (x264, x265), one thread each.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

from c3video.errors import C3VideoError
from c3video.media.source import open_source
from c3video.metrics import compare
from eval import classic
from handover.files import read_json, write_json


def child_seconds(command: list[str]) -> float:
    """CPU seconds of a command. Raises C3VideoError if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        raise C3VideoError(f"failed: {' '.join(command)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def rows_of(clip: Path, preset: str, num_frames: int, out: Path) -> list[str]:
    """Markdown rows of one clip and preset: c3video, then x264 and x265 at its size."""
    stream, times = out / f"{clip.stem}.{preset}.c3v", out / f"{clip.stem}.{preset}.json"
    frames_option = f"0:{num_frames}"
    if not times.exists():
        c3v = [sys.executable, "-m", "c3video"]
        options = ["--preset", preset, "--frames", frames_option, "--threads", "1"]
        encode_seconds = child_seconds([*c3v, "encode", "-y", str(clip), str(stream), *options])
        decode_seconds = child_seconds([*c3v, "decode", str(stream), "--verify", "--threads", "1"])
        write_json(times, {"encode": encode_seconds, "decode": decode_seconds})
    seconds = read_json(times)
    found = compare(clip, stream, frames=(0, num_frames))
    rows = [row(clip.stem, f"c3video {preset}", found, seconds["encode"], seconds["decode"])]
    with open_source(clip, frames=(0, num_frames)) as source:
        frames, video = list(source), source.format
    for name in ("x264", "x265"):
        coded, quality = classic.at_size(frames, video, name, stream.stat().st_size, preset="medium", tune="psnr")
        rows.append(row("", f"{name} medium", quality, coded.encode_cpu_seconds, coded.decode_cpu_seconds))
    return rows


def row(clip: str, codec: str, quality: object, encode_seconds: float, decode_seconds: float) -> str:
    """One line of Markdown."""
    figures = vars(quality)
    return (
        f"| {clip} | {codec} | {figures['size_bytes']:,} | {figures['bpp']:.3f} | {figures['psnr_yuv611']:.2f} |"
        f" {figures['psnr_y']:.2f} | {encode_seconds:.1f} | {decode_seconds:.2f} |"
    )


def main() -> int:
    """Encode what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--presets", default="fast,medium")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("runs/table"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print("| clip | codec | bytes | bpp | PSNR 6:1:1, dB | PSNR Y, dB | encode, CPU s | decode, CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    try:
        for clip in arguments.clips:
            for preset in arguments.presets.split(","):
                print("\n".join(rows_of(clip, preset, arguments.frames, arguments.out)), flush=True)
    except C3VideoError as error:
        print(f"table: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
