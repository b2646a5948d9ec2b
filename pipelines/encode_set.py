# SPDX-License-Identifier: MIT
"""Clips x rd_weights -> .c3v files: resumable, on many cores, over several machines.

    clips.json -> units (a segment each) -> OUT/units/STREAM/0000.c3v, .json, .steps.csv
                                                   | when all of a stream are there
                                                   v
                                         OUT/streams/STREAM.c3v, .json

A unit is one segment, encoded as a stream of its own; joined, the units of a stream are the bytes that `c3v encode`
would have written. A unit's .json is written last and says that it is done; what is done is not done again. Units are
jobs of a crew (c3video/crew/), as the segments of an encode are: processes here or a cluster whose nodes share OUT.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from c3video.crew.here import Here
from c3video.crew.jobs import Crew, Report
from c3video.crew.processes import Processes
from c3video.crew.schedule import in_order
from c3video.errors import C3VideoError
from c3video.threads import num_cores
from handover.clips import write_clips
from pipelines import datasets
from pipelines.join import join_all
from pipelines.options import add_options, clips_of, units_of
from pipelines.process import say
from pipelines.unit_files import OutOfTimeError, encode_unit, is_done
from pipelines.units import Unit

_Outcome: TypeAlias = dict[str, Any] | str
"""The record of a unit, or why it was left."""


def run(
    out: Path,
    units: Sequence[Unit],
    *,
    workers: int = 1,
    threads: int | None = None,
    budget_minutes: float | None = None,
    shard: tuple[int, int] = (1, 1),
    cluster: str | None = None,
) -> bool:
    """Encode what is missing of `units`, then join the streams that are complete.

    Args:
        workers: units encoded at the same time.
        threads: CPU threads of each; None shares the cores out.
        budget_minutes: what cannot be finished in that time is left for the next run.
        shard: (i, n) for every n-th unit, beginning with the i-th.
        cluster: of Ray, in place of workers here; all of its nodes have the folder `out` in common.

    Returns:
        Whether all units of the shard are done.

    Raises:
        C3VideoError: see errors.py; what was finished before stays.
    """
    index, of = shard
    mine = [unit for position, unit in enumerate(units) if position % of == index - 1]
    todo = [unit for unit in mine if not is_done(unit, out)]
    say(f"encode: {len(mine) - len(todo)} of {len(mine)} segments are done; {workers} at a time")
    threads = threads or max(1, num_cores() // workers)
    deadline = None if budget_minutes is None else time.time() + 60 * budget_minutes
    left = count = 0

    def tell(number: int, outcome: _Outcome, is_next: bool) -> None:
        nonlocal left, count
        count += 1
        unit, record = todo[number], outcome
        frames = f"frames {unit.first}:{unit.last}"
        if isinstance(record, str):
            left += 1
            say(f"[{count}/{len(todo)}] {unit.stream} {frames}: left for the next run: {record}")
        else:
            say(
                f"[{count}/{len(todo)}] {unit.stream} {frames}: {record['size_bytes']} bytes, "
                f"{record['encode_seconds']:.1f} s"
            )

    with _crew(min(workers, len(todo)), threads, cluster) as crew:
        units_in_order = in_order(
            crew,
            enumerate(todo),
            lambda number, unit: _EncodeUnit(unit, out.absolute(), threads, deadline),
            ahead=len(todo) + 1,
            on_done=tell,
        )
        for _ in units_in_order:
            pass
    join_all(out)
    return left == 0


def _crew(workers: int, threads: int, cluster: str | None) -> AbstractContextManager[Crew]:
    if cluster is not None:
        from c3video.crew.cluster import Cluster

        return Cluster(cluster, num_cpus=threads)
    return Processes(workers) if workers > 1 else Here()


@dataclass(frozen=True)
class _EncodeUnit:
    """The job: encode a unit; returns a reason in place of its record where the budget does not reach."""

    unit: Unit
    out: Path
    threads: int
    deadline: float | None

    def __call__(self, report: Report) -> _Outcome:
        if self.deadline is not None and time.time() >= self.deadline:
            return "the budget is spent"
        try:
            return encode_unit(self.unit, self.out, self.threads, self.deadline)
        except OutOfTimeError as error:
            return str(error)


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
            cluster=options.cluster,
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
