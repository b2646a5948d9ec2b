# SPDX-License-Identifier: MIT
"""Clips x rd_weights -> .c3v files: resumable, on many cores, over several machines.

    clips.json -> units (a segment each) -> OUT/units/STREAM/0000.c3v, .json, .steps.csv
                                                   | when all of a stream are there
                                                   v
                                         OUT/streams/STREAM.c3v, .json

A unit is one segment, encoded as a stream of its own; joined, the units of a stream are the bytes that `c3v encode`
would have written. A unit's .json is written last and says that it is done; what is done is not done again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch

from c3video.errors import C3VideoError
from handover import provenance
from handover.clips import write_clips
from pipelines import datasets
from pipelines.join import join_all
from pipelines.options import add_options, clips_of, units_of
from pipelines.process import say
from pipelines.unit_files import OutOfTimeError, encode_unit, is_done
from pipelines.units import Unit

_Outcome: TypeAlias = tuple[Unit, "dict[str, Any] | str"]
"""A unit and its record, or why it was left."""


def run(
    out: Path,
    units: Sequence[Unit],
    *,
    workers: int = 1,
    threads: int | None = None,
    budget_minutes: float | None = None,
    shard: tuple[int, int] = (1, 1),
) -> bool:
    """Encode what is missing of `units`, then join the streams that are complete.

    Args:
        workers: units encoded at the same time.
        threads: CPU threads of each; None shares the cores out.
        budget_minutes: what cannot be finished in that time is left for the next run.
        shard: (i, n) for every n-th unit, beginning with the i-th.

    Returns:
        Whether all units of the shard are done.

    Raises:
        C3VideoError: see errors.py; what was finished before stays.
    """
    index, of = shard
    mine = [unit for position, unit in enumerate(units) if position % of == index - 1]
    todo = [unit for unit in mine if not is_done(unit, out)]
    say(f"encode: {len(mine) - len(todo)} of {len(mine)} segments are done; {workers} at a time")
    threads = threads or max(1, provenance.num_cores() // workers)
    deadline = None if budget_minutes is None else time.time() + 60 * budget_minutes
    work = partial(_work, out=out, threads=threads, deadline=deadline)
    left = 0
    for count, (unit, record) in enumerate(_results(work, todo, workers), 1):
        frames = f"frames {unit.first}:{unit.last}"
        if isinstance(record, str):
            left += 1
            say(f"[{count}/{len(todo)}] {unit.stream} {frames}: left for the next run: {record}")
        else:
            say(
                f"[{count}/{len(todo)}] {unit.stream} {frames}: {record['size_bytes']} bytes, "
                f"{record['encode_seconds']:.1f} s"
            )
    join_all(out)
    return left == 0


def _results(work: Callable[[Unit], _Outcome], units: Sequence[Unit], workers: int) -> Iterator[_Outcome]:
    if workers == 1 or len(units) < 2:
        yield from map(work, units)
        return
    # Fresh processes: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(units)), initializer=_ignore_interrupt) as pool:
        yield from pool.imap_unordered(work, units)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool


def _work(unit: Unit, out: Path, threads: int, deadline: float | None) -> _Outcome:
    """Encode a unit; a reason in place of its record where the budget does not reach."""
    if deadline is not None and time.time() >= deadline:
        return unit, "the budget is spent"
    torch.set_num_threads(threads)
    try:
        return unit, encode_unit(unit, out, deadline)
    except OutOfTimeError as error:
        return unit, str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Encode a set; returns 0 done, 1 one of our errors, 3 stopped by the budget, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.encode_set",
        description="Encode clips at several rates to OUT/streams/*.c3v. Stop it and run it again as you like.",
        epilog="example: python -m pipelines.encode_set clips runs/clips --clips akiyo_352x288 --workers 2 --shard 1/4",
    )
    parser.add_argument("set", choices=datasets.SETS, help="which clips")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the run")
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        clips = clips_of(options.set, options)
        units = units_of(options.set, clips, options)
        write_clips(options.out, clips)
        done = run(
            options.out,
            units,
            workers=options.workers,
            threads=options.threads,
            budget_minutes=options.budget_minutes,
            shard=options.shard,
        )
    except C3VideoError as error:
        print(f"encode_set: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("encode_set: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0 if done else 3


if __name__ == "__main__":
    sys.exit(main())
