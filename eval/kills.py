# SPDX-License-Identifier: MIT
"""Encodes that are killed at random moments and gone on with, held against one that nobody disturbs.

    c3v encode --resume --> kill -9 after a while --> again, until it ends --> the same bytes?

Kinds of ends: "all" kills every process of the encode at once, as a power cut does; "parent" the command alone, whose
workers have to notice; "worker" one worker, which the command has to replace.

    python -m eval.kills --kills 20 --workers 2 [--kinds worker] [--source CLIP] [--frames N] [--target-psnr DB]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from c3video.stream.layout import Segment
from c3video.stream.reader import Reader
from eval.survival import make_video

KINDS = ("all", "parent", "worker")


@dataclass
class Outcome:
    """What came of it.

    Args:
        seconds: that an undisturbed run took, the shortest so far: others may keep the machine busy.
        kills: by kind.
        runs: of the command.
        encodes, same: brought to an end, and how many of them to the bytes of the undisturbed one.
        left: finished segments that were there to go on from, after each kill that ended a run.
    """

    seconds: float
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    runs: int = 0
    encodes: int = 0
    same: int = 0
    left: list[int] = field(default_factory=list)

    @property
    def num_kills(self) -> int:
        return sum(self.kills.values())


def torment(
    source: Path, folder: Path, num_kills: int, kinds: Sequence[str], options: Sequence[str], seed: int
) -> Outcome:
    """Kill encodes until there were so many kills; each is then let come to its end."""
    generator = random.Random(seed)
    undisturbed = folder / "undisturbed.c3v"
    command = [sys.executable, "-m", "c3video", "encode", "-q", str(source)]
    began = time.monotonic()
    subprocess.run([*command, str(undisturbed), "-y", *options], check=True)
    found = Outcome(time.monotonic() - began)
    while found.num_kills < num_kills:
        out = folder / f"out{found.encodes}.c3v"
        while _run([*command, str(out), "--resume", "-y", *options], num_kills, kinds, generator, found) != 0:
            part = out.with_name(f"{out.stem}.part.c3v")
            found.left.append(_num_segments(part) if part.exists() else 0)
        found.encodes += 1
        found.same += out.read_bytes() == undisturbed.read_bytes()
    return found


def _run(command: Sequence[str], num_kills: int, kinds: Sequence[str], generator: random.Random, found: Outcome) -> int:
    """One run of the command, killed or not; returns its exit code."""
    found.runs += 1
    began, killed_before = time.monotonic(), found.num_kills
    encode = subprocess.Popen(command, start_new_session=True)
    while found.num_kills < num_kills:
        kind = generator.choice(kinds)
        with contextlib.suppress(subprocess.TimeoutExpired):
            encode.wait(generator.uniform(0.1, 1.0) * found.seconds)
            break
        if _kill(encode.pid, kind, generator):
            found.kills[kind] += 1
            if kind != "worker":
                break
    code = encode.wait()
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the encode ended with {code}, not by our signal")
    if found.num_kills == killed_before:
        found.seconds = min(found.seconds, time.monotonic() - began)
    return code


def _kill(parent: int, kind: str, generator: random.Random) -> bool:
    workers = [number for number in _children(parent) if b"spawn_main" in _command_line(number)]
    try:
        if kind == "all":
            os.killpg(parent, signal.SIGKILL)
        elif kind == "parent":
            os.kill(parent, signal.SIGKILL)
        elif workers:
            os.kill(generator.choice(workers), signal.SIGKILL)
        else:
            return False
    except ProcessLookupError:
        return False
    return True


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _num_segments(part: Path) -> int:
    with part.open("rb") as file:
        try:
            return sum(isinstance(item, Segment) for item in Reader(file).segments(conceal=True))
        except ValueError:  # not even a header
            return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Print what came of it; returns 1 where bytes differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="at random moments (default 20)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of the encode (default 2)")
    parser.add_argument("--source", type=Path, metavar="CLIP", help="default: 24 small frames that are made here")
    parser.add_argument("--frames", type=int, default=24, metavar="N", help="of it (default 24), in segments of 2")
    parser.add_argument(
        "--kinds", type=lambda text: text.split(","), default=list(KINDS), metavar="A,B", help="of kills (default: all)"
    )
    parser.add_argument("--target-psnr", metavar="DB", help="of the encode; its last segments may be fitted again")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        source = arguments.source or make_video(Path(name) / "source.mkv", "ffv1", "yuv420p", times=range(24))
        options = ["--preset", "ultrafast", "--segment", "2", "--frames", f"0:{arguments.frames}"]
        options += ["--workers", str(arguments.workers)]
        options += ["--target-psnr", arguments.target_psnr] if arguments.target_psnr else []
        found = torment(source, Path(name), arguments.kills, arguments.kinds, options, arguments.seed)
    by_kind = ", ".join(f"{kind} {number}" for kind, number in found.kills.items())
    print(
        f"{found.num_kills} kills ({by_kind}) in {found.runs} runs of {found.encodes} encodes, one of which takes "
        f"{found.seconds:.1f} s undisturbed; segments that were there to go on from: {' '.join(map(str, found.left))}; "
        f"bytes equal {found.same} of {found.encodes}"
    )
    return 0 if found.same == found.encodes else 1


if __name__ == "__main__":
    sys.exit(main())
