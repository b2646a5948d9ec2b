# SPDX-License-Identifier: MIT
"""Is the UVG set there? Looks at a folder and says what it holds, what is missing and where it is published.

Nothing is downloaded: the set is 12 GB, and its licence (CC BY-NC 3.0) is for whoever uses it to accept.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from c3video.errors import C3VideoError
from pipelines.datasets import uvg_clips


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the folder; returns 1 where a clip is missing or is not what it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.check_uvg",
        description="Check that a folder holds the UVG clips: raw YUV as published, or y4m, mkv or mp4 of their names.",
    )
    parser.add_argument("folder", nargs="?", type=Path, help="default: the environment's UVG_DIR")
    parser.add_argument("--clips", help="only these, separated by commas")
    options = parser.parse_args(arguments)
    named = os.environ.get("UVG_DIR")
    folder = options.folder or (Path(named) if named else None)
    try:
        for clip in uvg_clips(folder, options.clips.split(",") if options.clips else None):
            print(f"{clip.name:10} {clip.num_frames} frames  {clip.path}")
    except C3VideoError as error:
        print(f"uvg: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
