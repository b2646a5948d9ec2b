# SPDX-License-Identifier: MIT
"""Sample frames of a run folder for its report: source, c3video, and x264 and x265 at the size of the .c3v file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from c3video.errors import C3VideoError
from eval.run_folder import read_sample_frames
from eval.sample_frames import sample_clip
from handover.clips import read_clips
from handover.files import read_json

LARGEST_CLIP = 100_000_000
"""Luma samples of a clip above which no pictures are made: the encodes at equal size hold all frames in memory."""


def run(out: Path, *, again: bool = False, largest: int = LARGEST_CLIP) -> int:
    """Make what is missing; returns the number of streams that have pictures.

    Raises:
        C3VideoError: a clip or stream cannot be read.
    """
    clips = {clip.name: clip for clip in read_clips(out)}
    done = {(line.clip, line.quality) for line in read_sample_frames(out)}
    num_done = 0
    for path in sorted((out / "streams").glob("*.c3v")):
        record = read_json(path.with_suffix(".json"))
        clip, quality = clips.get(record["clip"]), str(record["rd_weight"])
        if clip is None or record["profile"] != "default":
            continue
        if clip.pix_fmt is not None or clip.num_frames * clip.width * clip.height > largest:
            print(f"samples: passed over: {clip.name}: too large, or headerless raw video", file=sys.stderr)
            continue
        if again or (clip.name, quality) not in done:
            try:
                frames = (clip.first, clip.last)
                sample_clip(out, clip.name, quality, Path(clip.path), path, preset=record["preset"], frames=frames)
            except C3VideoError as error:
                print(f"samples: passed over: {path.stem}: {error}", file=sys.stderr)
                continue
        num_done += 1
    return num_done


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures of a run folder."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.samples",
        description="Write OUT/frames/*.png: a frame of each clip and quality as it was, and as three codecs have it.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of a run, with clips.json and streams/")
    parser.add_argument("--again", action="store_true", help="also those that are there")
    options = parser.parse_args(arguments)
    try:
        num_done = run(options.out, again=options.again)
    except (C3VideoError, OSError) as error:
        print(f"samples: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("samples: interrupted; run it again to go on", file=sys.stderr)
        return 130
    print(f"{options.out / 'frames'}: pictures of {num_done} streams")
    return 0


if __name__ == "__main__":
    sys.exit(main())
