# SPDX-License-Identifier: MIT
"""The command line of a run: which clips, how they are encoded, how much of it now."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from handover.clips import Clip
from pipelines import datasets
from pipelines.units import Patches, Unit, plan


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is encoded and how; shared with `pipelines.evaluate`."""
    what = parser.add_argument_group("what")
    what.add_argument(
        "--folder", type=Path, help="of the clips (default for uvg and kodak: the environment's UVG_DIR, KODAK_DIR)"
    )
    what.add_argument("--clips", type=names, metavar="A,B", help="only these clips")
    what.add_argument("--frames", type=frame_range, metavar="A:B", help="only frames A to B-1 of each clip")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--rd-weights", type=weights, metavar="W,W", help="default: of the set, see pipelines/datasets.toml"
    )
    how.add_argument(
        "--profile",
        type=names,
        metavar="A,B",
        help="one or more (default: of the set, see pipelines/datasets.toml)",
    )
    how.add_argument("--preset", help="of c3v encode (default: fast; smoke: ultrafast)")
    how.add_argument(
        "--patch",
        type=patches,
        metavar="P",
        help="TxHxW (frames a segment, largest patch), `codec` for segments as `c3v encode` makes them, or "
        "`by-rate` for the paper's: 75x270x320, 60x180x240, 30x180x240 (default: by-rate for uvg, else codec)",
    )
    how.add_argument("--seed", type=int, default=0)
    effort = parser.add_argument_group("effort")
    effort.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="segments at the same time (default: 1)"
    )
    effort.add_argument(
        "--threads", type=positive, metavar="N", help="CPU threads of each (default: share the cores out)"
    )
    effort.add_argument(
        "--cluster", metavar="WHERE", help="of Ray, in place of workers here: auto or its address; OUT is on all nodes"
    )
    effort.add_argument("--budget-minutes", type=float, metavar="M", help="stop encoding then; run again to go on")
    effort.add_argument(
        "--shard", type=shard, default=(1, 1), metavar="I/N", help="every N-th segment only; join with pipelines.merge"
    )


def names(text: str) -> list[str]:
    """A,B -> [A, B]."""
    found = [name for name in text.split(",") if name]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: must be names, separated by commas")
    return found


def weights(text: str) -> list[float]:
    """1e-3,1e-4 -> [0.001, 0.0001]."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 1e-3,3e-4") from None


def positive(text: str) -> int:
    """A number above 0."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be 1 or more")
    return int(text)


def frame_range(text: str) -> tuple[int, int | None]:
    """A:B, A: or :B."""
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if match is None or (match[2] and int(match[2]) <= int(match[1] or 0)):
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 0:32, 16: or :8, the end above the start")
    return int(match[1] or 0), int(match[2]) if match[2] else None


def shard(text: str) -> tuple[int, int]:
    """I/N, counted from 1."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 1/4, from 1/4 to 4/4")
    return int(match[1]), int(match[2])


def patches(text: str) -> Patches | str:
    """TxHxW, codec or by-rate."""
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
    if match is not None and all(map(int, match.groups())):
        return Patches(int(match[1]), (int(match[2]), int(match[3])))
    if text not in ("codec", "by-rate"):
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be codec, by-rate or look like 30x180x240 (frames, height, width)"
        )
    return text


def units_of(set_name: str, clips: Sequence[Clip], options: argparse.Namespace) -> list[Unit]:
    """The units that a command line asks for."""
    cut: Patches | str = options.patch or ("by-rate" if set_name == "uvg" else "codec")
    if isinstance(cut, str):
        chosen = None if cut == "by-rate" else Patches(scene_cuts=True)
    else:
        chosen = cut
    return plan(
        clips,
        options.rd_weights or datasets.facts()[set_name]["rd_weights"],
        options.profile or datasets.facts()[set_name]["profiles"],
        options.preset or ("ultrafast" if set_name == "smoke" else "fast"),
        chosen,
        options.seed,
    )


def clips_of(set_name: str, options: argparse.Namespace) -> list[Clip]:
    """The clips that a command line asks for."""
    named = os.environ.get(f"{set_name.upper()}_DIR") if set_name in ("uvg", "kodak") else None
    frames = options.frames or (0, datasets.facts()[set_name].get("num_frames"))
    return datasets.select(set_name, options.folder or (Path(named) if named else None), options.clips, frames)
