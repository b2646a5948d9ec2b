# SPDX-License-Identifier: MIT
"""Shards -> one run folder: what several machines have encoded, joined.

SHARD/units/*, SHARD/classic/* --copied where missing--> OUT/ --joined--> OUT/streams/*.c3v
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from c3video.errors import C3VideoError, ConfigError, SourceError
from handover import files
from handover.clips import Clip, read_clips, write_clips
from pipelines.join import join_all

COPIED = ("units/*/*", "classic/*")


def merge(out: Path, shards: Sequence[Path]) -> list[str]:
    """Copy what `out` lacks from each shard; returns the names of the streams that are whole now.

    Raises:
        SourceError: a shard is no run folder.
        ConfigError: two shards have the same file with other content, or cut a clip differently.
    """
    clips: dict[str, Clip] = {}
    runs: list[dict[str, Any]] = []
    for folder in [out, *shards] if (out / "clips.json").exists() else shards:
        _merge_clips(clips, folder)
        if (folder / "run.json").exists():
            runs.append(files.read_json(folder / "run.json"))
    for folder in shards:
        for pattern in COPIED:
            # Names end so that a unit's record comes after its stream.
            for path in sorted(folder.glob(pattern), key=lambda path: (path.suffix == ".json", path)):
                if not path.name.startswith("."):
                    _copy(path, out / path.relative_to(folder))
    write_clips(out, list(clips.values()))
    if runs:
        merged = runs[0] | {"commands": [command for run in runs for command in run.get("commands", [])]}
        files.write_json(out / "run.json", merged)
    return join_all(out)


def _merge_clips(clips: dict[str, Clip], folder: Path) -> None:
    """Take in a folder's clips; a file that this machine has is preferred to one that it has not."""
    if not (folder / "clips.json").exists():
        raise SourceError(f"{folder}: is no folder of a run: it has no clips.json")
    for clip in read_clips(folder):
        known = clips.get(clip.name)
        if known is not None and replace(known, path="", pix_fmt=None, fps=None) != replace(
            clip, path="", pix_fmt=None, fps=None
        ):
            raise ConfigError(
                f"{folder}: {clip.name} is frames {clip.first}:{clip.last} of {clip.width}x{clip.height}, elsewhere "
                f"{known.first}:{known.last} of {known.width}x{known.height}"
            )
        if known is None or (Path(clip.path).exists() and not Path(known.path).exists()):
            clips[clip.name] = clip


def _copy(path: Path, target: Path) -> None:
    data = path.read_bytes()
    if not target.exists():
        files.write_bytes(target, data)
    elif target.suffix in (".c3v", ".ivf") and target.read_bytes() != data:
        raise ConfigError(f"{path} and {target} differ; both should be the same segment: delete the wrong one")


def main(arguments: Sequence[str] | None = None) -> int:
    """Merge shards into a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.merge",
        description="Put the shards of a run together. Copy the folders of the machines here first.",
        epilog="example: python -m pipelines.merge runs/uvg shard1 shard2; then pipelines.evaluate with --out runs/uvg",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder that gets all, new or one of a run")
    parser.add_argument("shards", type=Path, nargs="+", metavar="SHARD", help="folders of the runs with --shard")
    options = parser.parse_args(arguments)
    try:
        whole = merge(options.out, options.shards)
    except (C3VideoError, OSError) as error:
        print(f"merge: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {len(whole)} whole streams")
    return 0


if __name__ == "__main__":
    sys.exit(main())
