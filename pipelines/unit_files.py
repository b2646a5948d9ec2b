# SPDX-License-Identifier: MIT
"""One unit -> its files: OUT/units/STREAM/0000.c3v, .steps.csv, and .json, which is written last: then it is done."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from c3video.c3.config import C3FitConfig
from c3video.config import PROFILES, EncoderSettings, fit_config, model_config
from c3video.encoder import EncodeProgress, encode
from c3video.errors import ConfigError, SourceError, StreamError
from c3video.hybrid.config import HybridFitConfig
from c3video.progress import Progress
from c3video.segment_fit import SegmentReport
from c3video.stream.layout import Segment
from c3video.stream.reader import Reader
from handover import files, provenance
from pipelines.units import Unit

STEP_COLUMNS = ("stage", "step", "loss", "psnr_db", "bpp", "patch")
STEPS_KEPT = 100
"""Of each fit's steps about as many are kept for the convergence curves."""

_GIVE_UP_AFTER_SECONDS = 20.0


def is_done(unit: Unit, out: Path) -> bool:
    """Whether a unit is there, whole. Raises ConfigError where another one, with other settings, has its place."""
    path = unit.path(out, ".json")
    record = read_record(path)
    if record is None:
        return False
    settings = record["settings"]
    if settings != unit.settings:
        name, old, new = next(
            (key, settings.get(key), value) for key, value in unit.settings.items() if settings.get(key) != value
        )
        raise ConfigError(
            f"{path}: was made with {name} {old}, now {new} is asked for: take another folder, or delete it"
        )
    return is_whole(unit.path(out, ".c3v"))


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of a unit; None where there is none with all that it must say: the unit is then done again."""
    try:
        record = files.read_json(path)
    except SourceError:
        return None
    is_complete = isinstance(record, dict) and all(
        isinstance(record.get(name), kind) for name, kind in _RECORD_TYPES.items()
    )
    return record if is_complete else None


def is_whole(path: Path) -> bool:
    """Whether a stream is there from its header to its index, every record with its right crc32."""
    try:
        with path.open("rb") as file:
            return all(isinstance(segment, Segment) for segment in Reader(file))
    except (OSError, StreamError):
        return False


class OutOfTimeError(Exception):
    """The budget does not reach to the end of a unit."""


def encode_unit(unit: Unit, out: Path, num_threads: int, deadline: float | None = None) -> dict[str, Any]:
    """Encode one segment and write its files; returns its record."""
    fit = fit_config(unit.profile, unit.preset, unit.rd_weight)
    if isinstance(fit, C3FitConfig) and unit.clip.max_gradient_norm is not None:
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
            check_time(started, deadline, done)

    file = io.BytesIO()
    open_clip = unit.clip.open_as_rgb if PROFILES[unit.profile].as_rgb else unit.clip.open
    with open_clip(unit.first, unit.last) as source:
        (segment,) = encode(
            source,
            file,
            model_config(unit.profile).for_video(source.format),
            fit,
            patch_size=unit.patches.size,
            segment_frames=unit.last - unit.first,
            scene_cuts=False,  # a unit is a segment
            seed=unit.seed,
            num_threads=num_threads,
            settings=EncoderSettings.of(unit.profile, unit.preset, unit.rd_weight),
            report=report,
        )
    if last is not None and isinstance(fit, HybridFitConfig):  # of its last attempt no step tells
        bpp = 8 * segment.size_bytes / (segment.num_frames * unit.clip.width * unit.clip.height)
        loss = segment.mse + unit.rd_weight * bpp
        keep(replace(last, stage="file", loss=loss, mse=segment.mse, bpp=bpp), 0)
    record = _record(unit, segment, num_threads, time.time() - started, time.process_time() - cpu_started)
    if segment.num_frames != unit.last - unit.first:
        raise SourceError(
            f"{unit.clip.path}: ends after {unit.clip.first + unit.first + segment.num_frames} frames, "
            f"not {unit.clip.first + unit.last}"
        )
    files.write_bytes(unit.path(out, ".c3v"), file.getvalue())
    rows = (dict(zip(STEP_COLUMNS, step, strict=True)) for step in steps)
    files.write_csv(unit.path(out, ".steps.csv"), STEP_COLUMNS, rows)
    files.write_json(unit.path(out, ".json"), record)
    return record


def check_time(started: float, deadline: float, done: float) -> None:
    """Raise where the rest of a unit will not fit: at the deadline, or as soon as that can be told."""
    now = time.time()
    spent = now - started
    if now > deadline:
        raise OutOfTimeError(f"the budget is spent at {100 * done:.0f}% of it")
    if spent > _GIVE_UP_AFTER_SECONDS and done > 0.02 and started + spent / done > deadline:
        raise OutOfTimeError(f"it needs some {spent / done / 60:.0f} minutes, the budget has less")


_RECORD_TYPES: dict[str, type | tuple[type, ...]] = {
    "settings": dict,
    "stream": str,
    "size_bytes": int,
    "estimated_bits": (int, float),
    "mse": (int, float),
    "notes": list,
    "encode_seconds": (int, float),
    "encode_cpu_seconds": (int, float),
    "threads": int,
    "commit": str,
    "date": str,
    "cpu": str,
}
"""What a record has, as `_record` writes it."""


def _record(unit: Unit, segment: SegmentReport, num_threads: int, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    return {
        "settings": unit.settings,
        "stream": unit.stream,
        "size_bytes": segment.size_bytes,
        "estimated_bits": round(segment.estimated_bits, 1),
        "mse": segment.mse,
        "notes": list(segment.notes),
        "encode_seconds": round(seconds, 3),
        "encode_cpu_seconds": round(cpu_seconds, 3),
        "threads": num_threads,
        "commit": provenance.commit(),
        "date": provenance.now(),
        "cpu": provenance.cpu_name(),
    }
