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
import io
import multiprocessing
import os
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from c3video.c3.config import C3FitConfig
from c3video.config import PROFILES, fit_config, model_config
from c3video.encoder import EncodeProgress, SegmentReport, encode
from c3video.errors import C3VideoError, ConfigError, SourceError
from c3video.hybrid.config import HybridFitConfig
from c3video.progress import Progress
from c3video.stream.layout import Header, Segment
from c3video.stream.reader import Reader
from c3video.stream.writer import Writer
from pipelines import datasets, records
from pipelines.datasets import Clip
from pipelines.records import say

STEP_COLUMNS = ("stage", "step", "loss", "psnr_db", "bpp", "patch")
STEPS_KEPT = 100
"""Of each fit's steps about as many are kept for the convergence curves."""
DEFAULT_SEGMENT_FRAMES = 32

_GIVE_UP_AFTER_SECONDS = 20.0


@dataclass(frozen=True)
class Patches:
    """How a clip is cut: frames a segment, and the largest (height, width) of a patch, None for the codec's own."""

    frames: int = DEFAULT_SEGMENT_FRAMES
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Unit:
    """One segment to encode.

    Args:
        stream: name of the stream that it is part of.
        number: of the segment.
        num_units: of the stream.
        first, last: frames, counted from the clip's first one.
    """

    stream: str
    clip: Clip
    profile: str
    preset: str
    rd_weight: float
    seed: int
    patches: Patches
    number: int
    num_units: int
    first: int
    last: int

    @property
    def settings(self) -> dict[str, Any]:
        """What its bytes depend on, apart from the code: a unit made with others is not this one."""
        return {
            "clip": self.clip.name,
            "profile": self.profile,
            "preset": self.preset,
            "rd_weight": self.rd_weight,
            "seed": self.seed,
            "patch_size": list(self.patches.size) if self.patches.size else None,
            "frames": [self.clip.first + self.first, self.clip.first + self.last],
            "segment": self.number,
            "num_segments": self.num_units,
        }

    def path(self, out: Path, suffix: str) -> Path:
        return out / "units" / self.stream / f"{self.number:04}{suffix}"


def stream_name(clip: str, profile: str, preset: str, rd_weight: float) -> str:
    """Name of a stream's files."""
    return f"{clip}_{profile}_{preset}_{rd_weight:g}"


def plan(
    clips: Iterable[Clip],
    rd_weights: Sequence[float],
    profiles: Sequence[str],
    preset: str,
    patches: Patches | None,
    seed: int = 0,
) -> list[Unit]:
    """All units, clip by clip and rate by rate, so that early clips have whole curves first.

    Args:
        patches: None for those of the paper, which depend on the rd_weight.

    Raises:
        ConfigError: an unknown profile or preset, or an rd_weight out of range.
    """
    units = []
    for clip in clips:
        for profile in profiles:
            model = model_config(profile)
            for rd_weight in rd_weights:
                fit_config(profile, preset, rd_weight)
                cut = patches or paper_patches(rd_weight)
                if not model.HAS_PATCHES:
                    cut = replace(cut, size=None)
                starts = range(0, clip.num_frames, cut.frames)
                stream = stream_name(clip.name, profile, preset, rd_weight)
                units += [
                    Unit(
                        stream,
                        clip,
                        profile,
                        preset,
                        rd_weight,
                        seed,
                        cut,
                        number,
                        len(starts),
                        first,
                        min(first + cut.frames, clip.num_frames),
                    )
                    for number, first in enumerate(starts)
                ]
    return units


def paper_patches(rd_weight: float) -> Patches:
    """The published experiment's patches at a rate."""
    rule = next(rule for rule in datasets.facts()["uvg"]["patches"] if rd_weight > rule["above"])
    return Patches(rule["frames"], (rule["height"], rule["width"]))


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
    threads = threads or max(1, records.num_cores() // workers)
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


def _results(work: Any, units: Sequence[Unit], workers: int) -> Iterator[tuple[Unit, dict[str, Any] | str]]:
    if workers == 1 or len(units) < 2:
        yield from map(work, units)
        return
    # Fresh processes: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(units)), initializer=_ignore_interrupt) as pool:
        yield from pool.imap_unordered(work, units)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool


def is_done(unit: Unit, out: Path) -> bool:
    """Whether a unit is there. Raises ConfigError where another one, with other settings, has its place."""
    path = unit.path(out, ".json")
    if not path.exists():
        return False
    settings = records.read_json(path)["settings"]
    if settings != unit.settings:
        name, old, new = next(
            (key, settings.get(key), value) for key, value in unit.settings.items() if settings.get(key) != value
        )
        raise ConfigError(
            f"{path}: was made with {name} {old}, now {new} is asked for: take another folder, or delete it"
        )
    return unit.path(out, ".c3v").exists()


class _OutOfTimeError(Exception):
    """The budget does not reach to the end of a unit."""


def _work(unit: Unit, out: Path, threads: int, deadline: float | None) -> tuple[Unit, dict[str, Any] | str]:
    """Encode a unit; a reason in place of its record where the budget does not reach."""
    if deadline is not None and time.time() >= deadline:
        return unit, "the budget is spent"
    torch.set_num_threads(threads)
    try:
        return unit, encode_unit(unit, out, deadline)
    except _OutOfTimeError as error:
        return unit, str(error)


def encode_unit(unit: Unit, out: Path, deadline: float | None = None) -> dict[str, Any]:
    """Encode one segment and write its files; returns its record."""
    fit = fit_config(unit.profile, unit.preset, unit.rd_weight)
    if isinstance(fit, C3FitConfig) and unit.profile == "paper" and unit.clip.max_gradient_norm is not None:
        fit = replace(fit, max_gradient_norm=unit.clip.max_gradient_norm)
    steps: list[tuple[str, int, float, float, float, int]] = []
    last: Progress | None = None
    started, cpu_started = time.time(), time.process_time()

    def keep(step: Progress, patch: int) -> None:
        figures = (float(f"{step.loss:.5g}"), round(step.psnr_db, 3), float(f"{step.bpp:.5g}"))
        # While the hybrid model tries a plan, its figures are those of the plan before: at first there are none.
        if step.stage != "plan" or (step.loss > 0 and not (steps and steps[-1][2:5] == figures)):
            steps.append((step.stage, step.step, *figures, patch))

    def report(progress: EncodeProgress) -> None:
        nonlocal last
        step = last = progress.fit
        if step.step % max(1, step.num_steps // STEPS_KEPT) == 0 or step.step == step.num_steps:
            keep(step, progress.patch)
        if deadline is not None:
            done = (progress.patch + step.step / step.num_steps) / progress.num_patches
            _check_time(started, deadline, done)

    file = io.BytesIO()
    with unit.clip.open(unit.first, unit.last, as_rgb=PROFILES[unit.profile].as_rgb) as source:
        (segment,) = encode(
            source,
            file,
            model_config(unit.profile).for_video(source.format),
            fit,
            patch_size=unit.patches.size,
            segment_frames=unit.last - unit.first,
            scene_cuts=False,  # a unit is a segment
            seed=unit.seed,
            report=report,
        )
    if last is not None and isinstance(fit, HybridFitConfig):  # of its last attempt no step tells
        bpp = 8 * segment.size_bytes / (segment.num_frames * unit.clip.width * unit.clip.height)
        loss = segment.mse + unit.rd_weight * bpp
        keep(replace(last, stage="file", loss=loss, mse=segment.mse, bpp=bpp), 0)
    record = _record(unit, segment, time.time() - started, time.process_time() - cpu_started)
    if segment.num_frames != unit.last - unit.first:
        raise SourceError(
            f"{unit.clip.path}: ends after {unit.clip.first + unit.first + segment.num_frames} frames, "
            f"not {unit.clip.first + unit.last}"
        )
    records.write_bytes(unit.path(out, ".c3v"), file.getvalue())
    records.write_csv(unit.path(out, ".steps.csv"), STEP_COLUMNS, steps)
    records.write_json(unit.path(out, ".json"), record)
    return record


def _check_time(started: float, deadline: float, done: float) -> None:
    """Raise where the rest of a unit will not fit: at the deadline, or as soon as that can be told."""
    now = time.time()
    spent = now - started
    if now > deadline:
        raise _OutOfTimeError(f"the budget is spent at {100 * done:.0f}% of it")
    if spent > _GIVE_UP_AFTER_SECONDS and done > 0.02 and started + spent / done > deadline:
        raise _OutOfTimeError(f"it needs some {spent / done / 60:.0f} minutes, the budget has less")


def _record(unit: Unit, segment: SegmentReport, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    return {
        "settings": unit.settings,
        "stream": unit.stream,
        "size_bytes": segment.size_bytes,
        "estimated_bits": round(segment.estimated_bits, 1),
        "mse": segment.mse,
        "notes": list(segment.notes),
        "encode_seconds": round(seconds, 3),
        "encode_cpu_seconds": round(cpu_seconds, 3),
        "threads": torch.get_num_threads(),
        "commit": records.commit(),
        "date": records.now(),
        "cpu": records.machine()["cpu"],
    }


def join_all(out: Path) -> list[str]:
    """Join the units of each stream that has them all; returns the names of the streams that are there."""
    units: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((out / "units").glob("*/*.json")):
        units[path.parent.name].append(path)
    joined = []
    for stream, paths in units.items():
        unit_records = [records.read_json(path) for path in paths]
        wanted = unit_records[0]["settings"]["num_segments"]
        if [record["settings"]["segment"] for record in unit_records] != list(range(wanted)):
            say(f"{stream}: {len(paths)} of {wanted} segments so far")
            continue
        joined.append(stream)
        target = out / "streams" / f"{stream}.c3v"
        # Whoever redoes a unit wants the stream made of it.
        if not target.exists() or target.stat().st_mtime < max(path.stat().st_mtime for path in paths):
            data = join([path.with_suffix(".c3v").read_bytes() for path in paths])
            records.write_json(target.with_suffix(".json"), _stream_record(unit_records, len(data)))
            records.write_bytes(target, data)
    return joined


def join(streams: Sequence[bytes]) -> bytes:
    """One stream of streams of a segment each, which differ at most in the length of the last.

    Raises:
        StreamError: a stream is damaged.
        ConfigError: their headers differ, or there are none.
    """
    header: Header | None = None
    segments: list[Segment] = []
    for data in streams:
        reader = Reader(io.BytesIO(data))
        header = header or reader.header
        if replace(reader.header, segment_frames=header.segment_frames) != header:
            raise ConfigError(f"segment {len(segments)} was coded with another header than segment 0")
        for segment in reader.segments():
            assert isinstance(segment, Segment)  # damage raises, since no concealment was asked for
            segments.append(replace(segment, number=len(segments)))
    if header is None:
        raise ConfigError("there are no streams to join")
    file = io.BytesIO()
    with Writer(file, header) as writer:
        for segment in segments:
            writer.write_segment(segment)
    return file.getvalue()


def _stream_record(units: Sequence[dict[str, Any]], size_bytes: int) -> dict[str, Any]:
    """What is known of a stream: settings, and sums over its units."""
    settings = {key: value for key, value in units[0]["settings"].items() if key not in ("segment", "frames")}
    frames = [units[0]["settings"]["frames"][0], units[-1]["settings"]["frames"][1]]
    return {
        **settings,
        "frames": frames,
        "segment_frames": units[0]["settings"]["frames"][1] - frames[0],
        "size_bytes": size_bytes,
        "estimated_bits": round(sum(unit["estimated_bits"] for unit in units), 1),
        "notes": [f"segment {number}: {note}" for number, unit in enumerate(units) for note in unit["notes"]],
        "encode_seconds": round(sum(unit["encode_seconds"] for unit in units), 3),
        "encode_cpu_seconds": round(sum(unit["encode_cpu_seconds"] for unit in units), 3),
        "commit": "+".join(sorted({unit["commit"] for unit in units})),
        "date": max(unit["date"] for unit in units),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is encoded and how; shared with `pipelines.evaluate`."""
    what = parser.add_argument_group("what")
    what.add_argument("--folder", type=Path, help="of the clips (uvg: default is the environment's UVG_DIR)")
    what.add_argument("--clips", type=names, metavar="A,B", help="only these clips")
    what.add_argument("--frames", type=frame_range, metavar="A:B", help="only frames A to B-1 of each clip")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--rd-weights", type=weights, metavar="W,W", help="default: of the set, see pipelines/datasets.toml"
    )
    how.add_argument("--profile", type=names, default=["default"], metavar="A,B", help="one or more (default: default)")
    how.add_argument("--preset", help="of c3v encode (default: fast; smoke: ultrafast)")
    how.add_argument(
        "--patch",
        type=patches,
        metavar="P",
        help="TxHxW (frames a segment, largest patch), `codec` for 32 frames and the codec's own size, or `by-rate` "
        "for the paper's: 75x270x320, 60x180x240, 30x180x240 (default: by-rate for uvg, else codec)",
    )
    how.add_argument("--seed", type=int, default=0)
    effort = parser.add_argument_group("effort")
    effort.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="segments at the same time (default: 1)"
    )
    effort.add_argument(
        "--threads", type=positive, metavar="N", help="CPU threads of each (default: share the cores out)"
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
        chosen = None if cut == "by-rate" else Patches()
    else:
        chosen = cut
    return plan(
        clips,
        options.rd_weights or datasets.facts()[set_name]["rd_weights"],
        options.profile,
        options.preset or ("ultrafast" if set_name == "smoke" else "fast"),
        chosen,
        options.seed,
    )


def clips_of(set_name: str, options: argparse.Namespace) -> list[Clip]:
    """The clips that a command line asks for."""
    named = os.environ.get("UVG_DIR") if set_name == "uvg" else None
    return datasets.select(set_name, options.folder or (Path(named) if named else None), options.clips, options.frames)


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
        datasets.write_clips(options.out / "clips.json", clips)
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
